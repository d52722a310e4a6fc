//! Long messages: what a text is sent as, and how its parts become one again (TS 23.040 section
//! 9.2.3.24.1).
//!
//! **Elsewhere**: keeping the parts that have come until the others do is the engine's.
//!
//! **Always**: no character is cut in two. Parts are joined in their order whatever order they
//! came in, and what does not fit together is told and not guessed.

use crate::address::Address;
use crate::alphabet::{Alphabet, Septets};
use crate::coding::DataCoding;
use crate::header::{Element, Header, Part, Reference};
use crate::tpdu::Deliver;
use crate::user_data::{Body, OCTETS, SEPTETS, UserData};

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
        let texts = (1..=self.expected()).map(|number| {
            self.numbered(number)
                .map_or(Body::Text("[…]".to_owned()), |part| {
                    part.user_data.body.clone()
                })
        });
        joined.user_data.body = texts.reduce(behind)?;
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
            let reply = |one: &Deliver| one.user_data.header.reply_address().cloned();
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

fn behind(first: Body, next: Body) -> Body {
    match (first, next) {
        (Body::Text(first), Body::Text(next)) => Body::Text(first + &next),
        (Body::Octets(first), Body::Octets(next)) => Body::Octets([first, next].concat()),
        (Body::Compressed(first), Body::Compressed(next)) => {
            Body::Compressed([first, next].concat())
        }
        (first, _) => first,
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

    #[test]
    fn nothing_is_split_into_more_parts_than_there_may_be() {
        assert!(split(&"a".repeat(152 * 255), 1).is_ok());
        assert_eq!(cost(&"a".repeat(152 * 255 + 1)), Err(TooLong));
    }
}
