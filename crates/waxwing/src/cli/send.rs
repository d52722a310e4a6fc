//! `waxwing send`.
//!
//! **Always.** The command never says that a message failed while it is still in the outbox.

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use waxwing_client::{
    Session,
    blobs::{file::FileError, metadata::Metadata},
    link::Route,
    link_preview::{Fetcher, first_link},
};
use waxwing_engine::api::{
    self, MessageOf, MessageState, Notice, Problem, ProblemReport, Request, SealedFile, Sent,
    Timestamp,
};
use waxwing_protocol::{address::Address, limits};

use super::{
    arguments,
    messages::Which,
    moment::moment,
    progress::Bar,
    recipients::{Delivery, recipients, see_all_through},
    scheduled::{WHEN, schedule},
    waiting::Wait,
};
use crate::{
    outcome::{Failure, Outcome},
    output::{Output, WARN, styled, ticks},
    text::one_line,
};

/// How long the relay may take for a message, unless somebody says otherwise.
const WAIT: Duration = Duration::from_secs(10);
/// Files may take long: they are waited for as long as something goes on in this time.
const FILES_QUIET: Duration = Duration::from_secs(30);

/// `waxwing send`.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Send {
    /// An address, the name of a group, or the id of a conversation; or several addresses with
    /// commas between. With --to, the message stands here
    #[arg(
        value_name = "ADDRESS|GROUP|CONVERSATION",
        required_unless_present = "to"
    )]
    whose: Option<String>,

    /// The message; without it, or with -, standard input is read
    #[arg(
        conflicts_with = "to",
        allow_hyphen_values = true,
        value_parser = arguments::text
    )]
    text: Option<String>,

    /// Send to this recipient; can be repeated. Each gets a private message
    #[arg(long, value_name = "ADDRESS|GROUP|CONVERSATION")]
    to: Vec<String>,

    /// A file to attach; can be repeated
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,

    /// Send pictures with what the camera stored in them, such as the place and the time
    #[arg(long, requires = "attach")]
    keep_metadata: bool,

    /// Send a place, as latitude and longitude
    #[arg(long, value_name = "LAT,LON", value_parser = place, allow_hyphen_values = true)]
    location: Option<String>,

    /// Send somebody's address as a contact card
    #[arg(long, value_name = "ADDRESS", value_parser = card)]
    card: Option<String>,

    /// The text is Markdown: **bold**, *italic*, ~~struck~~, `code`, > quotes, - lists,
    /// [links](https://…)
    #[arg(long)]
    markdown: bool,

    /// Add a preview of the first link; only your device contacts the site, theirs do not
    #[arg(long)]
    preview: bool,

    /// The id of the message to reply to, or its start; waxwing history --ids shows ids
    #[arg(long, value_name = "ID", value_parser = arguments::start_of_id)]
    reply_to: Option<String>,

    /// How long to wait for the relay to accept it [default: 10, or with files, as long as they
    /// are being sent]
    #[arg(long, value_name = "SECONDS", conflicts_with = "queue")]
    wait: Option<u64>,

    /// Ask the recipients' devices to show the message, with its files, once only; a dishonest
    /// device can keep it
    #[arg(long, conflicts_with = "preview")]
    view_once: bool,

    /// Put the message in the outbox and do not wait
    #[arg(long)]
    queue: bool,

    /// Send it later, from this device: at a time like 18:30, 2026-12-24T08:00 or +2h
    #[arg(
        long,
        value_name = "TIME",
        value_parser = moment,
        conflicts_with_all = ["queue", "wait"]
    )]
    at: Option<Timestamp>,
}

impl Send {
    /// What stands below the text.
    fn extras(&self) -> Vec<&str> {
        let extras = [&self.location, &self.card];
        extras.into_iter().flatten().map(String::as_str).collect()
    }

    /// The text, from the command line or from standard input.
    pub fn message(&self) -> Result<String, Failure> {
        if let Some(text) = self.typed() {
            return Ok(text.to_owned());
        }
        // Files, places and cards may go without a word.
        if self.written().is_none() && (!self.attach.is_empty() || !self.extras().is_empty()) {
            return Ok(String::new());
        }
        typed_or_read(None)
    }

