//! The SMSC's address and the relay's login there: `smpp://user:password@host:port`, or
//! `smpps://` for TLS.
//!
//! **Always**: an error about a URL never repeats the URL, because it holds a password.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

/// The ports that are usual: of SMPP, and of SMPP over TLS.
const PORT: u16 = 2775;
const TLS_PORT: u16 = 2776;

/// An SMSC's URL, with credentials.
#[derive(Clone)]
pub struct SmscUrl {
    /// Its name or address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) system_id: String,
    pub(super) password: Zeroizing<String>,
}

/// It cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the URL of an SMSC. It looks like smpp://user:password@smsc.example.org:2775 or \
     smpps://…, with %40 for an @; the user has at most 15 letters, the password at most 8"
)]
pub struct SmscUrlError;

impl SmscUrl {
    /// Reads one; connects to nothing.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(url: &str) -> Result<Self, SmscUrlError> {
        let (tls, rest) = if let Some(rest) = url.strip_prefix("smpps://") {
            (true, rest)
        } else {
            (false, url.strip_prefix("smpp://").ok_or(SmscUrlError)?)
        };
        let (user, place) = rest.rsplit_once('@').ok_or(SmscUrlError)?;
        let (system_id, password) = user.split_once(':').ok_or(SmscUrlError)?;
        let place = place.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.contains(']') => {
                (host, port.parse().map_err(|_| SmscUrlError)?)
            }
            _ => (place, if tls { TLS_PORT } else { PORT }),
        };
        let host = host.trim_matches(['[', ']']);
        let system_id = decoded(system_id)?;
        let password = Zeroizing::new(decoded(password)?);
        // SMPP 3.4 section 4.1.1: sixteen and nine octets, the last of which is the end.
        let fits = system_id.len() <= 15 && password.len() <= 8 && !system_id.is_empty();
        let fine = |text: &str| {
            text.bytes()
                .all(|one| one.is_ascii_graphic() || one == b' ')
        };
        let sane = !host.is_empty() && !host.contains('/') && !host.contains(char::is_whitespace);
        if !fits || !fine(&system_id) || !fine(&password) || !sane {
            return Err(SmscUrlError);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
            system_id,
            password,
        })
    }
}

impl fmt::Debug for SmscUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmscUrl(…)")
    }
}

/// `%40` is an @.
fn decoded(text: &str) -> Result<String, SmscUrlError> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(SmscUrlError)?;
        let octet = HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        bytes.extend(octet.map_err(|_| SmscUrlError)?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| SmscUrlError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read() {
        let url = SmscUrl::parse("smpp://wax%40wing:p%3a%20ss@smsc.example.org:12775").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.tls),
            ("smsc.example.org", 12775, false)
        );
        assert_eq!(
            (url.system_id.as_str(), url.password.as_str()),
            ("wax@wing", "p: ss")
        );
        let url = SmscUrl::parse("smpps://a:b@[2001:db8::1]").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.tls),
            ("2001:db8::1", 2776, true)
        );
        assert_eq!(format!("{url:?}"), "SmscUrl(…)");
    }

    #[test]
    fn what_is_none_is_refused_and_not_repeated() {
        for url in [
            "",
            "http://a:b@c",
            "smpp://host",
            "smpp://user@host",
            "smpp://:b@host",
            "smpp://a:b@",
            "smpp://a:b@host:99999",
            "smpp://a:b@ho st",
            "smpp://a%4:b@host",
            "smpp://sixteen_letters_:b@host",
            "smpp://a:nine_lett@host",
        ] {
            let error = SmscUrl::parse(url).unwrap_err();
            assert!(url.is_empty() || !error.to_string().contains(url), "{url}");
        }
    }
}
