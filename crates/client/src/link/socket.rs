//! Opens one link: TCP, TLS, WebSocket.
//!
//! **Elsewhere.** [`super::keep_open()`] tries again.
//!
//! **Always.** A [`Link`] is a TLS 1.3 connection with the right relay, and its exporter is known.
//! Everything that connects with a relay does it here, by the home's route.

use std::{io, sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use rand::{
    rand_core::{Rng as _, UnwrapErr},
    rngs::SysRng,
};
use rustls::pki_types::CertificateDer;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, protocol::WebSocketConfig},
};
use waxwing_dial::{ProxyError, Route, RouteError};
use waxwing_engine::api::Problem;
use waxwing_protocol::{EXPORTER_LABEL, Exporter, limits};

use crate::home::plain;

use super::{
    relay::{Pin, RelayUrl},
    tls::{self, IdentityRefused},
};

/// The path of the WebSocket on a relay.
const PATH: &str = "/v1/link";
/// How long each of TLS and WebSocket may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// A link that has just been opened.
pub struct Link {
    /// What TLS told.
    pub info: LinkInfo,
    pub(super) socket: WebSocketStream<TlsStream<TcpStream>>,
}

/// What is known of a link from its handshake.
#[derive(Clone)]
pub struct LinkInfo {
    /// Binds signatures to this link.
    pub exporter: Exporter,
    /// The key that the relay proved to have.
    pub pin: Pin,
    /// The negotiated key exchange, as IANA names it.
    pub key_exchange: String,
}

impl std::fmt::Debug for LinkInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkInfo { .. }")
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link { .. }")
    }
}

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No name, no route, nobody listening.
    #[error("no connection to {authority}: {}", plain(source))]
    Unreachable {
        /// Where it was tried.
        authority: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("{authority} does not answer")]
    Silent {
        /// Where it was tried.
        authority: String,
    },
    /// The proxy cannot be used; nothing was sent past it.
    #[error("the proxy {0}")]
    Proxy(#[from] ProxyError),
    /// Somebody answers, but it is not the relay that was meant.
    #[error(transparent)]
    Identity(#[from] IdentityRefused),
    /// What answers does not speak TLS 1.3 with X25519MLKEM768.
    #[error("no TLS 1.3 with X25519MLKEM768: {0}")]
    Tls(String),
    /// What answers is no relay.
    #[error("the server that answered is not a relay: {0}")]
    NoRelay(String),
}

impl From<&ConnectError> for Problem {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Identity(IdentityRefused::WrongPin { .. }) => Self::WrongPin,
            ConnectError::Identity(IdentityRefused::NotPinned { presented }) => {
                Self::RelayNotPinned {
                    presented: presented.to_string(),
                }
            }
            ConnectError::Proxy(ProxyError::Unreachable { authority, source }) => {
                Self::ProxyFailed {
                    detail: format!("{authority} cannot be reached: {}", plain(source)),
                }
            }
            ConnectError::Proxy(error) => Self::ProxyFailed {
                detail: error.to_string(),
            },
            other => Self::RelayDown {
                detail: other.to_string(),
            },
        }
    }
}

/// Opens a link.
pub async fn connect(relay: &RelayUrl, route: &Route) -> Result<Link, ConnectError> {
    let authority = relay.authority();
    let tls = connect_tls(relay, route).await?;
    let info = info(&tls)?;

    let bounds = WebSocketConfig::default()
        .max_message_size(Some(limits::FRAME_BYTES))
        .max_frame_size(Some(limits::FRAME_BYTES))
        .read_buffer_size(16 << 10)
        .write_buffer_size(0);
    let url = format!("wss://{authority}{PATH}");
    let (socket, _response) = timeout(STEP_LIMIT, client_async_with_config(url, tls, Some(bounds)))
        .await
        .map_err(|_| silent(relay))?
        .map_err(|error| upgrade_failed(authority, error))?;
    Ok(Link { info, socket })
}

/// Opens a TLS connection with the relay that was meant.
pub(super) async fn connect_tls(
    relay: &RelayUrl,
    route: &Route,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let authority = relay.authority();
    let tcp = route
        .connect(relay.host(), relay.port(), &circuit())
        .await
        .map_err(|error| match error {
            RouteError::Proxy(error) => error.into(),
            RouteError::Host(source) if source.kind() == io::ErrorKind::TimedOut => silent(relay),
            RouteError::Host(source) => ConnectError::Unreachable {
                authority: authority.clone(),
                source,
            },
        })?;
    // A message waits for nothing; without this option it is merely slower.
    let _ = tcp.set_nodelay(true);

    let config = tls::config(relay.pin().copied()).map_err(|e| ConnectError::Tls(e.to_string()))?;
    let name = relay
        .server_name()
        .ok_or_else(|| ConnectError::Tls("no host name".into()))?;
    timeout(
        STEP_LIMIT,
        TlsConnector::from(Arc::new(config)).connect(name, tcp),
    )
    .await
    .map_err(|_| silent(relay))?
    .map_err(|error| handshake_failed(&authority, error))
}

/// A name for one connection, so that a proxy such as Tor keeps it apart from all others: the relay
/// must not connect the two links by the address that they come from.
pub(crate) fn circuit() -> String {
    let mut name = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut name);
    HEXLOWER.encode(&name)
}

fn silent(relay: &RelayUrl) -> ConnectError {
    ConnectError::Silent {
        authority: relay.authority(),
    }
}

fn handshake_failed(authority: &str, error: io::Error) -> ConnectError {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(tls) => match tls::identity_refused(tls) {
            Some(refused) => refused.into(),
            None => ConnectError::Tls(tls.to_string()),
        },
        None => ConnectError::Unreachable {
            authority: authority.to_owned(),
            source: error,
        },
    }
}

fn upgrade_failed(authority: String, error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Io(source) => ConnectError::Unreachable { authority, source },
        tungstenite::Error::Http(response) => {
            ConnectError::NoRelay(format!("HTTP status {}", response.status().as_u16()))
        }
        other => ConnectError::NoRelay(other.to_string()),
    }
}

fn info(tls: &TlsStream<TcpStream>) -> Result<LinkInfo, ConnectError> {
    let connection = tls.get_ref().1;
    let missing = |what: &str| ConnectError::Tls(format!("the handshake gave no {what}"));
    let exporter = connection
        .export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))
        .map_err(|error| ConnectError::Tls(error.to_string()))?;
    let certificate: &CertificateDer<'_> = connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| missing("certificate"))?;
    let pin = tls::pin_of(certificate).map_err(|error| ConnectError::Tls(error.to_string()))?;
    let key_exchange = connection
        .negotiated_key_exchange_group()
        .map(|group| format!("{:?}", group.name()))
        .ok_or_else(|| missing("key exchange"))?;
    Ok(LinkInfo {
        exporter,
        pin,
        key_exchange,
    })
}
