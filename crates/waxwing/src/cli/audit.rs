//! `waxwing audit follow`, `id` and `verify`: auditing a relay's key log.
//!
//! These commands need no account and do not open the home's store.
//!
//! **Elsewhere.** `waxwing_auditor` checks the log and decides what a lie is;
//! [`super::auditors`] chooses the auditors that a person relies on.
//!
//! **Always.** If the network fails, the command says so and tries again; if the relay lied,
//! the command says so and ends.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use clap::Args;
use prost::Message as _;
use rand::{rand_core::UnwrapErr, rngs::SysRng};
use waxwing_auditor::{
    folder::{self, Folder, FolderError, LogFolder},
    follower::{Follower, Refusal},
    round::{Ask, COSIGNATURES_PATH, Round, RoundError, round},
};
use waxwing_client::{
    home,
    link::{
        Pin, RelayUrl, Route,
        backoff::Backoff,
        http::{Http, HttpError},
    },
};
use waxwing_protocol::{pb, signature::HybridSigningKey, time::Time};
use waxwing_transparency::{
    cosignature::AuditorId,
    evidence::{self, EVIDENCE_BYTES, Misdeed, Proven},
};

use crate::{
    outcome::{Failure, Outcome},
    output::{BAD, FAINT, GOOD, Output, WARN, styled},
    text::{clock, day, one_line},
};

/// Bytes of the relay's sentence about a co-signature.
const SENTENCE_BYTES: usize = 4 << 10;
/// The folder in a home.
const FOLDER: &str = "auditor";

/// Where an auditor keeps its key and what it knows.
#[derive(Debug, Args)]
struct State {
    /// The folder with this auditor's key and progress [default: auditor, in the home folder]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl State {
    fn open(self, home: Option<&Path>) -> Result<Folder, Failure> {
        let path = self
            .state
            .or_else(|| home.map(|home| home.join(FOLDER)))
            .or_else(|| home::default_home().map(|home| home.join(FOLDER)))
            .ok_or_else(|| {
                said(
                    "no_folder",
                    "There is no home folder; name a folder with --state.",
                )
            })?;
        Folder::open(&path).map_err(unusable)
    }
}

/// `waxwing audit id`.
#[derive(Debug, Args)]
pub struct Id {
    #[command(flatten)]
    state: State,
}

impl Id {
    /// Prints by what this auditor is named; makes its key the first time.
    pub fn run(self, home: Option<&Path>, output: &Output) -> Result<Outcome, Failure> {
        let key = key(&self.state.open(home)?)?;
        let id = AuditorId::of(key.public()).to_string();
        output.object(&serde_json::json!({ "type": "auditor", "id": id }));
        output.line(id);
        Ok(Outcome::Shown)
    }
}

/// `waxwing audit follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// The relay's URL, as the relay prints it
    #[arg(value_name = "RELAY")]
    relay: RelayUrl,

    /// The relay's pin, if it is not in the URL
    #[arg(long, value_name = "PIN")]
    pin: Option<Pin>,

    #[command(flatten)]
    state: State,

    /// Check up to the newest head, then stop
    #[arg(long)]
    once: bool,

    /// Also write the newest co-signature to this folder
    #[arg(long, value_name = "DIR")]
    publish: Option<PathBuf>,

    /// How long to wait between checks
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
}

