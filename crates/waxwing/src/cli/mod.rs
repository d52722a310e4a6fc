//! The command line: what can be said, and who does it.
//!
//! **Elsewhere.** One file for each command beside this one; how things look is
//! [`crate::output`].
//!
//! **Always.** A command opens the home's [`Session`], asks, and closes it again, also
//! when it is interrupted.

mod alarms;
mod audit;
mod auditors;
mod backup;
mod contacts;
mod devices;
mod doctor;
mod export;
mod group;
mod history;
mod keep;
mod listen;
mod lock;
mod messages;
mod pages;
mod profile;
mod progress;
mod recover;
mod register;
mod report;
mod requests;
mod save;
mod search;
mod send;
mod settle;
mod sms;
mod verify;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use waxwing_client::{
    Session,
    home::{self, HOME_VARIABLE},
    rpc::{RpcError, stdio},
};
use waxwing_engine::api::{Problem, ProblemReport};

use crate::{
    keys::{KEY_STORE, KeyStore, Keys},
    output::Output,
};

/// Private messaging whose server you do not have to trust.
#[derive(Debug, Parser)]
#[command(
    name = "waxwing",
    version,
    propagate_version = true,
    after_help = "\
Getting started:
  waxwing register alice@example.org --relay 'https://relay.example.org/#sha256/…'
  waxwing send bob@example.org 'Hello Bob'
  waxwing listen

The relay prints its URL, pin included, when it starts. Each command takes --help and
shows examples. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 kept in the outbox."
)]
pub struct Cli {
    /// The folder with this account's keys and messages
    #[arg(long, value_name = "DIR", env = HOME_VARIABLE, hide_env_values = true, global = true, help_heading = "Global options")]
    home: Option<PathBuf>,

    /// Where a new home keeps the key of its store
    #[arg(long, value_name = "WHERE", env = KEY_STORE, hide_env_values = true, global = true, help_heading = "Global options", value_enum)]
    key_store: Option<KeyStore>,

    /// Print one JSON object a line
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an account for an address that is yours
    #[command(after_help = "\
The relay sends a code to the address; type it when you are asked, or give it as a line
on standard input, or with --code. Then write down the recovery words: they are shown
once.

Examples:
  waxwing register alice@example.org --relay 'https://relay.example.org/#sha256/…'
  waxwing register alice@example.org --relay https://relay.example.org --pin sha256/…
  waxwing register alice@example.org --relay https://relay.example.org --code 12345678

The store is encrypted. Its key is kept in the system's keyring; where there is none,
behind a passphrase that you are asked for, or that WAXWING_PASSPHRASE holds. With
`--key-store file` it lies in a file in the home folder: only for machines where nobody
else can read or copy that folder, such as a bot's.")]
    Register(register::Register),

    /// Send a message
    #[command(after_help = "\
Without TEXT, or when it is -, the message is read from standard input. The command waits
until the relay has accepted the message. If that takes too long (no network, say), it ends
with exit code 3: the message is in the outbox and leaves by itself as soon as any waxwing
command runs while the relay can be reached. Do not send it again.

Examples:
  waxwing send bob@example.org 'Are you there?'
  echo 'The backup is done.' | waxwing send bob@example.org
  waxwing send bob@example.org 'From the holiday' --attach beach.jpg --attach film.mp4
  waxwing send Family '**Dinner** at 7, @bob@example.org' --markdown
  waxwing send bob@example.org 'Read https://example.org/waxwings' --preview
  waxwing send bob@example.org --location 52.5163,13.3777
  waxwing send +15551234567 'Hello' --queue")]
    Send(send::Send),

    /// Print messages as they arrive
    #[command(after_help = "\
First prints what has arrived and was not read yet, then waits for more. What was printed
counts as read.

Examples:
  waxwing listen
  waxwing listen --count 1 --timeout 30
  waxwing listen --json | jq -r 'select(.type == \"message\") | .text'")]
    Listen(listen::Listen),

    /// Show a conversation
    #[command(after_help = "\
Examples:
  waxwing history bob@example.org
  waxwing history bob@example.org --limit 5
  waxwing history bob@example.org --search backup")]
    History(history::History),

