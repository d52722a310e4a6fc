//! The attacks. A new one is a function here and a line in [`ATTACKS`].
//!
//! **Elsewhere**: what each may use, and what is counted of it, is `attacker`.
//!
//! **Always**: an attack does what somebody without the relay's keys could do, and never more
//! than it says. It goes on when the relay refuses it or cuts its links, as somebody would who
//! does not give up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::{join_all, pending};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{interval, sleep};
use waxwing_bench::link::Link;
use waxwing_bench::person::{Pair, Person, address, body, random};
use waxwing_protocol::ids::{MailboxId, PostId};
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use waxwing_protocol::{Exporter, limits};

use crate::attacker::{Attack, Flood, Greeting, Scene, newcomer, source};

/// Statements of a long roster: as many as a registration's frame holds.
const LONG_ROSTER: usize = 16;
/// Bytes of an ML-DSA-65 signature.
const ML_DSA_BYTES: usize = 3_309;
/// Bytes of posts that fill a mailbox: smaller ones take the room that larger ones leave.
const FILLING_POSTS: [usize; 4] = [250 << 10, 25 << 10, 2 << 10, 256];
/// Links that ask and do not read.
const DEAF_LINKS: usize = 200;
/// Links that never end their frame.
const PARTIAL_LINKS: usize = 400;
/// Links that are authorised to post to long lists, and the lists.
const FAN_OUT_LINKS: usize = 400;
const FAN_OUT_GROUPS: usize = 8;
/// As many links as one source may have, by default.
const PLACES: usize = 1_000;

/// All of them.
pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "control",
        what: "the attacker only keeps one core busy, and leaves the relay alone",
        run: |scene| Box::pin(control(scene)),
    },
    Attack {
        name: "logins",
        what: "one nameless link sends log-ins of a device with a long roster, wrongly signed",
        run: |scene| Box::pin(logins(scene)),
    },
    Attack {
        name: "unsigned-logins",
        what: "the same without any signature: 44 bytes each",
        run: |scene| Box::pin(unsigned_logins(scene)),
    },
    Attack {
        name: "registrations",
        what: "one nameless link enters the right code with a long roster, wrongly signed, again and again",
        run: |scene| Box::pin(registrations(scene)),
    },
    Attack {
        name: "authorisations",
        what: "one nameless link authorises itself to post to 4,096 mailboxes, again and again",
        run: |scene| Box::pin(authorisations(scene)),
    },
    Attack {
        name: "invented-mailboxes",
        what: "posts to 4,096 mailboxes that do not exist",
        run: |scene| Box::pin(invented_mailboxes(scene)),
    },
    Attack {
        name: "look-ups",
        what: "40 sources make 300 look-ups each at once, as many as each may",
        run: |scene| Box::pin(look_ups(scene)),
    },
    Attack {
        name: "histories",
        what: "4 accounts fetch their own addresses' histories, 300 times each",
        run: |scene| Box::pin(histories(scene)),
    },
    Attack {
        name: "audits",
        what: "one source reads all audit proofs and heads, over and over, on 16 connections",
        run: |scene| Box::pin(audits(scene)),
    },
    Attack {
        name: "deaf-links",
        what: "200 nameless links ask for 5.8 MiB each and read nothing",
        run: |scene| Box::pin(deaf_links(scene)),
    },
    Attack {
        name: "partial-frames",
        what: "400 nameless links send all of a frame of 1 MiB but its last byte",
        run: |scene| Box::pin(partial_frames(scene)),
    },
    Attack {
        name: "fan-outs",
        what: "400 nameless links are authorised to post to 8 lists of 4,096 mailboxes each",
        run: |scene| Box::pin(fan_outs(scene)),
    },
    Attack {
        name: "places",
        what: "one source opens 1,000 nameless links, keeps them, and tries for more",
        run: |scene| Box::pin(places(scene)),
    },
    Attack {
        name: "handshakes",
        what: "one source makes TLS connections, 100 a second, and drops them",
        run: |scene| Box::pin(handshakes(scene)),
    },
    Attack {
        name: "slow-handshakes",
        what: "one source begins 1,000 TLS handshakes and never goes on",
        run: |scene| Box::pin(slow_handshakes(scene)),
    },
    Attack {
        name: "blobs",
        what: "one account stores blobs, 64 MiB a second, with all tokens that it gets",
        run: |scene| Box::pin(blobs(scene)),
    },
    Attack {
        name: "full-mailbox",
        what: "with one token, posts of up to 250 KiB to somebody's mailbox, who is away and has other conversations",
        run: |scene| Box::pin(full_mailbox(scene)),
    },
    Attack {
        name: "codes",
        what: "40 sources ask for codes for the addresses that their owners are registering",
        run: |scene| Box::pin(codes(scene)),
    },
    Attack {
        name: "codes-for-all",
        what: "400 sources ask for 30 codes each, for invented addresses",
        run: |scene| Box::pin(codes_for_all(scene)),
    },
];

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(0x0bad_0000 + seed)
}

