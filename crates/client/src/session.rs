//! One home, several processes: the first drives the engine and serves the others.
//!
//! A [`Session`] answers calls, no matter which process runs the engine. When the process that
//! drives it ends, the session connects to its successor, or becomes it.
//!
//! **Elsewhere.** The lock is in [`crate::home`], the socket in [`crate::rpc::socket`].
//!
//! **Always.** A call is made once: it is made again only if it was certainly not carried out, or
//! if twice does the same as once. A process that ends tells the connected ones, and answers the calls that it
//! has received.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{rand_core::UnwrapErr, rngs::SysRng};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use waxwing_engine::{
    Config, Engine,
    api::{self, Problem, Request},
    store::{Store, StoreKey},
    store_problem,
};

use crate::{
    blobs::Blobs,
    driver::{Access, Client, now},
    home::{Home, HomeLock, KeySource, StoreCopy, open_key},
    rpc::{Backend, Caller, CallerError, RpcError, Service, Told, socket},
};

/// How long to wait for a process that holds the lock and does not answer.
const BUSY_LIMIT: Duration = Duration::from_secs(15);
/// How long another process may take for an answer. A large backup or file takes a while.
const ANSWER_LIMIT: Duration = Duration::from_mins(5);
/// Between two attempts to become, or to reach, the one that drives the engine.
const AGAIN: Duration = Duration::from_millis(20);
/// The same, for a caller that only waits for notices.
const RETRY_NOTICES: Duration = Duration::from_secs(1);

/// Shared with the thread that opens the store.
type Keys = Arc<Mutex<Box<dyn KeySource>>>;

/// The way to the engine of one home.
pub struct Session {
    home: Home,
    keys: Keys,
    subscribed: bool,
    /// Notices may have been lost at a handover.
    missed: bool,
    state: State,
}

enum State {
    Here(Box<Here>),
    /// This process reads a copy of a store that cannot be written where it lies.
    ReadOnly(Box<ReadOnly>),
    There(Box<Caller>),
    Moving(JoinHandle<Result<State, Problem>>),
    /// Moving failed; the next call tries again.
    Nowhere,
}

/// This process drives the engine.
struct Here {
    client: Client,
    service: Service,
    closing: watch::Sender<bool>,
    server: JoinHandle<()>,
    lock: HomeLock,
}

/// The engine on a copy of the store, without a network.
struct ReadOnly {
    client: Client,
    service: Service,
    /// Nobody tells it, because nobody is connected.
    _closing: watch::Sender<bool>,
    _copy: StoreCopy,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session { .. }")
    }
}

impl Session {
    /// Where attached files lie, sealed.
    pub fn blobs(&self) -> Blobs {
        Blobs::of(self.home.path())
    }

    /// Opens the home at `path`: connects to the process that serves it, or becomes it.
    pub async fn open(path: &Path, keys: Box<dyn KeySource>) -> Result<Self, Problem> {
        let keys = Arc::new(Mutex::new(keys));
        let (home, state) = match Home::open(path) {
            Ok(home) => {
                let state = attach(home.clone(), Arc::clone(&keys)).await?;
                (home, state)
            }
            Err(why @ (Problem::HomeUnwritable { .. } | Problem::DiskFull)) => {
                read_only(path, Arc::clone(&keys), why).await?
            }
            Err(problem) => return Err(problem),
        };
        Ok(Self {
            home,
            keys,
            subscribed: false,
            missed: false,
            state,
        })
    }

    /// The home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Whether this process drives the engine.
    pub fn drives(&self) -> bool {
        matches!(self.state, State::Here(_))
    }

    /// Asks the engine, wherever it runs.
    pub async fn ask<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, RpcError> {
        let call = serde_json::to_value(request).map_err(|error| odd(&error))?;
        let params = call.get("params").cloned();
        let result = self.call(request.method(), params).await?;
        serde_json::from_value(result).map_err(|error| odd(&error))
    }

    /// From now on, [`Session::notice`] gives what happens.
    pub async fn subscribe(&mut self) -> Result<(), RpcError> {
        self.call("subscribe", None).await.map(drop)
    }

    /// The next notice as JSON; may be cancelled. See [`Told::Notice`].
    pub async fn notice(&mut self) -> Value {
        loop {
            if let Told::Notice(notice) = self.told().await {
                return notice;
            }
        }
    }

    /// Ends the session. If this process drives the engine, those who are connected are
    /// told, and what is on its way is answered.
    pub async fn close(self) {
        if let State::Here(here) = self.state {
            here.closing.send_replace(true);
            // An error would mean that serving panicked, which ends it as well.
            let _ = here.server.await;
            here.client.close().await;
            drop(here.lock);
        } else if let State::ReadOnly(reader) = self.state {
            reader.client.close().await;
        }
    }

