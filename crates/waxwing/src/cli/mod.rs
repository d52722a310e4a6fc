//! The command line: all commands, and what runs them.
//!
//! **Elsewhere.** Each command has a file beside this one, and nothing of this file: what commands
//! share is in `arguments`, `progress`, `waiting` and `wait_for_relay`. [`crate::output`] prints results, and
//! [`crate::outcome`] says how a command ends.
//!
//! **Always.** A command opens the home's [`Session`], makes its requests, and closes the
//! session again, even when it is interrupted.

mod account;
mod alarms;
mod app;
mod arguments;
mod audit;
mod auditors;
mod backup;
mod contacts;
mod conversation_settings;
mod delete;
mod devices;
mod doctor;
mod export;
mod forward;
mod group;
mod history;
mod listen;
mod lock;
mod messages;
mod moment;
mod open;
mod pages;
mod poll;
mod privacy;
mod profile;
mod progress;
mod recipients;
mod recover;
mod register;
mod relay;
mod reply;
mod report;
mod requests;
mod save;
mod scheduled;
mod search;
mod send;
mod sms;
mod verify;
mod wait_for_relay;
mod waiting;

use std::{io, path::PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use waxwing_client::{
    Session,
    home::{self, HOME_VARIABLE, Home},
    link::{Route, RouteMalformed},
    rpc::{Backend as _, stdio},
};
use waxwing_engine::api::Problem;

use crate::{
    keys::{KEY_STORE, KeyStore, Keys},
    outcome::{Failure, Outcome},
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

The relay prints its URL, with its pin, when it starts. Every command explains itself with
--help. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 waiting in the outbox. They tell what
happened, even if the output could not be printed."
)]
pub struct Cli {
    /// The folder with this account's keys and messages
    #[arg(long, value_name = "DIR", env = HOME_VARIABLE, hide_env_values = true, global = true, help_heading = "Global options")]
    home: Option<PathBuf>,

    /// Where to keep the key of a new home's message store
    #[arg(long, value_name = "WHERE", env = KEY_STORE, hide_env_values = true, global = true, help_heading = "Global options", value_enum)]
    key_store: Option<KeyStore>,

    /// Make all connections through this SOCKS5 proxy, such as Tor, and remember it; `none` for none
    #[arg(long, value_name = "URL", env = PROXY, hide_env_values = true, global = true, help_heading = "Global options", value_parser = proxy)]
    proxy: Option<Proxy>,

    /// Print JSON, one object per line
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,

    #[command(subcommand)]
    command: Command,
}

/// The environment variable that names a proxy.
const PROXY: &str = "WAXWING_PROXY";
/// The ones that other programs look at too.
const ALL_PROXY: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// A route as it was typed, and what it means.
#[derive(Clone, Debug)]
struct Proxy {
    text: String,
    route: Route,
}

fn proxy(text: &str) -> Result<Proxy, String> {
    let route = text
        .parse()
        .map_err(|error: RouteMalformed| format!("{error}; or give none to connect directly"))?;
    Ok(Proxy {
        text: text.to_owned(),
        route,
    })
}

/// The route to use: what was asked for, what the home remembers, or what all programs are told to
/// use. Gives the text where the home does not remember it yet.
fn choose_route(
    asked: Option<Proxy>,
    remembered: Option<Route>,
    everywhere: Option<String>,
) -> Result<(Route, Option<String>), Problem> {
    match (asked, remembered) {
        (Some(asked), Some(remembered)) if asked.route == remembered => Ok((remembered, None)),
        (Some(asked), _) => Ok((asked.route, Some(asked.text))),
        (None, Some(remembered)) => Ok((remembered, None)),
        (None, None) => match everywhere {
            None => Ok((Route::Direct, None)),
            // One of another kind is never gone around.
            Some(text) => match text.parse() {
                Ok(route) => Ok((route, Some(text))),
                Err(_) => Err(Problem::ProxyMalformed),
            },
        },
    }
}

