//! Links against a small relay-like server: TLS, pins, WebSocket, opening again.

#![cfg(test)]
#![allow(clippy::string_slice)]

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};
use waxwing_client::link::{
    ConnectError, IdentityRefused, LinkEvent, Pin, RelayUrl, Route, connect, keep_open,
};
use waxwing_engine::api::Problem;
use waxwing_protocol::{
    EXPORTER_LABEL, limits,
    pb::{ClientFrame, Hello, Ping, Pong, RelayFrame, client_frame, relay_frame},
};

struct Relay {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    pin: Pin,
}

impl Relay {
    async fn start() -> Self {
        Self::with_provider(aws_lc_rs::default_provider()).await
    }

    async fn with_provider(provider: CryptoProvider) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let pin = Pin::of_public_key(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            pin,
        }
    }

    fn url(&self) -> RelayUrl {
        format!(
            "https://localhost:{}",
            self.listener.local_addr().unwrap().port()
        )
        .parse()
        .unwrap()
    }

    fn pinned(&self) -> RelayUrl {
        self.url().pinned(self.pin).unwrap()
    }

    async fn tls(&self) -> Result<TlsStream<TcpStream>, std::io::Error> {
        let (tcp, _) = self.listener.accept().await.unwrap();
        self.acceptor.accept(tcp).await
    }

    async fn link(&self) -> WebSocketStream<TlsStream<TcpStream>> {
        accept_async(self.tls().await.unwrap()).await.unwrap()
    }
}

fn frame(body: relay_frame::Body) -> Message {
    Message::Binary(
        RelayFrame {
            request: 0,
            body: Some(body),
        }
        .encode_to_vec()
        .into(),
    )
}

