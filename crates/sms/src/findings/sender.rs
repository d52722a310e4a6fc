//! Who a message seems to be from.
//!
//! **Elsewhere**: what two words have to look like to be taken for each other is `look`.
//!
//! **Always**: that a sender is one whom the reader knows is never said: it may be forged.

use std::collections::BTreeSet;

use super::domain::{LURES, is_common, is_for_anybody, main_label};
use super::look::{Spelling, alike, looks, one_letter_off, stands_in_for};
use super::number::Number;
use super::{Contact, Finding, Known, Severity, What};
use crate::address::{Address, TypeOfNumber};
use crate::tpdu::Deliver;

/// A name of so many digits may be a short number, which networks often write as a name.
const SHORT_NUMBER: usize = 8;

/// A name that is shorter is part of too many others.
const NAME_MIN: usize = 4;

/// A name that is shorter is one letter off too many others.
const LONG_NAME: usize = 7;

/// A sender's name has at most so many characters.
const SENDER_MAX: usize = 11;

pub(super) fn look(deliver: &Deliver, known: &Known, found: &mut Vec<Finding>) {
    let originator = &deliver.originator;
    let sender = originator.to_string();
    for reply_to in elsewhere(deliver) {
        found.push(Finding::new(
            Severity::Danger,
            What::RepliesElsewhere {
                originator: sender.clone(),
                reply_to: reply_to.to_string(),
            },
        ));
    }
    if originator.kind == TypeOfNumber::Alphanumeric {
        look_at_name(&sender, known, found);
    } else {
        look_at_number(originator, known, found);
    }
}

/// The reply addresses that are not the sender's own. Which of several a phone takes, nobody
/// knows.
pub(super) fn elsewhere(deliver: &Deliver) -> impl Iterator<Item = &Address> {
    let originator = &deliver.originator;
    let own = Number::of_address(originator);
    let addresses = deliver.user_data.header.reply_addresses();
    addresses.filter(move |reply_to| {
        let same = match (&own, Number::of_address(reply_to)) {
            (Some(own), Some(reply_to)) => own.is_same(&reply_to),
            _ => reply_to.value == originator.value,
        };
        !same
    })
}

/// Whether the sender claims to be a number that the reader knows.
pub(super) fn claims_to_be_known(originator: &Address, known: &Known) -> bool {
    Number::of_address(originator).is_some_and(|sender| {
        let mut numbers = known.contacts.iter().flat_map(|one| &one.numbers);
        numbers.any(|number| Number::typed(number).is_some_and(|one| one.is_same(&sender)))
    })
}

fn look_at_name(sender: &str, known: &Known, found: &mut Vec<Finding>) {
    let mut tell = |severity, what| found.push(Finding::new(severity, what));
    let sender_is = || sender.to_owned();
    tell(
        Severity::Note,
        What::CannotBeAnswered {
            sender: sender_is(),
        },
    );
    let name = Name::of(sender);
    let imitated = known
        .contacts
        .iter()
        .filter_map(|contact| Some((name.imitates(contact)?, contact)))
        .max_by_key(|(severity, _)| *severity);
    if let Some((severity, contact)) = imitated {
        tell(
            severity,
            What::ImitatesContact {
                sender: sender_is(),
                contact: contact.name.clone(),
            },
        );
    }
    let is_like = |other: &str| alike(&name.looks, &looks(other));
    let mut codes = known.short_codes.iter();
    let code =
        codes.find(|code| sender != code.digits && is_like(&code.digits) || is_like(&code.owner));
    if let Some(code) = code {
        tell(
            Severity::Danger,
            What::ImitatesShortCode {
                sender: sender_is(),
                short_code: code.digits.clone(),
                owner: code.owner.clone(),
            },
        );
    } else if looks_like_number(sender) {
        tell(
            Severity::Danger,
            What::NameLikeNumber {
                sender: sender_is(),
            },
        );
    }
    let mut words = sender.split(|one: char| !one.is_alphanumeric());
    let stands_in = words
        .any(|word| stands_in_for(word, false).is_some())
        .then(|| super::look::bare(sender));
    if let Some(reads_as) = stands_in.or_else(|| digits_as_letters(sender)) {
        tell(
            Severity::Caution,
            What::ConfusableSender {
                sender: sender_is(),
                reads_as,
            },
        );
    }
}

/// A sender's name, taken apart once for all contacts.
struct Name {
    /// In small letters, without signs.
    plain: String,
    looks: BTreeSet<String>,
    /// Its beginnings and ends, with the word that is left of it.
    halves: Vec<(BTreeSet<String>, String)>,
}