fn proxy_of_all_programs() -> Option<String> {
    let mut named = ALL_PROXY
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    named.find(|text| !text.trim().is_empty())
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create an account for your e-mail address or phone number
    #[command(after_help = "\
The relay sends a code to your address. Type it when asked, or pass it on standard input
or with --code. Then write down the recovery words: they are shown only once.

Examples:
  waxwing register alice@example.org --relay 'https://relay.example.org/#sha256/…'
  waxwing register alice@example.org --relay https://relay.example.org --pin sha256/…
  waxwing register alice@example.org --relay https://relay.example.org --code 12345678

The message store is encrypted. Its key is kept in your system's keyring. Without a keyring,
a passphrase protects the key; you are asked for it, or it comes from WAXWING_PASSPHRASE.
With `--key-store file` the key is a file in the home folder. Use that only on machines
where nobody else can read or copy the folder, such as a bot's.")]
    Register(register::Register),

    /// Open the app in your browser
    #[command(after_help = "\
Serves a page on this computer only, and opens it. The page's address works once, and only in
the browser that opens it: other users of this computer and other websites get no answer. Press
Ctrl-C to close the app.

Examples:
  waxwing app
  waxwing app --no-open")]
    App(app::App),

    /// Send a message
    #[command(after_help = "\
Without TEXT, or if TEXT is -, the message is read from standard input. The command waits
until the relay has accepted the message. If that takes too long (without a network, for
example), it ends with exit code 3: the message is in your outbox, and the next waxwing
command that reaches the relay sends it. Do not send it again.

Several recipients each get a private message, and do not learn of each other. The output says
for each how far it got; the exit code is 1 if one was not sent, else 3 if one waits.

Examples:
  waxwing send bob@example.org 'Are you there?'
  echo 'The backup is done.' | waxwing send bob@example.org
  waxwing send bob@example.org 'From the holiday' --attach beach.jpg --attach film.mp4
  waxwing send Family '**Dinner** at 7, @bob@example.org' --markdown
  waxwing send bob@example.org 'Read https://example.org/waxwings' --preview
  waxwing send bob@example.org --location 52.5163,13.3777
  waxwing send bob@example.org,carol@example.org 'The train is late'
  waxwing send --to bob@example.org --to Family 'Happy new year!'
  waxwing send bob@example.org 'Happy birthday!' --at 2026-12-24T08:00
  waxwing send bob@example.org 'The code is 1234' --view-once
  waxwing send +15551234567 'Hello' --queue")]
    Send(send::Send),

    /// Print messages as they arrive
    #[command(after_help = "\
Prints unread messages first, then waits for more. Printed messages count as read.

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

    /// Save the files attached to a message
    #[command(after_help = "\
Fetches files that are not on this device yet, and saves them where you say: the name that
the sender gave a file cannot choose another folder. Never overwrites or opens a file.

Examples:
  waxwing save 4f2a6c1e
  waxwing save 4f2a6c1e --number 0 --to holiday.jpg")]
    Save(save::Save),

    /// Show a message with the messages it replies to and the replies to it
    Thread(messages::Which),

    /// Find messages
    #[command(after_help = "\
Capitals and accents do not matter. The search uses an index on this device; nobody else
learns what you search for.

Examples:
  waxwing search backup
  waxwing search 'train tick' --in Family
  waxwing search --from bob@example.org --since 2026-11-01 --until 2026-11-07")]
    Search(search::Search),

    /// React to a message
    #[command(after_help = "\
You can have one reaction to each message; a new one replaces it.

Examples:
  waxwing react 4f2a6c1e 👍
  waxwing react 4f2a6c1e --remove")]
    React(messages::React),

    /// Ask a question with options, vote, and close a poll
    #[command(after_help = "\
Everybody in the conversation can vote, and change or withdraw their vote until you close the
poll. In an anonymous poll, apps do not show who voted for what; it is not secret from a
modified app, because the votes reach the devices of all members. Votes after the closing do
not count, by the voters' clocks; a modified app can state an earlier time.

Examples:
  waxwing poll Family 'Where do we eat?' Thai Pizza 'At home'
  waxwing poll Family 'Which days?' Friday Saturday Sunday --several --anonymous
  waxwing poll vote 4f2a6c1e Pizza
  waxwing poll vote 4f2a6c1e 1 3
  waxwing poll vote 4f2a6c1e --withdraw
  waxwing poll close 4f2a6c1e")]
    Poll(poll::Poll),

    /// Edit a message you sent
    #[command(after_help = "\
The others see that the message was edited, and can read earlier versions (waxwing info).

Example:
  waxwing edit 4f2a6c1e 'At eight, not at seven'")]
    Edit(messages::Edit),

    /// Delete a message you sent, for everybody
    #[command(after_help = "\
Deletes the message here and asks the others' devices to delete it, which they do once they
are online. Somebody may already have read or copied it, and a dishonest device can keep it.

Example:
  waxwing unsend 4f2a6c1e")]
    Unsend(messages::Which),

    /// Forward a message, with its files
    #[command(after_help = "\
The recipients see that it was forwarded, but not who wrote it first. Each gets a private
message.

Examples:
  waxwing forward 4f2a6c1e carol@example.org
  waxwing forward 4f2a6c1e carol@example.org Family")]
    Forward(forward::Forward),

    /// Open a message that can be viewed once
    #[command(after_help = "\
Asks first. Then the message is deleted on all your devices, and its sender learns that you
opened it if read receipts are on. Files are written to a folder of your choice: that you can
keep a copy shows that viewing once is a request, which nobody can force.

Examples:
  waxwing open 4f2a6c1e
  waxwing open 4f2a6c1e --to pictures")]
    Open(open::Open),

    /// List, edit and cancel messages that are sent later
    #[command(after_help = "\
`waxwing send --at` schedules a message. Only this device knows of it, and sends it at its
time if `waxwing listen` or `waxwing app` runs. Otherwise it is sent late, when a waxwing
command runs next, and your history says so.

Examples:
  waxwing scheduled
  waxwing scheduled edit 7 'Happy birthday, Bob!' --at 08:30
  waxwing scheduled cancel 7")]
    Scheduled(scheduled::Scheduled),

    /// Delete messages, a file or a conversation, on your devices only
    #[command(after_help = "\
Deletes on all your devices: one that is away does the same when it comes. Nobody else learns
of it, and the others keep what they received; `waxwing unsend` asks their devices to delete a
message. A message that still waits in the outbox is not sent. What you deleted does not come
back with a backup or an import. To delete only a file, name it by its number in the message.

Examples:
  waxwing delete 4f2a6c1e
  waxwing delete 4f2a6c1e --file 0
  waxwing delete --conversation bob@example.org")]
    Delete(delete::Delete),

    /// Send a message that failed again
    #[command(after_help = "\
The message goes to the end of the conversation, with its files. Only messages that were not
sent can be sent again, so nobody gets a message twice.

Example:
  waxwing resend 4f2a6c1e")]
    Resend(messages::Which),

    /// Make a conversation's messages disappear after they are read
    #[command(after_help = "\
Applies to new messages from everybody in the conversation. In a group, only admins can set
it. Each device deletes a message this long after it was read there, from the disk too; the
sender's copy is deleted this long after it was sent. Somebody who wants to keep a message
still can: this helps against forgetting to delete, not against betrayal.

Examples:
  waxwing disappear bob@example.org 1d
  waxwing disappear Family off")]
    Disappear(messages::Disappear),

    /// Show who has received and read a message, and its earlier versions
    Info(messages::Which),

    /// List your contacts and how they are verified
    Contacts,

    /// List your conversations
    #[command(after_help = "\
Pinned conversations come first, then those with the newest messages. Pins, mutes, stars,
drafts and archived conversations are the same on all your devices.")]
    Conversations,

    /// List message requests from strangers
    #[command(after_help = "\
A stranger is somebody to whom you have never written. They do not learn that their message
arrived or that you read it. Until you accept or reply, their messages are marked and their
files are not fetched. `waxwing history ADDRESS` shows what they wrote.")]
    Requests,

    /// Accept a message request
    Accept(requests::Accept),

    /// Decline a message request: delete the messages, or leave the group
    Decline(requests::Decline),

    /// Block a contact, or list those you blocked
    #[command(after_help = "\
Messages from a blocked contact are not kept or shown, and they do not learn that you blocked
them. A contact that you block on one device is blocked on all. In a group, you do not see what
they write, and the others do.

Examples:
  waxwing block mallory@example.org
  waxwing block")]
    Block(privacy::Block),

    /// Unblock a contact
    #[command(after_help = "\
What they wrote while they were blocked does not arrive later.

Example:
  waxwing unblock mallory@example.org")]
    Unblock(privacy::Unblock),

    /// Show or choose what others learn about you: receipts and typing notices
    #[command(after_help = "\
The choice holds on all your devices.

Examples:
  waxwing receipts
  waxwing receipts --read off --typing off")]
    Receipts(privacy::Receipts),

    /// Export a conversation to a folder: a page to read, JSON, and the files
    #[command(after_help = "\
The page (conversation.html) works offline and runs no scripts; conversation.json is for
programs and for `waxwing import`. The exported files are not encrypted.

Examples:
  waxwing export bob@example.org --to bob
  waxwing export Family --to family --without-files")]
    Export(export::Export),

    /// Import messages from an export
    #[command(after_help = "\
Messages that are already here stay unchanged, so importing a file twice has no effect. Nothing
is sent to anybody. Anybody can write such a file, so imported messages are marked.

Examples:
  waxwing import bob/conversation.json
  waxwing import old/conversation.json --into Family")]
    Import(export::Import),

    /// Report messages you received, with proof of who wrote them
    #[command(after_help = "\
Writes the messages that you name, and no others, to a file, with the signatures of the
devices that sent them. People who get the file can check who wrote the messages without
trusting you or the relay. Nothing is sent to anybody.

Examples:
  waxwing report 4f2a6c1e --to threat.json
  waxwing report 4f2a6c1e 91b0 --note 'He keeps writing this' --to threats.json
  waxwing check-report threat.json")]
    Report(report::Report),

    /// Check what a report proves
    CheckReport(report::Check),

    /// Keep a conversation at the top of the list
    Pin(conversation_settings::Switch),

    /// Archive a conversation until somebody writes in it
    Archive(conversation_settings::Switch),

    /// Mute a conversation: its messages arrive without an alert
    Mute(conversation_settings::Mute),

    /// Give somebody a nickname that only you see
    #[command(after_help = "\
Only your own devices know it. The address is always shown beside it, because the address is
what is verified.

Example:
  waxwing nickname bob@example.org 'Uncle Bob'")]
    Nickname(conversation_settings::Nickname),

    /// Set the name and picture your contacts see, or show a contact's profile
    #[command(after_help = "\
Your name and picture are sent, end-to-end encrypted, only to people to whom you have
written. Anybody can choose any name: only the address is verified.

Examples:
  waxwing profile --name 'Alice B.' --picture me.jpg
  waxwing profile bob@example.org")]
    Profile(profile::Profile),

    /// Star a message, to find it again later
    Star(conversation_settings::Star),

    /// List starred messages
    Starred,

    /// Create, change and leave groups
    #[command(after_help = "\
The list of members is part of the encrypted group, so the relay cannot read it. Every member's
device refuses changes by anybody who is not an admin. Without a subcommand, lists your
groups. Write to a group as you write to a person: waxwing send Family 'Dinner is ready'

Examples:
  waxwing group create Family bob@example.org carol@example.org
  waxwing group
  waxwing group show Family")]
    Group(group::Group),

    /// Verify in person that a contact is who you think
    #[command(after_help = "\
Shows your safety number with a contact, as 60 digits and a QR code. It is the same on all
devices of both of you, until one of you creates a new account. Compare it with the number
on their device. If the keys of a contact you verified change, nothing is sent to them
until you decide.

Examples:
  waxwing verify bob@example.org
  waxwing verify bob@example.org --accept
  waxwing verify bob@example.org --accept --scanned 'waxwing:safety/1/…'
  waxwing verify bob@example.org --continue")]
    Verify(verify::Verify),

    /// List your devices, link new ones, revoke lost ones
    #[command(after_help = "\
Each device has its own keys. Your contacts' devices accept a device only if one of yours, or
your recovery key, admitted it. When a device is added or removed, your other devices tell
you.

Examples:
  waxwing devices
  waxwing devices link --relay 'https://relay.example.org/#sha256/…'
  waxwing devices approve 482193-7K3MQ-9TXPA
  waxwing devices revoke 'a1b2 c3d4'")]
    Devices(devices::Devices),

    /// Make a backup that only your recovery words can open
    #[command(after_help = "\
Waxwing makes a backup once a day if there is something new, and stores it on the relay,
which cannot read it. With --file the backup goes to a file instead.

Examples:
  waxwing backup
  waxwing backup --file waxwing-backup-2026-11")]
    Backup(backup::Backup),

    /// Recover your account after losing all its devices
    #[command(after_help = "\
You need the recovery words that `waxwing register` showed. Type them when asked, or pass
them on standard input. This device joins the account, and restores contacts and history
from the last backup. Your contacts see no alarm, because the account stays the same.

Examples:
  waxwing recover alice@example.org --relay 'https://relay.example.org/#sha256/…'
  waxwing recover alice@example.org --relay … --revoke-others
  waxwing recover alice@example.org --relay … --from waxwing-backup-2026-11")]
    Recover(recover::Recover),

    /// Add what a backup has to this device
    #[command(after_help = "\
Adds contacts, conversations and messages that this device does not have. It needs your
recovery words, which open the backup. Nothing that is here is changed or removed.

Examples:
  waxwing restore
  waxwing restore --from waxwing-backup-2026-11")]
    Restore(recover::Restore),

    /// Lock your address, so that nobody else can register it
    #[command(after_help = "\
Without a lock, somebody who can read the mail or texts sent to your address can register it
for another account; you and your contacts would notice. With a lock, they need your recovery
words as well, or have to wait a week. During that week your devices tell you every day, and
any of them can object.

Examples:
  waxwing lock
  waxwing lock on
  waxwing lock keep")]
    Lock(lock::Lock),

    /// Audit a relay's key log, or choose the auditors you rely on
    #[command(
        subcommand,
        after_help = "\
A relay binds addresses to keys in a log to which it can only add. Auditors check that it
does nothing else, and co-sign what they have checked.

Examples:
  waxwing audit follow 'https://relay.example.org/#sha256/…'
  waxwing audit verify evidence-1.waxwing
  waxwing audit require 1 Eva=waxwing-auditor-…
  waxwing audit evidence --out evidence"
    )]
    Audit(Audit),

    /// Show alarms about your account and your relay
    #[command(after_help = "\
