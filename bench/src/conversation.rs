//! `waxwing-bench-conversation`: measures what a device does in groups of all sizes, with
//! attached files, and in a long history.
//!
//! **Elsewhere**: `cargo xtask bench conversation` builds and starts this; what its figures
//! mean is `docs/benchmarks.md`. Two people's whole engines: the engine's example `bench`.
//!
//! **Always**: standard output holds JSON, one object a line; everything for people goes to
//! standard error. Groups are measured with the code that the engine uses, each step with its
//! durable transaction; the network is not in it. A tree is as full as it is after its maker
//! has brought everybody in: the worst case for commits.

// Figures are made for people: a rate that is off by 2^-53 is not off.
#![allow(clippy::cast_precision_loss, clippy::unwrap_used)]

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, aead::AeadInOut as _};
use clap::Parser;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_bench::report::{Line, median, rounded};
use waxwing_client::blobs::{Blobs, metadata::Metadata};
use waxwing_engine::{
    api::{
        AttachmentState, Direction, History, ImportEntries, ImportedMessage, Message, MessageId,
        OpenAttachment, Request, Response, Search,
    },
    mls::{
        Crypto, Group, Incoming, KeyPackage, KeyPackageUse, Leaf, LeafKey, MlsError, ProcessError,
        Provider, StagedWelcome, make_key_package,
    },
    store::{Store, StoreError, StoreKey},
};
use waxwing_protocol::{
    address::Address,
    conversation::{ConversationSecrets, MemberAddresses},
    ids::{AccountId, DeviceId, GroupId, MailboxId},
    padding,
    pb::{Envelope, envelope},
    sealing::RejoinSecret,
    time::Time,
};
use waxwing_system_tests::{RealRelay, World, WorldOptions};

#[derive(Parser)]
struct Arguments {
    /// Where stores and files are made: should be on a real disk.
    #[arg(long, value_name = "DIR")]
    scratch: PathBuf,
    /// A tenth of everything, to see that it works.
    #[arg(long)]
    quick: bool,
    /// attachment, groups, history; all where none is named.
    scenarios: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let scratch = tempfile::tempdir_in(&arguments.scratch).context("no place for the stores")?;
    let wanted = |name: &str| {
        arguments.scenarios.is_empty() || arguments.scenarios.iter().any(|one| one == name)
    };
    // First, so that what the rest takes in memory is not counted.
    if wanted("attachment") {
        attachment(scratch.path(), if arguments.quick { 64 } else { 1_024 })?;
    }
    let sizes: &[usize] = if arguments.quick {
        &[2, 32, 100]
    } else {
        &[2, 32, 256, 1_000]
    };
    for size in sizes.iter().filter(|_| wanted("groups")) {
        group(scratch.path(), *size)?;
    }
    if wanted("history") {
        history(if arguments.quick { 100_000 } else { 1_000_000 })?;
    }
    Ok(())
}

/// One device: its store, its leaf, and its group as it is held in memory.
struct Device {
    store: Store,
    crypto: Crypto,
    leaf: Leaf,
    group: Option<Group>,
}

const GROUP: GroupId = GroupId([7; 16]);
/// Bytes of a message's text.
const TEXT_BYTES: usize = 256;
/// How often each step is measured.
const TIMES: usize = 9;

/// An id that is a number.
fn name(number: usize) -> [u8; 32] {
    let mut name = [0; 32];
    for (place, byte) in name.iter_mut().zip((number as u64 + 1).to_be_bytes()) {
        *place = byte;
    }
    name
}

fn leaf(account: usize, device: usize, rng: &mut ChaCha20Rng) -> Leaf {
    let mut mailbox = [0; 16];
    mailbox.copy_from_slice(name(device).split_at(16).0);
    Leaf::new(
        LeafKey::generate(rng),
        AccountId(name(account)),
        DeviceId(name(device)),
        MailboxId(mailbox),
    )
}

fn secrets(members: usize) -> ConversationSecrets {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let addresses = (0..members).map(|number| {
        let address = Address::parse(&format!("person{number}@example.org"));
        (AccountId(name(number)), address.unwrap())
    });
    ConversationSecrets {
        rejoin_secret: RejoinSecret::generate(&mut rng),
        addresses: MemberAddresses::new(addresses),
        state: None,
    }
}

impl Device {
    fn new(path: Option<&Path>, number: usize, rng: &mut ChaCha20Rng) -> Result<Self> {
        let leaf = leaf(number, number, rng);
        Self::with_leaf(path, number, leaf)
    }