impl Name {
    fn of(sender: &str) -> Self {
        let words = words(sender);
        let half = |at: usize| -> Option<[(BTreeSet<String>, String); 2]> {
            let (begin, end) = words.split_at_checked(at)?;
            let (begin, end) = (begin.concat(), end.concat());
            Some([
                (looks(&begin), end.to_lowercase()),
                (looks(&end), begin.to_lowercase()),
            ])
        };
        Self {
            plain: words.concat().to_lowercase(),
            looks: looks(sender),
            halves: (1..words.len()).filter_map(half).flatten().collect(),
        }
    }

    /// How surely this is meant to be taken for a contact: by the name, by a number, or by the
    /// name of a domain. A domain's own name, written as it is, may well be its owner's: many
    /// people have an address there.
    fn imitates(&self, contact: &Contact) -> Option<Severity> {
        let is_like = |looks: &BTreeSet<String>| alike(looks, &self.looks);
        let name = looks(&contact.name);
        let has_digits = self.plain.contains(|one: char| one.is_ascii_digit());
        let mut numbers = contact.numbers.iter().filter(|_| has_digits).map(|number| {
            let written = number.chars();
            looks(&written.filter(char::is_ascii_digit).collect::<String>())
        });
        let whole = words(&contact.name).concat().to_lowercase();
        let is_nearly = whole.chars().count() >= LONG_NAME && one_letter_off(&self.plain, &whole)
            // As much of it as a sender has room for.
            || self.plain.chars().count() >= SENDER_MAX - 1 && whole.starts_with(&self.plain);
        if is_like(&name) || is_nearly || numbers.any(|number| is_like(&number)) {
            return Some(Severity::Danger);
        }
        // The name with something behind or before it: Nordbank-SE.
        let own = self.with_more(&name);
        if own.is_some() {
            return own;
        }
        let mut labels = contact
            .domains
            .iter()
            .filter(|domain| !is_for_anybody(domain))
            .filter_map(|domain| main_label(domain))
            .filter(|label| label.chars().count() >= NAME_MIN && !is_common(label));
        let imitates = |label: String| {
            let as_it_is: String = label.chars().filter(|one| one.is_alphanumeric()).collect();
            let looks = looks(&label);
            self.plain != as_it_is && is_like(&looks)
                || self.with_more(&looks) == Some(Severity::Danger)
        };
        labels.any(imitates).then_some(Severity::Danger)
    }

    /// How surely this is a name with more words, by what these are.
    fn with_more(&self, name: &BTreeSet<String>) -> Option<Severity> {
        if name.iter().any(|look| look.chars().count() < NAME_MIN) {
            return None;
        }
        let rests = self
            .halves
            .iter()
            .filter_map(|(half, rest)| alike(half, name).then_some(rest));
        let is_lure = |rest: &String| rest.chars().count() <= 3 || LURES.contains(&rest.as_str());
        rests
            .map(|rest| {
                if is_lure(rest) {
                    Severity::Danger
                } else {
                    Severity::Caution
                }
            })
            .max()
    }
}

/// The words of a name: what signs, a capital letter, or a change to digits part.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    for one in name.chars() {
        let starts = match before {
            Some(before) => {
                !before.is_alphanumeric()
                    || before.is_lowercase() && one.is_uppercase()
                    || before.is_alphabetic() && one.is_ascii_digit()
            }
            None => true,
        };
        if one.is_alphanumeric() {
            if starts {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(one);
            }
        }
        before = Some(one);
    }
    words
}

fn look_at_number(originator: &Address, known: &Known, found: &mut Vec<Finding>) {
    let Some(number) = Number::of_address(originator) else {
        return;
    };
    let sender = originator.to_string();
    // The same subscriber in another country; without a country's code it may well be theirs.
    let similar = |contact: &&Contact| {
        let mut numbers = contact.numbers.iter().filter_map(|one| Number::typed(one));
        numbers.any(|one| one.ends_like(&number))
    };
    if number.is_international()
        && !claims_to_be_known(originator, known)
        && let Some(contact) = known.contacts.iter().find(similar)
    {
        found.push(Finding::new(
            Severity::Danger,
            What::ImitatesContact {
                sender: sender.clone(),
                contact: contact.name.clone(),
            },
        ));
    }
    // A short number with a plus sign in front of it is another number.
    let code = |code: &&super::ShortCode| code.digits == number.digits();
    if number.is_international()
        && let Some(code) = known.short_codes.iter().find(code)
    {
        found.push(Finding::new(
            Severity::Danger,
            What::ImitatesShortCode {
                sender,
                short_code: code.digits.clone(),
                owner: code.owner.clone(),
            },
        ));
    }
}