An alarm tells you about something that should not happen without your knowledge: for example,
a device was added, the relay's key log has an entry that your devices did not make, or the
relay was caught lying. Every command ends by showing your alarms, until you dismiss them.

Examples:
  waxwing alarms
  waxwing alarms --dismiss")]
    Alarms(alarms::Alarms),

    /// Send text messages to phones, and find the tricks in them
    #[command(
        subcommand,
        after_help = "A text message (SMS) proves nothing: anybody can forge its sender."
    )]
    Sms(sms::Sms),

    /// Show your account, or delete it
    #[command(after_help = "\
Examples:
  waxwing account
  waxwing account delete")]
    Account(account::Account),

    /// Show where the relay is, or follow it to another host or port
    #[command(after_help = "\
To reach the relay through Tor or another SOCKS5 proxy, give --proxy once: this home remembers it,
and all its connections go through it. Names are looked up by the proxy. If the proxy does not
work, nothing is sent. A proxy in ALL_PROXY is used and remembered if the home has none.

Examples:
  waxwing relay
  waxwing relay move https://relay.example.net:8443
  waxwing relay --proxy socks5://127.0.0.1:9050
  waxwing relay --proxy none")]
    Relay(relay::Relay),

    /// Check that everything works
    #[command(after_help = "\
Checks the home folder, the store and its key, the relay, its pin and its encryption, the
clock, the login, and what is still waiting. The exit code is 1 if something is wrong.")]
    Doctor,

    /// Serve JSON-RPC 2.0 on standard input and output, one object per line
    #[command(after_help = "\
