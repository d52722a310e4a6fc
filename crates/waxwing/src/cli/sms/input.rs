//! What `waxwing sms inspect` is given: digits on the command line, or what modems and programs
//! print on standard input.
//!
//! **Elsewhere.** [`super::inspect`] shows the messages.
//!
//! **Always.** A line that cannot be read is said with its number, and the others are read all
//! the same.

use std::io::Read as _;

use waxwing_sms::{
    Direction,
    pdu::{self, Pdu, PduError, Reading},
};

use crate::outcome::Failure;

/// Octets that are read from standard input, at most: far more than phones keep.
const INPUT_MAX: u64 = 64 << 20;

/// The message that is in a line of the input, or why there is none.
pub struct Given {
    /// Which line, or which argument, from 1.
    pub number: usize,
    /// All ways of reading it that are as good, the first of which is shown.
    pub ways: Result<Vec<Pdu>, PduError>,
}

/// Everything that was given.
pub struct Input {
    /// Whether it came on standard input.
    pub lines: bool,
    pub given: Vec<Given>,
}

impl Input {
    /// From the command line, or with `-` from standard input.
    pub fn read(arguments: &[String], reading: Reading) -> Result<Self, Failure> {
        if arguments != ["-"] {
            let given = (1..).zip(arguments).map(|(number, digits)| Given {
                number,
                ways: ways(digits, reading, None),
            });
            return Ok(Self {
                lines: false,
                given: given.collect(),
            });
        }
        let mut octets = Vec::new();
        let most = INPUT_MAX + 1;
        std::io::stdin().take(most).read_to_end(&mut octets)?;
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > INPUT_MAX {
            return Err(Failure::Said {
                code: "sms_input_too_long",
                sentence: format!(
                    "Standard input is longer than {} MiB, so nothing was read. Split it into \
                     smaller files.",
                    INPUT_MAX >> 20
                ),
            });
        }
        Ok(Self {
            lines: true,
            given: from_lines(&String::from_utf8_lossy(&octets), reading),
        })
    }
}

fn from_lines(text: &str, reading: Reading) -> Vec<Given> {
    let mut given = Vec::new();
    let mut announced = None;
    for (number, line) in (1..).zip(text.lines()) {
        match Line::of(line) {
            Line::Nothing => {}
            Line::Announces(what, None) => announced = Some(what),
            Line::Announces(what, Some(digits)) => given.push(Given {
                number,
                ways: ways(digits, reading, Some(what)),
            }),
            Line::Digits(digits) => given.push(Given {
                number,
                ways: ways(digits, reading, announced.take()),
            }),
        }
    }
    given
}

/// What a modem says of the message in the next line (3GPP TS 27.005 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    /// So many octets it has without the service centre.
    length: Option<usize>,
    direction: Option<Direction>,
}

/// What a line of the input is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// Empty, a comment, a command or an answer that is no message.
    Nothing,
    /// `+CMGL: 1,1,,24`, with the digits where these are on the same line.
    Announces(Announced, Option<&'a str>),
    Digits(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let line = line.trim_matches(|one: char| one.is_whitespace() || one == '\u{feff}');
        let upper = line.to_ascii_uppercase();
        let answers = ["OK", "ERROR", ">", "AT"];
        let is_command = upper.starts_with("AT+") || answers.contains(&upper.as_str());
        if line.is_empty() || line.starts_with('#') || is_command {
            return Self::Nothing;
        }
        let Some((command, rest)) = line
            .strip_prefix('+')
            .and_then(|announced| announced.split_once(':'))
        else {
            return Self::Digits(line);
        };
        let fields: Vec<&str> = rest.split(',').map(str::trim).collect();
        let last = fields.last().copied().unwrap_or_default();
        let has_digits = last.len() > 16 && last.bytes().all(|one| one.is_ascii_hexdigit());
        let before_last = fields.len().checked_sub(2).and_then(|at| fields.get(at));
        let length = if has_digits {
            before_last.copied().unwrap_or_default()
        } else {
            last
        };
        let status = match command.to_ascii_uppercase().as_str() {
            "CMGL" => fields.get(1),
            "CMGR" => fields.first(),
            _ => None,
        };
        let announced = Announced {
            length: length.parse().ok(),
            // Received, read or not; and stored to be sent, sent or not.
            direction: status.and_then(|status| match *status {
                "0" | "1" => Some(Direction::ToPhone),
                "2" | "3" => Some(Direction::FromPhone),
                _ => None,
            }),
        };
        Self::Announces(announced, has_digits.then_some(last))
    }
}

fn ways(digits: &str, asked: Reading, announced: Option<Announced>) -> Result<Vec<Pdu>, PduError> {
    let octets = pdu::octets(digits)?;
    let Some(announced) = announced else {
        return pdu::ways(&octets, asked);
    };
    let has_centre = announced
        .length
        .filter(|length| *length > 0 && *length <= octets.len())
        .map(|length| length < octets.len());
    let told = Reading {
        direction: asked.direction.or(announced.direction),
        service_centre: asked.service_centre.or(has_centre),
    };
    // What a modem says may be wrong as well.
    pdu::ways(&octets, told).or_else(|_| pdu::ways(&octets, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVER: &str =
        "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37";
    const SUBMIT: &str = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37";

    fn read(text: &str) -> Vec<(usize, bool)> {
        let given = from_lines(text, Reading::default());
        given
            .iter()
            .map(|one| (one.number, one.ways.is_ok()))
            .collect()
    }

    #[test]
    fn what_modems_print_is_read() {
        let text = format!(
            "AT+CMGL=4\r\n+CMGL: 1,1,,28\r\n{DELIVER}\r\n+CMGL: 2,3,\"\",23\r\n{SUBMIT}\r\n\r\nOK\r\n"
        );
        assert_eq!(read(&text), [(3, true), (5, true)]);
        let one_line = format!("+CMT: \"\",28,{DELIVER}\n");
        assert_eq!(read(&one_line), [(1, true)]);
        assert_eq!(
            Line::of("+CMGR: 0,,24"),
            Line::Announces(
                Announced {
                    length: Some(24),
                    direction: Some(Direction::ToPhone)
                },
                None
            )
        );
    }

    #[test]
    fn a_bad_line_is_known_by_its_number_and_refuses_no_other() {
        let text = format!("# two messages\n{DELIVER}\nhello\n\n{SUBMIT}\n");
        assert_eq!(read(&text), [(2, true), (3, false), (5, true)]);
    }

    #[test]
    fn a_modem_says_whether_there_is_a_service_centre() {
        // Without one, though its first octets could be taken for one.
        let unit = "059110912143040481214300000010102143500009E8329BFD4697D9EC";
        let given = from_lines(&format!("+CMGL: 1,2,,29\n{unit}"), Reading::default());
        let ways = given[0].ways.as_ref().unwrap();
        assert_eq!((ways.len(), ways[0].service_centre.is_none()), (1, true));
    }
}
