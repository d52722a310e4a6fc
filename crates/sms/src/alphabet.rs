//! The alphabets of TS 23.038: which character a septet stands for, and how septets are packed
//! into octets.
//!
//! **Elsewhere**: the tables as the specification prints them are in `tables.rs`; which alphabet
//! a message is in is said by its [`DataCoding`](crate::DataCoding) and its
//! [header](crate::Header); text of sixteen bits is UTF-16, which Rust itself knows.
//!
//! **Always**: every septet becomes something: what a table does not have is read from the
//! default one, as 6.2.1.1 says, and is U+FFFD where that has nothing either.

mod tables;

use serde::{Deserialize, Serialize};

/// The septet that takes the next one from the extension table.
pub(crate) const ESCAPE: u8 = 0x1b;

/// A national language of TS 23.038 6.2.1.2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are what they are called")]
#[repr(u8)]
pub enum Language {
    Turkish = 1,
    Spanish = 2,
    Portuguese = 3,
    Bengali = 4,
    Gujarati = 5,
    Hindi = 6,
    Kannada = 7,
    Malayalam = 8,
    Oriya = 9,
    Punjabi = 10,
    Tamil = 11,
    Telugu = 12,
    Urdu = 13,
}

impl Language {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Turkish,
        Self::Spanish,
        Self::Portuguese,
        Self::Bengali,
        Self::Gujarati,
        Self::Hindi,
        Self::Kannada,
        Self::Malayalam,
        Self::Oriya,
        Self::Punjabi,
        Self::Tamil,
        Self::Telugu,
        Self::Urdu,
    ];

    /// The one with this identifier; none where it is reserved.
    pub fn numbered(identifier: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| *language as u8 == identifier)
    }

    /// Its name in English.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turkish => "Turkish",
            Self::Spanish => "Spanish",
            Self::Portuguese => "Portuguese",
            Self::Bengali => "Bengali",
            Self::Gujarati => "Gujarati",
            Self::Hindi => "Hindi",
            Self::Kannada => "Kannada",
            Self::Malayalam => "Malayalam",
            Self::Oriya => "Oriya",
            Self::Punjabi => "Punjabi",
            Self::Tamil => "Tamil",
            Self::Telugu => "Telugu",
            Self::Urdu => "Urdu",
        }
    }

    /// Spanish has no locking table (A.3.2): the default one stands in for it.
    fn locking(self) -> &'static Table {
        match self {
            Self::Turkish => &TURKISH_LOCKING,
            Self::Spanish => &DEFAULT,
            Self::Portuguese => &PORTUGUESE_LOCKING,
            Self::Bengali => &BENGALI_LOCKING,
            Self::Gujarati => &GUJARATI_LOCKING,
            Self::Hindi => &HINDI_LOCKING,
            Self::Kannada => &KANNADA_LOCKING,
            Self::Malayalam => &MALAYALAM_LOCKING,
            Self::Oriya => &ORIYA_LOCKING,
            Self::Punjabi => &PUNJABI_LOCKING,
            Self::Tamil => &TAMIL_LOCKING,
            Self::Telugu => &TELUGU_LOCKING,
            Self::Urdu => &URDU_LOCKING,
        }
    }

    fn single(self) -> &'static Table {
        match self {
            Self::Turkish => &TURKISH_SINGLE,
            Self::Spanish => &SPANISH_SINGLE,
            Self::Portuguese => &PORTUGUESE_SINGLE,
            Self::Bengali => &BENGALI_SINGLE,
            Self::Gujarati => &GUJARATI_SINGLE,
            Self::Hindi => &HINDI_SINGLE,
            Self::Kannada => &KANNADA_SINGLE,
            Self::Malayalam => &MALAYALAM_SINGLE,
            Self::Oriya => &ORIYA_SINGLE,
            Self::Punjabi => &PUNJABI_SINGLE,
            Self::Tamil => &TAMIL_SINGLE,
            Self::Telugu => &TELUGU_SINGLE,
            Self::Urdu => &URDU_SINGLE,
        }
    }
}