Example:
  echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"contacts\"}' | waxwing rpc

docs/rpc.md describes the methods, and the notices that follow \"subscribe\".")]
    Rpc,

    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  waxwing completions bash > ~/.local/share/bash-completion/completions/waxwing
  waxwing completions zsh > ~/.zfunc/_waxwing
  waxwing completions fish > ~/.config/fish/completions/waxwing.fish")]
    Completions(pages::Completions),

    /// Print the manual page of one command, or of all
    #[command(after_help = "\
Examples:
  waxwing man | man -l -
  waxwing man send > waxwing-send.1")]
    Man(pages::Man),
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Check that a relay's key log only grows, and co-sign what was checked
    #[command(after_help = "\
Needs no account. Checks every entry in the log from the first one on, without being able to
read what is in it. The relay publishes the co-signatures of the auditors that its operator
has named. If the relay lied, the command ends with exit code 1 and never co-signs for it
again. If the relay signed two statements that contradict each other, the command writes a
file that proves it.

Examples:
  waxwing audit follow 'https://relay.example.org/#sha256/…'
  waxwing audit follow https://relay.example.org --pin sha256/… --once
  waxwing audit follow https://relay.example.org --publish /srv/www/cosignatures")]
    Follow(audit::Follow),
    /// Print this auditor's id, by which relays and clients name it
    Id(audit::Id),
    /// Check a proof that a relay lied
    #[command(after_help = "\
