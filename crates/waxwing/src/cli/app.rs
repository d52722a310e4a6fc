//! `waxwing app`: the page in the browser.
//!
//! **Elsewhere.** The server, and who gets an answer from it, are in the crate `waxwing-app`.
//!
//! **Always.** The token that opens the app stands on no command line: other users of the machine
//! can read those.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use clap::Args;
use serde_json::json;
use waxwing_app as app;
use waxwing_client::Session;

use crate::{
    keys::Keys,
    outcome::{Failure, Outcome},
    output::{self, Output},
};

/// Arguments of `waxwing app`.
#[derive(Debug, Args)]
pub(super) struct App {
    /// Print the address instead of opening a browser
    #[arg(long)]
    no_open: bool,

    /// Listen on this port; without it, on one that is free
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 0,
        hide_default_value = true
    )]
    port: u16,
}

impl App {
    pub(super) async fn run(
        self,
        session: &mut Session,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        if !app::has_page() {
            return Err(Failure::Said {
                code: "page_not_built",
                sentence: "This waxwing was built without the app's page. Build the page with \
                           `cargo xtask page`, which needs Node.js, and then waxwing again."
                    .to_owned(),
            });
        }
        let home = session.home().path().to_owned();
        let keys: app::Keys = Arc::new(|| Box::new(Keys::new(None)));
        let server = app::App::bind(home, keys, output::event_sentence, self.port).await?;
        let url = server.url();
        let opened = !self.no_open && open(&server.door()?);
        output.object(&json!({ "type": "app", "url": url }));
        if opened {
            output.line(
                "Waxwing opens in your browser; if it does not, start `waxwing app --no-open`. \
                 Press Ctrl-C to close it.",
            );
        } else {
            output.line(format!("Open this address, which works once: {url}"));
        }
        // Whoever waits for what happens also takes over the engine when another process ends.
        session.subscribe().await?;
        let waiting = async {
            loop {
                session.notice().await;
            }
        };
        tokio::select! {
            () = server.run(std::future::pending()) => {}
            () = waiting => {}
        }
        Ok(Outcome::Done)
    }
}

/// Opens a file in the browser; whether that began.
fn open(door: &Path) -> bool {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    Command::new(opener)
        .arg(door)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}
