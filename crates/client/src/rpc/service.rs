//! The methods, answered by this process.
//!
//! **Elsewhere.** The engine's requests are in `waxwing_api`, the checks of `doctor` in
//! [`crate::doctor`].
//!
//! **Always.** Each connection has its own service, since each subscribes separately.

use std::{io, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use waxwing_engine::api::{
    AttachmentOf, AttachmentState, ClientRequest, Done, Method, Notice, OpenAttachment,
    PreviewLink, Problem, ProgramVersion, RelayInfo, Request, Response, SaveAttachment,
    SavedAttachment, SealFile,
};

use super::{Backend, RpcError, Told, code};
use crate::{
    blobs::{Blobs, file::FileError, metadata::Metadata},
    doctor,
    driver::Client,
    home::{Home, KeyKeeping},
    link::Route,
    link_preview::Fetcher,
};

/// Answers calls from the engine of this process.
pub struct Service {
    client: Client,
    home: Home,
    keeping: KeyKeeping,
    closing: watch::Receiver<bool>,
    subscription: Option<broadcast::Receiver<Notice>>,
}

impl Clone for Service {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            home: self.home.clone(),
            keeping: self.keeping,
            closing: self.closing.clone(),
            subscription: None,
        }
    }
}

impl Service {
    /// For a client whose process will say in `closing` that it is about to end.
    pub fn new(
        client: Client,
        home: Home,
        keeping: KeyKeeping,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            client,
            home,
            keeping,
            closing,
            subscription: None,
        }
    }

    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.clone()
    }

    /// Carries out what the client answers itself.
    async fn answer(&mut self, request: ClientRequest) -> Result<Value, RpcError> {
        match request {
            ClientRequest::Subscribe => {
                self.subscription = Some(self.client.subscribe());
                json(&Done {})
            }
            ClientRequest::Unsubscribe => {
                self.subscription = None;
                json(&Done {})
            }
            ClientRequest::Version => json(&ProgramVersion {
                version: env!("CARGO_PKG_VERSION").to_owned(),
            }),
            ClientRequest::Doctor => {
                json(&doctor::examine(&self.client, &self.home, self.keeping).await?)
            }
            ClientRequest::Relay => json(&self.relay().await?),
            ClientRequest::MoveRelay(moved) => {
                let route = self.home.route()?;
                self.client.move_relay(&moved.url, &route).await?;
                json(&Done {})
            }
            ClientRequest::SetProxy(set) => {
                let route = self.home.remember_route(&set.proxy)?;
                self.client.set_route(route).await?;
                json(&Done {})
            }
            ClientRequest::PreviewLink(link) => preview(link, self.home.route()?).await,
            ClientRequest::SealFile(file) => self.seal(file).await,
            ClientRequest::CopyAttachment(of) => self.copy(of).await,
            ClientRequest::SaveAttachment(save) => self.save(save).await,
        }
    }
}

async fn preview(link: PreviewLink, route: Route) -> Result<Value, RpcError> {
    let none = |reason: String| RpcError::from(Problem::NoLinkPreview { reason });
    let fetcher = Fetcher::new(route).map_err(|error| none(error.to_string()))?;
    let found = fetcher.preview(&link.url).await;
    json(&found.map_err(|error| none(error.to_string()))?)
}

impl Service {
    async fn relay(&self) -> Result<RelayInfo, Problem> {
        let (account, status) = doctor::account_and_status(&self.client).await?;
        let route = self.home.route()?;
        Ok(RelayInfo {
            url: account.relay,
            pin: account.pin,
            proxy: (route != Route::Direct).then(|| route.to_string()),
            online: status.online,
        })
    }
}

// Files of the person's, for programs that have no library for sealing.
impl Service {
    async fn seal(&self, file: SealFile) -> Result<Value, RpcError> {
        let blobs = Blobs::of(self.home.path());
        let metadata = if file.keep_metadata {
            Metadata::Kept
        } else {
            Metadata::Removed
        };
        let sealed = blocking(move || blobs.seal(&absolute(file.path)?, metadata, |_| {})).await?;
        json(&sealed)
    }

    async fn copy(&self, of: AttachmentOf) -> Result<Value, RpcError> {
        let open = self.open(of).await?;
        let blobs = Blobs::of(self.home.path());
        let sealed = blocking(move || blobs.seal_again(&open, |_| {})).await?;
        json(&sealed)
    }

    /// What opens an attachment that is here.
    async fn open(&self, of: AttachmentOf) -> Result<OpenAttachment, RpcError> {
        let response = self.client.call(Request::Attachment(of)).await?;
        let Response::OpenAttachment(open) = response else {
            return Err(Problem::AttachmentUnknown.into());
        };
        match open.state {
            AttachmentState::Here | AttachmentState::Sending => Ok(*open),
            _ => Err(Problem::AttachmentNotHere.into()),
        }
    }

    async fn save(&self, save: SaveAttachment) -> Result<Value, RpcError> {
        let of = AttachmentOf {
            message: save.message,
            number: save.number,
        };
        let open = self.open(of).await?;
        let blobs = Blobs::of(self.home.path());
        let path = blocking(move || blobs.open(&open, &absolute(save.to)?)).await?;
        json(&SavedAttachment { path })
    }
}

