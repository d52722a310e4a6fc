//! Texts through an SMSC: registration codes to phone numbers, and what people and phones
//! write to each other.
//!
//! **Elsewhere**: the relay's core makes and checks codes; [`crate::texts`] handles people's
//! texts in the core; `waxwing_sms` knows what a text message is made of; [`session`] is one
//! connection with the SMSC, and [`crate::texts::spending`] bounds what may be spent.
//!
//! **Always**: nobody waits for the phone network. [`SmscClient::send`] queues a text or drops
//! it, and the person who asked gets the same answer either way. If a text is given up, the
//! failures later name the request that asked for it. Logs say that a text was not sent and
//! why in general, but never to whom; no `Debug` and no log shows credentials.

pub mod inbound;
mod queue;
mod receipt;
mod session;
mod url;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use waxwing_protocol::limits as protocol_limits;
use waxwing_sms::concatenation;

pub use self::url::{SmscUrl, SmscUrlError};
use crate::data_dir::{DataDirError, make_private_dir};
use crate::effect::{SmsId, Submission, Verdict};
use crate::mail::LetterRequest;
use crate::texts::SmsReport;

/// Texts that may wait.
const QUEUE: usize = 1024;
/// Before the SMSC is tried again; doubled each time, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// People's texts are given up after this: nobody wants yesterday's.
const WORTH_SENDING: Duration = Duration::from_mins(30);
/// A session that held so long is followed by a quick attempt again.
const HELD: Duration = Duration::from_mins(1);

/// Where texts go.
#[derive(Clone)]
pub enum SmsRoute {
    /// To an SMSC.
    Smsc(Box<Smsc>),
    /// Each text becomes a file in this directory, for a first run and for tests.
    Directory(PathBuf),
    /// Nowhere: nobody can register a phone number.
    None,
}

impl fmt::Debug for SmsRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smsc(_) => "Smsc(…)",
            Self::Directory(_) => "Directory(…)",
            Self::None => "None",
        })
    }
}

/// An SMSC, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Smsc {
    /// Where it is, and who we are there.
    pub url: SmscUrl,
    /// Who texts come from: a number with a plus sign, a short number, or a name of eleven
    /// letters at most.
    pub from: String,
    /// Submissions that may be unanswered at a time.
    pub window: usize,
    /// Submissions in a second, at most.
    pub per_second: u32,
    /// Which SMPP.
    pub version: Version,
    /// A file with the certificates (PEM) that may have issued the SMSC's; without it, the
    /// authorities of the web.
    pub authorities: Option<PathBuf>,
}

/// Which SMPP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 3.4, which every SMSC understands.
    #[default]
    V3_4,
    /// 5.0: the SMSC also says how busy it is.
    V5_0,
}

impl Smsc {
    /// With what most SMSCs allow.
    pub fn new(url: SmscUrl, from: &str) -> Self {
        Self {
            url,
            from: from.to_owned(),
            window: 10,
            per_second: 10,
            version: Version::default(),
            authorities: None,
        }
    }
}

/// A text on its way to a phone.
pub struct Text {
    /// E.164, with the plus sign.
    pub to: String,
    /// What it says.
    pub text: String,
    /// After this it is useless.
    pub until: Instant,
    /// Why it is sent.
    pub origin: Origin,
}

/// Why a text is sent.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It has a code, which was asked for so.
    Code(LetterRequest),
    /// Somebody writes it; it is from their number (E.164, with the plus sign).
    Account {
        /// Which text it is.
        id: SmsId,
        /// Their number.
        from: String,
    },
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(…)")
    }
}

/// What became of the texts so far.
#[derive(Debug, Default)]
pub struct TextCounts {
    /// Taken by the SMSC, or written to the directory.
    pub sent: AtomicU64,
    /// Given up: refused, too late, or the queue was full.
    pub failed: AtomicU64,
    /// Of which the SMSC has said that the phone has them.
    pub delivered: AtomicU64,
    /// Of which it has said that the phone does not get them.
    pub undelivered: AtomicU64,
    /// How often the SMSC asked the relay to slow down.
    pub throttled: AtomicU64,
    /// Texts from phones that were accepted.
    pub inbound: AtomicU64,
    /// Texts from phones that nobody here takes, or not now.
    pub inbound_refused: AtomicU64,
    /// Whether there is a session.
    pub connected: AtomicBool,
}

/// Where what became of a text is noted.
#[derive(Clone)]
struct TextOutcome {
    counts: Arc<TextCounts>,
    failures: mpsc::Sender<LetterRequest>,
    reports: Reports,
}

