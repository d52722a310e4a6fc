//! Sends registration codes to phone numbers, through an SMSC.
//!
//! **Elsewhere**: making and checking codes is the relay's core; what a text message is made of
//! is `waxwing_sms`'s; one connection with the SMSC is [`session`], how much may be spent
//! [`limits`].
//!
//! **Always**: nobody waits for the phone network: [`Gateway::send`] queues or drops, and the
//! person who asked gets the same answer either way. Whoever asked for a text that was given up
//! comes out of the failures later. Logs say that something was not sent and why in general,
//! never to whom; credentials are shown by no `Debug` and by no log.

pub mod limits;
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

pub use self::url::{SmscUrl, SmscUrlError};
use crate::data_dir::{DataDirError, make_private_dir};
use crate::mail::Asked;

/// Texts that may wait.
const QUEUE: usize = 1024;
/// Before the SMSC is tried again; doubled each time, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A session that held so long is followed by a quick attempt again.
const HELD: Duration = Duration::from_mins(1);

/// Where texts go.
#[derive(Clone)]
pub enum Route {
    /// To an SMSC.
    Smsc(Box<Smsc>),
    /// Each text becomes a file in this directory, for a first run and for tests.
    Directory(PathBuf),
    /// Nowhere: nobody can register a phone number.
    None,
}

impl fmt::Debug for Route {
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
}

impl Smsc {
    /// With what most SMSCs allow.
    pub fn new(url: SmscUrl, from: &str) -> Self {
        Self {
            url,
            from: from.to_owned(),
            window: 10,
            per_second: 10,
        }
    }
}

/// A text on its way to a phone.
pub struct Text {
    /// E.164, with the plus sign.
    pub to: String,
    /// What it says.
    pub text: String,
    /// After this it is of no use.
    pub until: Instant,
    /// Who asked for it.
    pub asked: Asked,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(…)")
    }
}

/// What became of the texts so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Taken by the SMSC, or written to the directory.
    pub sent: AtomicU64,
    /// Given up: refused, too late, or the queue was full.
    pub failed: AtomicU64,
    /// Of which the SMSC has said that the phone has them.
    pub delivered: AtomicU64,
    /// Of which it has said that the phone does not get them.
    pub undelivered: AtomicU64,
    /// How often the SMSC asked for less.
    pub throttled: AtomicU64,
    /// Texts from phones, which are not taken yet.
    pub inbound_refused: AtomicU64,
    /// Whether there is a session.
    pub connected: AtomicBool,
}

/// Where what became of a text is noted.
#[derive(Clone)]
struct Outcome {
    counts: Arc<Counts>,
    failures: mpsc::Sender<Asked>,
}

impl Outcome {
    fn sent(&self) {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, asked: Asked) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        // When too many wait, somebody is not told, and sees only that nothing comes.
        let _ = self.failures.try_send(asked);
    }
}

/// Why texts cannot be sent. The sentences are for operators.
#[derive(Debug, thiserror::Error)]
pub enum SmsError {
    /// TLS cannot be set up.
    #[error("TLS for the SMSC cannot be set up: {0}")]
    Tls(String),
    /// The sender cannot be one.
    #[error(
        "{from:?} cannot be who texts come from. It is a number such as +15551234567, a short \
         number, or a name of eleven letters at most"
    )]
    From {
        /// What was given.
        from: String,
    },
    /// The directory for texts cannot be made.
    #[error(transparent)]
    Directory(#[from] DataDirError),
}

/// Takes texts, and sends them in the background.
#[derive(Clone)]
pub struct Gateway {
    queue: mpsc::Sender<Text>,
    outcome: Outcome,
}

impl Gateway {
    /// Starts sending, on the current tokio runtime; what is given up comes out of the second.
    ///
    /// # Errors
    /// Where what is set up cannot be.
    pub fn start(route: &Route) -> Result<(Self, mpsc::Receiver<Asked>), SmsError> {
        let (queue, texts) = mpsc::channel(QUEUE);
        let (failures, failed) = mpsc::channel(QUEUE);
        let outcome = Outcome {
            counts: Arc::new(Counts::default()),
            failures,
        };
        match route {
            Route::Smsc(smsc) => {
                let connector = session::Connector::new(smsc)?;
                let work = Work {
                    queue: texts,
                    ready: VecDeque::new(),
                    outcome: outcome.clone(),
                };
                tokio::spawn(keep_connected(connector, work));
            }
            Route::Directory(path) => {
                make_private_dir(path)?;
                tokio::spawn(write_files(path.clone(), texts, outcome.clone()));
            }
            Route::None => {
                tokio::spawn(refuse(texts, outcome.clone()));
            }
        }
        Ok((Self { queue, outcome }, failed))
    }

    /// Queues a text with a code; drops it when too many wait.
    pub fn send_code(&self, relay: &str, to: &str, code: &str, asked: Asked) {
        let lifetime = Duration::from_millis(protocol_limits::CODE_LIFETIME.0);
        self.send(Text {
            to: to.to_owned(),
            text: code_text(relay, code),
            until: Instant::now() + lifetime,
            asked,
        });
    }

    fn send(&self, text: Text) {
        let asked = text.asked;
        if self.queue.try_send(text).is_err() {
            self.outcome.failed(asked);
            tracing::warn!("a code was not texted: too many texts wait for the SMSC");
        }
    }

    /// What became of the texts so far.
    pub fn counts(&self) -> &Counts {
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
struct Work {
    queue: mpsc::Receiver<Text>,
    /// Messages that were not answered in a session that broke, and those behind them.
    ready: VecDeque<session::Segment>,
    outcome: Outcome,
}

/// One session after the other, for ever.
async fn keep_connected(connector: session::Connector, mut work: Work) {
    let counts = Arc::clone(&work.outcome.counts);
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        let ended = connector.run(&mut work).await;
        counts.connected.store(false, Ordering::Relaxed);
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

async fn refuse(mut texts: mpsc::Receiver<Text>, outcome: Outcome) {
    while let Some(text) = texts.recv().await {
        tracing::warn!("a code was not texted: no SMSC is set up");
        outcome.failed(text.asked);
    }
}

async fn write_files(directory: PathBuf, mut texts: mpsc::Receiver<Text>, outcome: Outcome) {
    let mut number = 0_u64;
    while let Some(text) = texts.recv().await {
        number += 1;
        match write_file(&directory, number, &text) {
            Ok(()) => outcome.sent(),
            Err(error) => {
                tracing::warn!(%error, "a text was not written");
                outcome.failed(text.asked);
            }
        }
    }
}

/// Whoever watches the directory never sees half a text: it appears by renaming.
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
    write!(file, "To: {}\n\n{}\n", text.to, text.text)?;
    std::fs::rename(&part, directory.join(format!("{name}.sms")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::LinkId;

    const ASKED: Asked = Asked {
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
        let (gateway, mut failures) = Gateway::start(&Route::Directory(path.clone())).unwrap();
        gateway.send_code("relay.example.org", "+358401234567", "00112233", ASKED);
        while gateway.counts().sent.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let file = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(
            text.starts_with("To: +358401234567\n\n00112233 is"),
            "{text}"
        );
        assert!(failures.try_recv().is_err());
    }

    #[tokio::test]
    async fn without_an_smsc_whoever_asked_is_told() {
        let (gateway, mut failures) = Gateway::start(&Route::None).unwrap();
        gateway.send_code("relay.example.org", "+358401234567", "00112233", ASKED);
        assert_eq!(failures.recv().await, Some(ASKED));
    }
}
