//! Prints results and failures: for people, or as JSON lines.
//!
//! **Elsewhere.** The sentences of problems are in [`crate::sentence`].
//!
//! **Always.** With `--json` standard output has one object per line and nothing else, and each
//! object has a `type`. Colours are used only on terminals that show them (`NO_COLOR` is
//! respected). What cannot be printed changes nothing of what is done.

use std::{
    collections::HashSet,
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;
use waxwing_engine::api::{
    Attachment, AttachmentState, Channel, ConversationEvent, Direction, Entry, EventKind, Gap,
    LinkPreview, Message, MessageState, MissingFile, MissingReason, Poll, Preview, ProblemReport,
    Reaction, ScheduledChanged, SmsSeverity,
};
use waxwing_protocol::time::Span;

use crate::{
    outcome::{Failure, Outcome, without_number},
    sentence,
    text::{clock, day, harmless, harmless_json, one_line, size},
};

/// A scheduled message that was sent this long after its time is late.
const LATE: Span = Span::minutes(1);

/// For what is secondary.
pub const FAINT: Style = Style::new().dimmed();
/// For names.
pub const BOLD: Style = Style::new().bold();
/// Everything is fine.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default();

/// `text` in a style, where styles are shown.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Where results go.
///
/// Printing never fails a command: what was asked for goes on, and [`Output::end`] tells at the
/// end that something could not be printed. A command that would go on for ever looks at
/// [`Output::is_lost`].
pub struct Output {
    json: bool,
    /// Why the first thing that could not be printed was not. Nothing is printed behind it.
    lost: OnceLock<io::Error>,
    /// The problems that people were told of, so that none is told twice.
    told: Mutex<HashSet<String>>,
    /// Whether a message waits in the outbox, that a command which is ended has to speak of.
    waiting: AtomicBool,
}

impl Output {
    /// For people, or as JSON.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            lost: OnceLock::new(),
            told: Mutex::default(),
            waiting: AtomicBool::new(false),
        }
    }

    /// Whether it is for programs.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether something could not be printed: nobody reads any more, or the disk is full.
    pub fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// Prints a line for people; nothing with `--json`.
    pub fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            let out = anstream::stdout().lock();
            self.write(out, format_args!("{}\n", text.as_ref()));
        }
    }

    /// Prints an object, which has a `type`, with `--json`; nothing for people.
    pub fn object(&self, object: &impl Serialize) {
        if !self.json {
            return;
        }
        match serde_json::to_value(object) {
            Ok(object) => {
                debug_assert!(object.get("type").is_some(), "an object without a type");
                let object = harmless_json(&object.to_string());
                self.write(io::stdout().lock(), format_args!("{object}\n"));
            }
            Err(error) => self.lose(error.into()),
        }
    }

    /// Prints an object of this type with `--json`; nothing for people.
    pub fn typed(&self, kind: &str, object: &impl Serialize) {
        if !self.json {
            return;
        }
        let mut typed = serde_json::json!({ "type": kind });
        match serde_json::to_value(object) {
            Ok(Value::Object(fields)) => {
                if let Some(typed) = typed.as_object_mut() {
                    typed.extend(fields);
                }
                self.object(&typed);
            }
            Ok(_) => self.object(&typed),
            Err(error) => self.lose(error.into()),
        }
    }

    /// Prints what is neither lines nor objects, such as a manual page.
    pub fn raw(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            self.lose(error);
        }
    }

    fn write(&self, mut out: impl io::Write, text: std::fmt::Arguments<'_>) {
        if self.is_lost() {
            return;
        }
        if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
            self.lose(error);
        }
    }

    fn lose(&self, error: io::Error) {
        // The first is the reason for the others.
        let _ = self.lost.set(error);
    }

    /// Says something beside the result.
    pub fn aside(&self, text: impl AsRef<str>) {
        if !self.json {
            // Nobody to tell is no reason to fail.
            let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
        }
    }

    /// Says beside the result what is wrong, unless that was said before.
    pub fn problem(&self, report: &ProblemReport) {
        let sentence = sentence::of_report(report);
        if self.is_new(&sentence) {
            self.aside(styled(WARN, one_line(&sentence)));
        }
    }

    /// Notes that people are told of this, where they read it; gives whether they were not yet.
    pub fn is_new(&self, sentence: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.json || told.insert(sentence.to_owned())
    }

    /// A message waits in the outbox from now on, or no longer.
    pub fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Whether a message waits in the outbox.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Says how a command ended, as far as it was not said yet; gives its exit code.
    pub fn end(&self, result: Result<Outcome, Failure>) -> ExitCode {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(failure) => return self.failed(&failure),
        };
        // A program that has read enough (`| head`) has ended, which is not an error.
        let lost = self.lost.get();
        let Some(error) = lost.filter(|error| error.kind() != io::ErrorKind::BrokenPipe) else {
            return outcome.into();
        };
        let error = without_number(error);
        match outcome {
            Outcome::Shown => return self.failed(&Failure::NotPrinted(error)),
            Outcome::Done => self.aside(format!(
                "What you asked for was done, but the result could not be printed ({error})."
            )),
            Outcome::Queued => self.aside(format!(
                "The message is in your outbox, but that could not be printed ({error}). Do not \
                 send it again."
            )),
            Outcome::Failed | Outcome::Interrupted | Outcome::Terminated => {}
        }
        outcome.into()
    }

    /// Says why a command failed.
    pub fn failed(&self, failure: &Failure) -> ExitCode {
        if let Failure::Usage(error) = failure {
            return self.wrong_usage(error);
        }
        let (code, sentence) = failure.code_and_sentence();
        if self.json {
            error_object(code, &sentence);
        } else if self.is_new(&sentence) {
            // Nobody is left to be told that telling failed.
            let error = styled(BAD, "error:");
            let _ = writeln!(anstream::stderr(), "{error} {}", one_line(&sentence));
        }
        Outcome::Failed.into()
    }

    /// Says what is wrong with the command line, or prints the help that was asked for.
    pub fn wrong_usage(&self, error: &clap::Error) -> ExitCode {
        if self.json && error.use_stderr() {
            let text = error.to_string();
            let what = text.split("\n\nUsage:").next().unwrap_or_default();
            let what = what.strip_prefix("error: ").unwrap_or(what);
            let what: Vec<&str> = what.split_whitespace().collect();
            error_object("usage", &what.join(" "));
        } else if error.print().is_err() && !error.use_stderr() {
            return Outcome::Failed.into();
        }
        u8::try_from(error.exit_code()).unwrap_or(2).into()
    }
}

