//! The text of a mail with a code.
//!
//! **Elsewhere**: the module above sends it.
//!
//! **Always**: plain text, no link to click, and nothing about who asked, because a stranger
//! may have asked for the mail.

use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use rand::TryRng as _;
use rand::rngs::SysRng;
use waxwing_protocol::limits;

use super::{Letter, MailError};

/// The parts that are the same in every mail.
pub(super) struct Form {
    from: Mailbox,
    relay: String,
}

impl Form {
    pub(super) fn new(from: Option<&str>, relay: &str) -> Result<Self, MailError> {
        let from = match from {
            Some(from) => from.to_owned(),
            None => format!("Waxwing <waxwing@{}>", mail_domain(relay)),
        };
        let parsed = from.parse().map_err(|_| MailError::From { from })?;
        Ok(Self {
            from: parsed,
            relay: relay.to_owned(),
        })
    }

    /// `None` where the address can be no mailbox.
    pub(super) fn fill(&self, letter: &Letter) -> Option<Message> {
        // One address, and nothing but: a list or a display name is refused.
        let to: Mailbox = letter.to.parse().ok()?;
        if to.name.is_some() {
            return None;
        }
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).ok()?;
        let id = data_encoding::HEXLOWER.encode(&id);
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(format!("{} is your Waxwing code", letter.code))
            .message_id(Some(format!("<{id}@{}>", mail_domain(&self.relay))))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(self.text(&letter.code))
            .ok()
    }

    fn text(&self, code: &str) -> String {
        let minutes = limits::CODE_LIFETIME.0 / 60_000;
        let relay = &self.relay;
        format!(
            "Hello,\r\n\
             \r\n\
             your code for Waxwing is\r\n\
             \r\n\
             \x20   {code}\r\n\
             \r\n\
             Type it where you asked for it. It works for {minutes} minutes, on the relay\r\n\
             {relay}, and only on the device that asked for it.\r\n\
             \r\n\
             Never tell it to anyone, not even to somebody who says they run the relay:\r\n\
             nobody else needs it.\r\n\
             \r\n\
             If you did not ask for a code, somebody probably mistyped their address.\r\n\
             You do not need to do anything.\r\n"
        )
    }
}

/// What stands behind the @: a bare IP address cannot (RFC 5321 section 4.1.3).
fn mail_domain(relay: &str) -> &str {
    if relay.parse::<std::net::IpAddr>().is_ok() {
        "localhost"
    } else {
        relay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(to: &str) -> Option<String> {
        let form = Form::new(None, "relay.example.org").unwrap();
        let letter = Letter {
            to: to.to_owned(),
            code: "00112233".to_owned(),
            asked: super::super::LetterRequest {
                link: crate::link::LinkId(1),
                request: 1,
            },
        };
        form.fill(&letter)
            .map(|mail| String::from_utf8(mail.formatted()).unwrap())
    }

    #[test]
    fn a_mail_says_what_a_person_needs() {
        let mail = filled("bob@example.org").unwrap();
        for part in [
            "From: Waxwing <waxwing@relay.example.org>",
            "Subject: 00112233 is your Waxwing code",
            "Auto-Submitted: auto-generated",
            "Message-ID: <",
            "    00112233",
            "10 minutes",
            "relay.example.org",
            "Never tell it to anyone",
        ] {
            assert!(mail.contains(part), "{part}: {mail}");
        }
        assert!(!mail.contains("http"), "nothing to click");
    }

    #[test]
    fn no_address_adds_a_recipient_or_a_header() {
        for to in [
            "a@example.org, b@example.org",
            "a@example.org\r\nBcc: b@example.org",
            "Eve <a@example.org>",
            "",
            "+15551234567",
        ] {
            assert!(filled(to).is_none(), "{to:?}");
        }
    }

    #[test]
    fn a_relay_without_a_name_has_a_sender_too() {
        for relay in ["127.0.0.1", "::1", "localhost"] {
            assert!(Form::new(None, relay).is_ok(), "{relay}");
        }
        assert!(Form::new(Some("not a mailbox"), "localhost").is_err());
    }
}