    /// What stands on the command line, unless that names standard input.
    fn typed(&self) -> Option<&str> {
        self.written().filter(|text| *text != "-")
    }

    /// What stands in the message's place.
    fn written(&self) -> Option<&str> {
        if self.to.is_empty() {
            self.text.as_deref()
        } else {
            self.whose.as_deref()
        }
    }

    /// To whom.
    fn recipients(&self) -> Vec<String> {
        match &self.whose {
            Some(whose) if self.to.is_empty() => recipients(std::slice::from_ref(whose)),
            _ => recipients(&self.to),
        }
    }

    /// Sends it and tells how far it got.
    pub async fn run(
        self,
        text: String,
        session: &mut Session,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let reply_to = match &self.reply_to {
            Some(prefix) => Some(arguments::message(session, prefix.clone()).await?.id),
            None => None,
        };
        let mut text = text;
        for extra in self.extras() {
            if !text.trim().is_empty() {
                text.push('\n');
            }
            text.push_str(extra);
        }
        let link_preview = if self.preview {
            preview_of(&text, session.home().route()?, output)
                .await
                .map(Box::new)
        } else {
            None
        };
        let metadata = if self.keep_metadata {
            Metadata::Kept
        } else {
            Metadata::Removed
        };
        let recipients = self.recipients();
        let limit = match self.wait {
            _ if self.queue => None,
            Some(seconds) => Some(Limit::InAll(Duration::from_secs(seconds))),
            None => Some(Limit::usual(!self.attach.is_empty())),
        };
        let mut all = Vec::new();
        for to in recipients {
            let message = api::SendText {
                to: to.clone(),
                text: text.clone(),
                reply_to,
                markdown: self.markdown,
                // For each: nobody can tell that others got the same.
                attachments: seal(&self.attach, metadata, session, output).await?,
                link_preview: link_preview.clone(),
                view_once: self.view_once,
            };
            if let Some(at) = self.at {
                schedule(session, output, message, at).await?;
                continue;
            }
            let sent: Result<Sent, _> = session.ask(&Request::Send(message)).await;
            all.push(Delivery::new(to, sent.map_err(Failure::from)));
        }
        if self.at.is_some() {
            output.aside(WHEN);
            return Ok(Outcome::Done);
        }
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return see_through(session, output, only.sent?, limit).await;
        }
        Ok(see_all_through(session, output, all, limit).await)
    }
}

/// Sends a message that failed again.
pub(super) async fn resend(
    which: Which,
    session: &mut Session,
    output: &Output,
) -> Result<Outcome, Failure> {
    session.subscribe().await?;
    let failed = which.find(session).await?;
    let limit = Limit::usual(!failed.attachments.is_empty());
    let request = Request::Resend(MessageOf { message: failed.id });
    let sent: Sent = session.ask(&request).await?;
    see_through(session, output, sent, Some(limit)).await
}

/// How long a message is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// For so long in all.
    InAll(Duration),
    /// As long as something goes on within this time.
    Quiet(Duration),
}

impl Limit {
    /// The limit where nobody gave one.
    pub(super) const fn usual(with_files: bool) -> Self {
        if with_files {
            Self::Quiet(FILES_QUIET)
        } else {
            Self::InAll(WAIT)
        }
    }

    /// A wait with this limit.
    pub(super) fn wait<'a>(self, output: &'a Output, subject: &str) -> Wait<'a> {
        match self {
            Self::InAll(limit) => Wait::new(output, subject, limit).for_all(limit),
            Self::Quiet(quiet) => Wait::new(output, subject, quiet),
        }
    }
}