    /// Save the files that a message brings
    #[command(after_help = "\
What is not on this device yet is fetched. Nothing that is there is overwritten; what the
sender calls a file is only a name: it is saved where you say, and not opened.

Examples:
  waxwing save 4f2a6c1e
  waxwing save 4f2a6c1e --number 0 --to holiday.jpg")]
    Save(save::Save),

    /// Show a message, what it answers, and what answers it
    Thread(messages::Which),

    /// Find messages
    #[command(after_help = "\
Words are found whatever their capitals and accents. The search happens on this device, in
its own index; nobody else learns of it.

Examples:
  waxwing search backup
  waxwing search 'train tick' --in Family
  waxwing search --from bob@example.org --since 2026-11-01 --until 2026-11-07")]
    Search(search::Search),

    /// React to a message
    #[command(after_help = "\
You have one reaction to a message: another takes its place.

Examples:
  waxwing react 4f2a6c1e 👍
  waxwing react 4f2a6c1e --remove")]
    React(messages::React),

    /// Say something else in place of a message of yours
    #[command(after_help = "\
The others see that it was edited, and can see what it said before (waxwing info).

Example:
  waxwing edit 4f2a6c1e 'At eight, not at seven'")]
    Edit(messages::Edit),

    /// Take a message of yours back
    #[command(after_help = "\
It is deleted here, and the others' devices are asked to delete it; theirs do so when they
are reached. Nobody can make somebody forget what they have read: they may have copied it,
and a device that is not honest keeps it.

Example:
  waxwing unsend 4f2a6c1e")]
    Unsend(messages::Which),

    /// Have the messages of a conversation disappear after they are read
    #[command(after_help = "\
Counts for what is written from then on, by both sides; in a group its admins set it. On
each device a message goes that long after it was read there, and its sender's copy that
long after it was sent. It goes from the disk too. Whoever wants to keep a message can: this
is against forgetting, not against betrayal.

Examples:
  waxwing disappear bob@example.org 1d
  waxwing disappear Family off")]
    Disappear(messages::Disappear),

    /// Show who has a message, and what it said before
    Info(messages::Which),

    /// List the people you know and how they are verified
    Contacts,

    /// List your conversations
    #[command(after_help = "\
Pinned ones first, then the one with the newest message. What is pinned, muted, put away,
starred or begun to be written is so on all your devices.")]
    Conversations,

    /// List strangers who wait for your answer
    #[command(after_help = "\
Somebody whom you have never written to learns nothing of you: neither that a message
arrived nor that you read it. Their messages are marked, and their files are not fetched,
until you accept, or answer. `waxwing history ADDRESS` shows what they wrote.")]
    Requests,

    /// Accept a stranger: from now on they are as anybody
    Accept(requests::Accept),

    /// Delete what a stranger wrote; of a group, leave it
    Decline(requests::Decline),

    /// Write a conversation into a folder: a page to read, JSON, and the files
    #[command(after_help = "\
The page (conversation.html) needs no network and runs nothing; conversation.json is for
programs, and for `waxwing import`. Everything lies there in the clear.

Examples:
  waxwing export bob@example.org --to bob
  waxwing export Family --to family --without-files")]
    Export(export::Export),

    /// Bring messages in from an export
    #[command(after_help = "\
What is here already stays as it is, so that importing twice is importing once. Nothing is
sent to anybody. Anybody can write such a file: what comes from one is shown as that.

Examples:
  waxwing import bob/conversation.json
  waxwing import old/conversation.json --into Family")]
    Import(export::Import),

    /// Disclose messages of others, so that whoever gets them can check who wrote them
    #[command(after_help = "\
Writes the messages that you name, and no others, with the signatures of the devices that
sent them: whoever gets the file needs to trust neither you nor the relay to believe it.
Nothing is sent to anybody.

Examples:
  waxwing report 4f2a6c1e --to threat.json
  waxwing report 4f2a6c1e 91b0 --note 'He keeps writing this' --to threats.json
  waxwing check-report threat.json")]
    Report(report::Report),

    /// See what a report proves
    CheckReport(report::Check),

    /// Keep a conversation at the top
    Pin(keep::Switch),

    /// Put a conversation away until somebody writes in it
    Archive(keep::Switch),

    /// Have a conversation's messages come without alert
    Mute(keep::Mute),

