//! What reaches a relay over the network, and what it makes of it: the sockets, TLS,
//! HTTP and framing of a running server.

#![cfg(test)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::version::TLS13;
use sha2::{Digest as _, Sha256};
use support::{TestRelay, config, config_with, connect, errors, group, large_post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use waxwing_protocol::limits;
use waxwing_protocol::pb::{self, ErrorCode, client_frame::Body as Request};
use waxwing_relay::data_dir::DataDir;
use waxwing_relay::identity::Identity;
use waxwing_relay::mail::MailRoute;
use waxwing_relay::server::{Server, Settings};
use waxwing_relay::store::{KeySpace, Store as _, Write, embedded::EmbeddedStore, key};

#[tokio::test]
async fn links_are_post_quantum_and_tls_1_2_is_refused() {
    let relay = TestRelay::start().await;
    let stream = connect(relay.address(), config(&[&TLS13])).await.unwrap();
    assert_eq!(group(&stream), NamedGroup::X25519MLKEM768);

    // A hand-made ClientHello of TLS 1.2 (no supported_versions), so that no library has to
    // be able to speak it.
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend([0, 2, 0xc0, 0x2b, 1, 0]);
    hello.extend([0, 18]);
    hello.extend([0, 10, 0, 4, 0, 2, 0, 29]);
    hello.extend([0, 13, 0, 6, 0, 4, 4, 3, 8, 4]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect(relay.address()).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // A fatal alert, protocol_version (RFC 8446 section 6).
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}

#[tokio::test]
async fn a_client_without_post_quantum_key_exchange_is_refused() {
    let relay = TestRelay::start().await;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let error = connect(relay.address(), config).await.unwrap_err();
    assert!(error.to_string().contains("HandshakeFailure"), "{error}");
}

#[tokio::test]
async fn the_certificate_is_the_pinned_one_and_nothing_is_resumed() {
    let relay = TestRelay::start().await;
    let seen = Arc::default();
    let config = config_with(&[&TLS13], Arc::clone(&seen));
    for _ in 0..2 {
        let mut stream = connect(relay.address(), config.clone()).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let kind = stream.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
    }
    // A P-256 SubjectPublicKeyInfo has 91 bytes and begins like this (RFC 5480).
    let certificate: Vec<u8> = seen.lock().unwrap().clone().unwrap();
    let start = [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48];
    let at = certificate
        .windows(start.len())
        .position(|window| window == start)
        .unwrap();
    let pin: [u8; 32] = Sha256::digest(&certificate[at..at + 91]).into();
    assert_eq!(pin, relay.pin.0);
    assert!(relay.server.url().ends_with(&format!("/#{}", relay.pin)));
}

#[tokio::test]
async fn people_and_programs_are_told_what_this_is() {
    let relay = TestRelay::start().await;
    assert!(relay.get("/healthz").await.ends_with("\r\n\r\nok\n"));
    let discovery = relay.get("/.well-known/waxwing").await;
    let body = discovery.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["pin"], relay.pin.to_string());
    assert_eq!(body["versions"], serde_json::json!([1]));
    assert_eq!(body["token_key"].as_str().unwrap().len(), 64);
    let home = relay.get("/").await;
    assert!(home.contains("text/html") && home.contains("This is a Waxwing relay"));
    assert!(home.contains(&relay.pin.to_string()));
    assert!(relay.get("/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(relay.get("/v1/link").await.starts_with("HTTP/1.1 426"));
    let posted = relay
        .http("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await;
    assert!(posted.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn large_and_malformed_requests_end_only_their_connection() {
    let relay = TestRelay::start().await;
    let mut other = relay.link().await;
    let long = "x".repeat(100_000);
    let refused = relay
        .http(&format!(
            "GET /healthz HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"
        ))
        .await;
    assert!(!refused.contains("200 OK"), "{refused}");
    let many = "X: y\r\n".repeat(1000);
    let refused = relay
        .http(&format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n"))
        .await;
    assert!(!refused.contains("200 OK"), "{refused}");
    let refused = relay.http("\0\u{1}\u{2} nonsense\r\n\r\n").await;
    assert!(!refused.contains("200 OK"), "{refused}");
    other.works().await;
}

#[tokio::test]
async fn a_bad_frame_gets_an_error_and_disturbs_nobody_else() {
    let relay = TestRelay::start().await;
    let mut other = relay.link().await;
    let random: Vec<u8> = (0..997_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let whole = large_post(1000);
    let truncated = whole.slice(..whole.len() / 2);
    let oversized_kind = {
        let mut frame = pb::ClientFrame {
            request: 1,
            body: Some(Request::Ping(pb::Ping {})),
        };
        frame.request = 7;
        let mut bytes = prost::Message::encode_to_vec(&frame);
        // An unknown field of 100,000 bytes: too much for what is no post.
        bytes.extend([0xfa, 0x7f, 0xa0, 0x8d, 0x06]);
        bytes.resize(bytes.len() + 100_000, 0);
        bytes
    };
    let cases = [
        (Message::Binary(random.into()), ErrorCode::Malformed, 1007),
        (Message::Binary(truncated), ErrorCode::Malformed, 1007),
        (Message::Text("hello".into()), ErrorCode::Malformed, 1003),
        (
            Message::Binary(large_post(limits::FRAME_BYTES)),
            ErrorCode::TooLarge,
            1009,
        ),
        (
            Message::Binary(oversized_kind.into()),
            ErrorCode::TooLarge,
            1009,
        ),
    ];
    for (message, code, close) in cases {
        let mut link = relay.link().await;
        link.send_raw(message).await;
        let (said, closed) = link.ending().await;
        assert_eq!(errors(&said), [code]);
        assert_eq!(closed, Some(close));
        other.works().await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_websocket_frames_end_the_link() {
    let relay = TestRelay::start().await;
    let mut other = relay.link().await;
    for bytes in [
        // Not masked.
        vec![0x82, 2, 1, 2],
        // A reserved bit: compression that was not agreed.
        vec![0xc2, 0x80, 0, 0, 0, 0],
        // Announces 2^62 bytes.
        vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        vec![0xff; 4096],
    ] {
        let mut link = relay.link().await;
        link.stream().write_all(&bytes).await.unwrap();
        let (said, close) = link.ending().await;
        assert_eq!(errors(&said).len(), 1);
        assert!(matches!(close, Some(1002 | 1009)), "{close:?}");
        other.works().await;
    }
}

#[tokio::test]
async fn a_wrong_request_is_answered_and_the_link_goes_on() {
    let relay = TestRelay::start().await;
    let mut link = relay.link().await;
    let frame = pb::ClientFrame {
        request: 41,
        body: None,
    };
    link.send_raw(Message::Binary(
        prost::Message::encode_to_vec(&frame).into(),
    ))
    .await;
    let answer = link.next_frame().await.unwrap();
    assert_eq!(answer.request, 41);
    assert_eq!(errors(&[answer.body.unwrap()]), [ErrorCode::Unsupported]);
    let refused = link
        .ask(Request::Login(pb::Login {
            device_id: vec![1; 7].into(),
            signature: None,
        }))
        .await;
    assert_eq!(errors(&[refused]).len(), 1);
    link.works().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let relay = TestRelay::start().await;
    let mut link = relay.link().await;
    let mut sent = Vec::new();
    for _ in 0..500 {
        sent.push(link.send(Request::Ping(pb::Ping {})).await);
    }
    for request in sent {
        assert_eq!(link.next_frame().await.unwrap().request, request);
    }
}

#[tokio::test]
async fn a_slow_loris_holds_nobody_up() {
    let relay = TestRelay::start().await;
    // One in TLS, one in HTTP, one in the middle of a frame.
    let mut in_tls = TcpStream::connect(relay.address()).await.unwrap();
    in_tls.write_all(&[22, 3, 1]).await.unwrap();
    let mut in_http = connect(relay.address(), config(&[&TLS13])).await.unwrap();
    in_http.write_all(b"GET /heal").await.unwrap();
    let mut in_frame = relay.link().await;
    in_frame
        .stream()
        .write_all(&[0x82, 0xfe, 0xff])
        .await
        .unwrap();
    relay.link().await.works().await;
    assert!(relay.get("/healthz").await.contains("200 OK"));
}

#[tokio::test]
async fn one_source_gets_so_many_links_and_others_go_on() {
    let relay = TestRelay::start_with(|settings, _| settings.max_links_per_source = 3).await;
    let mut links = vec![relay.link().await, relay.link().await, relay.link().await];
    let refused = connect(relay.address(), config(&[&TLS13])).await;
    assert!(refused.is_err());
    for link in &mut links {
        link.works().await;
    }
    let mut gone = links.pop().unwrap();
    gone.send_raw(Message::Close(None)).await;
    gone.ending().await;
    drop(gone);
    // The place is given back as soon as the relay has noticed.
    loop {
        if connect(relay.address(), config(&[&TLS13])).await.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shutdown_says_goodbye_to_every_link() {
    let relay = TestRelay::start().await;
    let mut first = relay.link().await;
    let mut second = relay.link().await;
    let address = relay.address();
    // What never became a link does not hold the shutdown up.
    let _idle = TcpStream::connect(address).await.unwrap();
    let stopped = tokio::spawn(relay.server.shut_down());
    assert_eq!(first.ending().await.1, Some(1001));
    assert_eq!(second.ending().await.1, Some(1001));
    drop((first, second));
    stopped.await.unwrap();
    assert!(connect(address, config(&[&TLS13])).await.is_err());
}

#[tokio::test]
async fn metrics_are_counts_on_a_listener_of_their_own() {
    let relay = TestRelay::start_with(|settings, _| {
        settings.metrics = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let _link = relay.link().await;
    let address = relay.server.metrics_address().unwrap();
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    // For monitors without post-quantum TLS.
    assert!(get("/healthz").await.ends_with("\r\n\r\nok\n"));
    let text = get("/metrics").await;
    assert!(
        text.contains("\n# TYPE waxwing_links gauge\nwaxwing_links 1\n"),
        "{text}"
    );
    assert!(text.contains("\nprocess_resident_memory_bytes "));
    assert!(relay.get("/metrics").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_code_travels_by_mail_and_the_answer_does_not_wait_for_it() {
    let relay = TestRelay::start_with(|settings, dir| {
        settings.mail = MailRoute::Directory(dir.join("mail"));
    })
    .await;
    let mut link = relay.link().await;
    let answer = link
        .ask(Request::StartRegistration(pb::StartRegistration {
            address: "Alice@example.org".to_owned(),
            device_id: vec![1; 32].into(),
        }))
        .await;
    assert!(errors(&[answer]).is_empty());
    let mail = loop {
        let files = std::fs::read_dir(relay.dir.path().join("mail")).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        if let Some(file) = files.find(|file| file.extension().is_some_and(|e| e == "eml")) {
            break std::fs::read_to_string(file).unwrap();
        }
        tokio::task::yield_now().await;
    };
    assert!(mail.contains("To: alice@example.org"), "{mail}");
    let code = mail
        .lines()
        .map(str::trim)
        .find(|line| line.len() == limits::CODE_DIGITS && line.bytes().all(|b| b.is_ascii_digit()));
    assert!(code.is_some(), "{mail}");
}

/// The body of an answer, and its head.
async fn fetch(relay: &TestRelay, request: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = connect(relay.address(), config(&[&TLS13])).await.unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(at.unwrap() + 4);
    (String::from_utf8(answer).unwrap().to_lowercase(), body)
}

#[tokio::test]
async fn the_log_can_be_audited_over_https() {
    use prost::Message as _;
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
    use waxwing_protocol::signature::{HybridSigningKey, SigningSeed};
    use waxwing_transparency::cosignature::{AuditorId, CoSigned};
    use waxwing_transparency::head::Head;
    use waxwing_transparency::identity::LogIdentity;
    use waxwing_transparency::view::View;

    let auditor = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[3; 64]));
    let stranger = HybridSigningKey::from_seed(&SigningSeed::from_bytes(&[4; 64]));
    let id = AuditorId::of(auditor.public());
    let relay = TestRelay::start_with(|settings, _| settings.auditors.push(id)).await;

    let (head, body) = fetch(&relay, "GET /log/v1/identity", b"").await;
    assert!(
        head.contains("cache-control: public, max-age=300"),
        "{head}"
    );
    let identity = pb::LogIdentity::decode(body.as_slice()).unwrap();
    let log = LogIdentity::check(&identity).unwrap();
    assert_eq!(*log.relay_pin(), relay.pin.0);
    let mut link = relay.raw_link().await;
    let Some(pb::relay_frame::Body::Hello(hello)) = link.next().await else {
        panic!("no greeting");
    };
    assert_eq!(hello.log_id, log.id().0.as_slice());

    let (head, body) = fetch(&relay, "GET /log/v1/head?known=1&known=7", b"").await;
    assert!(head.contains("cache-control: no-cache"), "{head}");
    let view = pb::LogView::decode(body.as_slice()).unwrap();
    let now = waxwing_protocol::time::Time(hello.now_ms);
    let view = View::check(&log, None, &view, now).unwrap();
    let newest = view.newest().head().clone();
    assert_eq!((newest.number, newest.epoch), (1, 0));

    let (head, body) = fetch(&relay, "GET /log/v1/heads?from=1&to=1", b"").await;
    assert!(head.contains("immutable"), "{head}");
    let mut body = bytes::Bytes::from(body);
    let length = prost::decode_length_delimiter(&mut body).unwrap();
    assert_eq!(body.len(), length);
    let first = Head::decode(body).unwrap();
    assert_eq!(first, newest);
    let (head, _) = fetch(&relay, "GET /log/v1/heads?from=1&to=9", b"").await;
    assert!(head.contains("no-cache"), "more may come: {head}");

    for (request, status, says) in [
        ("GET /log/v1/heads?from=2&to=9", 404, "no such head"),
        ("GET /log/v1/heads?from=9&to=2", 400, "first and the last"),
        ("GET /log/v1/head?known=x", 400, "by its number"),
        ("GET /log/v1/audit/1", 404, "no such head or epoch"),
        ("GET /log/v1/audit/one", 400, "is a number"),
        ("GET /log/v1/nothing", 404, "nothing here"),
        ("POST /log/v1/head", 405, "only get"),
        ("GET /log/v1/cosignatures", 405, "only post"),
        ("POST /log/v1/cosignatures", 403, "does not verify"),
    ] {
        let (head, body) = fetch(&relay, request, b"").await;
        let body = String::from_utf8(body).unwrap().to_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
        assert!(body.contains(says) && body.ends_with('\n'), "{body}");
    }

    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let post = "POST /log/v1/cosignatures";
    let too_long = vec![0; 100_000];
    let (head, _) = fetch(&relay, post, &too_long).await;
    assert!(head.starts_with("http/1.1 413"), "{head}");
    let unknown = CoSigned::sign(&mut rng, &stranger, &newest, now).encode_to_vec();
    let (head, body) = fetch(&relay, post, &unknown).await;
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("operator"));
    let known = CoSigned::sign(&mut rng, &auditor, &newest, now).encode_to_vec();
    let (head, _) = fetch(&relay, post, &known).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (_, body) = fetch(&relay, "GET /log/v1/head", b"").await;
    let view = pb::LogView::decode(body.as_slice()).unwrap();
    let view = View::check(&log, None, &view, now).unwrap();
    assert_eq!(view.cosigned()[0].auditor, id);
}

#[tokio::test]
async fn what_is_asked_of_the_log_is_answered_on_the_link() {
    let relay = TestRelay::start().await;
    let mut link = relay.link().await;
    let answer = link
        .ask(Request::LookUp(pb::LookUp {
            address: "nobody@example.org".to_owned(),
            known_head: 0,
        }))
        .await;
    assert_eq!(errors(&[answer]), [ErrorCode::AddressUnknown]);
    let answer = link
        .ask(Request::FetchHeads(pb::FetchHeads { known: vec![1] }))
        .await;
    assert!(matches!(answer, pb::relay_frame::Body::HeadsFetched(_)));
}

/// Whether a file below this folder holds these bytes.
fn holds(folder: &std::path::Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        let content = std::fs::read(path).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_erased_when_the_relay_stops() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open_or_create(dir.path()).unwrap();
    let identity = Identity::open_or_create(&data).unwrap();
    let store = Arc::new(EmbeddedStore::open(&dir.path().join("store")).unwrap());
    let write = |number: u64, value: Option<&'static [u8]>| Write {
        space: KeySpace::Posts,
        key: key(&[&number.to_be_bytes()]),
        value: value.map(Bytes::from_static),
    };
    let (first, second) = (b"acknowledged canary", b"waiting canary");
    let posts = vec![write(1, Some(first)), write(2, Some(second))];
    store.commit(posts).unwrap();
    store.commit(vec![write(1, None)]).unwrap();
    assert!(holds(dir.path(), first));
    let settings = Settings::new("127.0.0.1:0".parse().unwrap());
    let server = Server::start(settings, &identity, Arc::clone(&store))
        .await
        .unwrap();
    server.shut_down().await;
    assert!(!holds(dir.path(), first));
    assert!(holds(dir.path(), second));
}