/// Keeps one core busy.
async fn control(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let mut hash = [0; 32];
    loop {
        for _ in 0..1_000 {
            hash = Sha256::digest(hash).into();
        }
        std::hint::black_box(&hash);
        tokio::task::yield_now().await;
    }
}

/// Log-ins that look right until their signature is checked.
async fn logins(scene: Arc<Scene>) -> Result<()> {
    let mut rng = rng(1);
    let signature = pb::HybridSignature {
        ed25519: body(&mut rng, 64),
        ml_dsa_65: body(&mut rng, ML_DSA_BYTES),
    };
    flood_logins(scene, Some(signature)).await
}

/// Log-ins that nobody signed.
async fn unsigned_logins(scene: Arc<Scene>) -> Result<()> {
    flood_logins(scene, None).await
}

async fn flood_logins(scene: Arc<Scene>, signature: Option<pb::HybridSignature>) -> Result<()> {
    let (person, link) = scene.account(0, LONG_ROSTER).await?;
    drop(link);
    let login = client_frame::Body::Login(pb::Login {
        device_id: person.device_id(),
        signature,
    });
    scene.begin().await;
    let flood = Flood {
        per_second: 1_000,
        window: 512,
    };
    let from = source(0);
    scene.flood(from, flood, |_| Some(login.clone())).await;
    Ok(())
}

/// Registrations that are right but for their signature: none of them uses up a try.
async fn registrations(scene: Arc<Scene>) -> Result<()> {
    let mut account = newcomer(0, LONG_ROSTER)?;
    let mut link = Link::open(&scene.target, source(0)).await?;
    let started = account.ask_for_code(&mut link).await?;
    let code = scene.code(&account).await?;
    let mut finish = account.finish(&link.exporter, &started, code)?;
    let wrong = body(&mut rng(2), ML_DSA_BYTES);
    if let Some(signature) = &mut finish.signature {
        signature.ml_dsa_65 = wrong;
    }
    drop(link);
    scene.begin().await;
    let flood = Flood {
        per_second: 200,
        window: 64,
    };
    let finish = client_frame::Body::FinishRegistration(finish);
    let from = source(0);
    scene.flood(from, flood, |_| Some(finish.clone())).await;
    Ok(())
}

/// A group of the attacker's with as many mailboxes as may be, all of them invented.
async fn crowd(scene: &Scene, person: &mut Person, link: &mut Link, seed: u64) -> Result<Pair> {
    let mut rng = rng(100 + seed);
    let mailboxes: Vec<MailboxId> = (0..limits::FAN_OUT_MAILBOXES)
        .map(|_| {
            let mut id = [0; 16];
            rng.fill_bytes(&mut id);
            MailboxId(id)
        })
        .collect();
    Pair::create(person, link, &mailboxes, &scene.target).await
}

/// Authorisations, each of them right.
async fn authorisations(scene: Arc<Scene>) -> Result<()> {
    let (mut person, mut link) = scene.account(0, 1).await?;
    person.log_in(&mut link).await?;
    let crowd = crowd(&scene, &mut person, &mut link, 0).await?;
    scene.begin().await;
    let flood = Flood {
        per_second: 1_000,
        window: 512,
    };
    let from = source(0);
    scene
        .flood(from, flood, |greeting| {
            Some(crowd.authorise(&greeting.exporter))
        })
        .await;
    Ok(())
}

/// Posts for nobody.
async fn invented_mailboxes(scene: Arc<Scene>) -> Result<()> {
    let (mut person, mut link) = scene.account(0, 1).await?;
    person.log_in(&mut link).await?;
    let crowd = crowd(&scene, &mut person, &mut link, 0).await?;
    scene.begin().await;
    let flood = Flood {
        per_second: 500,
        window: 128,
    };
    post(&scene, &crowd, flood, &[256]).await;
    Ok(())
}