    /// Call somebody by a name of your own
    #[command(after_help = "\
Nobody else learns of it. Their address is always shown with it, since that is what is
verified.

Example:
  waxwing nickname bob@example.org 'Uncle Bob'")]
    Nickname(keep::Nickname),

    /// Say what your contacts see you called, or see what they call themselves
    #[command(after_help = "\
A name and a picture go, end-to-end encrypted, to those whom you have written to, and to
nobody else. Everybody may call themselves as they like: the address is what is verified.

Examples:
  waxwing profile --name 'Alice B.' --picture me.jpg
  waxwing profile bob@example.org")]
    Profile(profile::Profile),

    /// Mark a message, to find it again
    Star(keep::Star),

    /// List the messages that you starred
    Starred,

    /// Make groups, change them, leave them
    #[command(after_help = "\
Who is in a group is said by the group itself, which the relay cannot read; every member's
device refuses changes by others than its admins. Without a subcommand, lists your groups.
Write to a group as you do to a person: waxwing send Family 'Dinner is ready'

Examples:
  waxwing group create Family bob@example.org carol@example.org
  waxwing group
  waxwing group show Family")]
    Group(group::Group),

    /// Make sure, in person, that somebody is who you think
    #[command(after_help = "\
Shows the safety number that you have with somebody: 60 digits and a QR code, the same on
all devices of both of you for as long as neither starts over. Compare it with what their
device shows. When somebody whom you have verified has other keys, nothing is sent to them
until you decide.

Examples:
  waxwing verify bob@example.org
  waxwing verify bob@example.org --accept
  waxwing verify bob@example.org --accept --scanned 'waxwing:safety/1/…'
  waxwing verify bob@example.org --continue")]
    Verify(verify::Verify),

    /// List your devices, link new ones, take lost ones out
    #[command(after_help = "\
Each device has keys of its own, and your contacts' devices accept only those that one of
yours, or your recovery key, has admitted. When one comes or goes, the others say so.

Examples:
  waxwing devices
  waxwing devices link --relay 'https://relay.example.org/#sha256/…'
  waxwing devices approve 4821-7K3MQ-9TXPC
  waxwing devices revoke 'a1b2 c3d4'")]
    Devices(devices::Devices),

    /// Make a backup that only your recovery words open
    #[command(after_help = "\
A backup is made by itself once a day when there is something new, and kept on the relay,
which cannot read it. With --file it is written where you say.

Examples:
  waxwing backup
  waxwing backup --file waxwing-backup-2026-11")]
    Backup(backup::Backup),

    /// Bring an account back when all its devices are lost
    #[command(after_help = "\
Needs the recovery words that `waxwing register` showed: type them when you are asked, or
give them as a line on standard input. This device is admitted to the account, and gets
contacts and history from the last backup. Your contacts see nothing alarming: the account
is the same.

Examples:
  waxwing recover alice@example.org --relay 'https://relay.example.org/#sha256/…'
  waxwing recover alice@example.org --relay … --revoke-others
  waxwing recover alice@example.org --relay … --from waxwing-backup-2026-11")]
    Recover(recover::Recover),

    /// Lock your address against being registered anew by others
    #[command(after_help = "\
Without a lock, whoever reads the mail or messages that are sent to your address can
register it anew, as another account; your contacts and you would see that. With one, it
takes your recovery words, or a week in which your devices are told each day and none of
them objects.

Examples:
  waxwing lock
  waxwing lock on
  waxwing lock keep")]
    Lock(lock::Lock),

    /// Watch over a relay's key log, or say whose watching you rely on
    #[command(
        subcommand,
        after_help = "\
A relay binds addresses to keys in a log that it can only add to. Auditors make sure that
it does, and co-sign what they have checked.

Examples:
  waxwing audit follow 'https://relay.example.org/#sha256/…'
  waxwing audit verify evidence-1.waxwing
  waxwing audit require 1 Eva=waxwing-auditor-…
  waxwing audit evidence --out evidence"
    )]
    Audit(Audit),

    /// Show what you must know about your account and your relay
    #[command(after_help = "\
Alarms are raised when something happened that should not: a device that was added, an
entry in the relay's key log that your devices did not make, a relay that was caught at a
lie. Every command shows them at its end until you dismiss them.