impl Follow {
    /// Follows the relay's log until it is interrupted, or the relay lies.
    pub async fn run(
        self,
        home: Option<&Path>,
        route: Route,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        let relay = match self.pin {
            Some(pin) => self
                .relay
                .pinned(pin)
                .map_err(|error| said("two_pins", error.to_string()))?,
            None => self.relay,
        };
        let folder = self.state.open(home)?;
        let key = key(&folder)?;
        let log = folder.log(relay.host(), relay.port()).map_err(unusable)?;
        let pin = relay.pin().map(|pin| *pin.as_bytes());
        let follower = match log.saved().map_err(unusable)? {
            Some(saved) => Follower::resume(pin, saved).map_err(|error| {
                said(
                    "state_damaged",
                    format!("{}: {error}", log.path().display()),
                )
            })?,
            None => Follower::new(pin),
        };
        let mut following = Following {
            id: AuditorId::of(key.public()),
            key,
            follower,
            log,
            relay: Relay(Http::new(relay, route)),
            publish: self.publish,
            posted: 0,
            told: String::new(),
            output,
        };
        let mut backoff = Backoff::default();
        loop {
            let wait = match following.round().await? {
                Ended::Well => {
                    backoff.worked();
                    Duration::from_secs(self.every)
                }
                Ended::Lied => return Ok(Outcome::Failed),
                Ended::Badly if self.once => return Ok(Outcome::Failed),
                Ended::Badly => backoff.failed(&mut UnwrapErr(SysRng)),
            };
            if self.once {
                return Ok(Outcome::Done);
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// How a round ended.
enum Ended {
    Well,
    /// It may go better.
    Badly,
    /// For ever.
    Lied,
}

struct Following<'a> {
    id: AuditorId,
    key: HybridSigningKey,
    follower: Follower,
    log: LogFolder,
    relay: Relay,
    publish: Option<PathBuf>,
    /// The number of the newest head whose co-signature the relay has answered.
    posted: u64,
    /// What was said last of trouble, so that it is said once.
    told: String,
    output: &'a Output,
}

impl Following<'_> {
    async fn round(&mut self) -> Result<Ended, Failure> {
        let ended = round(
            &mut self.follower,
            &self.key,
            &mut UnwrapErr(SysRng),
            now,
            &mut self.relay,
            &mut self.log,
        )
        .await;
        match ended {
            Ok(Round::CoSigned {
                number,
                epoch,
                cosignature,
            }) => self.co_signed(number, epoch, &cosignature).await,
            Ok(Round::Empty) => {
                self.trouble("The relay's key log is still empty.");
                Ok(Ended::Well)
            }
            Ok(Round::Stopped(lie)) => {
                self.lied(&lie, true);
                Ok(Ended::Lied)
            }
            Err(RoundError::Refused(Refusal::Lie(lie))) => {
                self.lied(&lie.to_string(), false);
                Ok(Ended::Lied)
            }
            Err(RoundError::Keep(error)) => Err(unusable(error)),
            Err(error) => {
                self.trouble(&format!("Nothing was co-signed: {error}."));
                Ok(Ended::Badly)
            }
        }
    }

    async fn co_signed(
        &mut self,
        number: u64,
        epoch: u64,
        cosignature: &pb::CoSignature,
    ) -> Result<Ended, Failure> {
        if number == self.posted {
            return Ok(Ended::Well);
        }
        if let (Some(at), Some(log)) = (&self.publish, self.follower.log()) {
            folder::publish(at, log.id(), cosignature).map_err(unusable)?;
        }
        let body = cosignature.encode_to_vec().into();
        let answered = self
            .relay
            .0
            .post(COSIGNATURES_PATH, body, SENTENCE_BYTES)
            .await;
        let (is_taken, why) = match answered {
            Ok(answer) if answer.status == 200 => (true, String::new()),
            Ok(answer) => (
                false,
                one_line(String::from_utf8_lossy(&answer.body).trim()),
            ),
            Err(error) => {
                self.trouble(&format!(
                    "The co-signature did not reach the relay: {error}."
                ));
                return Ok(Ended::Badly);
            }
        };
        self.posted = number;
        self.told.clear();
        self.output.object(&serde_json::json!({
            "type": "co_signed",
            "head": number,
            "log_epoch": epoch,
            "log": self.follower.log().map(|log| log.id().to_string()),
            "auditor": self.id.to_string(),
            "published": is_taken,
            "detail": why,
        }));
        self.output.line(format!(
            "{} The key log only grew, up to head {number} (log epoch {epoch}). Co-signed.",
            styled(GOOD, "✓")
        ));
        if !is_taken {
            self.output.line(format!(
                "{} The relay does not publish it: {why}\n{}",
                styled(WARN, "!"),
                styled(
                    FAINT,
                    format!(
                        "  Its operator can name this auditor with --auditor {}",
                        self.id
                    )
                ),
            ));
        }
        Ok(Ended::Well)
    }

    fn trouble(&mut self, sentence: &str) {
        if self.told == sentence {
            return;
        }
        sentence.clone_into(&mut self.told);
        let sentence = one_line(sentence);
        self.output
            .object(&serde_json::json!({ "type": "trouble", "sentence": sentence }));
        self.output
            .line(format!("{} {sentence}", styled(WARN, "!")));
    }

    fn lied(&self, lie: &str, is_old: bool) {
        let evidence = self.log.evidence();
        self.output.object(&serde_json::json!({
            "type": "lie",
            "sentence": lie,
            "evidence": evidence,
            "before": is_old,
        }));
        let (mark, lie) = (styled(BAD, "✗"), one_line(lie));
        self.output.line(if is_old {
            format!("{mark} This relay lied before: {lie}.")
        } else {
            format!("{mark} The relay lied: {lie}.")
        });
        if let Some(path) = evidence {
            self.output.line(format!(
                "{} proves it; anybody can check that with `waxwing audit verify {0}`.",
                path.display()
            ));
        }
        self.output.line(format!(
            "This auditor no longer co-signs for it. What was checked is in {}.",
            self.log.path().display()
        ));
    }
}

/// The relay, as an auditor asks it.
struct Relay(Http);

/// Why the relay did not say what it was asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the relay answered with HTTP status {0}")]
    Status(u16),
}

/// How often a relay that is busy is asked again.
const BUSY_TRIES: u32 = 5;
/// For how long at most it may send us away.
const BUSY: Duration = Duration::from_secs(10);

impl Ask for Relay {
    type Error = AskError;

