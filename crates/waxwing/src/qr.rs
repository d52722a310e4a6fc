//! QR codes in a terminal.
//!
//! **Always.** The code is dark on light, no matter what colours the terminal has, with the
//! quiet zone that scanners need. Two modules of a column share one character.

use qrcode::{EcLevel, QrCode, types::Color};

/// Modules of the quiet zone on each side (ISO/IEC 18004 asks for four; two are read by
/// every phone, and leave room).
const QUIET: usize = 2;

/// `text` as a QR code, in lines; `None` when it is too long for one.
pub fn lines(text: &str) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = code.width();
    let colors = code.to_colors();
    let dark = |x: usize, y: usize| {
        let inside = x >= QUIET && y >= QUIET && x < width + QUIET && y < width + QUIET;
        inside
            && colors
                .get((y - QUIET) * width + (x - QUIET))
                .is_some_and(|color| *color == Color::Dark)
    };
    let side = width + 2 * QUIET;
    let rows = (0..side).step_by(2).map(|y| {
        let row: String = (0..side)
            .map(|x| match (dark(x, y), dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            })
            .collect();
        // White on black, in a terminal of any colours.
        format!("\u{1b}[97;40m{row}\u{1b}[0m")
    });
    Some(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_square_with_a_light_rim() {
        let lines = lines("waxwing:safety/1/00/11").unwrap();
        let first = lines[0]
            .replace("\u{1b}[97;40m", "")
            .replace("\u{1b}[0m", "");
        assert!(first.chars().all(|c| c == '█'));
        assert_eq!(first.chars().count().div_ceil(2), lines.len());
    }

    #[test]
    fn what_is_too_long_is_no_code() {
        assert!(lines(&"x".repeat(4000)).is_none());
    }
}