Examples:
  waxwing alarms
  waxwing alarms --dismiss")]
    Alarms(alarms::Alarms),

    /// Write text messages to phones, and see what in one is a trick
    #[command(
        subcommand,
        after_help = "\
A text message (SMS) proves nothing: anybody can write any sender into one."
    )]
    Sms(sms::Sms),

    /// Check that everything is in order
    #[command(after_help = "\
Looks at the home, the store and its key, the relay, its pin and its encryption, the
clock, the login, and what waits. Exit code 1 if something is wrong.")]
    Doctor,

    /// Speak JSON-RPC 2.0 on standard input and output, one object a line
    #[command(after_help = "\
Example:
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"contacts\"}' | waxwing rpc

docs/rpc.md describes the methods and what is told after \"subscribe\".")]
    Rpc,

    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  waxwing completions bash > ~/.local/share/bash-completion/completions/waxwing
  waxwing completions zsh > ~/.zfunc/_waxwing
  waxwing completions fish > ~/.config/fish/completions/waxwing.fish")]
    Completions(pages::Completions),

    /// Print the manual page, of one command or of all
    #[command(after_help = "\
Examples:
  waxwing man | man -l -
  waxwing man send > waxwing-send.1")]
    Man(pages::Man),
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Check that a relay's key log only ever grows, and co-sign what was checked
    #[command(after_help = "\
Needs no account. Each entry into the log is followed from the first one on; nothing of
what is in it can be read. The relay publishes the co-signatures of the auditors that its
operator has named. Ends with exit code 1 if the relay lied, and co-signs nothing for it
any more; if two things that it signed contradict each other, there is a file that proves
it.

Examples:
  waxwing audit follow 'https://relay.example.org/#sha256/…'
  waxwing audit follow https://relay.example.org --pin sha256/… --once
  waxwing audit follow https://relay.example.org --publish /srv/www/cosignatures")]
    Follow(audit::Follow),
    /// Print the id by which relays and clients name this auditor
    Id(audit::Id),
    /// Check a proof that a relay lied
    #[command(after_help = "\
Needs no account and no network. Exit code 0 if the file proves that the relay with the
printed pin lied, 1 if it does not.

Example:
  waxwing audit verify evidence-1.waxwing")]
    Verify(audit::Verify),
    /// Say which auditors must have co-signed what the relay shows
    Require(auditors::Require),
    /// List the auditors that you named, and what they have co-signed
    Auditors,
    /// Write the proofs that the relay lied, for anybody to check
    Evidence(auditors::Evidence),
}

/// What this device is called where nobody says otherwise: its name on the network.
fn device_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let short = name.split('.').next().unwrap_or_default();
    if short.is_empty() {
        "Waxwing".to_owned()
    } else {
        short.chars().take(64).collect()
    }
}

/// A conversation, as a person names it.
#[derive(Debug, Args)]
struct Whose {
    /// An address, the name of a group, or the id of a conversation
    #[arg(value_name = "ADDRESS|GROUP|CONVERSATION")]
    whose: String,
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// What was asked for did not come about, and that was said.
    Failed,
    /// The message is kept, to be sent later.
    Queued,
    /// By Ctrl-C.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Queued => 3,
            Outcome::Interrupted => 130,
        })
    }
}

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The engine, the client or the relay said so.
    Rpc(RpcError),
    /// Standard output or input.
    Output(io::Error),
    /// Of a command that needs no engine: what happened, as a sentence.
    Said {
        /// For programs.
        code: &'static str,
        /// For people.
        sentence: String,
    },
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Rpc(problem.into())
    }
}