/// Waits until a message has left, and tells how far it got.
pub(super) async fn see_through(
    session: &mut Session,
    output: &Output,
    mut sent: Sent,
    limit: Option<Limit>,
) -> Result<Outcome, Failure> {
    output.set_waiting(sent.state == MessageState::Queued);
    let mut reason = None;
    if let Some(limit) = limit {
        let mut wait = limit.wait(output, "the relay to accept the message");
        let mut bar = Bar::new(output, "Sending");
        reason = accepted(session, &mut sent, &mut wait, &mut bar).await;
        bar.end();
    }
    output.set_waiting(false);
    output.object(&serde_json::json!({
        "type": "sent",
        "id": sent.id,
        "conversation": sent.conversation,
        "state": sent.state,
    }));
    match sent.state {
        MessageState::Failed => Err(match reason {
            Some(report) => report.into(),
            None => Problem::Internal {
                detail: "no reason was given".into(),
            }
            .into(),
        }),
        MessageState::Queued if limit.is_none() => {
            output.line("Queued.");
            Ok(Outcome::Done)
        }
        MessageState::Queued => {
            let queued = tell_queued(output);
            if let Some(reason) = reason {
                output.problem(&reason);
            }
            Ok(queued)
        }
        state => {
            output.line(format!("Sent {}", ticks(state)));
            Ok(Outcome::Done)
        }
    }
}

/// Tells that a message waits in the outbox.
pub(super) fn tell_queued(output: &Output) -> Outcome {
    output.line(styled(
        WARN,
        "The message is in your outbox. The next waxwing command that reaches the relay sends it; \
         do not send it again.",
    ));
    Outcome::Queued
}

/// A text from the command line, or else from standard input.
pub(super) fn typed_or_read(typed: Option<&str>) -> Result<String, Failure> {
    if let Some(text) = typed.filter(|text| *text != "-") {
        return Ok(text.to_owned());
    }
    if io::stdin().is_terminal() {
        // Only a hint.
        let _ = io::Write::write_all(
            &mut io::stderr(),
            b"Type the message; Ctrl-D on an empty line sends it.\n",
        );
    }
    read_message(&mut io::stdin().lock())
}

/// A place, as a `geo:` URI (RFC 5870).
fn place(text: &str) -> Result<String, String> {
    let hint = || "write latitude and longitude in degrees, like 52.5163,13.3777".to_owned();
    let (latitude, longitude) = text.split_once(',').ok_or_else(hint)?;
    let degrees = |text: &str, most: f64| {
        let number: f64 = text.trim().parse().map_err(|_| hint())?;
        let fits = number.is_finite() && number.abs() <= most;
        fits.then_some(number).ok_or_else(hint)
    };
    let (latitude, longitude) = (degrees(latitude, 90.0)?, degrees(longitude, 180.0)?);
    Ok(format!("geo:{latitude},{longitude}"))
}

/// Somebody's address, as a URI that a program can offer to write to.
fn card(text: &str) -> Result<String, String> {
    let address = Address::parse(text).map_err(|error| error.to_string())?;
    Ok(format!("waxwing:contact/{}", address.canonical()))
}

/// What the first link of a text leads to. Where that is nothing, the message goes without.
async fn preview_of(text: &str, route: Route, output: &Output) -> Option<api::LinkPreview> {
    let found = match (first_link(text), Fetcher::new(route)) {
        (None, _) => {
            output
                .aside("The message has no link that begins with https://, so it has no preview.");
            return None;
        }
        (Some(_), Err(error)) => Err(error.to_string()),
        (Some(link), Ok(fetcher)) => {
            let found = fetcher.preview(link).await;
            found.map_err(|error| error.to_string())
        }
    };
    found
        .map_err(|why| {
            output.aside(format!(
                "The message is sent without a preview: {}.",
                one_line(&why)
            ));
        })
        .ok()
}