/// Prints an error for programs.
fn error_object(code: &str, sentence: &str) {
    let object = serde_json::json!({ "type": "error", "code": code, "message": sentence });
    // Nobody is left to be told that telling failed.
    let _ = writeln!(io::stderr(), "{}", harmless_json(&object.to_string()));
}

/// A message as `listen` and `history` show it; with the group's name, where it is in one.
pub fn message(message: &Message, with_group: bool) -> String {
    message_in_reply(message, with_group, None)
}

/// The same, with what it replies to.
pub fn message_in_reply(message: &Message, with_group: bool, quoted: Option<&str>) -> String {
    let time = match &message.group {
        Some(group) if with_group => {
            let group = styled(FAINT, format!("[{}]", one_line(group)));
            format!("{}  {group}", styled(FAINT, clock(message.sent_at)))
        }
        _ => styled(FAINT, clock(message.sent_at)),
    };
    let is_sms = message.channel == Channel::Sms;
    let who = match message.direction {
        Direction::Out if is_sms => styled(FAINT, "you, by SMS"),
        Direction::Out => styled(FAINT, "you"),
        Direction::In if is_sms => format!(
            "{} {}",
            styled(BOLD, one_line(&message.from)),
            styled(WARN, "(SMS, not verified)")
        ),
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
    let text = if message.taken_back {
        styled(FAINT, "(deleted)")
    } else if message.view_once {
        styled(
            FAINT,
            match message.direction {
                Direction::Out => "(to be viewed once)",
                Direction::In => "(to be viewed once: waxwing open)",
            },
        )
    } else if let Some(poll) = &message.poll {
        self::poll(poll).replace('\n', "\n       ")
    } else {
        text(message).replace('\n', "\n       ")
    };
    let mut beside = String::new();
    if message.request {
        beside.push_str("  (message request: waxwing accept, or waxwing decline)");
    }
    if message.forwarded {
        beside.push_str("  (forwarded)");
    }
    if let Some(at) = message.scheduled_for {
        let late = message.sent_at.0.since(at.0) > LATE;
        let late = if late { ", sent late" } else { "" };
        beside = format!("{beside}  (scheduled for {} {}{late})", day(at), clock(at));
    }
    if message.imported {
        beside.push_str("  (imported, not verified)");
    }
    if message.edited_at.is_some() {
        beside.push_str("  (edited)");
    }
    if let Some(seconds) = message.expires_after_s {
        beside = format!(
            "{beside}  (disappears {} after reading)",
            duration(&seconds.to_string())
        );
    }
    let beside = styled(FAINT, beside);
    let text = match quoted {
        Some(quoted) => format!("{}\n       {text}", styled(FAINT, format!("↪ {quoted}"))),
        None => text,
    };
    let ticks = match (message.state, message.receipts) {
        (Some(MessageState::Accepted | MessageState::Delivered), Some(came)) => {
            let some = format!(
                "  ✓ {} of {} received, {} read",
                came.delivered, came.of, came.read
            );
            styled(FAINT, some)
        }
        (Some(state), _) => format!("  {}", ticks(state)),
        (None, _) => String::new(),
    };
    let reactions = match message.reactions.as_slice() {
        [] => String::new(),
        reactions => format!("\n       {}", self::reactions(reactions)),
    };
    let problem = match &message.problem {
        Some(problem) => format!(
            "\n       {}",
            styled(WARN, one_line(&sentence::of_report(problem)))
        ),
        None => String::new(),
    };
    let files: String = message.attachments.iter().map(attachment).collect();
    let link = message.link_preview.as_ref();
    let link = link.map_or_else(String::new, |link| link_preview(link));
    let tricks = tricks(message);
    format!("{time}  {who}: {text}{beside}{ticks}{link}{files}{reactions}{problem}{tricks}")
}

/// What a text message asks for, and what in it is a trick; each in a line of its own.
fn tricks(message: &Message) -> String {
    let mut lines = String::new();
    if let Some(reply_to) = &message.asks_reply_to {
        lines = format!(
            "\n       {}",
            styled(WARN, format!("asks you to reply to {}", one_line(reply_to)))
        );
    }
    for found in &message.findings {
        let (style, word) = severity(found.severity);
        lines = format!(
            "{lines}\n       {}  {}",
            styled(style, word),
            one_line(&found.sentence)
        );
    }
    lines
}

/// How much a finding matters: as it looks, and in a word.
pub const fn severity(severity: SmsSeverity) -> (Style, &'static str) {
    match severity {
        SmsSeverity::Danger => (BAD, "DANGER "),
        SmsSeverity::Caution => (WARN, "CAUTION"),
        SmsSeverity::Note => (FAINT, "NOTE   "),
    }
}

/// What its sender says that a link leads to, in a line or two of its own.
fn link_preview(preview: &LinkPreview) -> String {
    let mut lines = format!("\n       ┃ {}", one_line(&preview.title));
    if !preview.description.is_empty() {
        lines = format!("{lines}\n       ┃ {}", one_line(&preview.description));
    }
    styled(FAINT, lines)
}

/// What a message says, formatted where its sender formatted it.
fn text(message: &Message) -> String {
    if message.formatted.is_empty() {
        return harmless(&message.text);
    }
    let mut shown = String::new();
    for span in &message.formatted {
        let mut style = Style::new();
        if span.strong {
            style = style.bold();
        }
        if span.emphasis {
            style = style.italic();
        }
        if span.struck {
            style = style.strikethrough();
        }
        if span.code {
            style = style.fg_color(Some(AnsiColor::Cyan.into()));
        }
        if span.quoted {
            style = style.dimmed();
        }
        shown.push_str(&styled(style, harmless(&span.text)));
        // Where it leads is not hidden behind what it is called.
        if let Some(link) = &span.link
            && *link != span.text
        {
            shown.push_str(&styled(FAINT, format!(" <{}>", one_line(link))));
        }
    }
    shown
}

/// A poll: the question, each option with its votes, and what else there is to know.
fn poll(poll: &Poll) -> String {
    /// Characters of the longest bar.
    const WIDTH: u64 = 20;
    let mut lines = one_line(&poll.question);
    let most = poll.options.iter().map(|option| option.votes).max();
    let most = most.unwrap_or(0).max(1);
    for (number, option) in (1..).zip(&poll.options) {
        let own = if option.own {
            styled(GOOD, "✓")
        } else {
            " ".to_owned()
        };
        let length = option.votes.saturating_mul(WIDTH).div_ceil(most);
        let bar = "█".repeat(usize::try_from(length).unwrap_or(0));
        let space = if bar.is_empty() { "" } else { " " };
        let by: Vec<String> = option.by.iter().map(|who| one_line(who)).collect();
        lines = format!(
            "{lines}\n{number:>2} {own} {}  {bar}{space}{}",
            one_line(&option.text),
            option.votes
        );
        if !by.is_empty() {
            lines = format!("{lines}  {}", styled(FAINT, by.join(", ")));
        }
    }
    let mut about = match poll.voters {
        1 => "1 person voted".to_owned(),
        voters => format!("{voters} people voted"),
    };
    if poll.several {
        about.push_str("; several options allowed");
    }
    if poll.anonymous {
        about.push_str("; anonymous");
    }
    if poll.closed_at.is_some() {
        about.push_str("; closed");
    }
    format!("{lines}\n{}", styled(FAINT, format!("({about})")))
}

/// A file, in a line of its own.
fn attachment(file: &Attachment) -> String {
    let state = match (file.state, file.missing) {
        (AttachmentState::Offered, _) => "not fetched: use waxwing save".to_owned(),
        (AttachmentState::Sending, _) => format!("{} % sent", file.percent),
        (AttachmentState::Here, _) => "on this device".to_owned(),
        (AttachmentState::Fetching | AttachmentState::Gone, Some(missing)) => {
            missing_in_short(&missing)
        }
        (AttachmentState::Fetching, None) => format!("{} % fetched", file.percent),
        (AttachmentState::Gone, None) => "no longer available".to_owned(),
        (AttachmentState::Deleted, _) => "deleted by you".to_owned(),
    };
    let name = one_line(&file.name);
    let what = file.preview.as_ref().map_or_else(String::new, preview);
    let line = format!("{name} ({what}{}, {state})", size(file.size));
    format!("\n       {}", styled(FAINT, format!("📎 {line}")))
}

/// Why a file is not here, in a few words.
fn missing_in_short(missing: &MissingFile) -> String {
    match missing.reason {
        MissingReason::RelayDoesNotHaveIt => "no longer at the relay".to_owned(),
        MissingReason::DevicesAsked => "your other devices were asked for it".to_owned(),
        MissingReason::DeviceUploads => "another device of yours is uploading it".to_owned(),
        MissingReason::NoDeviceHasIt => "no longer at the relay or on your devices".to_owned(),
        MissingReason::Damaged => "damaged: use waxwing save to fetch it again".to_owned(),
    }
}

/// What its sender says that a file is like.
fn preview(preview: &Preview) -> String {
    let seconds = preview.duration_ms.div_ceil(1_000);
    if seconds > 0 {
        format!("{}:{:02} {}, ", seconds / 60, seconds % 60, bars(preview))
    } else if preview.width > 0 {
        format!("{}×{}, ", preview.width, preview.height)
    } else {
        String::new()
    }
}

/// How loud a recording is, from its beginning to its end.
fn bars(preview: &Preview) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let step = preview.waveform.len().div_ceil(16).max(1);
    let levels = preview.waveform.chunks(step).filter_map(|some| {
        let level = some.iter().copied().max().unwrap_or(0);
        BARS.get(usize::from(level / 32))
    });
    levels.collect()
}