    async fn get(&mut self, path: &str, most: usize) -> Result<Option<Bytes>, AskError> {
        let mut tries = 0;
        loop {
            let answer = self.0.get(path, most).await?;
            match (answer.status, answer.retry_after) {
                (200, _) => return Ok(Some(answer.body)),
                (404, _) => return Ok(None),
                (503, Some(wait)) if tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(wait.min(BUSY)).await;
                }
                (status, _) => return Err(AskError::Status(status)),
            }
        }
    }
}

/// `waxwing audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// An evidence file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Verify {
    /// Says what an evidence file proves.
    pub fn run(self, output: &Output) -> Result<Outcome, Failure> {
        let mut bytes = Vec::new();
        let most = EVIDENCE_BYTES as u64 + 1;
        fs::File::open(&self.file)
            .and_then(|file| file.take(most).read_to_end(&mut bytes))
            .map_err(|error| {
                let path = self.file.display();
                said(
                    "file_unreadable",
                    format!("{path} cannot be read: {error}."),
                )
            })?;
        match evidence::check(&bytes) {
            Ok(proven) => {
                proves(&proven, output);
                Ok(Outcome::Shown)
            }
            Err(error) => {
                output.object(&serde_json::json!({
                    "type": "evidence",
                    "proven": false,
                    "sentence": error.to_string(),
                }));
                output.line(format!("{} Nothing is proven: {error}.", styled(BAD, "✗")));
                Ok(Outcome::Failed)
            }
        }
    }
}

fn proves(proven: &Proven, output: &Output) {
    let pin = Pin::from_bytes(proven.relay_pin).to_string();
    let sentence = match &proven.misdeed {
        Misdeed::TwoHistories {
            number,
            first_made_at,
            second_made_at,
        } => {
            let at = |time: &Time| format!("{} at {}", day((*time).into()), clock((*time).into()));
            format!(
                "This relay signed two histories of its key log: they differ at head {number} \
                 (signed heads from {} and {}).",
                at(first_made_at),
                at(second_made_at)
            )
        }
        Misdeed::TwoLogs { first, second } => {
            format!("This relay keeps two key logs: it signed for {first} and for {second}.")
        }
    };
    let what = match &proven.misdeed {
        Misdeed::TwoHistories { .. } => "two_histories",
        Misdeed::TwoLogs { .. } => "two_logs",
    };
    output.object(&serde_json::json!({
        "type": "evidence",
        "proven": true,
        "misdeed": what,
        "sentence": sentence,
        "relay": pin,
    }));
    output.line(format!("{} {sentence}", styled(GOOD, "✓ Proven:")));
    output.line(format!("The relay is the one with the pin {pin}"));
}

fn key(folder: &Folder) -> Result<HybridSigningKey, Failure> {
    folder.key(&mut UnwrapErr(SysRng)).map_err(unusable)
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since.map_or(0, |since| since.as_millis());
    Time(u64::try_from(milliseconds).unwrap_or(u64::MAX))
}

fn said(code: &'static str, sentence: impl Into<String>) -> Failure {
    Failure::Said {
        code,
        sentence: sentence.into(),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unusable(error: FolderError) -> Failure {
    said("state_unusable", format!("The auditor's folder: {error}."))
}