    /// Leaves a process that ended, towards its successor.
    fn move_on(&mut self) {
        let moving = tokio::spawn(attach(self.home.clone(), Arc::clone(&self.keys)));
        self.state = State::Moving(moving);
    }

    /// Gets to where calls can be made. May be cancelled.
    async fn settle(&mut self) -> Result<(), Problem> {
        loop {
            match &mut self.state {
                State::Here(_) | State::There(_) | State::ReadOnly(_) => return Ok(()),
                State::Nowhere => self.move_on(),
                State::Moving(moving) => match moving.await {
                    Ok(Ok(state)) => {
                        self.state = state;
                        self.missed = self.subscribed;
                    }
                    Ok(Err(problem)) => {
                        self.state = State::Nowhere;
                        return Err(problem);
                    }
                    Err(error) => {
                        self.state = State::Nowhere;
                        return Err(Problem::Internal {
                            detail: error.to_string(),
                        });
                    }
                },
            }
        }
    }

    /// Subscribes again after a handover. May be cancelled.
    async fn subscribe_again(&mut self) {
        if self.missed {
            // If that fails, the next handover does it.
            let _ = self.call_here("subscribe", None).await;
        }
    }

    async fn call_here(
        &mut self,
        method: &str,
        params: Option<Value>,
    ) -> Result<Result<Value, RpcError>, CallerError> {
        match &mut self.state {
            State::Here(here) => Ok(here.service.call(method, params).await),
            State::ReadOnly(reader) => Ok(reader.service.call(method, params).await),
            State::There(caller) => timeout(ANSWER_LIMIT, caller.call(method, params))
                .await
                .unwrap_or(Err(CallerError::NotAnswered)),
            State::Moving(_) | State::Nowhere => Err(CallerError::NotCalled),
        }
    }
}

impl Backend for Session {
    async fn call(&mut self, method: &str, params: Option<Value>) -> Result<Value, RpcError> {
        loop {
            self.settle().await?;
            match self.call_here(method, params.clone()).await {
                Ok(result) => {
                    match method {
                        "subscribe" if result.is_ok() => self.subscribed = true,
                        "unsubscribe" => self.subscribed = false,
                        _ => {}
                    }
                    return result;
                }
                Err(CallerError::NotCalled) => self.move_on(),
                Err(CallerError::NotAnswered) => {
                    self.move_on();
                    if !can_be_repeated(method) {
                        return Err(Problem::ServerGone.into());
                    }
                }
            }
        }
    }

    async fn told(&mut self) -> Told {
        loop {
            if self.settle().await.is_err() {
                // Somebody else's process does not answer; what changes is seen later.
                sleep(RETRY_NOTICES).await;
                continue;
            }
            if self.missed {
                self.subscribe_again().await;
                self.missed = false;
                return Told::Notice(json!({ "type": "missed" }));
            }
            match &mut self.state {
                State::Here(here) => loop {
                    // This process closes itself by `close`.
                    if let Told::Notice(notice) = here.service.told().await {
                        return Told::Notice(notice);
                    }
                    std::future::pending::<()>().await;
                },
                State::ReadOnly(reader) => loop {
                    if let Told::Notice(notice) = reader.service.told().await {
                        return Told::Notice(notice);
                    }
                    std::future::pending::<()>().await;
                },
                State::There(caller) => match caller.notice().await {
                    Some(notice) => return Told::Notice(notice),
                    None => self.move_on(),
                },
                State::Moving(_) | State::Nowhere => {}
            }
        }
    }
}

/// Calls that can be made twice without harm.
fn can_be_repeated(method: &str) -> bool {
    api::methods().any(|known| known.name == method && known.effect.can_be_repeated())
}

fn odd(error: &serde_json::Error) -> RpcError {
    Problem::Internal {
        detail: error.to_string(),
    }
    .into()
}

/// Becomes the process that drives the engine, or connects to it.
async fn attach(home: Home, keys: Keys) -> Result<State, Problem> {
    let deadline = Instant::now() + BUSY_LIMIT;
    loop {
        if let Some(lock) = HomeLock::try_take(&home)? {
            return drive(home, keys, lock).await;
        }
        if let Ok(stream) = socket::connect(&home.socket())
            && let Ok(Ok(caller)) = timeout_at(deadline, Caller::connect(stream)).await
        {
            return Ok(State::There(Box::new(caller)));
        }
        if Instant::now() >= deadline {
            return Err(Problem::HomeBusy);
        }
        sleep(AGAIN).await;
    }
}

