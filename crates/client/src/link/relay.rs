//! A relay's URL and its pin: where it is, and how it proves its identity.
//!
//! **Elsewhere.** [`super::tls`] checks a certificate against the pin.
//!
//! **Always.** A [`RelayUrl`] is `https`, names a host that TLS can check, and prints as the text
//! from which it was parsed, with the pin, so that the stored text can be copied.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64, BASE64_NOPAD};
use rustls::pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio_tungstenite::tungstenite::http::uri::Authority;

/// The port of a URL that names none.
pub const DEFAULT_PORT: u16 = 443;

/// The SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4).
///
/// Written `sha256/` and base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// Why a text is no pin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pin looks like sha256/ followed by 44 characters of base64")]
pub struct PinMalformed;

impl Pin {
    /// The pin of a public key, given as DER SubjectPublicKeyInfo.
    pub fn of_public_key(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// From the hash itself.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl FromStr for Pin {
    type Err = PinMalformed;

    fn from_str(text: &str) -> Result<Self, PinMalformed> {
        let encoded = text.trim().strip_prefix("sha256/").ok_or(PinMalformed)?;
        if encoded.len() > 64 {
            return Err(PinMalformed);
        }
        let standard: String = encoded
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                c => c,
            })
            .collect();
        let bytes = BASE64_NOPAD
            .decode(standard.as_bytes())
            .map_err(|_| PinMalformed)?;
        Ok(Self(bytes.try_into().map_err(|_| PinMalformed)?))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// Where a relay listens and, unless its certificate is one that the web trusts, its pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayUrl {
    host: String,
    port: u16,
    pin: Option<Pin>,
}

/// Why a text is no relay URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayUrlMalformed {
    /// Another scheme, or none.
    #[error("a relay's URL starts with https://")]
    Scheme,
    /// There is something behind host and port.
    #[error("a relay's URL has no path: https://HOST:PORT or https://HOST:PORT/#sha256/…")]
    Path,
    /// No host, or one that no certificate can name, or a port that is none.
    #[error("this is not a valid host and port of a relay")]
    Host,
    /// What follows `#` is no pin.
    #[error(transparent)]
    Pin(#[from] PinMalformed),
    /// `--pin` and the URL's own differ.
    #[error("the pin in the URL and the pin given separately are different")]
    TwoPins,
}

impl RelayUrl {
    /// The host: a DNS name or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The pin, where there is one.
    pub const fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// With a pin that was given beside the URL.
    pub fn pinned(mut self, pin: Pin) -> Result<Self, RelayUrlMalformed> {
        match self.pin {
            Some(own) if own != pin => Err(RelayUrlMalformed::TwoPins),
            _ => {
                self.pin = Some(pin);
                Ok(self)
            }
        }
    }

    /// The host as TLS names it.
    pub(crate) fn server_name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }

    /// `host:port`, with brackets around IPv6.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlMalformed;

    fn from_str(text: &str) -> Result<Self, RelayUrlMalformed> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(RelayUrlMalformed::Scheme)?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(RelayUrlMalformed::Scheme);
        }
        let (place, fragment) = match rest.split_once('#') {
            Some((place, fragment)) => (place, Some(fragment)),
            None => (rest, None),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?']) {
            return Err(RelayUrlMalformed::Path);
        }
        if place.contains('@') {
            return Err(RelayUrlMalformed::Host);
        }
        let authority: Authority = place.parse().map_err(|_| RelayUrlMalformed::Host)?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.host().len() != place.len() => return Err(RelayUrlMalformed::Host),
            None => DEFAULT_PORT,
        };
        if ServerName::try_from(host.as_str()).is_err() || port == 0 {
            return Err(RelayUrlMalformed::Host);
        }
        let pin = fragment
            .filter(|pin| !pin.is_empty())
            .map(str::parse)
            .transpose()?;
        Ok(Self { host, port, pin })
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())?;
        match &self.pin {
            Some(pin) => write!(f, "/#{pin}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn a_url_is_read_with_or_without_port_and_pin_and_prints_again() {
        for (text, host, port, pin) in [
            ("https://relay.example.org", "relay.example.org", 443, false),
            (
                "https://Relay.Example.org:8443/",
                "relay.example.org",
                8443,
                false,
            ),
            (
                &format!("https://127.0.0.1:4433/#{PIN}"),
                "127.0.0.1",
                4433,
                true,
            ),
            (&format!("https://[::1]:4433#{PIN}"), "::1", 4433, true),
        ] {
            let url: RelayUrl = text.parse().unwrap();
            assert_eq!(
                (url.host(), url.port(), url.pin().is_some()),
                (host, port, pin),
                "{text}"
            );
            assert_eq!(url.to_string().parse::<RelayUrl>().unwrap(), url);
        }
    }

    #[test]
    fn what_is_no_relay_url_is_refused() {
        for (text, why) in [
            ("relay.example.org", RelayUrlMalformed::Scheme),
            ("http://relay.example.org", RelayUrlMalformed::Scheme),
            ("https://", RelayUrlMalformed::Host),
            ("https://user@relay.example.org", RelayUrlMalformed::Host),
            ("https://relay.example.org:0", RelayUrlMalformed::Host),
            ("https://relay.example.org:99999", RelayUrlMalformed::Host),
            ("https://relay.example.org:", RelayUrlMalformed::Host),
            ("https://relay example", RelayUrlMalformed::Host),
            ("https://relay.example.org/v1/link", RelayUrlMalformed::Path),
            (
                "https://relay.example.org/#sha256/short",
                RelayUrlMalformed::Pin(PinMalformed),
            ),
        ] {
            assert_eq!(text.parse::<RelayUrl>(), Err(why), "{text}");
        }
    }

    #[test]
    fn a_pin_is_read_in_either_base64_and_two_are_refused() {
        let pin: Pin = PIN.parse().unwrap();
        assert_eq!(pin.to_string(), PIN);
        assert_eq!(PIN.trim_end_matches('=').parse(), Ok(pin));
        let other = Pin::of_public_key(b"another key");
        let url: RelayUrl = format!("https://localhost:1/#{PIN}").parse().unwrap();
        assert_eq!(url.clone().pinned(pin), Ok(url.clone()));
        assert_eq!(url.pinned(other), Err(RelayUrlMalformed::TwoPins));
    }
}
