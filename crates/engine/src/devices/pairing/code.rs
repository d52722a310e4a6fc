//! The code that links two devices: read aloud and typed, or scanned.
//!
//! A code is the number of a rendezvous (six digits), nine secret characters and a check
//! character: `482193-7K3MQ-9TXPA`. The characters are Crockford's 32 (no I, L, O, U), so that
//! 45 bits are secret. A QR code also holds the relay's URL and pin, so that the other device
//! notices a different relay before it sends anything.
//!
//! **Elsewhere**: [`super::agreement`] says what the secret protects.
//!
//! **Always**: the check character reveals one mistyped character (ISO 7064's hybrid scheme,
//! with 32 and 33), so that a typing error does not use up the attempt. `Debug` shows nothing.

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::event::RelayPlace;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Secret characters of a code.
const SECRET: usize = 9;

const QR_PREFIX: &str = "waxwing:link/1/";

/// Longer than any code, typed or scanned.
const TEXT_BYTES: usize = 2_048;

/// The secret part of a code.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(crate) struct PairingSecret([u8; SECRET]);

/// A code.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PairingCode {
    /// Of the rendezvous.
    pub number: u32,
    pub secret: PairingSecret,
}

/// Why a text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodeMalformed {
    #[error("the code has the wrong length, or characters that codes do not have")]
    Shape,
    #[error("a character of the code is wrong")]
    Mistyped,
}

impl core::fmt::Debug for PairingSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PairingSecret(..)")
    }
}

impl core::fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PairingCode(..)")
    }
}

impl PairingSecret {
    /// A new one.
    pub(crate) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut secret = [0; SECRET];
        rng.fill_bytes(&mut secret);
        // 256 is a multiple of 32: each character is as likely.
        for symbol in &mut secret {
            *symbol %= 32;
        }
        Self(secret)
    }

    /// What the key agreement takes as its password.
    pub(crate) const fn as_bytes(&self) -> &[u8; SECRET] {
        &self.0
    }
}

impl PairingCode {
    /// As people read it.
    pub(crate) fn text(&self) -> String {
        let digits = self.number.to_string();
        let mut symbols = self.secret.0.to_vec();
        symbols.push(check_symbol(digits.as_bytes(), &self.secret.0));
        let mut text = digits;
        for (place, symbol) in symbols.iter().enumerate() {
            if place % 5 == 0 {
                text.push('-');
            }
            text.push(char::from(letter(*symbol)));
        }
        symbols.zeroize();
        text
    }

    /// As a QR code holds it, with the relay where they meet.
    pub(crate) fn qr_text(&self, relay: &RelayPlace) -> String {
        let pin = relay.pin.as_deref().unwrap_or_default();
        format!(
            "{QR_PREFIX}{}/{}/{}",
            self.text(),
            BASE64URL_NOPAD.encode(relay.url.as_bytes()),
            BASE64URL_NOPAD.encode(pin.as_bytes())
        )
    }

    /// Reads either form; with the relay, where it names one.
    pub(crate) fn read(text: &str) -> Result<(Self, Option<RelayPlace>), CodeMalformed> {
        let text = text.trim();
        if text.len() > TEXT_BYTES {
            return Err(CodeMalformed::Shape);
        }
        let Some(rest) = text.strip_prefix(QR_PREFIX) else {
            return Self::typed(text).map(|code| (code, None));
        };
        let mut parts = rest.split('/');
        let code = Self::typed(parts.next().ok_or(CodeMalformed::Shape)?)?;
        let url = decoded(parts.next())?;
        let pin = decoded(parts.next())?;
        if parts.next().is_some() || url.is_empty() {
            return Err(CodeMalformed::Shape);
        }
        let pin = (!pin.is_empty()).then_some(pin);
        Ok((code, Some(RelayPlace { url, pin })))
    }

    fn typed(text: &str) -> Result<Self, CodeMalformed> {
        let symbols = Zeroizing::new(
            text.chars()
                .filter(|c| !matches!(c, '-' | ' ' | '.' | '\u{2010}'..='\u{2015}' | '\u{a0}'))
                .map(symbol)
                .collect::<Option<Vec<u8>>>()
                .ok_or(CodeMalformed::Shape)?,
        );
        let at = symbols
            .len()
            .checked_sub(SECRET + 1)
            .ok_or(CodeMalformed::Shape)?;
        let (digits, rest) = symbols.split_at(at);
        let (secret, check) = rest.split_at(SECRET);
        let secret: [u8; SECRET] = secret.try_into().map_err(|_| CodeMalformed::Shape)?;
        let secret = PairingSecret(secret);
        if digits.is_empty() || digits.len() > 10 {
            return Err(CodeMalformed::Shape);
        }
        let digits: Vec<u8> = digits.iter().map(|symbol| letter(*symbol)).collect();
        // A letter among the digits is as likely a mistyped one; a zero in front is none
        // of ours.
        let number = core::str::from_utf8(&digits)
            .ok()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u32>().ok())
            .filter(|number| number.to_string().as_bytes() == digits)
            .ok_or(CodeMalformed::Mistyped)?;
        if check != [check_symbol(&digits, &secret.0)] {
            return Err(CodeMalformed::Mistyped);
        }
        Ok(Self { number, secret })
    }
}