    fn with_leaf(path: Option<&Path>, number: usize, leaf: Leaf) -> Result<Self> {
        let store = match path {
            Some(folder) => Store::open(
                &folder.join(format!("{number}.waxwing")),
                &StoreKey::from_bytes([7; 32]),
            )?,
            None => Store::open_in_memory()?,
        };
        Ok(Self {
            store,
            crypto: Crypto::new()?,
            leaf,
            group: None,
        })
    }

    /// One transaction with the group as memory holds it, and how long it takes.
    fn with<R, E: From<StoreError>>(
        &mut self,
        rng: &mut ChaCha20Rng,
        work: impl FnOnce(&Provider<'_>, &Leaf, &mut Option<Group>) -> Result<R, E>,
    ) -> (Result<R, E>, f64) {
        let Self {
            store,
            crypto,
            leaf,
            group,
        } = self;
        let begun = Instant::now();
        let result = store
            .transaction(|transaction| work(&Provider::new(crypto, rng, transaction), leaf, group));
        (result, begun.elapsed().as_secs_f64() * 1e3)
    }

    fn key_package(&mut self, rng: &mut ChaCha20Rng) -> Result<KeyPackage> {
        let made = self.with(rng, |provider, leaf, _| {
            let made = make_key_package(provider, leaf, KeyPackageUse::Once)?;
            KeyPackage::check(provider, &made.bytes)
        });
        Ok(made.0?)
    }

    /// Takes another's commit in.
    fn follow(&mut self, rng: &mut ChaCha20Rng, commit: &[u8]) -> Result<f64> {
        let (result, ms) = self.with(rng, |provider, _, group| {
            let group = group.as_mut().ok_or(ProcessError::NotMember)?;
            let Incoming::Commit(commit) = group.process(provider, commit)? else {
                return Err(ProcessError::Malformed);
            };
            group
                .merge(provider, *commit)
                .map_err(|_| ProcessError::Malformed)
        });
        result?;
        Ok(ms)
    }

    fn join(&mut self, rng: &mut ChaCha20Rng, welcome: &[u8]) -> Result<f64> {
        let (result, ms) = self.with(rng, |provider, _, group| {
            *group = Some(StagedWelcome::open(provider, GROUP, welcome)?.accept(provider)?);
            Ok::<_, MlsError>(())
        });
        result?;
        Ok(ms)
    }

    /// Makes a commit and the state after it, as if the relay had taken it.
    fn commit(
        &mut self,
        rng: &mut ChaCha20Rng,
        added: &[KeyPackage],
        gone: &[[u8; 32]],
        secrets: Option<&ConversationSecrets>,
    ) -> Result<(waxwing_engine::mls::PendingCommit, f64)> {
        let (result, ms) = self.with(rng, |provider, leaf, group| {
            let group = group.as_mut().ok_or(MlsError::NotMember)?;
            let commit = group.change(provider, leaf, added, gone, secrets)?;
            group.merge_pending(provider)?;
            Ok::<_, MlsError>(commit)
        });
        Ok((result?, ms))
    }
}

/// A group of `size` devices, of which two have stores on the disk.
fn group(scratch: &Path, size: usize) -> Result<()> {
    let folder = scratch.join(size.to_string());
    fs::create_dir(&folder)?;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut alice = Device::new(Some(&folder), 0, &mut rng)?;
    let mut bob = Device::new(Some(&folder), 1, &mut rng)?;
    let all = secrets(size);
    let made = alice.with(&mut rng, |provider, leaf, group| {
        *group = Some(Group::create(provider, leaf, GROUP, &all)?);
        Ok::<_, MlsError>(())
    });
    made.0?;
    let mut packages = vec![bob.key_package(&mut rng)?];
    let mut last = None;
    for number in 2..size {
        let mut other = Device::new(None, number, &mut rng)?;
        packages.push(other.key_package(&mut rng)?);
        last = Some(other.leaf.public_key());
    }
    let (first, made_ms) = alice.commit(&mut rng, &packages, &[], None)?;
    let welcome = first.welcome.context("nobody was welcomed")?;
    let joined_ms = bob.join(&mut rng, &welcome)?;

    let mut sent = Vec::new();
    let mut received = Vec::new();
    let mut message_bytes = 0;
    for _ in 0..TIMES * 5 {
        let envelope = Envelope {
            body: Some(envelope::Body::Mimi(vec![b'x'; TEXT_BYTES].into())),
            signature: vec![1; 64].into(),
            ..Envelope::default()
        };
        let padded = padding::encode_padded(envelope);
        let (message, ms) = alice.with(&mut rng, |provider, leaf, group| {
            let group = group.as_mut().ok_or(MlsError::NotMember)?;
            group.encrypt(provider, leaf, &padded)
        });
        let message = message?;
        sent.push(ms);
        message_bytes = message.len();
        let (read, ms) = bob.with(&mut rng, |provider, _, group| {
            let group = group.as_mut().ok_or(ProcessError::NotMember)?;
            group.process(provider, &message)
        });
        read?;
        received.push(ms);
    }
    Line::new("messages")
        .field("devices", size)
        .field("send_ms", rounded(median(sent), 2))
        .field("receive_ms", rounded(median(received), 2))
        .field("bytes", message_bytes)
        .print();
    Line::new("made")
        .field("devices", size)
        .field("make_ms", rounded(made_ms, 2))
        .field("join_ms", rounded(joined_ms, 2))
        .field("welcome_bytes", welcome.len())
        .field("group_info_bytes", first.next.group_info.len())
        .print();

    for what in ["rekey", "add", "remove"] {
        let (mut makes, mut follows, mut joins) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = [0; 2];
        for time in 0..TIMES {
            // Another device of somebody, since there are no more people than may be.
            let another = leaf(time % size, size + time, &mut rng);
            let mut newcomer = Device::with_leaf(None, size + time, another)?;
            let package = newcomer.key_package(&mut rng)?;
            let more = secrets(size);
            let (commit, ms) = match what {
                "rekey" => alice.commit(&mut rng, &[], &[], None)?,
                "add" => alice.commit(&mut rng, &[package], &[], Some(&more))?,
                _ => {
                    // Somebody who was there, or came a moment ago.
                    let gone = if let Some(gone) = last.take() {
                        gone
                    } else {
                        let (commit, _) = alice.commit(&mut rng, &[package], &[], Some(&more))?;
                        bob.follow(&mut rng, &commit.commit)?;
                        newcomer.leaf.public_key()
                    };
                    alice.commit(&mut rng, &[], &[gone], None)?
                }
            };
            makes.push(ms);
            follows.push(bob.follow(&mut rng, &commit.commit)?);
            bytes[0] = commit.commit.len();
            if let Some(welcome) = &commit.welcome {
                joins.push(newcomer.join(&mut rng, welcome)?);
                bytes[1] = welcome.len();
            }
        }
        let mut line = Line::new(what)
            .field("devices", size)
            .field("make_ms", rounded(median(makes), 2))
            .field("follow_ms", rounded(median(follows), 2))
            .field("commit_bytes", bytes[0]);
        if !joins.is_empty() {
            line = line
                .field("join_ms", rounded(median(joins), 2))
                .field("welcome_bytes", bytes[1]);
        }
        line.print();
    }
    Ok(())
}

/// The most memory that this process has had, in MB.
fn memory_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1_024.0 / 1e6
}