async fn drive(home: Home, keys: Keys, lock: HomeLock) -> Result<State, Problem> {
    // Bound first: who comes meanwhile waits for the greeting instead of asking again
    // and again while a person types a passphrase.
    let server = socket::Server::bind(&home.socket()).map_err(|error| home.unwritable(&error))?;
    let (tell_keeping, keeping) = oneshot::channel();
    let place = home.clone();
    let route = home.route()?;
    let client = Client::start(home.clone(), Access::Full, route, move || {
        let (key, keeping) = {
            let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
            open_key(&place, keys.as_mut())?
        };
        // Only a cancelled caller does not listen.
        let _ = tell_keeping.send(keeping);
        create_store_file(&place)?;
        open_engine(&place.store(), &key)
    })
    .await?;
    let keeping = keeping.await.map_err(|_| Problem::ServerGone)?;
    let (closing, is_closing) = watch::channel(false);
    let service = Service::new(client.clone(), home, keeping, is_closing);
    let server = tokio::spawn(server.run(service.clone()));
    Ok(State::Here(Box::new(Here {
        client,
        service,
        closing,
        server,
        lock,
    })))
}

/// Reads what is in a home that cannot be written; anything else is refused because of `why`.
async fn read_only(path: &Path, keys: Keys, why: Problem) -> Result<(Home, State), Problem> {
    if !path.join("store.db").is_file() {
        return Err(why);
    }
    let home = Home::open_read_only(path)?;
    // The disk may be full, and another process drive the engine.
    if let Ok(stream) = socket::connect(&home.socket())
        && let Ok(Ok(caller)) = timeout(BUSY_LIMIT, Caller::connect(stream)).await
    {
        return Ok((home, State::There(Box::new(caller))));
    }
    let copy = StoreCopy::make(&home, &std::env::temp_dir()).map_err(|_| why.clone())?;
    let (tell_keeping, keeping) = oneshot::channel();
    let (place, store) = (home.clone(), copy.store());
    let route = home.route()?;
    let access = Access::ReadOnly(why);
    let client = Client::start(home.clone(), access, route, move || {
        let (key, keeping) = {
            let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
            open_key(&place, keys.as_mut())?
        };
        // Only a cancelled caller does not listen.
        let _ = tell_keeping.send(keeping);
        open_engine(&store, &key)
    })
    .await?;
    let keeping = keeping.await.map_err(|_| Problem::ServerGone)?;
    let (closing, is_closing) = watch::channel(false);
    let reader = ReadOnly {
        service: Service::new(client.clone(), home.clone(), keeping, is_closing),
        client,
        _closing: closing,
        _copy: copy,
    };
    Ok((home, State::ReadOnly(Box::new(reader))))
}

fn open_engine(store: &Path, key: &StoreKey) -> Result<Engine, Problem> {
    let store = Store::open(store, key).map_err(|error| store_problem(&error))?;
    Engine::open(store, &Config::default(), now(), &mut UnwrapErr(SysRng))
        .map_err(|refused| refused.problem)
}

/// Makes the store's file, so that it is its owner's only from the first moment on.
fn create_store_file(home: &Home) -> Result<(), Problem> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(home.store())
        .map(drop)
        .map_err(|error| home.unwritable(&error))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::home::KeyKeeping;

    struct InFile;

    impl KeySource for InFile {
        fn preference(&self) -> Option<KeyKeeping> {
            Some(KeyKeeping::File)
        }

        fn passphrase(&mut self, _new: bool) -> std::io::Result<Option<Zeroizing<String>>> {
            Ok(None)
        }
    }

    fn keys() -> Keys {
        Arc::new(Mutex::new(Box::new(InFile)))
    }

    fn unwritable() -> Problem {
        Problem::HomeUnwritable {
            path: "home".into(),
            detail: "read-only file system".into(),
        }
    }

    #[tokio::test]
    async fn a_home_that_cannot_be_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home");
        Session::open(&path, Box::new(InFile))
            .await
            .unwrap()
            .close()
            .await;
        let before = std::fs::read(path.join("store.db")).unwrap();
        let (home, state) = read_only(&path, keys(), unwritable()).await.unwrap();
        let mut session = Session {
            home,
            keys: keys(),
            subscribed: false,
            missed: false,
            state,
        };
        let status: api::Status = session.ask(&Request::Status).await.unwrap();
        assert!(!status.online);
        let _: api::Conversations = session.ask(&Request::Conversations).await.unwrap();
        // Nothing else is done, and the reason is said.
        let refused = session.ask::<Value>(&Request::DismissAlarms).await;
        assert_eq!(refused.unwrap_err().name(), "home_unwritable");
        session.close().await;
        assert_eq!(std::fs::read(path.join("store.db")).unwrap(), before);
    }

    #[tokio::test]
    async fn a_home_without_a_store_has_nothing_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = read_only(folder.path(), keys(), unwritable()).await;
        assert_eq!(nothing.err().unwrap().code(), "home_unwritable");
    }
}
