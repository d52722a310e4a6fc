//! Long messages: what a text is sent as, and how its parts become one again (TS 23.040 section
//! 9.2.3.24.1).
//!
//! **Elsewhere**: keeping the parts that have come until the others do is the engine's.
//!
//! **Always**: no character is cut in two, and one that somebody else cut is whole again. Parts are joined in their order whatever order they
//! came in, and what does not fit together is told and not guessed.

use crate::address::Address;
use crate::alphabet::{self, Alphabet, Septets};
use crate::coding::{Coding, DataCoding};
use crate::header::{Element, Header, Part, Reference};
use crate::tpdu::Deliver;
use crate::user_data::{Body, OCTETS, SEPTETS, UserData, utf16, utf16_octets};

/// A header with a reference of sixteen bits, and its length.
const HEADER_OCTETS: usize = 7;

/// There are 255 parts at most; more than this many no phone joins.
pub const PARTS_MAX: usize = 255;

/// What a text costs to send, before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// How it is written.
    pub coding: DataCoding,
    /// In so many messages, each of which is paid.
    pub segments: usize,
    /// So many more characters (septets or units of UTF-16) fit into the last one.
    pub left: usize,
}

/// A text that is in too many parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it would take more than {PARTS_MAX} messages; shorten it")]
pub struct TooLong;

/// What this text costs.
///
/// # Errors
/// Where it is in too many parts.
pub fn cost(text: &str) -> Result<Cost, TooLong> {
    let (coding, pieces, left) = pieces(text)?;
    Ok(Cost {
        coding,
        segments: pieces.len(),
        left,
    })
}

/// Splits a text into what is sent for it: in septets where the default alphabet has all of it,
/// in UTF-16 otherwise. The parts of a longer one have this reference.
///
/// # Errors
/// Where it is in too many parts.
pub fn split(text: &str, reference: u16) -> Result<(DataCoding, Vec<UserData>), TooLong> {
    let (coding, pieces, _) = pieces(text)?;
    let of = u8::try_from(pieces.len()).map_err(|_| TooLong)?;
    let data = |(number, piece): (u8, &str)| UserData {
        header: Header {
            elements: if of == 1 {
                Vec::new()
            } else {
                vec![Element::Concatenation(Part {
                    reference: Reference::Long(reference),
                    of,
                    number,
                })]
            },
            malformed: None,
        },
        body: Body::Text(piece.to_owned()),
        split: None,
    };
    Ok((coding, (1..=of).zip(pieces).map(data).collect()))
}

/// The coding, the pieces, and how much fits into the last one still.
fn pieces(text: &str) -> Result<(DataCoding, Vec<&str>, usize), TooLong> {
    let septets = |character| Alphabet::DEFAULT.encode(character).map(Septets::length);
    if let Some(length) = Alphabet::DEFAULT.length(text) {
        let part = (OCTETS - HEADER_OCTETS) * 8 / 7;
        let size = |character| septets(character).unwrap_or(1);
        let (pieces, left) = cut(text, length, SEPTETS, part, size)?;
        Ok((DataCoding::SEPTETS, pieces, left))
    } else {
        let part = (OCTETS - HEADER_OCTETS) / 2;
        let length = text.encode_utf16().count();
        let (pieces, left) = cut(text, length, OCTETS / 2, part, char::len_utf16)?;
        Ok((DataCoding::UTF16, pieces, left))
    }
}

/// Into one piece where it fits `single`, and otherwise into such as fit `part`.
fn cut(
    text: &str,
    length: usize,
    single: usize,
    part: usize,
    size: impl Fn(char) -> usize,
) -> Result<(Vec<&str>, usize), TooLong> {
    if length <= single {
        return Ok((vec![text], single - length));
    }
    let mut pieces = Vec::with_capacity(length / part + 1);
    let (mut begin, mut used) = (0, 0);
    for (at, character) in text.char_indices() {
        let size = size(character);
        if used + size > part {
            pieces.extend(text.get(begin..at));
            (begin, used) = (at, 0);
        }
        used += size;
    }
    pieces.extend(text.get(begin..));
    if pieces.len() > PARTS_MAX {
        return Err(TooLong);
    }
    Ok((pieces, part - used))
}