fn decoded(part: Option<&str>) -> Result<String, CodeMalformed> {
    let bytes = BASE64URL_NOPAD
        .decode(part.ok_or(CodeMalformed::Shape)?.as_bytes())
        .map_err(|_| CodeMalformed::Shape)?;
    String::from_utf8(bytes).map_err(|_| CodeMalformed::Shape)
}

/// ISO 7064 section 9, with the moduli 33 and 32.
fn check_symbol(digits: &[u8], secret: &[u8]) -> u8 {
    let digits = digits.iter().map(|digit| digit.wrapping_sub(b'0'));
    let product = digits
        .chain(secret.iter().copied())
        .fold(32_u16, |product, symbol| {
            let sum = (product + u16::from(symbol)) % 32;
            let sum = if sum == 0 { 32 } else { sum };
            sum * 2 % 33
        });
    // At most 32: it fits.
    ((33 - product) % 32) as u8
}

fn letter(symbol: u8) -> u8 {
    ALPHABET
        .get(usize::from(symbol))
        .copied()
        .unwrap_or(ALPHABET[0])
}

/// What a character stands for: those that look like another count as it.
fn symbol(letter: char) -> Option<u8> {
    let letter = match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        letter => letter,
    };
    let place = ALPHABET.iter().position(|of| char::from(*of) == letter)?;
    u8::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(number: u32, secret: [u8; SECRET]) -> PairingCode {
        PairingCode {
            number,
            secret: PairingSecret(secret),
        }
    }

    fn relay() -> RelayPlace {
        RelayPlace {
            url: "https://relay.example:4433/#ü".into(),
            pin: Some("sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into()),
        }
    }

    proptest! {
        #[test]
        fn a_code_reads_back_as_it_was_shown(number: u32, secret in proptest::array::uniform9(0_u8..32)) {
            let code = code(number, secret);
            prop_assert_eq!(PairingCode::read(&code.text()), Ok((code.clone(), None)));
            let sloppy = code.text().to_lowercase().replace('-', "  ").replace('0', "o").replace('1', "l");
            prop_assert_eq!(PairingCode::read(&sloppy), Ok((code.clone(), None)));
            let scanned = PairingCode::read(&code.qr_text(&relay())).unwrap();
            prop_assert!(scanned == (code.clone(), Some(relay())));
            let unpinned = RelayPlace { pin: None, ..relay() };
            let scanned = PairingCode::read(&code.qr_text(&unpinned)).unwrap();
            prop_assert!(scanned == (code, Some(unpinned)));
        }

        #[test]
        fn one_wrong_character_is_found(
            number: u32,
            secret in proptest::array::uniform9(0_u8..32),
            place: prop::sample::Index,
            other in 0_u8..32,
        ) {
            let text = code(number, secret).text();
            let mut typed: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
            let place = place.index(typed.len());
            prop_assume!(typed[place] != letter(other));
            typed[place] = letter(other);
            let typed = String::from_utf8(typed).unwrap();
            prop_assert_eq!(PairingCode::read(&typed), Err(CodeMalformed::Mistyped));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(waxwing:link/1/)?.{0,60}") {
            let _ = PairingCode::read(&text);
        }
    }

    #[test]
    fn codes_are_made_for_reading_aloud() {
        let text = code(4821, [7, 19, 3, 20, 23, 9, 26, 29, 22]).text();
        assert_eq!(text, "4821-7K3MQ-9TXP9");
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let long = "1".repeat(3_000);
        for text in [
            "",
            "4821",
            "7K3MQ-9TXPC",
            "4821-7K3MU-9TXPC",
            "4821-7K3M€-9TXPC",
            &long,
        ] {
            assert!(PairingCode::read(text).is_err(), "{text}");
        }
        for scanned in [
            "waxwing:link/1/",
            "waxwing:link/1/4821-7K3MQ-9TXP9",
            "waxwing:link/1/4821-7K3MQ-9TXP9//",
            "waxwing:link/1/4821-7K3MQ-9TXP9/eA/*",
            "waxwing:link/1/4821-7K3MQ-9TXP9/eA//x",
            "waxwing:link/2/4821-7K3MQ-9TXP9/eA/",
        ] {
            assert!(PairingCode::read(scanned).is_err(), "{scanned}");
        }
        assert!(PairingCode::read("waxwing:link/1/4821-7K3MQ-9TXP9/eA/").is_ok());
    }
}