impl From<ProblemReport> for Failure {
    fn from(report: ProblemReport) -> Self {
        Self::Rpc(report.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Does what was asked for.
pub async fn run(mut cli: Cli, output: &Output) -> Result<Outcome, Failure> {
    // What needs no account opens no home.
    cli.command = match cli.command {
        Command::Completions(completions) => return completions.run().map_err(Into::into),
        Command::Man(man) => return man.run().map_err(Into::into),
        Command::Sms(sms) => match sms.without_home(output) {
            Ok(done) => return done,
            Err(sms) => Command::Sms(sms),
        },
        Command::Audit(Audit::Verify(verify)) => return verify.run(output),
        Command::Audit(Audit::Id(id)) => return id.run(cli.home.as_deref(), output),
        Command::Audit(Audit::Follow(follow)) => {
            return interruptible(Box::pin(follow.run(cli.home.as_deref(), output))).await;
        }
        other => other,
    };
    // Read before the home is opened: nothing else should wait while a person types.
    let message = match &cli.command {
        Command::Send(send) => Some(send.message()?),
        Command::Sms(sms) => sms.message()?,
        _ => None,
    };
    let home = cli
        .home
        .or_else(home::default_home)
        .ok_or_else(|| Problem::HomeUnwritable {
            path: "~".to_owned(),
            detail: "no home folder is known".to_owned(),
        })?;
    let mut session = Session::open(&home, Box::new(Keys::new(cli.key_store))).await?;
    let reminds = !matches!(cli.command, Command::Rpc | Command::Alarms(_));
    let command = command(cli.command, message, &mut session, output);
    let result = interruptible(Box::pin(command)).await;
    if reminds && result.is_ok() {
        alarms::remind(&mut session, output).await;
    }
    session.close().await;
    result
}

/// Runs a command until it ends, or somebody ends it.
async fn interruptible(
    command: impl Future<Output = Result<Outcome, Failure>>,
) -> Result<Outcome, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = command => result,
        _ = tokio::signal::ctrl_c() => Ok(Outcome::Interrupted),
        _ = terminate.recv() => Ok(Outcome::Interrupted),
    }
}

async fn command(
    command: Command,
    message: Option<String>,
    session: &mut Session,
    output: &Output,
) -> Result<Outcome, Failure> {
    match command {
        Command::Register(register) => register.run(session, output).await,
        Command::Send(send) => send.run(message.unwrap_or_default(), session, output).await,
        Command::Sms(sms) => sms.run(message.unwrap_or_default(), session, output).await,
        Command::Listen(listen) => listen.run(session, output).await,
        Command::History(history) => history.run(session, output).await,
        Command::Save(save) => save.run(session, output).await,
        Command::Profile(profile) => profile.run(session, output).await,
        Command::Requests => requests::list(session, output).await,
        Command::Accept(accept) => accept.run(session, output).await,
        Command::Decline(decline) => decline.run(session, output).await,
        Command::Thread(which) => which.thread(session, output).await,
        Command::Search(search) => search.run(session, output).await,
        Command::React(react) => react.run(session, output).await,
        Command::Edit(edit) => edit.run(session, output).await,
        Command::Unsend(which) => which.unsend(session, output).await,
        Command::Disappear(disappear) => disappear.run(session, output).await,
        Command::Info(which) => which.info(session, output).await,
        Command::Contacts => contacts::run(session, output).await,
        Command::Conversations => keep::conversations(session, output).await,
        Command::Export(export) => export.run(session, output).await,
        Command::Import(import) => import.run(session, output).await,
        Command::Report(report) => report.run(session, output).await,
        Command::CheckReport(check) => check.run(session, output).await,
        Command::Pin(pin) => pin.pin(session, output).await,
        Command::Archive(archive) => archive.archive(session, output).await,
        Command::Mute(mute) => mute.run(session, output).await,
        Command::Nickname(nickname) => nickname.run(session, output).await,
        Command::Star(star) => star.run(session, output).await,
        Command::Starred => keep::starred(session, output).await,
        Command::Group(group) => group.run(session, output).await,
        Command::Verify(verify) => verify.run(session, output).await,
        Command::Audit(Audit::Require(require)) => require.run(session, output).await,
        Command::Audit(Audit::Auditors) => auditors::list(session, output).await,
        Command::Audit(Audit::Evidence(evidence)) => evidence.run(session, output).await,
        Command::Alarms(alarms) => alarms.run(session, output).await,
        Command::Devices(devices) => devices.run(session, output).await,
        Command::Backup(backup) => backup.run(session, output).await,
        Command::Recover(recover) => recover.run(session, output).await,
        Command::Lock(lock) => lock.run(session, output).await,
        Command::Doctor => doctor::run(session, output).await,
        Command::Rpc => {
            stdio::run(session).await?;
            Ok(Outcome::Done)
        }
        // These were done before.
        Command::Audit(Audit::Follow(_) | Audit::Id(_) | Audit::Verify(_))
        | Command::Completions(_)
        | Command::Man(_) => Ok(Outcome::Done),
    }
}