/// Seals files into the home, where they wait until the relay has them.
async fn seal(
    paths: &[PathBuf],
    metadata: Metadata,
    session: &Session,
    output: &Output,
) -> Result<Vec<SealedFile>, Failure> {
    let mut sealed = Vec::new();
    for path in paths {
        let (blobs, path) = (session.blobs(), path.clone());
        let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut bar = Bar::new(output, "Sealing");
        let sealing = tokio::task::spawn_blocking(move || {
            let file = blobs.seal(&path, metadata, |done| bar.show(done >> 10, size >> 10));
            bar.end();
            file
        });
        let file = sealing.await.map_err(io::Error::other)?;
        sealed.push(file?);
    }
    Ok(sealed)
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let way_out = match &error {
            FileError::Io { error, .. }
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                return Problem::DiskFull.into();
            }
            FileError::Exists { .. } => "; give another name with --to",
            FileError::MetadataNotRemoved { .. } => "; --keep-metadata sends it as it is",
            _ => "",
        };
        Self::Said {
            code: "file_failed",
            sentence: format!("{error}{way_out}."),
        }
    }
}

/// Waits until the message is accepted or has failed; gives why it failed, or what stands in its
/// way.
async fn accepted(
    session: &mut Session,
    sent: &mut Sent,
    wait: &mut Wait<'_>,
    bar: &mut Bar,
) -> Option<ProblemReport> {
    let mut reason = None;
    while sent.state == MessageState::Queued {
        match wait.notice(session).await {
            Ok(Notice::MessageState(changed)) if changed.id == sent.id => {
                wait.progressed();
                sent.state = changed.state;
                if changed.problem.is_some() {
                    reason = changed.problem;
                }
            }
            Ok(Notice::MessageChanged(message)) if message.id == sent.id => {
                wait.progressed();
                let percent = message.attachments.iter().map(|one| one.percent).sum();
                bar.show(percent, 100 * message.attachments.len() as u64);
            }
            Ok(_) => {}
            // The message is in the outbox, whatever ended the wait.
            Err(Failure::Rpc(error)) => {
                return reason.or_else(|| error.data.map(|report| *report));
            }
            Err(_) => return reason.or_else(|| wait.reason()),
        }
    }
    reason
}

/// Reads a message, but no more of it than a message may have.
fn read_message(input: &mut impl io::Read) -> Result<String, Failure> {
    let limit = limits::TEXT_BYTES as u64;
    let mut bytes = Vec::new();
    let mut length = input.take(limit + 2).read_to_end(&mut bytes)? as u64;
    if bytes.ends_with(b"\n") {
        bytes.pop();
        length -= 1;
        if bytes.ends_with(b"\r") {
            bytes.pop();
            length -= 1;
        }
    }
    if length > limit {
        length += io::copy(input, &mut io::sink())?;
        return Err(Problem::MessageTooLarge {
            bytes: length,
            limit,
        }
        .into());
    }
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the message is not text in UTF-8",
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_names_standard_input() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            send: Send,
        }
        let typed = |text: &[&str]| {
            let line = ["send", "bob@example.org"].iter().chain(text);
            let parsed = Line::try_parse_from(line).unwrap();
            parsed.send.typed().map(str::to_owned)
        };
        assert_eq!(typed(&["hello"]).as_deref(), Some("hello"));
        assert_eq!(typed(&["--", "--"]).as_deref(), Some("--"));
        assert_eq!(typed(&["-"]), None);
        assert_eq!(typed(&[]), None);
    }

    fn read(bytes: &[u8]) -> Result<String, Failure> {
        read_message(&mut &*bytes)
    }

    #[test]
    fn the_end_of_the_last_line_is_not_part_of_the_message() {
        assert_eq!(read(b"two\nlines\n").unwrap(), "two\nlines");
        assert_eq!(read(b"none").unwrap(), "none");
        assert_eq!(read(b"dos\r\n").unwrap(), "dos");
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_with_its_length() {
        let mut longest = vec![b'x'; limits::TEXT_BYTES];
        longest.push(b'\n');
        assert_eq!(read(&longest).unwrap().len(), limits::TEXT_BYTES);
        let Err(Failure::Rpc(error)) = read(&vec![b'x'; 10 << 20]) else {
            panic!("it was taken")
        };
        assert_eq!(error.name(), "message_too_large");
        let problem = error.data.unwrap().problem().unwrap();
        assert!(crate::sentence::of(&problem).contains("10 MiB"));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(matches!(read(b"\xff\xfe"), Err(Failure::Io(_))));
    }
}