/// The tables that the septets of one message are read by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alphabet {
    /// Instead of the default table.
    pub locking: Option<Language>,
    /// Instead of the default extension.
    pub single: Option<Language>,
}

impl Alphabet {
    /// The default alphabet with its extension.
    pub const DEFAULT: Self = Self {
        locking: None,
        single: None,
    };

    fn tables(self) -> (&'static Table, &'static Table) {
        (
            self.locking.map_or(&DEFAULT, Language::locking),
            self.single.map_or(&EXTENSION, Language::single),
        )
    }

    /// The text that these septets stand for.
    pub fn decode(self, septets: impl Iterator<Item = u8>) -> String {
        let (basic, extension) = self.tables();
        let mut text = String::with_capacity(septets.size_hint().0);
        let mut escaped = false;
        for septet in septets {
            if escaped {
                escaped = false;
                // "In the event that an MS receives a code where a symbol is not represented in
                // the extension table, then the MS shall display the character shown in the main
                // table"; a second escape is for tables to come and shows as a space.
                text.push(match at(extension, septet) {
                    HOLE if septet == ESCAPE => ' ',
                    HOLE => shown(at(basic, septet)),
                    character => character,
                });
            } else if septet == ESCAPE {
                escaped = true;
            } else {
                text.push(shown(at(basic, septet)));
            }
        }
        if escaped {
            text.push(' ');
        }
        text
    }

    /// The septets for this character, one or two; none where the alphabet does not have it.
    pub fn encode(self, character: char) -> Option<Septets> {
        let (basic, extension) = self.tables();
        if let Some(septet) = place(basic, character).filter(|septet| *septet != ESCAPE) {
            return Some(Septets::One(septet));
        }
        place(extension, character).map(Septets::Escaped)
    }

    /// How many septets this text takes; none where the alphabet lacks one of its characters.
    pub fn length(self, text: &str) -> Option<usize> {
        text.chars()
            .map(|character| self.encode(character).map(Septets::length))
            .sum()
    }
}

/// What a character is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Septets {
    /// From the basic table.
    One(u8),
    /// From the extension table, behind an escape. They are never parted.
    Escaped(u8),
}

impl Septets {
    /// One or two.
    pub fn length(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Escaped(_) => 2,
        }
    }

    /// Puts them behind the others.
    pub fn append_to(self, septets: &mut Vec<u8>) {
        match self {
            Self::One(septet) => septets.push(septet),
            Self::Escaped(septet) => septets.extend([ESCAPE, septet]),
        }
    }
}

/// The first `count` septets of these octets, after so many bits of filling (TS 23.038 6.1.2.1).
/// They end early where the octets do.
pub fn unpack(octets: &[u8], fill: u32, count: usize) -> impl Iterator<Item = u8> + '_ {
    let mut rest = octets.iter();
    let mut held: u32 = 0;
    let mut bits: u32 = 0;
    if fill > 0
        && let Some(first) = rest.next()
    {
        held = u32::from(*first) >> fill;
        bits = 8 - fill;
    }
    let available = (octets.len() * 8).saturating_sub(fill as usize) / 7;
    let mut left = count.min(available);
    Unpacked(move || {
        left = left.checked_sub(1)?;
        if bits < 7 {
            held |= u32::from(*rest.next()?) << bits;
            bits += 8;
        }
        let septet = low(held) & 0x7f;
        held >>= 7;
        bits -= 7;
        Some(septet)
    })
}

struct Unpacked<F>(F);

impl<F: FnMut() -> Option<u8>> Iterator for Unpacked<F> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        (self.0)()
    }
}

