//! What a WAP push asks a phone to open: the text and the links in it (WAP-230 WSP, WAP-167
//! Service Indication, WAP-168 Service Loading, OMA MMS encapsulation).
//!
//! **Elsewhere**: that a message is one is said by its [ports](crate::Ports); what is wrong with a
//! link is [findings](crate::findings).
//!
//! **Always**: nothing is opened. What cannot be read by its form is searched for readable text,
//! so that no link is missed.

/// What a push is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text with a link.
    Indication,
    /// A page that is loaded at once.
    Loading,
    /// A picture message that waits at an address.
    Mms,
    /// Settings.
    Settings,
    /// Something else.
    Other,
}

/// A push.
#[derive(Clone, PartialEq, Eq)]
pub struct Push {
    /// What it is.
    pub kind: Kind,
    /// The readable text in it, links too.
    pub texts: Vec<String>,
    /// Where it leads.
    pub links: Vec<String>,
}

/// The PDU type of a push (WAP-230, table 34).
const PUSH: u8 = 0x06;
/// Fields of an MMS notification.
const CONTENT_LOCATION: u8 = 0x83;
/// Readable text is at least this long.
const TEXT_MIN: usize = 4;

/// Reads the octets behind the header of a message to a port for push.
pub fn read(octets: &[u8]) -> Push {
    let Some((kind, body)) = parts(octets) else {
        return searched(Kind::Other, octets);
    };
    match kind {
        Kind::Indication | Kind::Loading => {
            let links = match wbxml_links(kind, body) {
                links if links.is_empty() => return searched(kind, body),
                links => links,
            };
            Push {
                kind,
                texts: readable(body),
                links,
            }
        }
        Kind::Mms => match mms_location(body) {
            Some(location) => Push {
                kind,
                texts: readable(body),
                links: vec![location],
            },
            None => searched(kind, body),
        },
        Kind::Settings | Kind::Other => searched(kind, body),
    }
}

fn searched(kind: Kind, octets: &[u8]) -> Push {
    let texts = readable(octets);
    Push {
        kind,
        links: texts
            .iter()
            .filter(|text| text.contains('.'))
            .cloned()
            .collect(),
        texts,
    }
}

/// What it is by its content type, and what is behind its headers.
fn parts(octets: &[u8]) -> Option<(Kind, &[u8])> {
    let [_, PUSH, rest @ ..] = octets else {
        return None;
    };
    let (length, rest) = uintvar(rest)?;
    let (headers, body) = rest.split_at_checked(length)?;
    Some((content_type(headers), body))
}

/// WAP-203, the content types of WSP; a type that is written out is compared by its words.
fn content_type(headers: &[u8]) -> Kind {
    let short = match headers {
        [first, ..] if first & 0x80 != 0 => Some(first & 0x7f),
        // A length, and behind it the type with its parameters.
        [length, first, ..] if *length < 0x1f && first & 0x80 != 0 => Some(first & 0x7f),
        [0x1f, _, first, ..] if first & 0x80 != 0 => Some(first & 0x7f),
        _ => None,
    };
    match short {
        Some(0x2d | 0x2e) => return Kind::Indication,
        Some(0x2f | 0x30) => return Kind::Loading,
        Some(0x3e) => return Kind::Mms,
        Some(0x34..=0x36) => return Kind::Settings,
        _ => {}
    }
    let words = readable(headers).concat();
    if words.contains("wap.si") {
        Kind::Indication
    } else if words.contains("wap.sl") {
        Kind::Loading
    } else if words.contains("mms-message") {
        Kind::Mms
    } else if words.contains("connectivity") || words.contains("settings") {
        Kind::Settings
    } else {
        Kind::Other
    }
}

/// A number of as many octets as have their highest bit set, and one more.
fn uintvar(octets: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_usize;
    for (at, octet) in octets.iter().enumerate().take(4) {
        number = number << 7 | usize::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            return Some((number, octets.get(at + 1..)?));
        }
    }
    None
}

