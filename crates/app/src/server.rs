//! The server: takes connections on loopback, and gives each request to who answers it.
//!
//! **Elsewhere.** Who gets an answer is decided in [`crate::access`].
//!
//! **Always.** It listens on loopback only. Whatever a request is, it is checked first. At the end
//! every session is closed, so that another process can take over the engine.

use std::{
    convert::Infallible,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Incoming,
    header::{
        CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use waxwing_client::{
    Session,
    blobs::{Blobs, metadata::Metadata},
    export::Sentence,
    home::KeySource,
};
use waxwing_engine::api::Timestamp;
use waxwing_protocol::time::Time;

use crate::{
    access::{Access, PROTOCOL, Refusal},
    answer::{self, Answer, bytes, guard, refused, set, text},
    export, files, page, preferences, rpc,
};

/// For a request's headers.
const HEADERS: Duration = Duration::from_secs(10);
/// After an error that waiting may cure (no descriptors left).
const PAUSE: Duration = Duration::from_millis(50);
/// Connections at one time. A browser makes a few; another user of the machine, who gets no answer
/// but can connect, must not use up the files that this process may have open.
const CONNECTIONS: usize = 64;
/// Bytes of a token, with room.
const TOKEN_BYTES: usize = 256;
/// The page that leads a browser to the app: the token is in it, not on a command line, which
/// other users can read.
const DOOR: &str = "app.html";

/// Where a session finds the store's key, if it becomes the one that needs it.
pub type Keys = Arc<dyn Fn() -> Box<dyn KeySource> + Send + Sync>;

/// The app of one home, at an address of its own.
pub struct App {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App { .. }")
    }
}

struct Shared {
    access: Access,
    home: PathBuf,
    keys: Keys,
    sentence: Sentence,
    stop: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
}

impl App {
    /// Listens on loopback; `port` 0 takes one that is free. `sentence` says in exports what
    /// happened.
    pub async fn bind(
        home: PathBuf,
        keys: Keys,
        sentence: Sentence,
        port: u16,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (stopping, stop) = watch::channel(false);
        Ok(Self {
            listener,
            shared: Arc::new(Shared {
                access: Access::new(address.to_string()),
                home,
                keys,
                sentence,
                stop,
                stopping,
            }),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address to open, once.
    pub fn url(&self) -> String {
        self.shared.access.url().unwrap_or_default()
    }

    /// Writes a file, readable by its owner only, that leads a browser to the app.
    pub fn door(&self) -> io::Result<PathBuf> {
        let path = self.shared.home.join(DOOR);
        let mut file = tempfile::NamedTempFile::new_in(&self.shared.home)?;
        let url = self.url();
        write!(
            file,
            "<!doctype html><meta charset=utf-8><meta name=referrer content=no-referrer>\
             <meta http-equiv=refresh content=\"0;url={url}\"><title>Waxwing</title>"
        )?;
        file.persist(&path)?;
        Ok(path)
    }

    /// Serves until `stop` ends, or until it is dropped, then closes every connection.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let stopping = Stopping(Arc::clone(&self.shared));
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS => {
                    connections.spawn(serve(Arc::clone(&self.shared), stream));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
        drop(self.listener);
        drop(stopping);
        while connections.join_next().await.is_some() {}
    }
}

/// Ends every session when serving ends, however it ends: none of them may go on and take over the
/// engine of a process that is about to end.
struct Stopping(Arc<Shared>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stopping.send_replace(true);
        // It may have been opened and removed.
        let _ = std::fs::remove_file(self.0.home.join(DOOR));
    }
}

impl Shared {
    async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error would mean that the sender is gone, which is an end as well.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    async fn session(&self) -> Result<Session, Box<Answer>> {
        Session::open(&self.home, (self.keys)())
            .await
            .map_err(|problem| {
                let sentence = problem.report().sentence;
                Box::new(text(StatusCode::SERVICE_UNAVAILABLE, &sentence))
            })
    }
}

/// One connection, up to its end; its WebSocket too, if it becomes one.
async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    // Answers are written whole: waiting for more only delays them.
    let _ = stream.set_nodelay(true);
    let (socket, sockets) = watch::channel(());
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        let socket = socket.clone();
        async move { Ok::<_, Infallible>(guard(answer(shared, request, &socket).await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        // Whoever breaks off has only itself to tell.
        _ = connection => {}
        () = shared.stopped() => {}
    }
    drop(sockets);
    // A socket that this connection became ends before the server does.
    socket.closed().await;
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    socket: &watch::Sender<()>,
) -> Answer {
    if let Err(refusal) = shared.access.check(request.method(), request.headers()) {
        return refused(refusal);
    }
    let path = request.uri().path().to_owned();
    match route(&shared, request, &path, socket).await {
        Ok(answer) => answer,
        Err(refusal) => refused(refusal),
    }
}

async fn route(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    path: &str,
    socket: &watch::Sender<()>,
) -> Result<Answer, Refusal> {
    let access = &shared.access;
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Ok(match (request.method(), parts.as_slice()) {
        (&Method::POST, ["session"]) => open_session(shared, request).await?,
        (&Method::GET, ["session"]) => {
            access.check_bearer(request.headers())?;
            answer::json(&json!({}))
        }
        (&Method::GET, ["preferences"]) => {
            access.check_bearer(request.headers())?;
            answer::json(&preferences::read(&shared.home))
        }
        (&Method::PUT, ["preferences"]) => {
            access.check_bearer(request.headers())?;
            keep_preferences(shared, request).await
        }
        (&Method::POST, ["export"]) => {
            access.check_bearer(request.headers())?;
            export_conversation(shared, request).await
        }
        (&Method::GET, ["rpc"]) => {
            access.check_socket(request.headers())?;
            open_socket(shared, request, socket)
        }
        (&Method::POST, ["files"]) => {
            access.check_bearer(request.headers())?;
            let name = query(&request, "name").unwrap_or_default();
            let metadata = match query(&request, "keep_metadata") {
                Some(_) => Metadata::Kept,
                None => Metadata::Removed,
            };
            let (head, body) = request.into_parts();
            files::take(Blobs::of(&shared.home), name, metadata, &head.headers, body).await
        }
        (&Method::GET, ["files", secret, message, number]) => {
            access.check_file(secret, request.headers())?;
            give_file(shared, &request, message, number).await
        }
        (&Method::GET, _) => page::serve(path, access.host()),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here."),
    })
}

async fn small(request: Request<Incoming>, most: usize) -> Option<bytes::Bytes> {
    let body = Limited::new(request.into_body(), most).collect().await;
    body.ok().map(http_body_util::Collected::to_bytes)
}

async fn open_session(shared: &Shared, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let token = small(request, TOKEN_BYTES).await.unwrap_or_default();
    let token = std::str::from_utf8(&token).unwrap_or_default();
    let (bearer, files) = shared.access.exchange(token)?;
    // Its token does nothing any more.
    let _ = std::fs::remove_file(shared.home.join(DOOR));
    Ok(answer::json(&json!({ "bearer": bearer, "files": files })))
}

async fn keep_preferences(shared: &Shared, request: Request<Incoming>) -> Answer {
    let body = small(request, preferences::BYTES).await;
    let chosen = body.and_then(|body| serde_json::from_slice(&body).ok());
    let Some(chosen) = chosen else {
        return text(
            StatusCode::BAD_REQUEST,
            "That is not an object, or too long.",
        );
    };
    match preferences::keep(&shared.home, &chosen) {
        Ok(()) => answer::json(&json!({})),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn export_conversation(shared: &Shared, request: Request<Incoming>) -> Answer {
    let body = small(request, export::BYTES).await;
    let asked = body.and_then(|body| serde_json::from_slice(&body).ok());
    let Some(asked) = asked else {
        return text(StatusCode::BAD_REQUEST, "What is to be exported?");
    };
    let mut session = match shared.session().await {
        Ok(session) => session,
        Err(answer) => return *answer,
    };
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    let now = Timestamp::from(Time(millis));
    let answer = export::write(&mut session, &asked, now, shared.sentence).await;
    session.close().await;
    answer
}

async fn give_file(
    shared: &Shared,
    request: &Request<Incoming>,
    message: &str,
    number: &str,
) -> Answer {
    let (Ok(message), Ok(number)) = (message.parse(), number.parse()) else {
        return text(StatusCode::NOT_FOUND, "There is no such file.");
    };
    let mut session = match shared.session().await {
        Ok(session) => session,
        Err(answer) => return *answer,
    };
    let save = request.uri().query() == Some("save");
    let answer = files::give(&mut session, message, number, save, request.headers()).await;
    session.close().await;
    answer
}

/// Becomes a WebSocket, which lives as long as `socket` is held.
fn open_socket(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    socket: &watch::Sender<()>,
) -> Answer {
    let headers = request.headers();
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let (Some(key), true) = (key, version.is_some_and(|version| version == "13")) else {
        return text(StatusCode::UPGRADE_REQUIRED, "This is a WebSocket.");
    };
    let upgrading = hyper::upgrade::on(&mut request);
    let shared = Arc::clone(shared);
    let alive = socket.subscribe();
    tokio::spawn(async move {
        if let Ok(stream) = upgrading.await
            && let Ok(session) = shared.session().await
        {
            rpc::run(TokioIo::new(stream), session, shared.stopped()).await;
        }
        drop(alive);
    });
    let mut answer = bytes(StatusCode::SWITCHING_PROTOCOLS, "", "");
    let headers = answer.headers_mut();
    headers.clear();
    set(headers, CONNECTION, "upgrade");
    set(headers, UPGRADE, "websocket");
    set(
        headers,
        SEC_WEBSOCKET_ACCEPT,
        &derive_accept_key(key.as_bytes()),
    );
    set(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
    answer
}

/// A value of the query, decoded.
fn query(request: &Request<Incoming>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
