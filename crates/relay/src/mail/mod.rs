//! Sends registration codes to e-mail addresses.
//!
//! **Elsewhere**: the relay's core makes and checks codes; the text of the mail is in
//! [`letter`].
//!
//! **Always**: nobody waits for mail. [`Mailer::send`] queues a letter or drops it, and the
//! person who asked gets the same answer either way. If a letter is given up, [`Failures`]
//! later names the request that asked for it, whether or not the relay knows the address:
//! nothing here can tell the two cases apart. Logs say that a letter was not sent and why in
//! general, but never to whom; no `Debug` shows the credentials of the mail server.

mod letter;

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::sync::{Semaphore, mpsc};
use waxwing_protocol::address::Address;
use zeroize::Zeroizing;

use crate::data_dir::{DataDirError, make_private_dir};
use crate::link::LinkId;

/// Mails that may wait.
const QUEUE: usize = 1024;
/// Mails that are handed to the mail server at the same time.
const AT_ONCE: usize = 8;
/// One attempt, from connecting to the server's answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// For each of the mail server's addresses: one that is dead leaves time for the others.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Attempts for one mail; a code works for ten minutes.
const ATTEMPTS: u32 = 3;
/// Before the second attempt; doubled before the third.
const PAUSE: Duration = Duration::from_secs(5);

/// Where mail goes.
#[derive(Clone)]
pub enum MailRoute {
    /// To a mail server: `smtp://[user:password@]host[:port]` or `smtps://…`.
    Smtp(SmtpUrl),
    /// Each mail becomes a file in this directory, for a first run and for tests.
    Directory(PathBuf),
    /// Nowhere: nobody can register.
    None,
}

impl fmt::Debug for MailRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp(_) => "Smtp(…)",
            Self::Directory(_) => "Directory(…)",
            Self::None => "None",
        })
    }
}

/// A mail server's URL, with credentials.
#[derive(Clone)]
pub struct SmtpUrl(Zeroizing<String>);

impl SmtpUrl {
    /// Checks that it can be used; connects to nothing.
    pub fn parse(url: &str) -> Result<Self, MailError> {
        AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| MailError::SmtpUrl)?;
        Ok(Self(Zeroizing::new(url.to_owned())))
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmtpUrl(…)")
    }
}

/// Why mail cannot be set up. The sentences are for operators.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Not a URL of a mail server. It is not repeated: it may hold a password.
    #[error(
        "this is not the URL of a mail server. It looks like \
         smtp://mail.example.org:587?tls=required or smtps://user:password@mail.example.org, with \
         %40 for an @ in the user's name"
    )]
    SmtpUrl,
    /// The sender is no mailbox.
    #[error("{from:?} cannot be the sender of mails. Write it like: Waxwing <relay@example.org>")]
    From {
        /// What was given.
        from: String,
    },
    /// The directory for mails cannot be made.
    #[error(transparent)]
    Directory(#[from] DataDirError),
}

/// A code on its way to an address.
pub struct Letter {
    /// The address, in canonical form.
    to: String,
    code: String,
    asked: LetterRequest,
}

impl Letter {
    /// A code for an address. It goes to the canonical form, which is ASCII: that is the
    /// address that is registered. A mail server without SMTPUTF8 takes it, and none maps the
    /// domain by other rules than the relay's, to somebody else's.
    pub fn new(address: &Address, code: String, asked: LetterRequest) -> Self {
        Self {
            to: address.canonical().to_owned(),
            code,
            asked,
        }
    }
}

/// The request that a letter was asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterRequest {
    /// On which link.
    pub link: LinkId,
    /// The request's number there.
    pub request: u32,
}

/// Who asked for the letters that were given up.
pub type Failures = mpsc::Receiver<LetterRequest>;

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Letter(…)")
    }
}

/// What became of the letters so far.
#[derive(Debug, Default)]
pub struct MailCounts {
    /// Handed to the mail server, or written to the directory.
    pub sent: AtomicU64,
    /// Given up: refused, unreachable, or the queue was full.
    pub failed: AtomicU64,
}

/// Takes letters, and sends them in the background.
#[derive(Clone)]
pub struct Mailer {
    queue: mpsc::Sender<Letter>,
    outcome: MailOutcome,
}

/// Where what became of a letter is noted.
#[derive(Clone)]
struct MailOutcome {
    counts: Arc<MailCounts>,
    failures: mpsc::Sender<LetterRequest>,
}

impl MailOutcome {
    fn sent(&self) {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, asked: LetterRequest) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        // When too many wait, somebody is not told, and sees only that nothing comes.
        let _ = self.failures.try_send(asked);
    }
}

/// How letters leave.
enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Directory { path: PathBuf, next: AtomicU64 },
    None,
}

