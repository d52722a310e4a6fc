//! Looks for a secret in what was printed, in each form that a program prints bytes in.
//!
//! **Elsewhere**: what is searched for, and where, is the tests' matter.
//!
//! **Always**: a search for nothing, or for what could be there by chance, is a failure.

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// Shorter ones could be found by chance.
const SHORTEST: usize = 8;

/// Longer ones are searched for in pieces of this size, so that a part is found too.
const PIECE: usize = 16;

/// The forms in which `secret` stands in `printed`.
pub fn found(printed: &[u8], secret: &[u8]) -> Vec<&'static str> {
    assert!(secret.len() >= SHORTEST, "it could be found by chance");
    let bare: Vec<u8> = printed
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let mut forms = Vec::new();
    for piece in secret.chunks(PIECE).filter(|piece| piece.len() >= SHORTEST) {
        let escaped: String = piece
            .iter()
            .flat_map(|byte| std::ascii::escape_default(*byte))
            .map(char::from)
            .collect();
        // As `bytes` writes it: NUL in short.
        let short = escaped.replace("\\x00", "\\0");
        for (form, text) in [
            ("as it is", piece.to_vec()),
            ("as an escaped string", escaped.into_bytes()),
            ("as an escaped string", short.into_bytes()),
            ("as hexadecimal digits", HEXLOWER.encode(piece).into_bytes()),
            ("as hexadecimal digits", HEXUPPER.encode(piece).into_bytes()),
        ] {
            if holds(printed, &text) {
                forms.push(form);
            }
        }
        for (form, text) in [
            ("as a list of numbers", list(piece, |byte| byte.to_string())),
            (
                "as a list of hexadecimal numbers",
                list(piece, |byte| format!("{byte:x}")),
            ),
            (
                "as a list of hexadecimal numbers",
                list(piece, |byte| format!("0x{byte:02x}")),
            ),
            (
                "as a list of hexadecimal numbers",
                list(piece, |byte| format!("{byte:02X}")),
            ),
        ] {
            if holds(&bare, text.as_bytes()) {
                forms.push(form);
            }
        }
        // In base64 a piece looks different at each of three places in what it is part of.
        for before in 0..3 {
            for encoding in [BASE64, BASE64URL] {
                let mut bytes = vec![0; before];
                bytes.extend_from_slice(piece);
                let text = encoding.encode(&bytes);
                let first = (before * 8).div_ceil(6);
                let last = bytes.len() * 8 / 6;
                if holds(printed, &text.as_bytes()[first..last]) {
                    forms.push("as base64");
                }
            }
        }
    }
    forms.sort_unstable();
    forms.dedup();
    forms
}

fn list(bytes: &[u8], one: impl Fn(u8) -> String) -> String {
    let numbers: Vec<String> = bytes.iter().map(|byte| one(*byte)).collect();
    numbers.join(",")
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_found_and_nothing_where_nothing_is() {
        let secret: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 8).unwrap());
        let whole = [b"ab".as_slice(), &secret, b"c"].concat();
        for (printed, form) in [
            (whole.clone(), "as it is"),
            (
                HEXLOWER.encode(&whole).into_bytes(),
                "as hexadecimal digits",
            ),
            (
                HEXUPPER.encode(&whole).into_bytes(),
                "as hexadecimal digits",
            ),
            (BASE64.encode(&whole).into_bytes(), "as base64"),
            (BASE64.encode(&secret).into_bytes(), "as base64"),
            (BASE64URL.encode(&whole[1..]).into_bytes(), "as base64"),
            (format!("{secret:?}").into_bytes(), "as a list of numbers"),
            (format!("{secret:#?}").into_bytes(), "as a list of numbers"),
            (
                format!("{secret:x?}").into_bytes(),
                "as a list of hexadecimal numbers",
            ),
            (
                format!("{secret:02X?}").into_bytes(),
                "as a list of hexadecimal numbers",
            ),
            (
                format!("{:?}", bytes::Bytes::copy_from_slice(&secret)).into_bytes(),
                "as an escaped string",
            ),
            // Half of it is found as well.
            (
                HEXLOWER.encode(&secret[16..]).into_bytes(),
                "as hexadecimal digits",
            ),
        ] {
            assert!(found(&printed, &secret).contains(&form), "{form}");
        }
        let other: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 7 + 1).unwrap());
        assert!(found(format!("{other:?}").as_bytes(), &secret).is_empty());
    }
}