/// Posts to a group on one link, of these sizes in turn.
async fn post(scene: &Scene, pair: &Pair, flood: Flood, sizes: &[usize]) {
    let mut rng = rng(3);
    let texts: Vec<Bytes> = sizes.iter().map(|bytes| body(&mut rng, *bytes)).collect();
    let mut texts = texts.iter().cycle();
    let from = source(0);
    let open = || async move {
        let mut link = Link::open(&scene.target, from).await?;
        link.ask(pair.authorise(&link.exporter)).await?;
        Ok(link)
    };
    scene
        .flood_on(open, flood, |_| {
            let mut id = [0; 16];
            rng.fill_bytes(&mut id);
            Some(pair.post(PostId(id), texts.next()?.clone()))
        })
        .await;
}

/// Look-ups of people there are.
async fn look_ups(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let flood = Flood {
        per_second: 300,
        window: 300,
    };
    let floods = (0..40).map(|number| {
        let scene = &scene;
        let mut asked = number;
        async move {
            let question = |_: &Greeting| {
                asked += 1;
                Some(client_frame::Body::LookUp(pb::LookUp {
                    address: address(asked % 16),
                    known_head: 0,
                }))
            };
            scene.flood(source(number), flood, question).await;
        }
    });
    join_all(floods).await;
    Ok(())
}

/// Histories that were made long beforehand: locked, unlocked, and so on.
async fn histories(scene: Arc<Scene>) -> Result<()> {
    const ACCOUNTS: usize = 4;
    const CHANGES: usize = 8;
    let prepared = (0..ACCOUNTS).map(|number| {
        let scene = &scene;
        async move {
            let (mut person, mut link) = scene.account(number, 1).await?;
            person.log_in(&mut link).await?;
            let own = address(50_000 + number);
            for change in 0..CHANGES {
                let set = pb::SetLock {
                    address: own.clone(),
                    locked: change % 2 == 0,
                };
                link.ask(client_frame::Body::SetLock(set)).await?;
            }
            Ok::<_, anyhow::Error>((person, own))
        }
    });
    let prepared: Vec<_> = join_all(prepared)
        .await
        .into_iter()
        .collect::<Result<_>>()?;
    scene.begin().await;
    let flood = Flood {
        per_second: 300,
        window: 300,
    };
    let floods = prepared.into_iter().enumerate().map(|(number, account)| {
        let scene = &scene;
        async move {
            let (person, own) = account;
            let person = tokio::sync::Mutex::new(person);
            let person = &person;
            let open = || async move {
                let mut link = Link::open(&scene.target, source(number)).await?;
                person.lock().await.log_in(&mut link).await?;
                Ok(link)
            };
            scene
                .flood_on(open, flood, |_| {
                    Some(client_frame::Body::FetchHistory(pb::FetchHistory {
                        address: own.clone(),
                        known_head: 0,
                        most_recent: 0,
                    }))
                })
                .await;
        }
    });
    join_all(floods).await;
    Ok(())
}

/// What anybody may read of the key log.
async fn audits(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let connections = (0..16).map(|number| {
        let scene = &scene;
        async move {
            loop {
                let opened = Instant::now();
                let connection = async {
                    let tcp = scene.target.connect(source(0), None).await?;
                    scene.target.secure(tcp).await
                };
                let Some(mut tls) = scene.count(connection.await) else {
                    sleep(Duration::from_millis(100)).await;
                    continue;
                };
                for request in 0.. {
                    let path = match (number + request) % 4 {
                        0 => "heads?from=1&to=1024".to_owned(),
                        1 => "head?known=1&known=2&known=3".to_owned(),
                        _ => format!("audit/{}", 1 + request % 8),
                    };
                    let answered = get(&mut tls, &path).await;
                    scene.sent(path.len());
                    match &answered {
                        Ok(status) if status == "503" => {
                            scene.refused("busy");
                            sleep(Duration::from_millis(10)).await;
                        }
                        Ok(status) if status == "200" || status == "404" => {
                            scene.answered(&answered);
                        }
                        Ok(status) => scene.refused(&format!("http_{status}")),
                        Err(_) => {
                            scene.cut(opened);
                            break;
                        }
                    }
                }
            }
        }
    });
    join_all(connections).await;
    Ok(())
}