/// Each emoji with who reacted with it.
fn reactions(reactions: &[Reaction]) -> String {
    let each = reactions.iter().map(|reaction| {
        let by: Vec<String> = reaction.by.iter().map(|who| one_line(who)).collect();
        format!("{} {}", one_line(&reaction.emoji), by.join(", "))
    });
    styled(FAINT, each.collect::<Vec<_>>().join("  "))
}

/// That a message is another than it was, in a line.
pub fn changed(message: &Message) -> String {
    let start: String = message.text.chars().take(40).collect();
    let start = one_line(&start);
    let time = clock(message.sent_at);
    if message.taken_back {
        let who = match message.direction {
            Direction::Out => "you".to_owned(),
            Direction::In => one_line(&message.from),
        };
        return format!("— {who} deleted the message of {time}");
    }
    if let Some(poll) = &message.poll {
        return format!("— {time} {}", self::poll(poll).replace('\n', "\n       "));
    }
    let edited = if message.edited_at.is_some() {
        " (edited)"
    } else {
        ""
    };
    match message.reactions.as_slice() {
        [] => format!("— {time} \"{start}\"{edited}"),
        all => format!("— {time} \"{start}\"{edited}: {}", reactions(all)),
    }
}

/// What became of a message that was to be sent later, in a line.
pub fn scheduled(changed: &ScheduledChanged) -> String {
    let number = changed.id;
    if let Some(problem) = &changed.problem {
        let why = one_line(&sentence::of_report(problem));
        let what = format!("— the scheduled message {number} was not sent");
        return styled(WARN, format!("{what}: {why}"));
    }
    let late = match changed.late_ms {
        Some(late) => format!(", {} late", duration(&(late / 1_000).to_string())),
        None => String::new(),
    };
    styled(
        FAINT,
        format!("— the scheduled message {number} was sent{late}"),
    )
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
pub fn event_sentence(event: &ConversationEvent) -> String {
    // A device that rejoined does not know who made a change that it missed.
    let address = match event.address.as_str() {
        "" => "somebody".to_owned(),
        address => one_line(address),
    };
    let by = match &event.by {
        Some(by) => format!(", by {}", one_line(by)),
        None => String::new(),
    };
    let detail = one_line(event.detail.as_deref().unwrap_or_default());
    match event.event {
        EventKind::IdentityReset => format!(
            "{address} has a new account: either they started over, or somebody else has the \
             address now. Compare safety numbers before you trust it."
        ),
        EventKind::AddressNotTheirs => format!(
            "Somebody writes as {address}, but the relay says that the address is not theirs. Do \
             not trust that this is {address}."
        ),
        EventKind::AccountDeleted => format!(
            "{address} has deleted their account. Messages no longer reach them; whoever registers \
             the address next is somebody else."
        ),
        EventKind::Verified => {
            format!("You have verified {address} in person: the safety number was the same.")
        }
        EventKind::LooksLikeAnother => format!(
            "The address of this conversation looks like {address}, which you know. Check it \
             carefully before you trust that it is the same person."
        ),
        EventKind::Rejoined => "This device had lost its place here and has rejoined.".to_owned(),
        EventKind::MemberAdded => format!("{address} is a member now{by}."),
        EventKind::MemberRemoved => format!("{address} was removed{by}."),
        EventKind::MemberLeft => format!("{address} has left."),
        EventKind::AdminAdded => format!("{address} is an admin now{by}."),
        EventKind::AdminRemoved => format!("{address} is no longer an admin{by}."),
        EventKind::Renamed => format!("The group is called \"{detail}\" now, by {address}."),
        EventKind::PictureChanged => format!("{address} has changed the group's picture."),
        EventKind::TimerChanged if detail == "0" => {
            format!("{address} has turned off disappearing messages.")
        }
        EventKind::TimerChanged => format!(
            "{address} has set messages to disappear {} after they are read.",
            duration(&detail)
        ),
        EventKind::AddingChanged => format!("{address} lets {detail} add members now."),
        EventKind::NotAdded => format!(
            "{address} could not be added: nobody on the relay has this address, or the group is \
             full."
        ),
        EventKind::AsksToJoin => {
            format!(
                "{address} has an invitation link and asks to join: waxwing group accept, or \
                 decline."
            )
        }
        EventKind::OnWaxwing => {
            format!("{address} is on Waxwing now: `waxwing send {address}` is encrypted and free.")
        }
        EventKind::NotTakenIn if detail == "declined" => {
            format!("{address} declined your request to join the group.")
        }
        EventKind::NotTakenIn => {
            format!("The link from {address} no longer works; ask them for a new one.")
        }
        EventKind::HeldBack => "This stranger wrote more than Waxwing keeps before you accept, so \
                                some messages are missing. Accept or reply to get all messages \
                                from now on."
            .to_owned(),
        EventKind::Quarantined => "An error in Waxwing stopped this conversation on this device. \
                                   Messages may be missing here until the device rejoins, which it \
                                   does automatically."
            .to_owned(),
        EventKind::MadeAnew => {
            "The group was set up again, because somebody broke its rules or the relay lost it."
                .to_owned()
        }
        EventKind::RulesBroken => format!(
            "A device of {address} broke the group's rules. An admin's device sets the group up \
             again without that device."
        ),
        EventKind::Disturbed => {
            "Somebody in this group, or the relay, made a change that no device can read. The \
             group is set up again with everybody in it; each time it happens, that takes longer."
                .to_owned()
        }
    }
}

/// What happened to a conversation, as a line.
pub fn event(event: &ConversationEvent) -> String {
    let style = match event.event {
        EventKind::Rejoined
        | EventKind::MemberAdded
        | EventKind::MemberRemoved
        | EventKind::MemberLeft
        | EventKind::AdminAdded
        | EventKind::AdminRemoved
        | EventKind::Renamed
        | EventKind::PictureChanged
        | EventKind::TimerChanged
        | EventKind::AddingChanged => FAINT,
        EventKind::NotAdded
        | EventKind::MadeAnew
        | EventKind::RulesBroken
        | EventKind::Disturbed
        | EventKind::HeldBack
        | EventKind::AsksToJoin
        | EventKind::NotTakenIn
        | EventKind::OnWaxwing
        | EventKind::Quarantined
        | EventKind::IdentityReset
        | EventKind::AddressNotTheirs
        | EventKind::LooksLikeAnother
        | EventKind::AccountDeleted => WARN,
        EventKind::Verified => GOOD,
    };
    format!(
        "{}  {}",
        styled(FAINT, clock(event.at)),
        styled(style, format!("— {}", event_sentence(event)))
    )
}

/// A number of seconds, in words.
pub fn duration(seconds: &str) -> String {
    let Ok(seconds) = seconds.parse::<u64>() else {
        return format!("{seconds} seconds");
    };
    let units = [
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    let (length, unit) = units
        .into_iter()
        .find(|(length, _)| seconds > 0 && seconds % length == 0)
        .unwrap_or((1, "second"));
    match seconds / length {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}

/// Missing messages, as a sentence.
pub fn gap(gap: &Gap) -> String {
    let from = one_line(&gap.from);
    let sentence = match gap.missing {
        0 => format!("All missing messages from {from} have arrived."),
        1 => format!("A message from {from} is missing; this device has asked for it again."),
        count => format!(
            "{count} messages from {from} are missing; this device has asked for them again."
        ),
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
        Entry::Message(inner) => message(inner, false),
        Entry::Event(inner) => event(inner),
        Entry::Gap(inner) => gap(inner),
    }
}