/// Where the fate of people's texts is reported. It is taken at once: there are never more than
/// what the SMSC has answered in a moment.
type Reports = mpsc::UnboundedSender<SmsReport>;

impl TextOutcome {
    fn sent(&self) {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// The SMSC has a segment, and calls it so.
    fn taken(&self, origin: &Origin, segment: &str) {
        if let Origin::Account { id, .. } = origin {
            self.report(SmsReport::Taken(*id, segment.to_owned()));
        }
    }

    fn failed(&self, origin: &Origin) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        match origin {
            // When too many wait, somebody is not told, and sees only that nothing comes.
            Origin::Code(asked) => {
                let _ = self.failures.try_send(*asked);
            }
            Origin::Account { id, .. } => self.report(SmsReport::Refused(*id)),
        }
    }

    fn connected(&self, connected: bool) {
        self.counts.connected.store(connected, Ordering::Relaxed);
        self.report(SmsReport::Connected(connected));
    }

    /// Nobody listens any more when the relay stops.
    fn report(&self, report: SmsReport) {
        let _ = self.reports.send(report);
    }
}

/// Why texts cannot be sent. The sentences are for operators.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// TLS cannot be set up.
    #[error("TLS for the SMSC cannot be set up: {0}")]
    Tls(String),
    /// The SMSC's authorities cannot be read.
    #[error(
        "{} has no usable certificates: {reason}. Give a PEM file with the authorities that may \
         have issued the SMSC's certificate", path.display()
    )]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The sender cannot be one.
    #[error(
        "{from:?} cannot be the sender of texts. Give a number such as +15551234567, a short \
         number, or a name of at most eleven letters"
    )]
    From {
        /// What was given.
        from: String,
    },
    /// The directory for texts cannot be made.
    #[error(transparent)]
    Directory(#[from] DataDirError),
}

/// Takes texts, and hands them to the SMSC in the background.
#[derive(Clone)]
pub struct SmscClient {
    queue: mpsc::Sender<Text>,
    verdicts: mpsc::UnboundedSender<(u64, Verdict)>,
    outcome: TextOutcome,
}

/// What an SMSC client reports.
pub struct Told {
    /// Codes that were given up.
    pub failed_codes: mpsc::Receiver<LetterRequest>,
    /// What there is to tell of people's texts.
    pub reports: mpsc::UnboundedReceiver<SmsReport>,
}

impl SmscClient {
    /// Starts sending, on the current tokio runtime.
    ///
    /// # Errors
    /// Where what is set up cannot be.
    pub fn start(route: &SmsRoute) -> Result<(Self, Told), SmsError> {
        let (queue, texts) = mpsc::channel(QUEUE);
        let (failures, failed_codes) = mpsc::channel(QUEUE);
        let (reports, reported) = mpsc::unbounded_channel();
        let (verdicts, said) = mpsc::unbounded_channel();
        let outcome = TextOutcome {
            counts: Arc::new(TextCounts::default()),
            failures,
            reports,
        };
        match route {
            SmsRoute::Smsc(smsc) => {
                let connector = session::Connector::new(smsc)?;
                let work = SmscQueue {
                    queue: texts,
                    ready: VecDeque::new(),
                    verdicts: said,
                    tickets: 0,
                    outcome: outcome.clone(),
                };
                tokio::spawn(keep_connected(connector, work));
            }
            SmsRoute::Directory(path) => {
                make_private_dir(path)?;
                outcome.connected(true);
                tokio::spawn(write_files(path.clone(), texts, outcome.clone()));
            }
            SmsRoute::None => {
                tokio::spawn(refuse(texts, outcome.clone()));
            }
        }
        let client = Self {
            queue,
            verdicts,
            outcome,
        };
        let told = Told {
            failed_codes,
            reports: reported,
        };
        Ok((client, told))
    }

    /// Queues a text with a code; drops it when too many wait.
    pub fn send_code(&self, relay: &str, to: &str, code: &str, asked: LetterRequest) {
        let lifetime = Duration::from_millis(protocol_limits::CODE_LIFETIME.0);
        self.send(Text {
            to: to.to_owned(),
            text: code_text(relay, code),
            until: Instant::now() + lifetime,
            origin: Origin::Code(asked),
        });
    }

    /// Queues what somebody writes to a phone.
    pub fn send_text(&self, submission: Submission) {
        self.send(Text {
            to: submission.to,
            text: submission.text,
            until: Instant::now() + WORTH_SENDING,
            origin: Origin::Account {
                id: submission.id,
                from: submission.from,
            },
        });
    }