/// One request over HTTP/1.1; gives its status once its whole body is read.
async fn get<T>(tls: &mut T, path: &str) -> Result<String>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let request = format!("GET /log/v1/{path} HTTP/1.1\r\nHost: relay\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    tls.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status = head.split_whitespace().nth(1).context("no status")?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("no length")?;
    let mut left: u64 = length.trim().parse()?;
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let room = usize::try_from(left)?.min(buffer.len());
        let read = tls.read(buffer.get_mut(..room).unwrap_or_default()).await?;
        if read == 0 {
            anyhow::bail!("the answer broke off");
        }
        left -= read as u64;
    }
    Ok(status.to_owned())
}

/// A blob of one part, which any link may read.
async fn blob(scene: &Scene) -> Result<Bytes> {
    let (mut person, mut link) = scene.account(0, 1).await?;
    person.log_in(&mut link).await?;
    let tokens = person.tokens(&mut link, 1).await?;
    let mut rng = rng(4);
    let blob_id = body(&mut rng, 32);
    let mut posting = Link::open(&scene.target, source(0)).await?;
    let open = pb::OpenBlob {
        blob_id: blob_id.clone(),
        bytes: limits::BLOB_PART_BYTES as u64,
        readers: 1,
        delete_hash: body(&mut rng, 32),
        tokens,
        ..pb::OpenBlob::default()
    };
    posting.ask(client_frame::Body::OpenBlob(open)).await?;
    let put = pb::PutBlobPart {
        blob_id: blob_id.clone(),
        index: 0,
        part: body(&mut rng, limits::BLOB_PART_BYTES),
    };
    posting.ask(client_frame::Body::PutBlobPart(put)).await?;
    Ok(blob_id)
}

/// Links that let the relay keep what they asked for.
async fn deaf_links(scene: Arc<Scene>) -> Result<()> {
    let blob_id = blob(&scene).await?;
    scene.begin().await;
    let links = (0..DEAF_LINKS).map(|number| {
        let (scene, blob_id) = (&scene, &blob_id);
        async move {
            // Not all at once.
            sleep(Duration::from_millis(5) * u32::try_from(number).unwrap_or(0)).await;
            loop {
                let link = async {
                    let tcp = scene.target.connect(source(0), Some(4 << 10)).await?;
                    Link::over(&scene.target, tcp).await
                };
                let Some(link) = scene.count(link.await) else {
                    sleep(Duration::from_millis(500)).await;
                    continue;
                };
                let opened = Instant::now();
                let (mut sender, _unread) = link.split();
                let ended: Result<()> = async {
                    for request in 0..23 {
                        let fetch = pb::FetchBlobPart {
                            blob_id: blob_id.clone(),
                            index: 0,
                        };
                        scene.sent(48);
                        let fetch = client_frame::Body::FetchBlobPart(fetch);
                        sender.feed(100 + request, fetch).await?;
                        sender.flush().await?;
                    }
                    // To see whether it is still there.
                    for request in 0.. {
                        sleep(Duration::from_millis(250)).await;
                        let ping = client_frame::Body::Ping(pb::Ping {});
                        sender.feed(200 + request, ping).await?;
                        sender.flush().await?;
                    }
                    Ok(())
                }
                .await;
                if ended.is_err() {
                    scene.cut(opened);
                    sleep(Duration::from_millis(500)).await;
                }
            }
        }
    });
    join_all(links).await;
    Ok(())
}

