//! One link to the relay under load: TLS 1.3 with its key pinned, a WebSocket, frames.
//!
//! **Elsewhere**: the link that people's clients use is `client::link`; this one adds a
//! choice of source address and keeps its own memory small, so that ten thousand of
//! them fit beside the relay.
//!
//! **Always**: nothing is resumed and nothing shared between two links.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use waxwing_protocol::pb::{self, client_frame, relay_frame};
use waxwing_protocol::{EXPORTER_LABEL, Exporter, VERSIONS, frame, limits};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// How the relay under load is reached.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Target {
    /// From the URL that the relay prints: `https://127.0.0.1:PORT/#sha256/…`.
    pub fn from_url(url: &str) -> Result<Self> {
        let (authority, pin) = url
            .strip_prefix("https://")
            .and_then(|rest| rest.split_once("/#sha256/"))
            .with_context(|| format!("no URL of a relay: {url}"))?;
        let pin = data_encoding::BASE64_NOPAD
            .decode(pin.trim_end_matches('=').as_bytes())
            .ok()
            .and_then(|pin| <[u8; 32]>::try_from(pin).ok())
            .context("the relay's pin is malformed")?;
        let provider = Arc::new(CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
            ..aws_lc_rs::default_provider()
        });
        let mut tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            address: authority.parse()?,
            tls: Arc::new(tls),
        })
    }

    /// The port that the relay listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A TCP connection from `source`. The kernel keeps as little as `receive_buffer` bytes
    /// that nobody reads here, where it is given.
    pub async fn connect(
        &self,
        source: Ipv4Addr,
        receive_buffer: Option<u32>,
    ) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((source, 0).into())?;
        let tcp = socket
            .connect(self.address)
            .await
            .context("no TCP connection")?;
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }

    /// TLS over a TCP connection, with the relay's key checked.
    pub async fn secure(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>> {
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, tcp)
            .await
            .context("no TLS connection")
    }
}

/// The loopback address that the `number`th person comes from: bounds per source and
/// the range of ports are those of many machines, not of one.
pub fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = u32::try_from(number % 60_000).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(127, 7, high, low.max(1))
}

/// A link, and what its first frames told.
pub struct Link {
    socket: Socket,
    /// Binds signatures to this link.
    pub exporter: Exporter,
    /// The relay's greeting.
    pub hello: pb::Hello,
    next_request: u32,
}

/// The sending half.
pub struct Sender(SplitSink<Socket, Message>);

/// The receiving half.
pub struct Receiver(SplitStream<Socket>);

/// The relay answered with an error.
#[derive(Debug, thiserror::Error)]
#[error("the relay refused: {code:?}, {detail}")]
pub struct Refusal {
    /// Which.
    pub code: pb::ErrorCode,
    /// What it said about it.
    pub detail: String,
}

impl Refusal {
    /// The code as figures are named: `rate_limited`.
    pub fn name(&self) -> String {
        let name = self.code.as_str_name();
        let name = name.strip_prefix("ERROR_CODE_").unwrap_or(name);
        name.to_ascii_lowercase()
    }
}

impl Link {
    /// Opens a link from `source`.
    pub async fn open(target: &Target, source: Ipv4Addr) -> Result<Self> {
        Self::over(target, target.connect(source, None).await?).await
    }