Needs no account and no network. The exit code is 0 if the file proves that the relay with
the printed pin lied, and 1 if it does not.

Example:
  waxwing audit verify evidence-1.waxwing")]
    Verify(audit::Verify),
    /// Choose the auditors that must co-sign what the relay shows you
    Require(auditors::Require),
    /// List your auditors and what they have co-signed
    Auditors,
    /// Write the proofs that the relay lied to files that anybody can check
    Evidence(auditors::Evidence),
}

/// Does what was asked for.
pub async fn run(mut cli: Cli, output: &Output) -> Result<Outcome, Failure> {
    // What needs no account opens no home.
    let path = cli.home.clone().or_else(home::default_home);
    cli.command = match cli.command {
        Command::Completions(completions) => {
            return Ok(completions.run(Cli::command(), output));
        }
        Command::Man(man) => return man.run(Cli::command(), output),
        Command::Sms(sms) => match sms.without_home(output) {
            Ok(done) => return done,
            Err(sms) => Command::Sms(sms),
        },
        Command::Audit(Audit::Verify(verify)) => return verify.run(output),
        Command::Audit(Audit::Id(id)) => return id.run(cli.home.as_deref(), output),
        Command::Audit(Audit::Follow(follow)) => {
            // It has no account, but may have a home that remembers a proxy.
            let remembered = path.as_deref().map(home::remembered_route).transpose()?;
            let (route, _) =
                choose_route(cli.proxy, remembered.flatten(), proxy_of_all_programs())?;
            let following = Box::pin(follow.run(cli.home.as_deref(), route, output));
            return interruptible(following, Outcome::Done).await;
        }
        other => other,
    };
    // Read before the home is opened: nothing else should wait while a person types.
    let message = match &cli.command {
        Command::Send(send) => Some(send.message()?),
        Command::Sms(sms) => sms.message()?,
        _ => None,
    };
    let path = path.ok_or_else(|| Problem::HomeUnwritable {
        path: "~".to_owned(),
        detail: "no home folder is known".to_owned(),
    })?;
    // Before anything connects; with a proxy given here, what was remembered may be damaged.
    let remembered = match home::remembered_route(&path) {
        Err(_) if cli.proxy.is_some() => None,
        remembered => remembered?,
    };
    let (_, new) = choose_route(cli.proxy, remembered, proxy_of_all_programs())?;
    if let Some(proxy) = &new {
        Home::open(&path)?.remember_route(proxy)?;
    }
    let mut session = Session::open(&path, Box::new(Keys::new(cli.key_store))).await?;
    if let Some(proxy) = new.filter(|_| !session.drives()) {
        // Another process has the links.
        let proxy = serde_json::json!({ "proxy": proxy });
        session.call("set_proxy", Some(proxy)).await?;
    }
    // The others show the alarms themselves, or to programs.
    let reminds = !matches!(
        cli.command,
        Command::Rpc | Command::App(_) | Command::Alarms(_) | Command::Doctor
    );
    // These end only because somebody ends them.
    let serves = matches!(
        cli.command,
        Command::Rpc | Command::App(_) | Command::Listen(_)
    );
    let when_terminated = if serves {
        Outcome::Done
    } else {
        Outcome::Terminated
    };
    let command = command(cli.command, message, &mut session, output);
    let mut result = interruptible(Box::pin(command), when_terminated).await;
    let was_ended = matches!(result, Ok(Outcome::Interrupted | Outcome::Terminated));
    if was_ended && output.is_waiting() {
        result = Ok(send::tell_queued(output));
    }
    if reminds && result.is_ok() {
        alarms::remind(&mut session, output).await;
    }
    session.close().await;
    result
}

