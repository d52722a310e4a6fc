//! The methods, answered by this process.
//!
//! **Elsewhere.** The engine's requests are in `waxwing_api`, the checks of `doctor` in
//! [`crate::doctor`].
//!
//! **Always.** Each connection has its own service, since each subscribes separately.

use std::{io, path::PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use waxwing_engine::api::{AttachmentOf, AttachmentState, Notice, Problem, Request, Response};

use super::{Backend, METHODS, RpcError, Told, code};
use crate::{
    blobs::{Blobs, file::FileError},
    doctor,
    driver::Client,
    home::{Home, KeyKeeping},
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

    async fn engine(&self, method: &str, params: Option<Value>) -> Result<Value, RpcError> {
        let response = self.client.call(request(method, params)?).await?;
        serde_json::to_value(response).map_err(|error| invalid_params(&error))
    }
}

/// Parameters of `seal_file`.
#[derive(Deserialize)]
struct SealFile {
    path: PathBuf,
}

/// Parameters of `save_attachment`.
#[derive(Deserialize)]
struct SaveAttachment {
    #[serde(flatten)]
    of: AttachmentOf,
    to: PathBuf,
}

/// Parameters of `preview_link`.
#[derive(Deserialize)]
struct PreviewLink {
    url: String,
}

async fn preview(link: PreviewLink) -> Result<Value, RpcError> {
    let none = |reason: String| RpcError::from(Problem::NoLinkPreview { reason });
    let fetcher = Fetcher::new().map_err(|error| none(error.to_string()))?;
    let found = fetcher.preview(&link.url).await;
    let preview = found.map_err(|error| none(error.to_string()))?;
    serde_json::to_value(preview).map_err(|error| invalid_params(&error))
}

// Files of the person's, for programs that have no library for sealing.
impl Service {
    async fn seal(&self, file: SealFile) -> Result<Value, RpcError> {
        let blobs = Blobs::of(self.home.path());
        let sealed = blocking(move || blobs.seal(&absolute(file.path)?, |_| {})).await?;
        serde_json::to_value(sealed).map_err(|error| invalid_params(&error))
    }

    async fn save(&self, save: SaveAttachment) -> Result<Value, RpcError> {
        let request = Request::Attachment(save.of);
        let response = self.client.call(request).await?;
        let Response::OpenAttachment(open) = response else {
            return Err(Problem::AttachmentUnknown.into());
        };
        let here = matches!(open.state, AttachmentState::Here | AttachmentState::Sending);
        if !here {
            return Err(Problem::AttachmentNotHere.into());
        }
        let blobs = Blobs::of(self.home.path());
        let path = blocking(move || blobs.open(&open, &absolute(save.to)?)).await?;
        Ok(json!({ "path": path }))
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

fn parameters<T: serde::de::DeserializeOwned>(params: Option<Value>) -> Result<T, RpcError> {
    serde_json::from_value(params.unwrap_or_default()).map_err(|error| invalid_params(&error))
}

impl Backend for Service {
    async fn call(&mut self, method: &str, params: Option<Value>) -> Result<Value, RpcError> {
        match method {
            "subscribe" => {
                self.subscription = Some(self.client.subscribe());
                Ok(json!({}))
            }
            "unsubscribe" => {
                self.subscription = None;
                Ok(json!({}))
            }
            "version" => Ok(json!({ "version": env!("CARGO_PKG_VERSION") })),
            "doctor" => {
                let report = doctor::examine(&self.client, &self.home, self.keeping).await?;
                serde_json::to_value(report).map_err(|error| invalid_params(&error))
            }
            "preview_link" => preview(parameters(params)?).await,
            "seal_file" => self.seal(parameters(params)?).await,
            "save_attachment" => self.save(parameters(params)?).await,
            method if METHODS.contains(&method) => self.engine(method, params).await,
            _ => Err(RpcError::new(
                code::METHOD_NOT_FOUND,
                "There is no such method; docs/rpc.md lists the methods.",
            )),
        }
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

/// A call as the engine's request.
fn request(method: &str, params: Option<Value>) -> Result<Request, RpcError> {
    let params = params.filter(|params| match params {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    });
    let mut call = json!({ "method": method });
    if let (Some(params), Some(fields)) = (params, call.as_object_mut()) {
        fields.insert("params".to_owned(), params);
    }
    serde_json::from_value(call).map_err(|error| invalid_params(&error))
}

fn invalid_params(error: &serde_json::Error) -> RpcError {
    RpcError::new(
        code::INVALID_PARAMS,
        format!("The parameters do not fit the method ({error}); see docs/rpc.md."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_without_parameters_takes_none_null_or_an_empty_object() {
        for params in [None, Some(Value::Null), Some(json!({})), Some(json!([]))] {
            assert!(request("contacts", params) == Ok(Request::Contacts));
        }
        assert_eq!(
            request("contacts", Some(json!({"x": 1}))).unwrap_err().code,
            code::INVALID_PARAMS
        );
    }

    #[test]
    fn wrong_parameters_are_told_apart_from_a_wrong_method() {
        let error = request("send", Some(json!({"to": 5}))).unwrap_err();
        assert_eq!(error.code, code::INVALID_PARAMS);
        assert!(request("send", Some(json!({"to": "a@example.org", "text": "hi"}))).is_ok());
    }
}