/// A short number as it is is one: networks write those as names.
fn looks_like_number(sender: &str) -> bool {
    let digits = sender.chars().filter(char::is_ascii_digit).count();
    let rest = sender.chars().filter(|one| !one.is_ascii_digit());
    let like = digits >= 3
        && rest.clone().all(|one| " +-()/.OoIl".contains(one))
        && rest.clone().count() < digits;
    let has_letters = rest.clone().any(char::is_alphabetic);
    let has_plus = sender.contains('+');
    like && (has_letters || has_plus || digits > SHORT_NUMBER)
}

/// `N0RDEA`, `Nordb4nk`: digits that stand for letters. A name may well have digits (N26, Tele2,
/// Check24, Click2Pay), so they count only where a letter must be.
fn digits_as_letters(sender: &str) -> Option<String> {
    sender
        .split(|one: char| !one.is_alphanumeric())
        .any(has_digit_for_letter)
        .then(|| {
            let letter = |(at, one): (usize, char)| {
                let spelt = Spelling::L.letter(one);
                let shouts = sender
                    .chars()
                    .enumerate()
                    .any(|(other, c)| other != at && c.is_lowercase());
                if shouts || !one.is_ascii_digit() || one == '1' {
                    spelt
                } else {
                    spelt.to_ascii_uppercase()
                }
            };
            sender.chars().enumerate().map(letter).collect()
        })
}

fn has_digit_for_letter(word: &str) -> bool {
    let letters: Vec<char> = word.chars().collect();
    let is_letter = |at: Option<&char>| at.is_some_and(|one| one.is_alphabetic());
    let is_consonant = |at: Option<&char>| {
        at.is_some_and(|one| one.is_alphabetic() && !"aeiouyAEIOUY".contains(*one))
    };
    let is_capital = |at: Option<&char>| at.is_some_and(|one| one.is_uppercase());
    let count = letters.len();
    // What stands on both sides of a run of digits, which starts at `at`.
    let beside = |at: usize| {
        let run = letters
            .iter()
            .skip(at)
            .take_while(|one| one.is_ascii_digit());
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        (before, letters.get(at + run.count()))
    };
    let starts = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        !before.is_some_and(char::is_ascii_digit)
    };
    (0..count).filter(starts).any(|at| {
        let Some(digit) = letters.get(at) else {
            return false;
        };
        let (before, after) = beside(at);
        let run: String = letters
            .iter()
            .skip(at)
            .take_while(|one| one.is_ascii_digit())
            .collect();
        let round = !run.is_empty() && run.bytes().all(|one| matches!(one, b'0' | b'1'));
        match digit {
            // Between letters, or an O at the beginning or the end of a word.
            '0' | '1' if round => {
                is_letter(before) && is_letter(after)
                    || run == "0" && count >= 5 && (is_letter(before) || is_letter(after))
            }
            // A vowel between two consonants of the same case, in a word that is long enough.
            '3' | '4' | '5' | '7' | '8' if run.len() == 1 => {
                count >= 6
                    && is_consonant(before)
                    && is_consonant(after)
                    && is_capital(before) == is_capital(after)
                    // A word that begins behind it (TV4Play) is no part of this one.
                    && (!is_capital(after) || !letters.get(at + 2).is_some_and(|one| one.is_lowercase()))
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_for_letters_are_seen_in_all_places() {
        for name in [
            "G00GLE",
            "N0RDEA",
            "Nordb4nk",
            "Micr0soft",
            "Netfl1x",
            "Am4zon",
            "0range",
            "Banc0",
            "P0STEN",
            "PAYPA1 L0GIN",
            "D0cument",
        ] {
            assert!(digits_as_letters(name).is_some(), "{name}");
        }
        for name in [
            "N26",
            "Tele2",
            "O2",
            "1und1",
            "A1",
            "Check24",
            "Click2Pay",
            "SpareBank1",
            "3Mobile",
            "7Eleven",
            "Sixt24",
            "G4S",
            "H3G",
            "TV4Play",
            "Web4Biz",
            "MP3",
            "Auto1",
            "2FA",
            "Hotel10",
            "4finance",
            "P2P",
            "Studio54",
            "BBC1",
            "Vodafone",
            "KRS-One",
            "GLS24",
        ] {
            assert_eq!(digits_as_letters(name), None, "{name}");
        }
        assert_eq!(digits_as_letters("G00GLE").as_deref(), Some("GOOGLE"));
        assert_eq!(digits_as_letters("Nordb4nk").as_deref(), Some("Nordbank"));
    }

    #[test]
    fn a_short_number_as_a_name_is_a_short_number() {
        for name in ["40033", "112", "88 022", "16007"] {
            assert!(!looks_like_number(name), "{name}");
        }
        for name in ["+3584012345", "16OO7", "07700900123", "+46 7082513"] {
            assert!(looks_like_number(name), "{name}");
        }
    }
}