#[tokio::test]
async fn a_pinned_relay_is_reached_by_post_quantum_tls() {
    let relay = Relay::start().await;
    let url = relay.pinned();
    let (link, server) = tokio::join!(connect(&url, &Route::Direct), relay.link());
    let info = link.unwrap().info;
    let server = server.get_ref().get_ref().1;
    let exporter = server
        .export_keying_material([0; 32], EXPORTER_LABEL, None)
        .unwrap();
    assert_eq!(info.exporter, exporter);
    assert_eq!(info.key_exchange, "X25519MLKEM768");
    assert_eq!(info.pin, relay.pin);
    assert_eq!(
        server.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
}

#[tokio::test]
async fn no_session_is_resumed() {
    let relay = Relay::start().await;
    let url = relay.pinned();
    for _ in 0..3 {
        let (link, server) = tokio::join!(connect(&url, &Route::Direct), relay.link());
        drop(link.unwrap());
        let kind = server.get_ref().get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn a_wrong_pin_is_refused_and_both_pins_are_told() {
    let relay = Relay::start().await;
    let other = Pin::of_public_key(b"another key");
    let url = relay.url().pinned(other).unwrap();
    let (link, _) = tokio::join!(connect(&url, &Route::Direct), relay.tls());
    let error = link.unwrap_err();
    assert!(Problem::from(&error) == Problem::WrongPin);
    let ConnectError::Identity(IdentityRefused::WrongPin {
        expected,
        presented,
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!((expected, presented), (other, relay.pin));
}

#[tokio::test]
async fn a_self_signed_relay_needs_a_pin_and_shows_its_own() {
    let relay = Relay::start().await;
    let url = relay.url();
    let (link, _) = tokio::join!(connect(&url, &Route::Direct), relay.tls());
    let problem = Problem::from(&link.unwrap_err());
    let presented = relay.pin.to_string();
    assert_eq!(problem, Problem::RelayNotPinned { presented });
}

#[tokio::test]
async fn a_server_without_post_quantum_key_exchange_is_refused() {
    let relay = Relay::with_provider(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
    .await;
    let url = relay.pinned();
    let (link, server) = tokio::join!(connect(&url, &Route::Direct), relay.tls());
    assert!(matches!(link, Err(ConnectError::Tls(_))));
    assert!(server.is_err());
}

#[tokio::test]
async fn where_nobody_listens_or_no_relay_answers_the_relay_is_down() {
    let relay = Relay::start().await;
    let url = relay.pinned();
    let not_found = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut tls = relay.tls().await.unwrap();
        let mut request = [0; 1024];
        let _ = tls.read(&mut request).await.unwrap();
        tls.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        tls.shutdown().await.unwrap();
    };
    let (link, ()) = tokio::join!(connect(&url, &Route::Direct), not_found);
    let error = link.unwrap_err();
    assert!(matches!(error, ConnectError::NoRelay(_)), "{error}");
    drop(relay);
    let error = connect(&url, &Route::Direct).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert_eq!(Problem::from(&error).code(), "relay_down");
}

#[tokio::test]
async fn a_proxy_passes_tls_on_and_a_failed_one_is_told() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let relay = Relay::start().await;
    let url = relay.pinned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let route: Route = format!("socks5://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let passing = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 4];
        client.read_exact(&mut greeting).await.unwrap();
        client.write_all(&[5, 0]).await.unwrap();
        let mut request = vec![0; 4 + 1 + "localhost".len() + 2];
        client.read_exact(&mut request).await.unwrap();
        assert_eq!(request[5..14], *b"localhost");
        client
            .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        let place = relay.listener.local_addr().unwrap();
        let mut server = TcpStream::connect(place).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
    };
    let (link, (), _server) = tokio::join!(connect(&url, &route), passing, relay.link());
    assert_eq!(link.unwrap().info.pin, relay.pin);
    drop(listener);
    let problem = Problem::from(&connect(&url, &route).await.unwrap_err());
    assert_eq!(problem.code(), "proxy_failed");
}

/// What happened next on a link that is kept open.
async fn next(events: &mut mpsc::Receiver<LinkEvent>) -> LinkEvent {
    events.recv().await.unwrap()
}

#[tokio::test]
async fn a_link_that_ends_is_opened_again_and_frames_go_both_ways() {
    let relay = Relay::start().await;
    let hurry = Arc::new(Notify::new());
    let (tell, mut events) = mpsc::channel(16);
    let keeping = tokio::spawn(keep_open(
        relay.pinned(),
        Route::Direct,
        tell,
        Arc::clone(&hurry),
    ));
    for round in 1..=2 {
        let mut server = relay.link().await;
        let LinkEvent::Opened { outbound, .. } = next(&mut events).await else {
            panic!()
        };
        server
            .send(frame(relay_frame::Body::Pong(Pong {})))
            .await
            .unwrap();
        let hello = Hello {
            now_ms: round,
            ..Hello::default()
        };
        server
            .send(frame(relay_frame::Body::Hello(hello.clone())))
            .await
            .unwrap();
        let LinkEvent::Received(received) = next(&mut events).await else {
            panic!()
        };
        assert_eq!(received.body, Some(relay_frame::Body::Hello(hello)));
        let ping = ClientFrame {
            request: 7,
            body: Some(client_frame::Body::Ping(Ping {})),
        };
        outbound.send(&ping).unwrap();
        let Message::Binary(bytes) = server.next().await.unwrap().unwrap() else {
            panic!()
        };
        assert_eq!(ClientFrame::decode(bytes).unwrap(), ping);
        drop(server);
        assert!(matches!(next(&mut events).await, LinkEvent::Closed));
        assert!(
            outbound.send(&ping).is_err(),
            "a frame was taken for a link that has ended"
        );
        hurry.notify_one();
    }
    drop(events);
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_frame_that_is_too_long_or_malformed_ends_the_link() {
    let relay = Relay::start().await;
    let hurry = Arc::new(Notify::new());
    let (tell, mut events) = mpsc::channel(16);
    let keeping = tokio::spawn(keep_open(
        relay.pinned(),
        Route::Direct,
        tell,
        Arc::clone(&hurry),
    ));
    for bad in [vec![0; limits::FRAME_BYTES + 1], vec![0xff; 10]] {
        let mut server = relay.link().await;
        let LinkEvent::Opened { outbound, .. } = next(&mut events).await else {
            panic!()
        };
        // The other side may be gone before all of it is written.
        let _ = server.send(Message::Binary(bad.into())).await;
        assert!(matches!(next(&mut events).await, LinkEvent::Closed));
        drop(outbound);
        hurry.notify_one();
    }
    drop(events);
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_failed_attempt_is_told_and_followed_by_another() {
    let relay = Relay::start().await;
    let url = relay.pinned();
    drop(relay);
    let hurry = Arc::new(Notify::new());
    let (tell, mut events) = mpsc::channel(16);
    let keeping = tokio::spawn(keep_open(url, Route::Direct, tell, Arc::clone(&hurry)));
    for _ in 0..2 {
        let LinkEvent::Failed(problem) = next(&mut events).await else {
            panic!()
        };
        assert_eq!(problem.code(), "relay_down");
        hurry.notify_one();
    }
    drop(events);
    keeping.await.unwrap();
}

#[tokio::test]
async fn a_dropped_link_says_goodbye_after_its_last_frame() {
    let relay = Relay::start().await;
    let (tell, mut events) = mpsc::channel(16);
    let keeping = tokio::spawn(keep_open(
        relay.pinned(),
        Route::Direct,
        tell,
        Arc::default(),
    ));
    let mut server = relay.link().await;
    let LinkEvent::Opened { outbound, .. } = next(&mut events).await else {
        panic!()
    };
    let ping = ClientFrame {
        request: 1,
        body: Some(client_frame::Body::Ping(Ping {})),
    };
    outbound.send(&ping).unwrap();
    drop((outbound, events));
    assert!(matches!(
        server.next().await.unwrap().unwrap(),
        Message::Binary(_)
    ));
    assert!(matches!(
        server.next().await.unwrap().unwrap(),
        Message::Close(_)
    ));
    drop(server);
    keeping.await.unwrap();
}