/// Why one letter was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("this address cannot receive mail")]
    Address,
    #[error("the mail server refused it permanently")]
    Refused,
    #[error("the mail server did not accept it ({0})")]
    Delayed(&'static str),
    #[error("the mail directory cannot be written: {0}")]
    Directory(#[from] std::io::Error),
    #[error("no mail server is set up: start with --smtp or --mail-dir")]
    NoRoute,
}

impl Mailer {
    /// Starts sending, on the current tokio runtime. `relay` is the name that people
    /// know the relay by; `from` the sender, by default `waxwing@relay`.
    pub fn start(
        route: &MailRoute,
        from: Option<&str>,
        relay: &str,
    ) -> Result<(Self, Failures), MailError> {
        let form = letter::Form::new(from, relay)?;
        let transport = match route {
            MailRoute::Smtp(url) => Transport::Smtp(
                AsyncSmtpTransport::<Tokio1Executor>::from_url(&url.0)
                    .map_err(|_| MailError::SmtpUrl)?
                    // In lettre's asynchronous transport this is for connecting only, by address.
                    .timeout(Some(CONNECT_LIMIT))
                    .build(),
            ),
            MailRoute::Directory(path) => {
                make_private_dir(path)?;
                Transport::Directory {
                    path: path.clone(),
                    next: AtomicU64::new(0),
                }
            }
            MailRoute::None => Transport::None,
        };
        let (queue, letters) = mpsc::channel(QUEUE);
        let (failures, failed) = mpsc::channel(QUEUE);
        let outcome = MailOutcome {
            counts: Arc::new(MailCounts::default()),
            failures,
        };
        tokio::spawn(work(letters, form, transport, outcome.clone()));
        Ok((Self { queue, outcome }, failed))
    }

    /// Queues a letter; drops it when too many wait.
    pub fn send(&self, letter: Letter) {
        let asked = letter.asked;
        if self.queue.try_send(letter).is_err() {
            self.outcome.failed(asked);
            tracing::warn!("a code was not mailed: too many mails wait for the mail server");
        }
    }

    /// What became of the letters so far.
    pub fn counts(&self) -> &MailCounts {
        &self.outcome.counts
    }
}

async fn work(
    mut letters: mpsc::Receiver<Letter>,
    form: letter::Form,
    transport: Transport,
    outcome: MailOutcome,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let shared = Arc::new((form, transport));
    while let Some(letter) = letters.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let shared = Arc::clone(&shared);
        let outcome = outcome.clone();
        tokio::spawn(async move {
            let (form, transport) = &*shared;
            match deliver(form, transport, &letter).await {
                Ok(()) => outcome.sent(),
                Err(error) => {
                    tracing::warn!(%error, "a code was not mailed");
                    outcome.failed(letter.asked);
                }
            }
            drop(place);
        });
    }
}

async fn deliver(
    form: &letter::Form,
    transport: &Transport,
    letter: &Letter,
) -> Result<(), SendError> {
    let message = form.fill(letter).ok_or(SendError::Address)?;
    match transport {
        Transport::Smtp(server) => deliver_by_smtp(server, message).await,
        Transport::Directory { path, next } => {
            let number = next.fetch_add(1, Ordering::Relaxed);
            Ok(write_file(path, number, &message.formatted())?)
        }
        Transport::None => Err(SendError::NoRoute),
    }
}