/// What parts must share to be of one message.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Who they say that they are from.
    pub originator: Address,
    /// Their reference.
    pub reference: Reference,
}

impl Key {
    /// Of this part; none where it is no part.
    pub fn of(deliver: &Deliver) -> Option<Self> {
        let part = deliver.user_data.header.part()?;
        Some(Self {
            originator: deliver.originator.clone(),
            reference: part.reference,
        })
    }
}

/// The parts of a message that have come: those of one [`Key`].
#[derive(Clone, Debug)]
pub struct Assembly {
    parts: Vec<Deliver>,
}

/// What is not right about parts that should be of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disagreement {
    /// They do not say the same number of parts.
    Count,
    /// One of them came twice, with different content.
    Content,
    /// They do not ask for replies to the same address.
    ReplyAddress,
    /// They are not written or to be handled in the same way.
    Coding,
}

impl Assembly {
    /// The parts in the order in which they came. Those that are no parts are left out.
    pub fn of(parts: impl IntoIterator<Item = Deliver>) -> Self {
        let parts = parts.into_iter();
        Self {
            parts: parts
                .filter(|one| one.user_data.header.part().is_some())
                .collect(),
        }
    }

    /// How many parts there should be: what the first that came says.
    pub fn expected(&self) -> u8 {
        let first = self.parts.first();
        first
            .and_then(|one| one.user_data.header.part())
            .map_or(0, |part| part.of)
    }

    /// Which have not come yet.
    pub fn missing(&self) -> Vec<u8> {
        let expected = 1..=self.expected();
        expected
            .filter(|number| self.numbered(*number).is_none())
            .collect()
    }

    /// The message as far as it has come, where anything has: the first part, with the text of
    /// all. What is missing is marked in it as `[…]`.
    pub fn joined(&self) -> Option<Deliver> {
        let mut joined = self.numbered(1).or(self.parts.first())?.clone();
        let parts = (1..=self.expected()).map(|number| self.numbered(number));
        joined.user_data.body = match joined.user_data.body {
            Body::Text(_) => Body::Text(joined_text(parts)),
            Body::Octets(_) => Body::Octets(joined_octets(parts)),
            Body::Compressed(_) => Body::Compressed(joined_octets(parts)),
        };
        joined.user_data.split = None;
        Some(joined)
    }