/// Sealing and opening a file, against the cipher alone.
fn attachment(scratch: &Path, mib: usize) -> Result<()> {
    let path = scratch.join("file");
    let mut file = File::create(&path)?;
    let mut chunk = vec![0; 1 << 20];
    for (place, byte) in chunk.iter_mut().enumerate() {
        *byte = u8::try_from(place % 251)?;
    }
    for _ in 0..mib {
        file.write_all(&chunk)?;
    }
    file.sync_all()?;
    let mb = (mib << 20) as f64 / 1e6;

    let cipher = ChaCha20Poly1305::new(&[7; 32].into());
    let mut buffer = vec![0; 64 << 10];
    let begun = Instant::now();
    for number in 0..(mib * 16) as u64 {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        let sealed =
            cipher.encrypt_inout_detached(&nonce.into(), b"", buffer.as_mut_slice().into());
        if sealed.is_err() {
            bail!("the cipher failed");
        }
    }
    let alone = mb / begun.elapsed().as_secs_f64();

    let before = memory_mb();
    let blobs = Blobs::of(scratch);
    let begun = Instant::now();
    let sealed = blobs.seal(&path, Metadata::Kept, |_| {})?;
    let seal = mb / begun.elapsed().as_secs_f64();
    let open = OpenAttachment {
        blob: sealed.blob,
        key: sealed.key,
        name: sealed.name,
        media_type: sealed.media_type,
        size: sealed.size,
        state: AttachmentState::Here,
        percent: 100,
        missing: None,
    };
    let begun = Instant::now();
    let opened = blobs.open(&open, &scratch.join("opened"))?;
    let rate = mb / begun.elapsed().as_secs_f64();
    if fs::metadata(opened)?.len() != (mib as u64) << 20 {
        bail!("another file came out");
    }
    Line::new("attachment")
        .field("mib", mib)
        .field("chacha20poly1305_alone_mb_s", rounded(alone, 2))
        .field("seal_mb_s", rounded(seal, 2))
        .field("open_mb_s", rounded(rate, 2))
        .field("memory_mb", rounded(memory_mb(), 2))
        .note("memory before", format!("{before:.0} MB"))
        .print();
    fs::remove_file(path)?;
    Ok(())
}