/// Packs septets into octets, after so many bits of filling.
pub fn pack(septets: &[u8], fill: u32) -> Vec<u8> {
    let mut octets = Vec::with_capacity(septets.len() * 7 / 8 + 2);
    let mut held: u32 = 0;
    let mut bits: u32 = fill;
    for septet in septets {
        held |= u32::from(septet & 0x7f) << bits;
        bits += 7;
        while bits >= 8 {
            octets.push(low(held));
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        octets.push(low(held));
    }
    octets
}

/// The lowest eight bits.
fn low(held: u32) -> u8 {
    u8::try_from(held & 0xff).unwrap_or_default()
}

type Table = [char; 128];

/// Where a table has nothing.
const HOLE: char = '·';

fn at(table: &Table, septet: u8) -> char {
    table
        .get(usize::from(septet & 0x7f))
        .copied()
        .unwrap_or(HOLE)
}

fn shown(character: char) -> char {
    if character == HOLE {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}

fn place(table: &Table, character: char) -> Option<u8> {
    if character == HOLE {
        return None;
    }
    let at = table.iter().position(|one| *one == character)?;
    u8::try_from(at).ok()
}

/// Reads a table as it is printed.
#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "it runs when this is compiled, and a table of another size does not compile"
)]
const fn table(lines: [&str; 8]) -> Table {
    let mut table = [HOLE; 128];
    let mut line = 0;
    while line < 8 {
        let bytes = lines[line].as_bytes();
        let (mut at, mut column) = (0, 0);
        while at < bytes.len() {
            let first = bytes[at] as u32;
            let (mut code, length) = match first {
                0..0x80 => (first, 1),
                0x80..0xe0 => (first & 0x1f, 2),
                _ => (first & 0x0f, 3),
            };
            let mut more = 1;
            while more < length {
                code = (code << 6) | (bytes[at + more] as u32 & 0x3f);
                more += 1;
            }
            table[line * 16 + column] = match char::from_u32(code) {
                Some(character) => character,
                None => panic!("not a character"),
            };
            at += length;
            column += 1;
        }
        assert!(column == 16, "a line has sixteen characters");
        line += 1;
    }
    table
}

