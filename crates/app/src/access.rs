//! Who gets an answer.
//!
//! The address that the person opens carries a token in its fragment, which no browser sends to a
//! server. The page exchanges it, once, for a bearer, which it keeps for its tab. Cookies would not
//! do: a browser sends those of one port to all other ports of the machine.
//!
//! **Always.** Every request names exactly the host that is served, so that no name which somebody
//! else's server resolves to this machine reaches anything (DNS rebinding). What changes something
//! or answers with anything of the person's needs the bearer, and comes from the page's own origin.

use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use hyper::{
    HeaderMap, Method,
    header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL},
};
use rand::{rand_core::Rng as _, rand_core::UnwrapErr, rngs::SysRng};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The protocol that the page's WebSocket asks for; the bearer is the one after it.
pub(crate) const PROTOCOL: &str = "waxwing";

/// 32 random bytes, in base64url.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    fn new() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        UnwrapErr(SysRng).fill_bytes(bytes.as_mut());
        Self(Zeroizing::new(BASE64URL_NOPAD.encode(bytes.as_ref())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes as long for any guess of this length.
    pub(crate) fn is(&self, guess: &str) -> bool {
        self.0.as_bytes().ct_eq(guess.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It names another host.
    OtherHost,
    /// It comes from another site.
    OtherOrigin,
    /// It has no bearer, or not this one.
    NotAllowed,
}

/// The secrets of one run.
#[derive(Debug)]
pub(crate) struct Access {
    host: String,
    origin: String,
    token: Mutex<Option<Secret>>,
    bearer: Secret,
    /// Part of the address of files: a picture's address is all that a page can state.
    files: Secret,
}

impl Access {
    /// For a server at `host`, which is an IP address with its port.
    pub(crate) fn new(host: String) -> Self {
        Self {
            origin: format!("http://{host}"),
            host,
            token: Mutex::new(Some(Secret::new())),
            bearer: Secret::new(),
            files: Secret::new(),
        }
    }

    /// The address to open; `None` once somebody has.
    pub(crate) fn url(&self) -> Option<String> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token.as_ref()?;
        Some(format!("{}/#{}", self.origin, token.as_str()))
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What every request must fulfil.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        if !all_are(headers, &HOST, &self.host) {
            return Err(Refusal::OtherHost);
        }
        let origin = headers.get(ORIGIN);
        let safe = matches!(*method, Method::GET | Method::HEAD);
        if origin.is_some() || !safe {
            self.check_origin(headers)?;
        }
        Ok(())
    }

    /// What a request must fulfil that a browser sends with an origin, even if it reads only.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if all_are(headers, &ORIGIN, &self.origin) {
            Ok(())
        } else {
            Err(Refusal::OtherOrigin)
        }
    }

    /// The bearer of a call.
    pub(crate) fn check_bearer(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(AUTHORIZATION).and_then(text);
        match given.and_then(|given| given.strip_prefix("Bearer ")) {
            Some(bearer) if self.bearer.is(bearer) => Ok(()),
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// The bearer of a WebSocket: `waxwing, <bearer>`, since a page can set no header there.
    pub(crate) fn check_socket(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.check_origin(headers)?;
        let given = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(text);
        match given.and_then(|given| given.split_once(',')) {
            Some((PROTOCOL, bearer)) if self.bearer.is(bearer.trim()) => Ok(()),
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// The secret part of a file's address. Only the page itself may show it.
    pub(crate) fn check_file(&self, secret: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        // Browsers that say where a request comes from must say: from here. A link that the person
        // saves is followed by the page too.
        let site = headers.get("sec-fetch-site").and_then(text);
        if site.is_some_and(|site| site != "same-origin") {
            return Err(Refusal::OtherOrigin);
        }
        if self.files.is(secret) {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// The bearer and the files' secret, for the token; it works once.
    pub(crate) fn exchange(&self, token: &str) -> Result<(&str, &str), Refusal> {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_ref().is_some_and(|kept| kept.is(token)) {
            return Err(Refusal::NotAllowed);
        }
        *kept = None;
        Ok((self.bearer.as_str(), self.files.as_str()))
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Whether a header is there once, with this value.
fn all_are(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    matches!((values.next(), values.next()), (Some(value), None) if value == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new("127.0.0.1:4711".to_owned())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_token_works_once() {
        let access = access();
        let url = access.url().unwrap();
        let (_, token) = url.split_once('#').unwrap();
        assert_eq!(access.exchange("guess").unwrap_err(), Refusal::NotAllowed);
        assert!(access.exchange(token).is_ok());
        assert_eq!(access.exchange(token).unwrap_err(), Refusal::NotAllowed);
        assert_eq!(access.url(), None);
    }

    #[test]
    fn other_hosts_and_other_origins_are_refused() {
        let access = access();
        let check =
            |method: Method, pairs: &[(&'static str, &str)]| access.check(&method, &headers(pairs));
        let host = ("host", "127.0.0.1:4711");
        assert_eq!(check(Method::GET, &[host]), Ok(()));
        for other in ["localhost:4711", "evil.example:4711", "127.0.0.1", ""] {
            assert_eq!(
                check(Method::GET, &[("host", other)]),
                Err(Refusal::OtherHost)
            );
        }
        assert_eq!(check(Method::GET, &[]), Err(Refusal::OtherHost));
        let own = ("origin", "http://127.0.0.1:4711");
        assert_eq!(check(Method::POST, &[host, own]), Ok(()));
        assert_eq!(check(Method::POST, &[host]), Err(Refusal::OtherOrigin));
        for other in ["null", "http://127.0.0.1:4712", "https://127.0.0.1:4711"] {
            let other = ("origin", other);
            assert_eq!(
                check(Method::GET, &[host, other]),
                Err(Refusal::OtherOrigin)
            );
            assert_eq!(
                check(Method::PUT, &[host, other]),
                Err(Refusal::OtherOrigin)
            );
        }
    }

    #[test]
    fn nothing_is_open_without_the_bearer() {
        let access = access();
        let bearer = format!("Bearer {}", access.bearer.as_str());
        assert_eq!(
            access.check_bearer(&headers(&[("authorization", &bearer)])),
            Ok(())
        );
        for wrong in ["", "Bearer ", "Bearer x", access.bearer.as_str()] {
            let given = headers(&[("authorization", wrong)]);
            assert_eq!(access.check_bearer(&given), Err(Refusal::NotAllowed));
        }
        let own = ("origin", "http://127.0.0.1:4711");
        let protocol = format!("waxwing, {}", access.bearer.as_str());
        let socket = [own, ("sec-websocket-protocol", protocol.as_str())];
        assert_eq!(access.check_socket(&headers(&socket)), Ok(()));
        let elsewhere = [("origin", "http://evil.example"), socket[1]];
        assert_eq!(
            access.check_socket(&headers(&elsewhere)),
            Err(Refusal::OtherOrigin)
        );
        let none = [own, ("sec-websocket-protocol", "waxwing")];
        assert_eq!(
            access.check_socket(&headers(&none)),
            Err(Refusal::NotAllowed)
        );
    }

    #[test]
    fn a_file_is_shown_by_the_page_only() {
        let access = access();
        let secret = access.files.as_str();
        let from = |site: &str| access.check_file(secret, &headers(&[("sec-fetch-site", site)]));
        assert_eq!(access.check_file(secret, &headers(&[])), Ok(()));
        assert_eq!(from("same-origin"), Ok(()));
        assert_eq!(from("same-site"), Err(Refusal::OtherOrigin));
        assert_eq!(from("cross-site"), Err(Refusal::OtherOrigin));
        let bearer = access.bearer.as_str();
        assert_eq!(
            access.check_file(bearer, &headers(&[])),
            Err(Refusal::NotAllowed)
        );
    }
}
