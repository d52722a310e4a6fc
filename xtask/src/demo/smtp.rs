//! A small mail server on loopback: the inboxes of the demo's people.
//!
//! **Elsewhere**: the relay sends mail to it, through an ordinary SMTP client; [`code_in`]
//! reads a code from a mail.
//!
//! **Always**: it speaks enough of RFC 5321 that a real client does not notice the difference
//! (EHLO, MAIL, RCPT, DATA with dot-stuffing, RSET, NOOP, QUIT); lines and mails are bounded;
//! it listens on loopback only.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A mail that arrived.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Headers and body, as they travelled.
    pub text: String,
}

/// Longer lines and mails are refused.
const LINE_BYTES: u64 = 4 << 10;
const MAIL_BYTES: usize = 256 << 10;
const RECIPIENTS: usize = 100;

/// The server. It runs until the process ends.
pub struct MailServer {
    address: SocketAddr,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    mails: Mutex<Vec<Mail>>,
    arrived: Condvar,
}

impl MailServer {
    /// Starts on a free port of loopback.
    pub fn start() -> Result<Self> {
        let listener =
            TcpListener::bind(("127.0.0.1", 0)).context("no port for the mail server")?;
        let address = listener.local_addr()?;
        let inbox = Arc::new(Inbox::default());
        let shared = Arc::clone(&inbox);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let inbox = Arc::clone(&shared);
                // A client that breaks off harms nobody else.
                thread::spawn(move || drop(converse(connection, &inbox)));
            }
        });
        Ok(Self { address, inbox })
    }

    /// For `waxwing-relay serve --smtp`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Takes the next mail to `recipient` out of their inbox.
    pub fn take_mail(&self, recipient: &str, patience: Duration) -> Result<Mail> {
        let deadline = Instant::now() + patience;
        let mut mails = self
            .inbox
            .mails
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(at) = mails
                .iter()
                .position(|mail| mail.to.iter().any(|to| to == recipient))
            {
                return Ok(mails.remove(at));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "no mail came for {recipient} within {} s",
                    patience.as_secs()
                );
            }
            mails = self
                .inbox
                .arrived
                .wait_timeout(mails, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// The registration code in a mail: the first run of six or more digits in its body,
/// which may be grouped by single spaces or hyphens.
pub fn code_in(mail: &Mail) -> Result<String> {
    let body = mail
        .text
        .split_once("\r\n\r\n")
        .map_or(mail.text.as_str(), |(_, body)| body);
    for line in body.lines() {
        let mut digits = String::new();
        for character in line.chars().chain(['\n']) {
            if character.is_ascii_digit() {
                digits.push(character);
            } else if digits.is_empty() || !matches!(character, ' ' | '-') {
                if digits.len() >= 6 {
                    return Ok(digits);
                }
                digits.clear();
            }
        }
    }
    bail!("there is no code in the mail:\n{}", mail.text)
}

/// One client, until it leaves.
fn converse(connection: TcpStream, inbox: &Inbox) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut answers = connection.try_clone()?;
    let mut commands = BufReader::new(connection);
    let mut recipients: Option<Vec<String>> = None;
    reply(&mut answers, "220 demo.waxwing.example ESMTP")?;
    while let Some(line) = read_line(&mut commands)? {
        let command = line.trim_end();
        let verb = command
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let answer = match (verb.as_str(), &mut recipients) {
            ("EHLO", _) => "250-demo.waxwing.example\r\n250-8BITMIME\r\n250 SMTPUTF8",
            ("HELO", _) => "250 demo.waxwing.example",
            ("NOOP", _) => "250 2.0.0 done",
            ("RSET", state) => {
                *state = None;
                "250 2.0.0 forgotten"
            }
            ("MAIL", state @ None) if path(command).is_some() => {
                *state = Some(Vec::new());
                "250 2.1.0 sender taken"
            }
            ("RCPT", Some(to)) if to.len() < RECIPIENTS => match path(command) {
                Some(address) if !address.is_empty() => {
                    to.push(address);
                    "250 2.1.5 recipient taken"
                }
                _ => "501 5.1.3 no address",
            },
            ("DATA", Some(to)) if !to.is_empty() => {
                reply(&mut answers, "354 go on, end with a dot")?;
                match read_mail(&mut commands)? {
                    Some(text) => {
                        let to = recipients.take().unwrap_or_default();
                        let mut mails = inbox.mails.lock().unwrap_or_else(PoisonError::into_inner);
                        mails.push(Mail { to, text });
                        inbox.arrived.notify_all();
                        "250 2.0.0 delivered"
                    }
                    None => "552 5.3.4 too large",
                }
            }
            ("QUIT", _) => {
                reply(&mut answers, "221 2.0.0 goodbye")?;
                return Ok(());
            }
            ("MAIL" | "RCPT" | "DATA", _) => "503 5.5.1 not now",
            _ => "500 5.5.2 unknown command",
        };
        reply(&mut answers, answer)?;
    }
    Ok(())
}