    /// What does not fit together.
    pub fn disagreements(&self) -> Vec<Disagreement> {
        let mut found = Vec::new();
        let Some(first) = self.parts.first() else {
            return found;
        };
        for part in &self.parts {
            let number = part.user_data.header.part().map_or(0, |part| part.number);
            let twin = self.numbered(number);
            let reply = |one: &Deliver| -> Vec<Address> {
                one.user_data.header.reply_addresses().cloned().collect()
            };
            for (is_so, what) in [
                (
                    part.user_data.header.part().map(|one| one.of) != Some(self.expected()),
                    Disagreement::Count,
                ),
                (
                    twin.is_some_and(|twin| twin.user_data.body != part.user_data.body),
                    Disagreement::Content,
                ),
                (reply(part) != reply(first), Disagreement::ReplyAddress),
                (
                    (part.coding, part.protocol) != (first.coding, first.protocol),
                    Disagreement::Coding,
                ),
            ] {
                if is_so {
                    found.push(what);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The first that came with this number.
    fn numbered(&self, number: u8) -> Option<&Deliver> {
        self.parts.iter().find(|one| {
            one.user_data
                .header
                .part()
                .is_some_and(|part| part.number == number)
        })
    }
}

fn joined_octets<'a>(parts: impl Iterator<Item = Option<&'a Deliver>>) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts.flatten() {
        if let Body::Octets(octets) | Body::Compressed(octets) = &part.user_data.body {
            all.extend(octets);
        }
    }
    all
}

fn joined_text<'a>(parts: impl Iterator<Item = Option<&'a Deliver>>) -> String {
    let mut joining = Joining::default();
    for part in parts {
        match part {
            Some(part) => joining.add(part),
            None => joining.mark_missing(),
        }
    }
    joining.finish()
}

/// A text whose parts may have been cut within a character.
#[derive(Default)]
struct Joining {
    text: String,
    /// UTF-16 that is not read yet: its last character may be complete only with the next part.
    utf16: Vec<u8>,
    /// The last part ended with an escape, which takes the next part's first septet from the
    /// extension table.
    escaped: bool,
}

impl Joining {
    fn add(&mut self, part: &Deliver) {
        let data = &part.user_data;
        let Body::Text(text) = &data.body else {
            return;
        };
        if part.coding.coding() == Coding::Utf16 {
            self.settle_escape();
            match &data.split {
                Some(octets) => self.utf16.extend(octets),
                None => self.utf16.extend(utf16_octets(text)),
            }
            return;
        }
        self.settle_utf16();
        let alphabet = data.header.alphabet();
        let mut rest = text.as_str();
        if std::mem::take(&mut self.escaped) {
            let mut characters = text.chars();
            let first = characters.next().and_then(|one| alphabet.encode(one));
            if let Some(Septets::One(septet)) = first {
                let both = [alphabet::ESCAPE, septet];
                self.text.push_str(&alphabet.decode(both.into_iter()));
                rest = characters.as_str();
            } else {
                self.text.push(' ');
            }
        }
        // An escape at the end is read as a space where nothing follows it.
        self.escaped = data.split.is_some();
        let rest = if self.escaped {
            rest.strip_suffix(' ').unwrap_or(rest)
        } else {
            rest
        };
        self.text.push_str(rest);
    }

    fn mark_missing(&mut self) {
        self.settle_utf16();
        self.settle_escape();
        self.text.push_str("[…]");
    }

    fn finish(mut self) -> String {
        self.settle_utf16();
        self.settle_escape();
        self.text
    }

    fn settle_utf16(&mut self) {
        self.text.push_str(&utf16(&std::mem::take(&mut self.utf16)));
    }

