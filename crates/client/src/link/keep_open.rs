//! Keeps a link open: reads, writes, pings, and opens it again.
//!
//! **Elsewhere.** [`super::connect`] makes one attempt; [`super::backoff`] has the waits.
//!
//! **Always.** A frame is sent on the link that it was made for or not at all: each opened link has
//! its own [`Outbound`]. Reading never waits for writing, so that two full buffers cannot block
//! each other. A silent link is closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use prost::Message as _;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use waxwing_dial::Route;
use waxwing_engine::api::Problem;
use waxwing_protocol::{
    frame::decode_relay,
    limits,
    pb::{ClientFrame, Ping, RelayFrame, client_frame, relay_frame},
};

use super::{Link, LinkInfo, RelayUrl, backoff, connect};

/// Bytes that may wait to be written; a link that is slower than that is given up.
const OUTBOUND_BYTES: usize = 64 << 20;
/// After sending, an answer of some kind must come within this, or the link is asked
/// for a sign of life.
const ANSWER_AFTER_MS: u64 = 10_000;
/// A ping that is not answered for this long means that the link is dead.
const PONG_LIMIT: Duration = Duration::from_secs(15);
/// How long the goodbye may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// What happens to a link that is kept open.
#[derive(Debug)]
pub enum LinkEvent {
    /// It is open; frames for it go into `outbound`, which ends with it.
    Opened {
        /// What the handshake told.
        info: LinkInfo,
        /// Where its frames go.
        outbound: Outbound,
    },
    /// A frame came.
    Received(RelayFrame),
    /// It was open and is no more.
    Closed,
    /// It could not be opened.
    Failed(Problem),
}

/// Takes the frames for one opened link.
#[derive(Clone, Debug)]
pub struct Outbound {
    frames: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// The link has ended, or has more to write than it may.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkOver;

impl Outbound {
    fn new() -> (Self, mpsc::UnboundedReceiver<Bytes>) {
        let (frames, to_write) = mpsc::unbounded_channel();
        (
            Self {
                frames,
                waiting: Arc::default(),
            },
            to_write,
        )
    }

    /// Queues a frame; it is written as soon as the link takes it.
    pub fn send(&self, frame: &ClientFrame) -> Result<(), LinkOver> {
        let bytes = Bytes::from(frame.encode_to_vec());
        let waiting = self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        if waiting > OUTBOUND_BYTES {
            return Err(LinkOver);
        }
        self.frames.send(bytes).map_err(|_| LinkOver)
    }
}

/// Opens the link, reports what happens on it, and opens it again with back-off, until
/// `events` has no receiver any more. `hurry` ends a wait early.
pub async fn keep_open(
    relay: RelayUrl,
    route: Route,
    events: mpsc::Sender<LinkEvent>,
    hurry: Arc<Notify>,
) {
    let mut backoff = backoff::Backoff::default();
    loop {
        let connected = tokio::select! {
            connected = connect(&relay, &route) => connected,
            () = events.closed() => return,
        };
        match connected {
            Ok(link) => {
                let opened_at = Instant::now();
                if run(link, &events).await.is_err() {
                    return;
                }
                if opened_at.elapsed() >= backoff::HELD {
                    backoff.worked();
                }
                if events.send(LinkEvent::Closed).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!("a link could not be opened");
                if events
                    .send(LinkEvent::Failed(Problem::from(&error)))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        }
        let wait = backoff.failed(&mut rand::rng());
        tokio::select! {
            () = sleep(wait) => {}
            () = hurry.notified() => {}
            () = events.closed() => return,
        }
    }
}

/// Nobody listens to the events any more.
struct Abandoned;

/// Runs an open link to its end: the other side's, or that of its [`Outbound`].
async fn run(link: Link, events: &mpsc::Sender<LinkEvent>) -> Result<(), Abandoned> {
    let (outbound, to_write) = Outbound::new();
    let waiting = Arc::clone(&outbound.waiting);
    let pinger = outbound.frames.downgrade();
    let (sink, stream) = link.socket.split();
    events
        .send(LinkEvent::Opened {
            info: link.info,
            outbound,
        })
        .await
        .map_err(|_| Abandoned)?;

    let life = Life::new();
    tokio::select! {
        () = read(stream, events, &life) => {}
        () = write(sink, to_write, &waiting, &life) => {}
        () = watch(&life, &waiting, &pinger) => {}
    }
    Ok(())
}

/// When something was last heard and sent, in milliseconds since the link was opened.
struct Life {
    opened: Instant,
    heard: AtomicU64,
    sent: AtomicU64,
    changed: Notify,
}

impl Life {
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            heard: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hear(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    fn send(&self) {
        self.sent.store(self.now(), Ordering::Relaxed);
        self.changed.notify_one();
    }
}

async fn read(mut stream: SplitStream<Socket>, events: &mpsc::Sender<LinkEvent>, life: &Life) {
    while let Some(Ok(message)) = stream.next().await {
        life.hear();
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => continue,
            _ => return,
        };
        let Ok(frame) = decode_relay(bytes) else {
            tracing::debug!("a link is closed because of a malformed frame");
            return;
        };
        // The answer to our own ping; the engine's pings have a number.
        let is_ours = frame.request == 0 && matches!(frame.body, Some(relay_frame::Body::Pong(_)));
        if !is_ours && events.send(LinkEvent::Received(frame)).await.is_err() {
            // Nobody listens; what there is to write may still leave.
            std::future::pending::<()>().await;
        }
    }
}

/// Writes what is there, flushing when nothing more is; says goodbye when all senders
/// are gone.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut to_write: mpsc::UnboundedReceiver<Bytes>,
    waiting: &AtomicUsize,
    life: &Life,
) {
    while let Some(mut bytes) = to_write.recv().await {
        loop {
            waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            if sink.feed(Message::Binary(bytes)).await.is_err() {
                return;
            }
            match to_write.try_recv() {
                Ok(next) => bytes = next,
                Err(_) => break,
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
        life.send();
    }
    let _ = timeout(CLOSE_LIMIT, sink.close()).await;
}

/// Ends when the link has shown no life for too long.
async fn watch(life: &Life, waiting: &AtomicUsize, pinger: &mpsc::WeakUnboundedSender<Bytes>) {
    let ping = ClientFrame {
        request: 0,
        body: Some(client_frame::Body::Ping(Ping {})),
    };
    let ping = Bytes::from(ping.encode_to_vec());
    loop {
        let (heard, sent) = (
            life.heard.load(Ordering::Relaxed),
            life.sent.load(Ordering::Relaxed),
        );
        let due = if sent > heard {
            sent + ANSWER_AFTER_MS
        } else {
            heard + limits::PING_AFTER.0
        };
        tokio::select! {
            () = sleep_until(life.opened + Duration::from_millis(due)) => {}
            () = life.changed.notified() => continue,
        }
        if life.heard.load(Ordering::Relaxed) > heard {
            continue;
        }
        let Some(outbound) = pinger.upgrade() else {
            return std::future::pending().await;
        };
        waiting.fetch_add(ping.len(), Ordering::Relaxed);
        if outbound.send(ping.clone()).is_err() {
            return;
        }
        drop(outbound);
        sleep(PONG_LIMIT).await;
        if life.heard.load(Ordering::Relaxed) <= heard {
            tracing::debug!("a link is closed because nothing comes from it");
            return;
        }
    }
}