/// Frames that never end.
async fn partial_frames(scene: Arc<Scene>) -> Result<()> {
    // RFC 6455: a binary message of 1 MiB, masked with zeroes; it begins as a post.
    let mut frame = vec![0x82, 0xff];
    frame.extend_from_slice(&(limits::FRAME_BYTES as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    let post = client_frame::Body::Post(pb::Post {
        body: vec![1; limits::FRAME_BYTES - 32].into(),
        ..pb::Post::default()
    });
    let message = prost::Message::encode_to_vec(&pb::ClientFrame {
        request: 100,
        body: Some(post),
    });
    frame.extend_from_slice(&message);
    frame.resize(14 + limits::FRAME_BYTES - 1, 0);
    scene.begin().await;
    let links = (0..PARTIAL_LINKS).map(|number| {
        let (scene, frame) = (&scene, &frame);
        async move {
            sleep(Duration::from_millis(5) * u32::try_from(number).unwrap_or(0)).await;
            loop {
                let Some(mut link) = scene.open(source(0)).await else {
                    sleep(Duration::from_millis(500)).await;
                    continue;
                };
                let opened = Instant::now();
                scene.sent(frame.len());
                if link.write_raw(frame).await.is_ok() {
                    // Until the relay ends it; an error of its own ends nothing yet.
                    let (_sender, mut receiver) = link.split();
                    while let Ok(frame) = receiver.next().await {
                        if frame.request != 1 {
                            scene.answered(&waxwing_bench::link::answer(frame));
                        }
                    }
                }
                scene.cut(opened);
                sleep(Duration::from_millis(500)).await;
            }
        }
    });
    join_all(links).await;
    Ok(())
}

/// Long lists that the relay has open for many links.
async fn fan_outs(scene: Arc<Scene>) -> Result<()> {
    let (mut person, mut link) = scene.account(0, 1).await?;
    person.log_in(&mut link).await?;
    let mut crowds = Vec::new();
    for seed in 0..FAN_OUT_GROUPS {
        crowds.push(crowd(&scene, &mut person, &mut link, seed as u64).await?);
    }
    scene.begin().await;
    let links = (0..FAN_OUT_LINKS).map(|number| {
        let (scene, crowds) = (&scene, &crowds);
        async move {
            sleep(Duration::from_millis(5) * u32::try_from(number).unwrap_or(0)).await;
            let (mut link, mut left) = ([0; 32], crowds.iter());
            let flood = Flood {
                per_second: 2,
                window: 2,
            };
            let question = |greeting: &Greeting| {
                if greeting.exporter != link {
                    (link, left) = (greeting.exporter, crowds.iter());
                }
                left.next().map(|crowd| crowd.authorise(&greeting.exporter))
            };
            scene.flood(source(0), flood, question).await;
        }
    });
    join_all(links).await;
    Ok(())
}

/// Waits until the relay ends a link.
async fn hold(scene: &Scene, link: Link) {
    let opened = Instant::now();
    let (_sender, mut receiver) = link.split();
    while receiver.next().await.is_ok() {}
    scene.cut(opened);
}

/// All places that one source gets.
async fn places(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let links = (0..PLACES + 50).map(|number| {
        let scene = &scene;
        async move {
            sleep(Duration::from_millis(5) * u32::try_from(number).unwrap_or(0)).await;
            loop {
                if let Some(link) = scene.open(source(0)).await {
                    hold(scene, link).await;
                }
                sleep(Duration::from_secs(1)).await;
            }
        }
    });
    join_all(links).await;
    Ok(())
}

/// Handshakes, one after the other.
async fn handshakes(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let rounds = (0..4_u32).map(|number| {
        let scene = &scene;
        async move {
            sleep(Duration::from_millis(10) * number).await;
            let mut beat = interval(Duration::from_millis(40));
            loop {
                beat.tick().await;
                let tls = async {
                    let tcp = scene.target.connect(source(0), None).await?;
                    scene.target.secure(tcp).await
                };
                drop(scene.count(tls.await));
            }
        }
    });
    join_all(rounds).await;
    Ok(())
}

/// Handshakes that are begun.
async fn slow_handshakes(scene: Arc<Scene>) -> Result<()> {
    // A record of 512 bytes, of which the first 100 come (RFC 8446 section 5.1).
    let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    hello.resize(100, 0);
    scene.begin().await;
    let connections = (0..PLACES).map(|number| {
        let (scene, hello) = (&scene, &hello);
        async move {
            sleep(Duration::from_millis(2) * u32::try_from(number).unwrap_or(0)).await;
            loop {
                let tcp = scene.target.connect(source(0), None).await;
                if let Some(mut tcp) = scene.count(tcp) {
                    let opened = Instant::now();
                    scene.sent(hello.len());
                    let mut rest = [0; 64];
                    if tcp.write_all(hello).await.is_ok() {
                        while tcp.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                    }
                    scene.cut(opened);
                }
                sleep(Duration::from_millis(500)).await;
            }
        }
    });
    join_all(connections).await;
    Ok(())
}

/// Blobs, all that one account may begin, and as much of them as there is time for.
async fn blobs(scene: Arc<Scene>) -> Result<()> {
    let (mut person, mut link) = scene.account(0, 1).await?;
    person.log_in(&mut link).await?;
    let mut tokens = Vec::new();
    for _ in 0..limits::TOKENS_PER_DAY / limits::TOKENS_PER_REQUEST {
        // Fewer, where it gets no more.
        match person.tokens(&mut link, limits::TOKENS_PER_REQUEST).await {
            Ok(more) => tokens.extend(more),
            Err(_) => break,
        }
    }
    scene.begin().await;
    let mut rng = rng(5);
    let mut opener = Link::open(&scene.target, source(0)).await?;
    let mut open = Vec::new();
    for token in tokens {
        let blob_id = Bytes::copy_from_slice(&random(&mut rng));
        let body = pb::OpenBlob {
            blob_id: blob_id.clone(),
            bytes: limits::BLOB_BYTES_PER_TOKEN,
            readers: 1,
            delete_hash: Bytes::copy_from_slice(&random(&mut rng)),
            tokens: vec![token],
            ..pb::OpenBlob::default()
        };
        scene.sent(160);
        let opened = opener.ask(client_frame::Body::OpenBlob(body)).await;
        scene.answered(&opened);
        match opened {
            Ok(relay_frame::Body::BlobStored(_)) => open.push(blob_id),
            Ok(_) => {}
            Err(error) if error.is::<waxwing_bench::link::Refusal>() => {}
            Err(_) => opener = Link::open(&scene.target, source(0)).await?,
        }
    }
    scene.note("blobs_opened", open.len() as u64);
    let part = body(&mut rng, limits::BLOB_PART_BYTES);
    let floods = (0..4).map(|number| {
        let (scene, part) = (&scene, &part);
        let own: Vec<Bytes> = open.iter().skip(number).step_by(4).cloned().collect();
        async move {
            let parts = u32::try_from(limits::BLOB_BYTES_PER_TOKEN).unwrap_or(u32::MAX)
                / u32::try_from(limits::BLOB_PART_BYTES).unwrap_or(1);
            let mut puts = own.iter().flat_map(|id| (0..parts).map(move |at| (id, at)));
            let flood = Flood {
                per_second: 64,
                window: 8,
            };
            let question = |_: &Greeting| {
                let (blob_id, index) = puts.next()?;
                Some(client_frame::Body::PutBlobPart(pb::PutBlobPart {
                    blob_id: blob_id.clone(),
                    index,
                    part: part.clone(),
                }))
            };
            scene.flood(source(0), flood, question).await;
        }
    });
    join_all(floods).await;
    pending().await
}

/// All the room that somebody's mailbox has.
async fn full_mailbox(scene: Arc<Scene>) -> Result<()> {
    let (mut person, mut link) = scene.account(0, 1).await?;
    person.log_in(&mut link).await?;
    let pair = Pair::create(&mut person, &mut link, &[scene.victim], &scene.target).await?;
    scene.begin().await;
    let flood = Flood {
        per_second: 1_600,
        window: 64,
    };
    post(&scene, &pair, flood, &FILLING_POSTS).await;
    Ok(())
}

fn ask_for_code(address: String, device: &Exporter) -> client_frame::Body {
    client_frame::Body::StartRegistration(pb::StartRegistration {
        address,
        device_id: Bytes::copy_from_slice(device),
    })
}

/// Codes for people who want to register themselves.
async fn codes(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let floods = (0..40).map(|number| {
        let scene = &scene;
        async move {
            let mut asked = number;
            let flood = Flood {
                per_second: 10,
                window: 10,
            };
            let question = |_: &Greeting| {
                asked += 1;
                let address = scene.newcomers.get(asked % scene.newcomers.len().max(1))?;
                Some(ask_for_code(address.clone(), &[7; 32]))
            };
            scene.flood(source(number), flood, question).await;
        }
    });
    join_all(floods).await;
    Ok(())
}

/// Codes for nobody.
async fn codes_for_all(scene: Arc<Scene>) -> Result<()> {
    scene.begin().await;
    let floods = (0..400_usize).map(|number| {
        let scene = &scene;
        async move {
            sleep(Duration::from_millis(5) * u32::try_from(number).unwrap_or(0)).await;
            let flood = Flood {
                per_second: 30,
                window: 30,
            };
            let mut asked = 0_u32;
            let question = |_: &Greeting| {
                asked += 1;
                let address = format!("nobody{number}-{asked}@bench.waxwing.example");
                Some(ask_for_code(address, &[8; 32]))
            };
            scene.flood(source(number), flood, question).await;
        }
    });
    join_all(floods).await;
    Ok(())
}
