//! A relay in this process, and clients that say to it what they like.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use waxwing_protocol::pb::{
    self, ClientFrame, RelayFrame, client_frame::Body as Request, relay_frame::Body as Answer,
};
use waxwing_relay::data_dir::DataDir;
use waxwing_relay::identity::{Identity, Pin};
use waxwing_relay::server::{Server, Settings};
use waxwing_relay::store::memory::MemoryStore;

/// Long enough for a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A relay of this process, with its data directory.
pub struct TestRelay {
    pub server: Server<MemoryStore>,
    pub dir: tempfile::TempDir,
    pub pin: Pin,
}

impl TestRelay {
    pub async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings, &std::path::Path)) -> Self {
        Self::start_on(Arc::new(MemoryStore::new()), change).await
    }

    pub async fn start_on(
        store: Arc<MemoryStore>,
        change: impl FnOnce(&mut Settings, &std::path::Path),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open_or_create(dir.path()).unwrap();
        let identity = Identity::open_or_create(&data).unwrap();
        let mut settings = Settings::new("127.0.0.1:0".parse().unwrap());
        change(&mut settings, dir.path());
        let server = Server::start(settings, &identity, store).await.unwrap();
        Self {
            pin: identity.pin(),
            server,
            dir,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A link that was greeted and opened.
    pub async fn link(&self) -> Link {
        let mut link = self.raw_link().await;
        assert!(matches!(link.next().await, Some(Answer::Hello(_))));
        let opened = link.ask(Request::Open(pb::Open { version: 1 })).await;
        assert!(matches!(opened, Answer::Done(_)));
        link
    }

    /// A link before its greeting is read.
    pub async fn raw_link(&self) -> Link {
        let stream = connect(self.address(), config(&[&rustls::version::TLS13])).await;
        Link::upgrade(stream.unwrap()).await
    }

    /// A plain HTTP exchange.
    pub async fn http(&self, request: &str) -> String {
        let config = config(&[&rustls::version::TLS13]);
        let mut stream = connect(self.address(), config).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The end may come without TLS's goodbye when the relay cut us off.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn get(&self, path: &str) -> String {
        self.http(&format!(
            "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
        ))
        .await
    }
}

/// The client's end of a link.
pub struct Link {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    requests: u32,
}

impl Link {
    pub async fn upgrade(stream: TlsStream<TcpStream>) -> Self {
        let (socket, _) = tokio_tungstenite::client_async("wss://relay/v1/link", stream)
            .await
            .unwrap();
        Self {
            socket,
            requests: 0,
        }
    }

    pub async fn send(&mut self, body: Request) -> u32 {
        self.requests += 1;
        let frame = ClientFrame {
            request: self.requests,
            body: Some(body),
        };
        self.send_raw(Message::Binary(frame.encode_to_vec().into()))
            .await;
        self.requests
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Bytes past the WebSocket layer.
    pub fn stream(&mut self) -> &mut TlsStream<TcpStream> {
        self.socket.get_mut()
    }

    /// The next frame; `None` when the relay closed the link.
    pub async fn next_frame(&mut self) -> Option<RelayFrame> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message.await.expect("the relay answers in time")? {
                Ok(Message::Binary(bytes)) => {
                    return Some(RelayFrame::decode(bytes).unwrap());
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn next(&mut self) -> Option<Answer> {
        self.next_frame().await?.body
    }

    /// Sends a request and gives its answer.
    pub async fn ask(&mut self, body: Request) -> Answer {
        let request = self.send(body).await;
        loop {
            let frame = self.next_frame().await.expect("the link stays open");
            if frame.request == request {
                return frame.body.unwrap();
            }
        }
    }

    /// Proves that the link works.
    pub async fn works(&mut self) {
        let answer = self.ask(Request::Ping(pb::Ping {})).await;
        assert!(matches!(answer, Answer::Pong(_)));
    }

    /// What the relay says before it closes, and the code that it closes with.
    pub async fn ending(&mut self) -> (Vec<Answer>, Option<u16>) {
        let mut said = Vec::new();
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next());
            match message.await.expect("the relay ends the link in time") {
                Some(Ok(Message::Binary(bytes))) => {
                    said.push(RelayFrame::decode(bytes).unwrap().body.unwrap());
                }
                Some(Ok(Message::Close(close))) => {
                    return (said, close.map(|close| close.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (said, None),
            }
        }
    }
}

/// The error codes among what the relay said.
pub fn errors(said: &[Answer]) -> Vec<pb::ErrorCode> {
    said.iter()
        .filter_map(|answer| match answer {
            Answer::Error(error) => Some(error.code()),
            _ => None,
        })
        .collect()
}

pub async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("relay").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// As our clients connect: the post-quantum hybrid only.
pub fn config(versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    config_with(versions, Arc::default())
}

/// As [`config`]; the certificate that the relay showed goes to `seen`.
pub fn config_with(
    versions: &[&'static SupportedProtocolVersion],
    seen: Arc<Mutex<Option<Vec<u8>>>>,
) -> ClientConfig {
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone { seen }))
        .with_no_client_auth()
}

/// The group that was agreed on.
pub fn group(stream: &TlsStream<TcpStream>) -> NamedGroup {
    let connection = stream.get_ref().1;
    connection.negotiated_key_exchange_group().unwrap().name()
}

/// Checks signatures, and accepts whoever makes them.
#[derive(Debug)]
struct Anyone {
    seen: Arc<Mutex<Option<Vec<u8>>>>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap() = Some(certificate.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A post of so many bytes, for what must be large.
pub fn large_post(bytes: usize) -> Bytes {
    let frame = ClientFrame {
        request: 1,
        body: Some(Request::Post(pb::Post {
            body: vec![0; bytes].into(),
            ..pb::Post::default()
        })),
    };
    frame.encode_to_vec().into()
}