/// Runs a command until it ends, or somebody ends it.
async fn interruptible(
    command: impl Future<Output = Result<Outcome, Failure>>,
    when_terminated: Outcome,
) -> Result<Outcome, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        result = command => result,
        _ = tokio::signal::ctrl_c() => Ok(Outcome::Interrupted),
        _ = terminate.recv() => Ok(when_terminated),
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
        Command::App(app) => app.run(session, output).await,
        Command::Send(send) => send.run(message.unwrap_or_default(), session, output).await,
        Command::Sms(sms) => sms.run(message.unwrap_or_default(), session, output).await,
        Command::Listen(listen) => listen.run(session, output).await,
        Command::History(history) => history.run(session, output).await,
        Command::Save(save) => save.run(session, output).await,
        Command::Profile(profile) => profile.run(session, output).await,
        Command::Requests => requests::list(session, output).await,
        Command::Accept(accept) => accept.run(session, output).await,
        Command::Decline(decline) => decline.run(session, output).await,
        Command::Block(block) => block.run(session, output).await,
        Command::Unblock(unblock) => unblock.run(session, output).await,
        Command::Receipts(receipts) => receipts.run(session, output).await,
        Command::Thread(which) => which.thread(session, output).await,
        Command::Search(search) => search.run(session, output).await,
        Command::React(react) => react.run(session, output).await,
        Command::Poll(poll) => poll.run(session, output).await,
        Command::Edit(edit) => edit.run(session, output).await,
        Command::Unsend(which) => which.unsend(session, output).await,
        Command::Forward(forward) => forward.run(session, output).await,
        Command::Open(open) => open.run(session, output).await,
        Command::Scheduled(scheduled) => scheduled.run(session, output).await,
        Command::Delete(delete) => delete.run(session, output).await,
        Command::Resend(which) => send::resend(which, session, output).await,
        Command::Disappear(disappear) => disappear.run(session, output).await,
        Command::Info(which) => which.info(session, output).await,
        Command::Contacts => contacts::run(session, output).await,
        Command::Conversations => conversation_settings::conversations(session, output).await,
        Command::Export(export) => export.run(session, output).await,
        Command::Import(import) => import.run(session, output).await,
        Command::Report(report) => report.run(session, output).await,
        Command::CheckReport(check) => check.run(session, output).await,
        Command::Pin(pin) => pin.pin(session, output).await,
        Command::Archive(archive) => archive.archive(session, output).await,
        Command::Mute(mute) => mute.run(session, output).await,
        Command::Nickname(nickname) => nickname.run(session, output).await,
        Command::Star(star) => star.run(session, output).await,
        Command::Starred => conversation_settings::starred(session, output).await,
        Command::Group(group) => group.run(session, output).await,
        Command::Verify(verify) => verify.run(session, output).await,
        Command::Audit(Audit::Require(require)) => require.run(session, output).await,
        Command::Audit(Audit::Auditors) => auditors::list(session, output).await,
        Command::Audit(Audit::Evidence(evidence)) => evidence.run(session, output).await,
        Command::Alarms(alarms) => alarms.run(session, output).await,
        Command::Devices(devices) => devices.run(session, output).await,
        Command::Backup(backup) => backup.run(session, output).await,
        Command::Recover(recover) => recover.run(session, output).await,
        Command::Restore(restore) => restore.run(session, output).await,
        Command::Lock(lock) => lock.run(session, output).await,
        Command::Account(account) => account.run(session, output).await,
        Command::Relay(relay) => relay.run(session, output).await,
        Command::Doctor => doctor::run(session, output).await,
        Command::Rpc => {
            match stdio::run(session).await {
                // The program that called has ended.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                result => result?,
            }
            Ok(Outcome::Done)
        }
        // These were done before.
        Command::Audit(Audit::Follow(_) | Audit::Id(_) | Audit::Verify(_))
        | Command::Completions(_)
        | Command::Man(_) => Ok(Outcome::Done),
    }
}