/// This process may run in another folder than the process that asks.
fn absolute(path: PathBuf) -> Result<PathBuf, FileError> {
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(FileError::Io {
            path: path.display().to_string(),
            error: io::Error::new(
                io::ErrorKind::InvalidInput,
                "give the whole path, starting with /",
            ),
        })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, RpcError> {
    let unusable = |detail: String| RpcError::from(Problem::FileUnusable { detail });
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| unusable(error.to_string())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

impl Backend for Service {
    async fn call(&mut self, method: &str, params: Option<Value>) -> Result<Value, RpcError> {
        let named = |known: &&Method| known.name == method;
        if let Some(known) = ClientRequest::METHODS.iter().find(named) {
            return self.answer(request(known, params)?).await;
        }
        if let Some(known) = Request::METHODS.iter().find(named) {
            return json(&self.client.call(request(known, params)?).await?);
        }
        Err(RpcError::new(
            code::METHOD_NOT_FOUND,
            "There is no such method; docs/rpc.md lists the methods.",
        ))
    }

    async fn told(&mut self) -> Told {
        let notice = async {
            match &mut self.subscription {
                Some(subscription) => loop {
                    match subscription.recv().await {
                        Ok(notice) => {
                            if let Ok(notice) = serde_json::to_value(notice) {
                                return notice;
                            }
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => {
                            return json!({ "type": "missed" });
                        }
                        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                    }
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            notice = notice => Told::Notice(notice),
            _ = self.closing.wait_for(|closing| *closing) => Told::Closing,
        }
    }
}

/// A call as a request, of the engine or of the client. A call without parameters is one whose
/// parameters are all absent.
fn request<T: DeserializeOwned>(method: &Method, params: Option<Value>) -> Result<T, RpcError> {
    let params = params
        .filter(|params| !params.is_null())
        .unwrap_or_else(|| json!({}));
    let mut call = json!({ "method": method.name });
    if method.params.is_some() {
        if let Some(fields) = call.as_object_mut() {
            fields.insert("params".to_owned(), params);
        }
    } else {
        refuse_parameters(&params)?;
    }
    serde_json::from_value(call).map_err(|error| invalid_params(&error))
}

/// Of a method that takes no parameters.
fn refuse_parameters(params: &Value) -> Result<(), RpcError> {
    let given = match params {
        Value::Object(fields) => match fields.keys().next() {
            None => return Ok(()),
            Some(name) => format!("unknown field `{name}`"),
        },
        Value::Array(items) if items.is_empty() => return Ok(()),
        _ => "they are not an object".to_owned(),
    };
    Err(invalid_params(&format!(
        "{given}; this method takes no parameters"
    )))
}

fn json(result: &impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| invalid_params(&error))
}

fn invalid_params(why: &impl std::fmt::Display) -> RpcError {
    RpcError::new(
        code::INVALID_PARAMS,
        format!("The parameters do not fit the method ({why}); see docs/rpc.md."),
    )
}

#[cfg(test)]
mod tests {
    use waxwing_engine::api;

    use super::*;

    fn read(method: &Method, params: Option<Value>) -> Result<(), RpcError> {
        if Request::METHODS.iter().any(|one| one.name == method.name) {
            request::<Request>(method, params).map(drop)
        } else {
            request::<ClientRequest>(method, params).map(drop)
        }
    }

    fn example(method: &Method) -> Value {
        let params = method.params.as_ref();
        params.map_or_else(
            || json!({}),
            |data| serde_json::from_str(data.example).unwrap(),
        )
    }

    #[test]
    fn no_parameters_are_the_same_as_null_and_an_empty_object() {
        let mut complete = Vec::new();
        for method in api::methods() {
            let ways = [None, Some(Value::Null), Some(json!({})), Some(json!([]))];
            let [absent, null, empty, list] = ways.map(|params| read(method, params));
            assert!(absent == null && null == empty, "{}", method.name);
            assert_eq!(list.is_ok(), empty.is_ok(), "{}", method.name);
            match empty {
                Ok(()) => complete.push(method.name),
                Err(error) => {
                    assert!(method.params.is_some(), "{}", method.name);
                    let says = error.message.contains("missing field");
                    assert!(
                        says && !error.message.contains("`params`"),
                        "{}",
                        error.message
                    );
                }
            }
        }
        for method in ["contacts", "profile", "search", "set_profile", "subscribe"] {
            assert!(complete.contains(&method), "{method}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_its_name() {
        for method in api::methods() {
            let mut params = example(method);
            read(method, Some(params.clone())).unwrap();
            params["parrot"] = json!(1);
            let error = read(method, Some(params)).unwrap_err();
            assert_eq!(error.code, code::INVALID_PARAMS, "{}", method.name);
            assert!(
                error.message.contains("`parrot`"),
                "{}: {}",
                method.name,
                error.message
            );
        }
    }

    #[test]
    fn parameters_that_are_no_object_are_refused() {
        for method in api::methods() {
            for params in [json!(1), json!("x"), json!(true), json!([[], [], [], []])] {
                assert!(read(method, Some(params)).is_err(), "{}", method.name);
            }
        }
    }
}
