//! The page: files that `cargo xtask page` built, from this program.
//!
//! **Always.** Where the page was not built, the program builds without it, and says so.

use hyper::{StatusCode, header::CONTENT_SECURITY_POLICY};
use rust_embed::RustEmbed;

use crate::answer::{self, Answer, bytes, page_policy, text};

#[derive(RustEmbed)]
#[folder = "../../page/dist/"]
#[allow_missing = true]
struct Files;

pub(crate) fn exists() -> bool {
    Files::get("index.html").is_some()
}

/// The file at a path of the page; the page itself at `/`.
pub(crate) fn serve(path: &str, host: &str) -> Answer {
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let Some(file) = Files::get(name) else {
        return text(StatusCode::NOT_FOUND, "There is nothing here.");
    };
    let mut answer = bytes(StatusCode::OK, media_type(name), file.data.into_owned());
    answer::set(
        answer.headers_mut(),
        CONTENT_SECURITY_POLICY,
        &page_policy(host),
    );
    answer
}

/// Of the few kinds of files that a page has.
fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
