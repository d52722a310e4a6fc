//! How results and failures are printed: for people, or as JSON lines.
//!
//! **Elsewhere.** The sentences are `engine::api`'s.
//!
//! **Always.** With `--json` standard output has one object a line and nothing else.
//! Colours only where a terminal shows them (`NO_COLOR` is honoured).

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use waxwing_engine::api::{
    ConversationEvent, Direction, Entry, EventKind, Gap, Message, MessageState,
};

use crate::{
    cli::{Failure, Outcome},
    text::{clock, harmless, one_line},
};

/// For what is secondary.
pub const FAINT: Style = Style::new().dimmed();
/// For names.
pub const BOLD: Style = Style::new().bold();
/// In order.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// To be looked at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Not in order.
pub const BAD: Style = AnsiColor::Red.on_default();

/// `text` in a style, where styles are shown.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Where results go.
pub struct Output {
    json: bool,
}

impl Output {
    /// For people, or as JSON.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether it is for programs.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line for people; nothing with `--json`.
    pub fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{}", text.as_ref())?;
        out.flush()
    }

    /// Prints an object with `--json`; nothing for people.
    pub fn object(&self, object: &impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, object)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Says something beside the result.
    pub fn aside(&self, text: impl AsRef<str>) {
        if !self.json {
            // Nobody to tell is no reason to fail.
            let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
        }
    }

    /// Says why a command failed.
    pub fn failed(&self, failure: &Failure) -> ExitCode {
        let (code, sentence) = match failure {
            // Whoever reads the output has had enough (`| head`).
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Outcome::Done.into();
            }
            Failure::Output(error) => (
                "output_failed",
                format!("Input or output failed ({error}), so this may not be all; try again."),
            ),
            Failure::Rpc(error) => (error.name(), error.message.clone()),
            Failure::Said { code, sentence } => (*code, sentence.clone()),
        };
        let mut out = anstream::stderr();
        // Nobody is left to be told that telling failed.
        let _ = if self.json {
            let object = serde_json::json!({ "type": "error", "code": code, "message": sentence });
            writeln!(out, "{object}")
        } else {
            writeln!(out, "{} {}", styled(BAD, "error:"), one_line(&sentence))
        };
        Outcome::Failed.into()
    }
}

/// A message as `listen` and `history` show it.
pub fn message(message: &Message) -> String {
    let time = styled(FAINT, clock(message.sent_at));
    let who = match message.direction {
        Direction::Out => styled(FAINT, "you"),
        Direction::In if message.from_verified => {
            format!(
                "{} {}",
                styled(BOLD, one_line(&message.from)),
                styled(GOOD, "✓")
            )
        }
        Direction::In => {
            format!(
                "{} {}",
                styled(BOLD, one_line(&message.from)),
                styled(WARN, "(not verified)")
            )
        }
    };
    // Further lines stand below the first.
    let text = harmless(&message.text).replace('\n', "\n       ");
    let ticks = message
        .state
        .map(ticks)
        .map(|ticks| format!("  {ticks}"))
        .unwrap_or_default();
    let problem = match &message.problem {
        Some(problem) => format!("\n       {}", styled(WARN, one_line(&problem.sentence))),
        None => String::new(),
    };
    format!("{time}  {who}: {text}{ticks}{problem}")
}

/// How far a message is.
pub fn ticks(state: MessageState) -> String {
    match state {
        MessageState::Queued => styled(FAINT, "… queued"),
        MessageState::Failed => styled(BAD, "✗ not sent"),
        MessageState::Accepted => styled(FAINT, "✓"),
        MessageState::Delivered => styled(FAINT, "✓✓"),
        MessageState::Read => styled(GOOD, "✓✓ read"),
    }
}

/// What happened to a conversation, as a sentence.
pub fn event(event: &ConversationEvent) -> String {
    let address = one_line(&event.address);
    let sentence = match event.event {
        EventKind::IdentityReset => format!(
            "{address} has a new account: either they started over, or somebody else has the \
             address now. Compare safety numbers before you trust it."
        ),
        EventKind::AddressNotTheirs => format!(
            "Somebody writes as {address}, which the relay says is not theirs. Do not believe \
             that it is {address}."
        ),
        EventKind::Verified => {
            format!("You have verified {address} in person: the safety number was the same.")
        }
        EventKind::LooksLikeAnother => format!(
            "The address of this conversation can be mistaken for {address}, which you know. \
             Look twice before you believe that it is the same person."
        ),
        EventKind::Rejoined => "This device had lost its place here and has rejoined.".to_owned(),
    };
    let style = match event.event {
        EventKind::Rejoined => FAINT,
        EventKind::Verified => GOOD,
        EventKind::IdentityReset | EventKind::AddressNotTheirs | EventKind::LooksLikeAnother => {
            WARN
        }
    };
    format!(
        "{}  {}",
        styled(FAINT, clock(event.at)),
        styled(style, format!("— {sentence}"))
    )
}

/// Missing messages, as a sentence.
pub fn gap(gap: &Gap) -> String {
    let from = one_line(&gap.from);
    let sentence = match gap.missing {
        0 => format!("All messages of {from} that were missing have come."),
        1 => format!("A message of {from} is missing; it was asked for again."),
        count => format!("{count} messages of {from} are missing; they were asked for again."),
    };
    format!(
        "{}  {}",
        styled(FAINT, clock(gap.at)),
        styled(WARN, format!("— {sentence}"))
    )
}

/// An entry of a conversation.
pub fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Message(inner) => message(inner),
        Entry::Event(inner) => event(inner),
        Entry::Gap(inner) => gap(inner),
    }
}
