//! Things that take a while: progress bars, and waiting until the engine has finished.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use waxwing_client::Session;
use waxwing_engine::api::{Request, Status};

use super::waiting::Wait;
use crate::{outcome::Failure, output::Output};

/// Cells of a bar.
const WIDTH: u64 = 30;

/// A bar on standard error, where that is a terminal.
pub struct Bar {
    what: &'static str,
    shown: bool,
    visible: bool,
}

impl Bar {
    /// Nothing is shown yet.
    pub fn new(output: &Output, what: &'static str) -> Self {
        Self {
            what,
            shown: false,
            visible: !output.is_json() && io::stderr().is_terminal(),
        }
    }

    /// So much is done, of so much.
    pub fn show(&mut self, done: u64, total: u64) {
        if !self.visible {
            return;
        }
        self.shown = true;
        let full = (done.min(total) * WIDTH)
            .checked_div(total)
            .unwrap_or(WIDTH);
        let bar: String = (0..WIDTH)
            .map(|cell| if cell < full { '█' } else { '·' })
            .collect();
        let _ = write!(io::stderr(), "\r{} {bar} {done}/{total} ", self.what);
        let _ = io::stderr().flush();
    }

    /// What comes next stands on a line of its own.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = writeln!(io::stderr());
        }
    }
}

/// How long the conversations may take to have the devices that they should.
const SETTLING_LIMIT: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// Waits until this device is in every conversation, and every conversation has the devices
/// that it should have. What takes longer goes on by itself.
pub async fn conversations_settled(session: &mut Session, output: &Output) -> Result<(), Failure> {
    let mut wait = Wait::new(output, "the conversations", SETTLING_LIMIT);
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        let settled = status.rejoining == 0
            && status.changing_members == 0
            && status.key_packages.is_some_and(|left| left > 0);
        if settled || wait.pause(session, AGAIN).await.is_err() {
            return Ok(());
        }
    }
}