async fn deliver_by_smtp(
    server: &AsyncSmtpTransport<Tokio1Executor>,
    message: Message,
) -> Result<(), SendError> {
    let mut pause = PAUSE;
    let mut attempt = 1;
    loop {
        let result = tokio::time::timeout(PATIENCE, server.send(message.clone())).await;
        let error = match result {
            Ok(Ok(_)) => return Ok(()),
            // What the server says may repeat the address: it is not passed on.
            Ok(Err(error)) if error.is_permanent() => return Err(SendError::Refused),
            Ok(Err(error)) if error.is_transient() => SendError::Delayed("it said: later"),
            Ok(Err(error)) if error.is_tls() => SendError::Delayed("TLS failed"),
            Ok(Err(error)) if error.is_timeout() => SendError::Delayed("no answer in time"),
            Ok(Err(_)) => SendError::Delayed("it cannot be reached"),
            Err(_) => SendError::Delayed("no answer in time"),
        };
        if attempt == ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// A program that watches the directory never sees half a mail: it appears by renaming.
fn write_file(directory: &Path, number: u64, mail: &[u8]) -> std::io::Result<()> {
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
    file.write_all(mail)?;
    std::fs::rename(&part, directory.join(format!("{name}.eml")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    use super::*;

    const ASKED: LetterRequest = LetterRequest {
        link: LinkId(7),
        request: 3,
    };

    fn letter() -> Letter {
        letter_to("Alice@Example.org")
    }

    fn letter_to(address: &str) -> Letter {
        Letter::new(
            &Address::parse(address).unwrap(),
            "12345678".to_owned(),
            ASKED,
        )
    }

    async fn settled(post: &Mailer) -> (u64, u64) {
        loop {
            let counts = (
                post.counts().sent.load(Ordering::Relaxed),
                post.counts().failed.load(Ordering::Relaxed),
            );
            if counts != (0, 0) {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_mail_appears_in_the_directory_whole_and_with_the_code() {
        let dir = tempfile::tempdir().unwrap();
        let route = MailRoute::Directory(dir.path().join("mail"));
        let (post, mut failures) = Mailer::start(&route, None, "relay.example.org").unwrap();
        post.send(letter());
        assert_eq!(settled(&post).await, (1, 0));
        assert!(
            failures.try_recv().is_err(),
            "told of a letter that was sent"
        );
        let files: Vec<_> = std::fs::read_dir(dir.path().join("mail"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].extension().unwrap(), "eml");
        let mail = std::fs::read_to_string(&files[0]).unwrap();
        assert!(mail.contains("12345678"), "{mail}");
        assert!(mail.contains("To: alice@example.org"), "{mail}");
    }

    #[tokio::test]
    async fn without_a_route_nothing_is_sent_and_it_is_counted() {
        let (post, mut failures) = Mailer::start(&MailRoute::None, None, "relay").unwrap();
        post.send(letter());
        assert_eq!(settled(&post).await, (0, 1));
        assert_eq!(failures.recv().await, Some(ASKED));
    }

    /// A mail server of a few lines: answers RCPT with `recipient`, everything else well.
    async fn mail_server(recipient: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 hello\r\n").await.unwrap();
            let mut heard = String::new();
            let mut in_data = false;
            loop {
                let start = heard.len();
                if stream.read_line(&mut heard).await.unwrap() == 0 {
                    return heard;
                }
                let line = heard.get(start..).unwrap();
                let answer = match line.get(..4).unwrap_or_default() {
                    _ if in_data && line != ".\r\n" => continue,
                    _ if in_data => {
                        in_data = false;
                        "250 taken\r\n"
                    }
                    "DATA" => {
                        in_data = true;
                        "354 go on\r\n"
                    }
                    "RCPT" => recipient,
                    "QUIT" => {
                        stream.write_all(b"221 bye\r\n").await.unwrap();
                        return heard;
                    }
                    _ => "250 ok\r\n",
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (port, task)
    }

    #[tokio::test]
    async fn a_mail_travels_by_smtp() {
        let (port, server) = mail_server("250 ok\r\n").await;
        let url = SmtpUrl::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
        let (post, mut failures) =
            Mailer::start(&MailRoute::Smtp(url), None, "relay.example.org").unwrap();
        post.send(letter());
        assert_eq!(settled(&post).await, (1, 0));
        assert!(
            failures.try_recv().is_err(),
            "told of a letter that was sent"
        );
        let heard = server.await.unwrap();
        assert!(heard.contains("RCPT TO:<alice@example.org>"), "{heard}");
        assert!(heard.contains("12345678"), "{heard}");
    }

    #[tokio::test]
    async fn a_mail_goes_to_the_ascii_form_that_is_registered() {
        // The server offers no SMTPUTF8, and older rules would make "ss" of the sharp s.
        for (typed, canonical) in [
            ("Jo@b\u{fc}cher.example", "jo@xn--bcher-kva.example"),
            ("jo@stra\u{df}e.example", "jo@xn--strae-oqa.example"),
        ] {
            let (port, server) = mail_server("250 ok\r\n").await;
            let url = SmtpUrl::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
            let (post, _failures) =
                Mailer::start(&MailRoute::Smtp(url), None, "relay.example.org").unwrap();
            post.send(letter_to(typed));
            assert_eq!(settled(&post).await, (1, 0), "{typed}");
            let heard = server.await.unwrap();
            assert!(heard.contains(&format!("RCPT TO:<{canonical}>")), "{heard}");
            assert!(!heard.contains("SMTPUTF8"), "{heard}");
        }
    }

    #[tokio::test]
    async fn a_mail_that_is_refused_for_good_is_not_tried_again() {
        let (port, server) = mail_server("550 no such user\r\n").await;
        let url = SmtpUrl::parse(&format!("smtp://127.0.0.1:{port}")).unwrap();
        let (post, mut failures) =
            Mailer::start(&MailRoute::Smtp(url), None, "relay.example.org").unwrap();
        post.send(letter());
        assert_eq!(settled(&post).await, (0, 1));
        assert_eq!(failures.recv().await, Some(ASKED));
        drop(post);
        let heard = server.await.unwrap();
        assert_eq!(heard.matches("RCPT").count(), 1);
    }

    #[test]
    fn credentials_are_shown_by_nothing() {
        let url = SmtpUrl::parse("smtps://user:hunter2@mail.example.org").unwrap();
        assert!(!format!("{url:?} {:?}", MailRoute::Smtp(url.clone())).contains("hunter2"));
        let error = SmtpUrl::parse("http://user:hunter2@mail.example.org").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
