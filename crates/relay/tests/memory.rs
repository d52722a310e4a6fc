//! What many links cost the relay's memory, over loopback: links that ask and do not read,
//! links that send half of a message, connections that never become links.

#![cfg(test)]

#[allow(dead_code, reason = "shared with other tests")]
mod support;

use std::sync::Arc;

use prost::Message as _;
use rustls::version::TLS13;
use support::{Link, TestRelay, config, connect};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use waxwing_protocol::limits::BLOB_PART_BYTES;
use waxwing_protocol::pb::{self, client_frame::Body as Request, relay_frame::Body as Answer};
use waxwing_relay::store::memory::MemoryStore;
use waxwing_relay::store::records::BlobRecord;
use waxwing_relay::store::{KeySpace, Store as _, Write, key};

/// What all links may hold.
const BUDGET: usize = 16 << 20;
const BLOB: [u8; 32] = [7; 32];

/// A store with a blob of one part, for anybody who knows its id.
fn store_with_blob() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let record = BlobRecord {
        bytes: BLOB_PART_BYTES as u64,
        parts: 1,
        readers: 1,
        opened_at_ms: u64::try_from(now.as_millis()).unwrap(),
        delete_hash: vec![1; 32].into(),
        ..BlobRecord::default()
    };
    let writes = vec![
        Write {
            space: KeySpace::Blobs,
            key: key(&[&BLOB]),
            value: Some(record.encode_to_vec().into()),
        },
        Write {
            space: KeySpace::BlobParts,
            key: key(&[&BLOB, &0_u32.to_be_bytes()]),
            value: Some(vec![1; BLOB_PART_BYTES].into()),
        },
    ];
    store.commit(writes).unwrap();
    Arc::new(store)
}

async fn relay() -> TestRelay {
    TestRelay::start_on(store_with_blob(), |settings, _| {
        settings.link_memory = BUDGET;
        settings.max_links_per_source = 100_000;
    })
    .await
}

fn fetch() -> Request {
    Request::FetchBlobPart(pb::FetchBlobPart {
        blob_id: BLOB.to_vec().into(),
        index: 0,
    })
}

/// A link with a small window, so that what is not read stays with the relay.
async fn narrow_link(relay: &TestRelay) -> Link {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(relay.address()).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("relay").unwrap();
    let stream: TlsStream<TcpStream> =
        tokio_rustls::TlsConnector::from(Arc::new(config(&[&TLS13])))
            .connect(name, stream)
            .await
            .unwrap();
    let mut link = Link::upgrade(stream).await;
    assert!(matches!(link.next().await, Some(Answer::Hello(_))));
    link.send(Request::Open(pb::Open { version: 1 })).await;
    link
}

/// Somebody else who asks meanwhile is answered.
async fn others_are_answered(relay: &TestRelay) {
    let mut link = relay.link().await;
    for _ in 0..3 {
        let answer = link.ask(fetch()).await;
        assert!(matches!(answer, Answer::BlobPartFetched(_)), "{answer:?}");
    }
    link.works().await;
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let holds = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, holds)
        .await
        .expect("it comes to that in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_ask_and_do_not_read_stay_within_the_budget() {
    let relay = relay().await;
    let mut links = Vec::new();
    let mut highest = 0;
    for _ in 0..200 {
        let mut link = narrow_link(&relay).await;
        for _ in 0..16 {
            link.send(fetch()).await;
        }
        links.push(link);
        let held = relay.server.link_bytes();
        assert!(held <= BUDGET / 2, "{held}");
        highest = highest.max(held);
    }
    // Nameless links may hold half of it, and these did try.
    assert!(highest > BUDGET / 4, "{highest}");
    others_are_answered(&relay).await;
    drop(links);
    eventually(|| relay.server.link_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_of_messages_stay_within_the_budget() {
    let relay = relay().await;
    let mut links = Vec::new();
    let mut highest = 0;
    let mut half = vec![0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0, 0, 0, 0];
    half.resize(900_000, 0);
    for _ in 0..60 {
        let mut link = relay.link().await;
        link.stream().write_all(&half).await.unwrap();
        links.push(link);
        let held = relay.server.link_bytes();
        assert!(held <= BUDGET / 2, "{held}");
        highest = highest.max(held);
    }
    assert!(highest > BUDGET / 4, "{highest}");
    others_are_answered(&relay).await;
    drop(links);
    eventually(|| relay.server.link_bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_never_become_links_give_way() {
    let relay = TestRelay::start_with(|settings, _| {
        settings.max_links = 16;
        settings.max_links_per_source = 100;
    })
    .await;
    let mut silent = Vec::new();
    for n in 0..100 {
        if n % 2 == 0 {
            silent.push(TcpStream::connect(relay.address()).await.unwrap());
        } else if let Ok(mut stream) = connect(relay.address(), config(&[&TLS13])).await {
            let _ = stream.write_all(b"GET /heal").await;
            silent.push(stream.into_inner().0);
        }
    }
    relay.link().await.works().await;
    assert!(relay.get("/healthz").await.contains("200 OK"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_nameless_link_gives_way_with_a_reason() {
    let relay = TestRelay::start_with(|settings, _| settings.max_links = 4).await;
    let mut first = relay.link().await;
    let mut second = relay.link().await;
    let mut third = relay.link().await;
    assert_eq!(first.ending().await.1, Some(1013), "try again later");
    second.works().await;
    third.works().await;
}