static DEFAULT: Table = table(tables::DEFAULT);
static EXTENSION: Table = table(tables::EXTENSION);
static TURKISH_LOCKING: Table = table(tables::TURKISH_LOCKING);
static TURKISH_SINGLE: Table = table(tables::TURKISH_SINGLE);
static SPANISH_SINGLE: Table = table(tables::SPANISH_SINGLE);
static PORTUGUESE_LOCKING: Table = table(tables::PORTUGUESE_LOCKING);
static PORTUGUESE_SINGLE: Table = table(tables::PORTUGUESE_SINGLE);
static BENGALI_LOCKING: Table = table(tables::BENGALI_LOCKING);
static BENGALI_SINGLE: Table = table(tables::BENGALI_SINGLE);
static GUJARATI_LOCKING: Table = table(tables::GUJARATI_LOCKING);
static GUJARATI_SINGLE: Table = table(tables::GUJARATI_SINGLE);
static HINDI_LOCKING: Table = table(tables::HINDI_LOCKING);
static HINDI_SINGLE: Table = table(tables::HINDI_SINGLE);
static KANNADA_LOCKING: Table = table(tables::KANNADA_LOCKING);
static KANNADA_SINGLE: Table = table(tables::KANNADA_SINGLE);
static MALAYALAM_LOCKING: Table = table(tables::MALAYALAM_LOCKING);
static MALAYALAM_SINGLE: Table = table(tables::MALAYALAM_SINGLE);
static ORIYA_LOCKING: Table = table(tables::ORIYA_LOCKING);
static ORIYA_SINGLE: Table = table(tables::ORIYA_SINGLE);
static PUNJABI_LOCKING: Table = table(tables::PUNJABI_LOCKING);
static PUNJABI_SINGLE: Table = table(tables::PUNJABI_SINGLE);
static TAMIL_LOCKING: Table = table(tables::TAMIL_LOCKING);
static TAMIL_SINGLE: Table = table(tables::TAMIL_SINGLE);
static TELUGU_LOCKING: Table = table(tables::TELUGU_LOCKING);
static TELUGU_SINGLE: Table = table(tables::TELUGU_SINGLE);
static URDU_LOCKING: Table = table(tables::URDU_LOCKING);
static URDU_SINGLE: Table = table(tables::URDU_SINGLE);

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut septets = Vec::new();
        for character in text.chars() {
            Alphabet::DEFAULT
                .encode(character)
                .unwrap()
                .append_to(&mut septets);
        }
        pack(&septets, 0)
    }

    #[test]
    fn the_specifications_example_is_packed_as_it_says() {
        // 6.1.2.1.2: the character 1 is in bits 0 to 6 of the first octet, the second begins at
        // its highest bit.
        assert_eq!(
            packed("hellohello"),
            *b"\xe8\x32\x9b\xfd\x46\x97\xd9\xec\x37"
        );
        assert_eq!(packed("1234567"), *b"\x31\xd9\x8c\x56\xb3\xdd\x00");
    }

    #[test]
    fn every_character_of_every_alphabet_comes_back() {
        let languages = || Language::ALL.into_iter().map(Some).chain([None]);
        for locking in languages() {
            for single in languages() {
                let alphabet = Alphabet { locking, single };
                for septet in (0..=0x7f_u8).filter(|septet| *septet != ESCAPE) {
                    let text = alphabet.decode([septet].into_iter());
                    let character = text.chars().next().unwrap();
                    if character != char::REPLACEMENT_CHARACTER {
                        assert_eq!(alphabet.encode(character), Some(Septets::One(septet)));
                    }
                    let text = alphabet.decode([ESCAPE, septet].into_iter());
                    assert_eq!(text.chars().count(), 1);
                }
            }
        }
    }

    #[test]
    fn an_unknown_escape_shows_the_basic_character() {
        let read = |septets: &[u8]| Alphabet::DEFAULT.decode(septets.iter().copied());
        assert_eq!(read(&[ESCAPE, 0x65]), "€");
        assert_eq!(read(&[ESCAPE, 0x41]), "A");
        assert_eq!(read(&[ESCAPE, ESCAPE, 0x41]), " A");
        assert_eq!(read(&[ESCAPE]), " ");
    }

    #[test]
    fn a_languages_letters_are_of_its_own_script() {
        let script = [
            (Language::Bengali, 0x980..0xa00),
            (Language::Gujarati, 0xa80..0xb00),
            (Language::Hindi, 0x900..0x980),
            (Language::Kannada, 0xc80..0xd00),
            (Language::Malayalam, 0xd00..0xd80),
            (Language::Oriya, 0xb00..0xb80),
            (Language::Punjabi, 0xa00..0xa80),
            (Language::Tamil, 0xb80..0xc00),
            (Language::Telugu, 0xc00..0xc80),
            (Language::Urdu, 0x600..0x700),
        ];
        for (language, block) in script {
            let tables = language.locking().iter().chain(language.single());
            let foreign: String = tables
                .filter(|one| **one > '\u{ff}' && !block.contains(&u32::from(**one)))
                .collect();
            // The sentence marks of Hindi serve all of India; the euro is everywhere, and delta
            // and its like are not in these.
            let known = |one: char| "।॥€".contains(one);
            assert!(foreign.chars().all(known), "{language:?}: {foreign}");
        }
    }

    #[test]
    fn packing_and_unpacking_are_inverse_whatever_the_filling() {
        let septets: Vec<u8> = (0..=0x7f).collect();
        for fill in 0..7 {
            for count in 0..septets.len() {
                let octets = pack(septets.get(..count).unwrap(), fill);
                let back: Vec<u8> = unpack(&octets, fill, count).collect();
                assert_eq!(back, septets.get(..count).unwrap());
            }
        }
    }

    #[test]
    fn what_is_not_there_is_not_unpacked() {
        assert_eq!(unpack(&[], 0, 160).count(), 0);
        assert_eq!(unpack(&[0xff], 3, 160).count(), 0);
        assert_eq!(unpack(&[0xff; 7], 0, 160).count(), 8);
    }
}