    fn settle_escape(&mut self) {
        if std::mem::take(&mut self.escaped) {
            self.text.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::ProtocolId;
    use crate::timestamp::Timestamp;

    fn parts(text: &str) -> Vec<Deliver> {
        let (coding, data) = split(text, 300).unwrap();
        let deliver = |user_data| Deliver {
            more_messages: false,
            loop_prevention: false,
            reply_path: false,
            report_requested: false,
            originator: Address::international("358401234567"),
            protocol: ProtocolId::default(),
            coding,
            timestamp: Timestamp::at(0),
            user_data,
        };
        data.into_iter().map(deliver).collect()
    }

    fn text(assembly: &Assembly) -> String {
        match assembly.joined().unwrap().user_data.body {
            Body::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_costs_what_is_known_of_it() {
        let cost = |text: &str| {
            let cost = cost(text).unwrap();
            (cost.segments, cost.left)
        };
        assert_eq!(cost(""), (1, 160));
        assert_eq!(cost(&"a".repeat(160)), (1, 0));
        assert_eq!(cost(&"a".repeat(161)), (2, 152 * 2 - 161));
        assert_eq!(cost(&"€".repeat(80)), (1, 0));
        assert_eq!(cost("ő"), (1, 69));
        assert_eq!(cost(&"ő".repeat(71)), (2, 66 * 2 - 71));
        // A pair that does not fit goes to the next part whole: 65 and 3.
        assert_eq!(cost(&format!("{}😀x", "ő".repeat(65))), (1, 2));
        assert_eq!(
            cost(&format!("{}😀{}", "ő".repeat(65), "x".repeat(4))),
            (2, 66 - 6)
        );
    }

    #[test]
    fn parts_become_one_in_whatever_order_they_come() {
        let long = "Hyvää päivää 😀🏳️‍🌈 ".repeat(20);
        let mut parts = parts(&long);
        assert!(parts.len() > 4);
        parts.reverse();
        let assembly = Assembly::of(parts);
        assert_eq!(assembly.missing(), []);
        assert_eq!(assembly.disagreements(), []);
        assert_eq!(text(&assembly), long);
    }

    #[test]
    fn parts_of_other_messages_have_other_keys() {
        let parts = parts(&"a".repeat(400));
        let key = Key::of(&parts[0]);
        assert!(key.is_some() && parts.iter().all(|part| Key::of(part) == key));
        let mut other = parts[1].clone();
        other.originator = Address::international("46708251358");
        assert!(Key::of(&other) != key);
        other.user_data.header = Header::default();
        assert!(Key::of(&other).is_none());
    }

    #[test]
    fn what_is_missing_is_marked() {
        let mut parts = parts(&"a".repeat(400));
        parts.remove(1);
        let assembly = Assembly::of(parts);
        assert_eq!(assembly.missing(), [2]);
        assert!(text(&assembly).contains("a[…]a"));
    }

    #[test]
    fn parts_that_disagree_are_told() {
        let good = parts(&"a".repeat(400));
        let told = |change: fn(&mut Deliver)| {
            let mut parts = good.clone();
            let mut odd = parts.remove(2);
            change(&mut odd);
            parts.push(odd);
            Assembly::of(parts).disagreements()
        };
        assert_eq!(told(|_| {}), []);
        assert_eq!(
            told(|odd| {
                odd.user_data.header = Header::read(&[0x08, 4, 1, 44, 9, 3]);
            }),
            [Disagreement::Count]
        );
        assert_eq!(
            told(|odd| {
                odd.user_data.header = Header::read(&[0x08, 4, 1, 44, 3, 1]);
            }),
            [Disagreement::Content]
        );
        assert_eq!(
            told(|odd| {
                let reply = Element::ReplyAddress(Address::international("1"));
                odd.user_data.header.elements.push(reply);
                odd.protocol = ProtocolId(0x41);
            }),
            [Disagreement::ReplyAddress, Disagreement::Coding]
        );
    }

    /// Parts with these octets or septets behind their headers.
    fn cut(coding: DataCoding, pieces: &[&[u8]]) -> Vec<Deliver> {
        let of = u8::try_from(pieces.len()).unwrap();
        let part = |(number, piece): (u8, &&[u8])| {
            let header = [5, 0, 3, 7, of, number];
            let data = [&header, *piece].concat();
            Deliver {
                coding,
                user_data: UserData::of_octets(&data, coding, true).unwrap(),
                ..parts("").remove(0)
            }
        };
        (1..).zip(pieces).map(part).collect()
    }

    #[test]
    fn a_character_that_was_cut_in_two_is_whole_again() {
        let whole = "a😀b😁".to_owned();
        let octets: Vec<u8> = whole.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for first in 1..octets.len() {
            for second in first..octets.len() {
                let pieces = [&octets[..first], &octets[first..second], &octets[second..]];
                // Only parts of an odd length say that the next one begins within a character.
                if second > first && first % 2 == 1 && second % 2 == 1 {
                    continue;
                }
                let parts = cut(DataCoding::UTF16, &pieces);
                assert_eq!(text(&Assembly::of(parts)), whole, "{first} {second}");
            }
        }
        // An escape, and the euro sign that it makes of an e.
        let parts = cut(DataCoding::SEPTETS, &[b"5 \x1b", b"e!"]);
        assert_eq!(text(&Assembly::of(parts.clone())), "5 €!");
        assert_eq!(text(&Assembly::of(parts.into_iter().take(1))), "5  […]");
        // Half of one stays half where the other half does not come.
        let parts = cut(DataCoding::UTF16, &[&octets[..4], &octets[4..]]);
        let half = Assembly::of(parts.into_iter().take(1));
        assert_eq!(text(&half), "a\u{fffd}[…]");
    }

    #[test]
    fn nothing_is_split_into_more_parts_than_there_may_be() {
        assert!(split(&"a".repeat(152 * 255), 1).is_ok());
        assert_eq!(cost(&"a".repeat(152 * 255 + 1)), Err(TooLong));
    }
}
