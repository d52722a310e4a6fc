//! Who a message seems to be from.
//!
//! **Elsewhere**: what two words have to look like to be taken for each other is `look`.
//!
//! **Always**: that a sender is one whom the reader knows is never said: it may be forged.

use super::look::{looks, reads_as};
use super::{Contact, Finding, Known, Severity, What};
use crate::address::{Address, TypeOfNumber};
use crate::tpdu::Deliver;

/// Digits at the end of a number that are a subscriber's.
const SUBSCRIBER: usize = 8;

pub(super) fn look(deliver: &Deliver, known: &Known, found: &mut Vec<Finding>) {
    let originator = &deliver.originator;
    let sender = originator.to_string();
    if let Some(reply_to) = deliver.user_data.header.reply_address()
        && reply_to.value != originator.value
    {
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

fn look_at_name(sender: &str, known: &Known, found: &mut Vec<Finding>) {
    found.push(Finding::new(
        Severity::Note,
        What::CannotBeAnswered {
            sender: sender.to_owned(),
        },
    ));
    let as_seen = looks(sender);
    let alike = |other: &str| !as_seen.is_disjoint(&looks(other));
    let imitated = known.contacts.iter().find(|one| imitates(&alike, one));
    if let Some(contact) = imitated {
        found.push(Finding::new(
            Severity::Danger,
            What::ImitatesContact {
                sender: sender.to_owned(),
                contact: contact.name.clone(),
            },
        ));
    }
    let mut codes = known.short_codes.iter();
    let code = codes.find(|code| alike(&code.digits) || alike(&code.owner));
    if let Some(code) = code {
        found.push(Finding::new(
            Severity::Danger,
            What::ImitatesShortCode {
                sender: sender.to_owned(),
                short_code: code.digits.clone(),
                owner: code.owner.clone(),
            },
        ));
    } else if looks_like_number(sender) {
        found.push(Finding::new(
            Severity::Danger,
            What::NameLikeNumber {
                sender: sender.to_owned(),
            },
        ));
    }
    if let Some(reads_as) = reads_as(sender).or_else(|| digits_as_letters(sender)) {
        found.push(Finding::new(
            Severity::Caution,
            What::ConfusableSender {
                sender: sender.to_owned(),
                reads_as,
            },
        ));
    }
}

fn look_at_number(originator: &Address, known: &Known, found: &mut Vec<Finding>) {
    let sender = originator.to_string();
    let digits = &originator.value;
    let ending = |number: &str| -> Option<String> {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let begin = digits.len().checked_sub(SUBSCRIBER)?;
        digits.get(begin..).map(str::to_owned)
    };
    // The same subscriber in another country; without a country's code it may well be theirs.
    let similar = |contact: &&Contact| {
        contact
            .numbers
            .iter()
            .any(|number| *number != sender && ending(number) == ending(digits))
    };
    if originator.kind == TypeOfNumber::International
        && ending(digits).is_some()
        && !known
            .contacts
            .iter()
            .any(|one| one.numbers.contains(&sender))
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
    let code = |code: &&super::ShortCode| code.digits == *digits;
    if originator.kind == TypeOfNumber::International
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

/// By the name, by a number, or by the name of a domain.
fn imitates(alike: &impl Fn(&str) -> bool, contact: &Contact) -> bool {
    let labels = contact
        .domains
        .iter()
        .filter_map(|domain| super::link::main_label(domain));
    alike(&contact.name)
        || contact.numbers.iter().any(|number| alike(number))
        || labels
            .filter(|label| label.len() > 3)
            .any(|label| alike(&label))
}

fn looks_like_number(sender: &str) -> bool {
    let digits = sender.chars().filter(char::is_ascii_digit).count();
    let rest = sender.chars().filter(|one| !one.is_ascii_digit());
    digits >= 3 && rest.clone().all(|one| " +-()/.OoIl".contains(one)) && rest.count() < digits
}

/// `N0RDEA`: digits that stand for letters between letters.
fn digits_as_letters(sender: &str) -> Option<String> {
    let characters: Vec<char> = sender.chars().collect();
    let between = characters
        .windows(3)
        .any(|three| matches!(three, [a, '0' | '1', b] if a.is_alphabetic() && b.is_alphabetic()));
    between.then(|| {
        let letter = |one| match one {
            '0' => 'O',
            '1' => 'l',
            other => other,
        };
        characters.into_iter().map(letter).collect()
    })
}