fn reply(to: &mut TcpStream, answer: &str) -> io::Result<()> {
    to.write_all(format!("{answer}\r\n").as_bytes())
}

/// The address between `<` and `>`.
fn path(command: &str) -> Option<String> {
    let (_, rest) = command.split_once('<')?;
    let (address, _) = rest.split_once('>')?;
    Some(address.to_owned())
}

/// The next line, if there is one; an error when it is too long.
fn read_line(from: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = from
        .by_ref()
        .take(LINE_BYTES)
        .read_until(b'\n', &mut line)?;
    match (read, line.last()) {
        (0, _) => Ok(None),
        (_, Some(b'\n')) => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A mail up to the lone dot, unstuffed (RFC 5321 section 4.5.2); `None` if too large.
fn read_mail(from: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut text = String::new();
    let mut too_large = false;
    while let Some(line) = read_line(from)? {
        if line.trim_end() == "." {
            return Ok((!too_large).then_some(text));
        }
        too_large |= text.len() + line.len() > MAIL_BYTES;
        if !too_large {
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends lines, each after the answer to the one before, and gives the answers.
    fn talk(server: &MailServer, lines: &[&str]) -> Vec<String> {
        let mut connection = TcpStream::connect(server.address).unwrap();
        let mut answers = BufReader::new(connection.try_clone().unwrap());
        let mut seen = vec![next_answer(&mut answers)];
        for line in lines {
            connection
                .write_all(format!("{line}\r\n").as_bytes())
                .unwrap();
            seen.push(next_answer(&mut answers));
        }
        seen
    }

    fn next_answer(from: &mut BufReader<TcpStream>) -> String {
        loop {
            let line = read_line(from).unwrap().unwrap();
            if let Some((code, _)) = line.split_once(' ')
                && code.len() == 3
            {
                return code.to_owned();
            }
        }
    }

    #[test]
    fn a_mail_goes_to_the_inbox_of_its_recipient_with_its_dots_restored() {
        let server = MailServer::start().unwrap();
        let answers = talk(
            &server,
            &[
                "EHLO me",
                "MAIL FROM:<relay@example.org> BODY=8BITMIME",
                "RCPT TO:<bob@example.org>",
                "DATA",
                "Subject: x\r\n\r\nfirst\r\n..second\r\n.",
                "QUIT",
            ],
        );
        assert_eq!(answers, ["220", "250", "250", "250", "354", "250", "221"]);
        assert!(
            server
                .take_mail("alice@example.org", Duration::ZERO)
                .is_err()
        );
        let mail = server
            .take_mail("bob@example.org", Duration::from_secs(5))
            .unwrap();
        assert!(mail.text.ends_with("first\r\n.second\r\n"));
        assert!(server.take_mail("bob@example.org", Duration::ZERO).is_err());
    }

    #[test]
    fn commands_out_of_order_are_refused() {
        let server = MailServer::start().unwrap();
        let answers = talk(
            &server,
            &["DATA", "RCPT TO:<a@b>", "MAIL FROM:<>", "DATA", "WHAT"],
        );
        assert_eq!(answers, ["220", "503", "503", "250", "503", "500"]);
    }

    #[test]
    fn a_code_is_found_in_a_body_and_not_in_the_headers() {
        let mail = |body: &str| Mail {
            to: vec![],
            text: format!("Date: Tue, 24 Nov 2026\r\nMessage-ID: <1234567890@x>\r\n\r\n{body}"),
        };
        assert_eq!(
            code_in(&mail("Your code:\r\n\r\n    12345678\r\n")).unwrap(),
            "12345678"
        );
        assert_eq!(
            code_in(&mail("in 10 minutes: 1234 5678.")).unwrap(),
            "12345678"
        );
        assert_eq!(code_in(&mail("it is 0123-4567")).unwrap(), "01234567");
        assert!(code_in(&mail("no code, 10 minutes")).is_err());
    }
}