    /// Opens a link over a TCP connection.
    pub async fn over(target: &Target, tcp: TcpStream) -> Result<Self> {
        let tls = target.secure(tcp).await?;
        let exporter =
            tls.get_ref()
                .1
                .export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))?;
        let bounds = WebSocketConfig::default()
            .max_message_size(Some(limits::FRAME_BYTES))
            .max_frame_size(Some(limits::FRAME_BYTES))
            .read_buffer_size(4 << 10)
            .write_buffer_size(0);
        let url = format!("wss://{}/v1/link", target.address);
        let (mut socket, _) =
            tokio_tungstenite::client_async_with_config(url, tls, Some(bounds)).await?;
        let Some(relay_frame::Body::Hello(hello)) = receive(&mut socket).await?.body else {
            bail!("the relay did not greet");
        };
        let version = VERSIONS.first().copied().unwrap_or_default();
        let mut link = Self {
            socket,
            exporter,
            hello,
            next_request: 0,
        };
        link.send(client_frame::Body::Open(pb::Open { version }))
            .await?;
        Ok(link)
    }

    /// Asks and waits for the answer; what the relay says meanwhile of its own accord
    /// is dropped.
    pub async fn ask(&mut self, body: client_frame::Body) -> Result<relay_frame::Body> {
        let request = self.send(body).await?;
        loop {
            let frame = receive(&mut self.socket).await?;
            if frame.request == request {
                return answer(frame);
            }
        }
    }

    async fn send(&mut self, body: client_frame::Body) -> Result<u32> {
        self.next_request += 1;
        let frame = encode(self.next_request, body);
        self.socket.send(frame).await?;
        Ok(self.next_request)
    }

    /// Writes bytes to the TLS connection that need not be a frame.
    pub async fn write_raw(&mut self, bytes: &[u8]) -> Result<()> {
        let tls = self.socket.get_mut();
        tls.write_all(bytes).await?;
        Ok(tls.flush().await?)
    }

    /// Both halves, to be used at once.
    pub fn split(self) -> (Sender, Receiver) {
        let (sink, stream) = self.socket.split();
        (Sender(sink), Receiver(stream))
    }
}

impl Sender {
    /// Hands a frame over; [`Sender::flush`] sends it.
    pub async fn feed(&mut self, request: u32, body: client_frame::Body) -> Result<()> {
        Ok(self.0.feed(encode(request, body)).await?)
    }

    /// Sends what was handed over.
    pub async fn flush(&mut self) -> Result<()> {
        Ok(self.0.flush().await?)
    }
}

impl Receiver {
    /// The next frame.
    pub async fn next(&mut self) -> Result<pb::RelayFrame> {
        receive(&mut self.0).await
    }

    /// The next frame if it is there already.
    pub fn next_ready(&mut self) -> Option<Result<pb::RelayFrame>> {
        use futures_util::FutureExt as _;
        self.next().now_or_never()
    }
}

/// The answer in a frame; the relay's refusal is an error.
pub fn answer(frame: pb::RelayFrame) -> Result<relay_frame::Body> {
    match frame.body {
        Some(relay_frame::Body::Error(error)) => Err(Refusal {
            code: error.code(),
            detail: error.detail,
        }
        .into()),
        Some(body) => Ok(body),
        None => bail!("the relay sent an empty frame"),
    }
}

fn encode(request: u32, body: client_frame::Body) -> Message {
    let frame = pb::ClientFrame {
        request,
        body: Some(body),
    };
    Message::Binary(frame.encode_to_vec().into())
}

async fn receive<S>(stream: &mut S) -> Result<pb::RelayFrame>
where
    S: futures_util::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        match stream.next().await {
            Some(Ok(Message::Binary(bytes))) => return decode(bytes),
            Some(Ok(Message::Close(_))) | None => bail!("the relay closed the link"),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
}

fn decode(bytes: Bytes) -> Result<pb::RelayFrame> {
    Ok(frame::decode_relay(bytes)?)
}

/// Accepts the one key that the relay announced.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_| rustls::CertificateError::BadEncoding)?;
        if <[u8; 32]>::from(Sha256::digest(certificate.subject_public_key_info())) == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is never offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_come_from_different_addresses_of_loopback() {
        let sources: std::collections::HashSet<_> = (0..10_000).map(source).collect();
        assert!(sources.len() > 9_900);
        assert!(sources.iter().all(Ipv4Addr::is_loopback));
    }

    #[test]
    fn a_relays_url_is_read_and_another_refused() {
        let pin = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        for padding in ["", "="] {
            let url = format!("https://127.0.0.1:4433/#sha256/{pin}{padding}");
            assert_eq!(Target::from_url(&url).unwrap().port(), 4433);
        }
        assert!(Target::from_url("https://127.0.0.1:4433/").is_err());
        assert!(Target::from_url("https://127.0.0.1:4433/#sha256/short").is_err());
    }
}