    fn send(&self, text: Text) {
        let origin = text.origin.clone();
        if self.queue.try_send(text).is_err() {
            self.outcome.failed(&origin);
            tracing::warn!("a text was not sent: too many wait for the SMSC");
        }
    }

    /// What became of a text from a phone.
    pub fn answer(&self, ticket: u64, verdict: Verdict) {
        // A session that is over has nobody to tell.
        let _ = self.verdicts.send((ticket, verdict));
    }

    /// What became of the texts so far.
    pub fn counts(&self) -> &TextCounts {
        &self.outcome.counts
    }
}

/// In one message of the default alphabet, without a link: it may have been asked for by a
/// stranger.
fn code_text(relay: &str, code: &str) -> String {
    format!(
        "{code} is your Waxwing code for {relay}. Never tell it to anyone, not even to somebody \
         who says they run it."
    )
}

/// What is to be sent, over all sessions.
struct SmscQueue {
    queue: mpsc::Receiver<Text>,
    /// Messages that were not answered in a session that broke, and those behind them.
    ready: VecDeque<queue::TextSegment>,
    /// What the core says of texts that came.
    verdicts: mpsc::UnboundedReceiver<(u64, Verdict)>,
    /// Texts that came, over all sessions.
    tickets: u64,
    outcome: TextOutcome,
}

/// One session after the other, for ever.
async fn keep_connected(connector: session::Connector, mut work: SmscQueue) {
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let ended = connector.run(&mut work).await;
        work.outcome.connected(false);
        if matches!(ended, session::Ended::NothingToCome) {
            return;
        }
        tracing::warn!(reason = %ended, "there is no session with the SMSC");
        if began.elapsed() >= HELD {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn refuse(mut texts: mpsc::Receiver<Text>, outcome: TextOutcome) {
    while let Some(text) = texts.recv().await {
        tracing::warn!("a code was not texted: no SMSC is set up");
        outcome.failed(&text.origin);
    }
}

async fn write_files(directory: PathBuf, mut texts: mpsc::Receiver<Text>, outcome: TextOutcome) {
    let mut number = 0_u64;
    while let Some(text) = texts.recv().await {
        number += 1;
        match write_file(&directory, number, &text) {
            Ok(()) => {
                outcome.sent();
                let segments = concatenation::cost(&text.text).map_or(0, |cost| cost.segments);
                for segment in 0..segments {
                    outcome.taken(&text.origin, &format!("{number}/{segment}"));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a text was not written");
                outcome.failed(&text.origin);
            }
        }
    }
}

/// A program that watches the directory never sees half a text: it appears by renaming.
fn write_file(directory: &Path, number: u64, text: &Text) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let name = format!("{:013}-{}-{number:06}", now.as_millis(), std::process::id());
    let part = directory.join(format!(".{name}.part"));
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&part)?;
    if let Origin::Account { from, .. } = &text.origin {
        writeln!(file, "From: {from}")?;
    }
    write!(file, "To: {}\n\n{}\n", text.to, text.text)?;
    std::fs::rename(&part, directory.join(format!("{name}.sms")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LinkId;

    const ASKED: LetterRequest = LetterRequest {
        link: LinkId(7),
        request: 8,
    };

    #[test]
    fn a_code_is_one_message_and_says_what_a_person_needs() {
        let text = code_text("relay.example.org", "00112233");
        let cost = waxwing_sms::concatenation::cost(&text).unwrap();
        assert_eq!(cost.segments, 1, "{text}");
        assert!(text.starts_with("00112233 is your Waxwing code for relay.example.org."));
        assert!(!text.contains("http"), "nothing to click");
    }

    #[tokio::test]
    async fn a_text_becomes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts");
        let (client, mut told) = SmscClient::start(&SmsRoute::Directory(path.clone())).unwrap();
        client.send_code("relay.example.org", "+358401234567", "00112233", ASKED);
        while client.counts().sent.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let file = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(
            text.starts_with("To: +358401234567\n\n00112233 is"),
            "{text}"
        );
        assert!(told.failed_codes.try_recv().is_err());
    }

    #[tokio::test]
    async fn without_an_smsc_whoever_asked_is_told() {
        let (client, mut told) = SmscClient::start(&SmsRoute::None).unwrap();
        client.send_code("relay.example.org", "+358401234567", "00112233", ASKED);
        assert_eq!(told.failed_codes.recv().await, Some(ASKED));
    }
}