/// A history of so many messages, in a conversation and among a hundred.
fn history(count: u64) -> Result<()> {
    let options = WorldOptions {
        stores_on_disk: true,
        ..WorldOptions::default()
    };
    let mut world = World::new(1, RealRelay::default(), options);
    let alice = world.add_registered("alice@example.org");
    let words = [
        "tomorrow", "dinner", "train", "backup", "holiday", "the", "at", "seven", "and", "with",
        "mountain", "garden",
    ];
    let begins = world.now.0 - count * 60_000;
    let begun = Instant::now();
    let mut number = 0_u64;
    while number < count {
        // A tenth of all in one conversation, the rest in a hundred.
        let with = if number.is_multiple_of(10_000) {
            0
        } else {
            number / 1_000 % 100
        };
        let messages = (0..1_000).map(|_| {
            number += 1;
            let begin = usize::try_from(number % 12).unwrap_or(0);
            let text: Vec<&str> = words.into_iter().cycle().skip(begin).take(12).collect();
            let mut text = text.join(" ");
            if number.is_multiple_of(100_000) {
                text.push_str(" aardvark");
            }
            imported(number, begins + number * 60_000, with, text)
        });
        let request = Request::ImportEntries(Box::new(ImportEntries {
            into: format!("person{with}@example.org"),
            messages: messages.collect(),
        }));
        world.command(alice, request).context("not imported")?;
    }
    let filled = count as f64 / begun.elapsed().as_secs_f64();

    let mut opens = Vec::new();
    for _ in 0..TIMES {
        world.crash(alice);
        let begun = Instant::now();
        world.start(alice);
        opens.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let mut ask = |request: &dyn Fn() -> Request| -> Result<(f64, u64)> {
        let mut all = Vec::new();
        let mut found = 0;
        for _ in 0..TIMES * 3 {
            let begun = Instant::now();
            let response = world.command(alice, request())?;
            all.push(begun.elapsed().as_secs_f64() * 1e3);
            found = match response {
                Response::History(waxwing_engine::api::HistoryPage { entries, .. }) => {
                    entries.len() as u64
                }
                Response::Found(waxwing_engine::api::Found { found, .. }) => found.len() as u64,
                Response::Conversations(waxwing_engine::api::Conversations { conversations }) => {
                    conversations.len() as u64
                }
                _ => bail!("another response"),
            };
        }
        Ok((median(all), found))
    };
    let page = |before: Option<MessageId>| {
        Request::History(History {
            of: "person0@example.org".into(),
            limit: Some(50),
            before,
            ..History::default()
        })
    };
    let search = |text: &str| {
        Request::Search(Search {
            text: text.into(),
            limit: Some(50),
            ..Search::default()
        })
    };
    let (newest, shown) = ask(&|| page(None))?;
    if shown != 50 {
        bail!("{shown} entries on a page");
    }
    let (middle, _) = ask(&|| page(Some(id(500))))?;
    let (rare, few) = ask(&|| search("aardvark"))?;
    if few != count / 100_000 {
        bail!("{few} found of {}", count / 100_000);
    }
    let (common, _) = ask(&|| search("dinner holi"))?;
    let (conversations, _) = ask(&|| Request::Conversations)?;
    Line::new("history")
        .field("messages", count)
        .field("open_ms", rounded(median(opens), 2))
        .field("newest_page_ms", rounded(newest, 2))
        .field("old_page_ms", rounded(middle, 2))
        .field("search_rare_ms", rounded(rare, 2))
        .field("search_common_ms", rounded(common, 2))
        .field("conversations_ms", rounded(conversations, 2))
        .field("imported_per_s", rounded(filled, 2))
        .print();
    Ok(())
}

fn id(number: u64) -> MessageId {
    let mut id = [1; 32];
    id[24..].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(id)
}

fn imported(number: u64, at: u64, with: u64, text: String) -> ImportedMessage {
    let nowhere = waxwing_engine::api::ConversationId::from_bytes([0; 16]);
    let from = format!("person{with}@example.org");
    let message = Message {
        text,
        read: true,
        imported: true,
        ..Message::new(id(number), nowhere, from, Time(at).into(), Direction::In)
    };
    ImportedMessage {
        message,
        files: Vec::new(),
    }
}