/// The links of an indication or a loading: the attribute, the strings behind it, and the
/// endings that have tokens of their own (WAP-167 section 9.3, WAP-168 section 9.3).
fn wbxml_links(kind: Kind, body: &[u8]) -> Vec<String> {
    const INLINE: u8 = 0x03;
    let begins = |token: u8| -> Option<&'static str> {
        Some(match (kind, token) {
            (Kind::Indication, 0x0b) | (Kind::Loading, 0x08) => "",
            (Kind::Indication, 0x0c) | (Kind::Loading, 0x09) => "http://",
            (Kind::Indication, 0x0d) | (Kind::Loading, 0x0a) => "http://www.",
            (Kind::Indication, 0x0e) | (Kind::Loading, 0x0b) => "https://",
            (Kind::Indication, 0x0f) | (Kind::Loading, 0x0c) => "https://www.",
            _ => return None,
        })
    };
    let mut links = Vec::new();
    let mut link: Option<String> = None;
    // A version, a public identifier, a character set and the length of the string table.
    let mut rest = body.get(4..).unwrap_or_default();
    while let [token, behind @ ..] = rest {
        rest = behind;
        match (*token, &mut link) {
            (INLINE, current) => {
                let end = behind.iter().position(|octet| *octet == 0);
                let end = end.unwrap_or(behind.len());
                let text = behind.get(..end).unwrap_or_default();
                if let Some(link) = current {
                    link.push_str(&String::from_utf8_lossy(text));
                }
                rest = behind.get(end + 1..).unwrap_or_default();
            }
            (0x85, Some(link)) => link.push_str(".com/"),
            (0x86, Some(link)) => link.push_str(".edu/"),
            (0x87, Some(link)) => link.push_str(".net/"),
            (0x88, Some(link)) => link.push_str(".org/"),
            (token, current) => {
                links.extend(current.take().filter(|link| !link.is_empty()));
                *current = begins(token).map(str::to_owned);
            }
        }
    }
    links.extend(link.filter(|link| !link.is_empty()));
    links
}

/// Where a picture message waits: the content location of its notification.
fn mms_location(body: &[u8]) -> Option<String> {
    let begin = body
        .windows(2)
        .position(|two| matches!(two, [CONTENT_LOCATION, first] if first.is_ascii_graphic()))?;
    let behind = body.get(begin + 1..)?;
    let end = behind.iter().position(|octet| *octet == 0)?;
    let location = String::from_utf8_lossy(behind.get(..end)?).into_owned();
    location.contains(['.', ':']).then_some(location)
}

/// The pieces of readable text, of some length.
fn readable(octets: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(octets)
        .split(|one: char| one.is_control() || one == char::REPLACEMENT_CHARACTER)
        .filter(|piece| piece.chars().count() >= TEXT_MIN)
        .map(str::to_owned)
        .collect()
}

/// The text of what a message to such a port has in octets: vCards and vCalendars are text.
pub fn text(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        // ISO 8859-1, the only other one that old phones write.
        Err(_) => octets.iter().map(|octet| char::from(*octet)).collect(),
    }
}

/// Says what kind it is, and nothing of what it says.
impl std::fmt::Debug for Push {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Push")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A push with this content type and body.
    fn push(content_type: u8, body: &[u8]) -> Push {
        let octets = [&[1, 6, 1, 0x80 | content_type][..], body].concat();
        read(&octets)
    }

    #[test]
    fn the_link_of_an_indication_is_read() {
        let body = b"\x02\x05\x6a\0\x45\xc6\x0d\x03nordbank\0\x85\x03login\0\x01\x03Your account\0\x01\x01";
        let push = push(0x2e, body);
        assert_eq!(push.kind, Kind::Indication);
        assert_eq!(push.links, ["http://www.nordbank.com/login"]);
        assert!(push.texts.iter().any(|text| text == "Your account"));
    }

    #[test]
    fn the_page_of_a_loading_is_read() {
        let push = push(0x30, b"\x02\x06\x6a\0\x85\x09\x03192.0.2.7/x.apk\0\x01");
        assert_eq!(push.kind, Kind::Loading);
        assert_eq!(push.links, ["http://192.0.2.7/x.apk"]);
    }

    #[test]
    fn where_a_picture_message_waits_is_read() {
        let body = b"\x8c\x82\x98abc123\0\x8d\x90\x89\x19\x80+46708251358/TYPE=PLMN\0\x8a\x80\x8e\x02\x77\x24\x88\x05\x81\x03\x03\xf4\x80\x83http://mms.example.net/abc\0";
        let push = push(0x3e, body);
        assert_eq!(push.kind, Kind::Mms);
        assert_eq!(push.links, ["http://mms.example.net/abc"]);
    }

    #[test]
    fn what_has_another_form_is_searched() {
        for octets in [
            &b"junk http://evil.example/x more"[..],
            b"\x01\x06\x05\xff\xff\xff\xff\xff\x00http://evil.example/x\0",
            b"\x01\x06\x7f",
            b"",
        ] {
            let push = read(octets);
            let has = octets.windows(4).any(|four| four == b"evil");
            assert_eq!(push.links.iter().any(|one| one.contains("evil")), has);
        }
    }
}
