//! Log lines, and what happens when the program itself fails.
//!
//! **Elsewhere**: each module decides what it logs; nothing logged may name a person or show
//! content.
//!
//! **Always**: logs go only to standard error. The program never continues after a panic: it
//! logs the place of the panic (not its message, which might hold data) and ends, so that a
//! supervisor can start it again.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::arguments::LogFormat;

/// The exit code after a panic (`EX_SOFTWARE`).
const PANICKED: i32 = 70;

/// Starts logging; `WAXWING_LOG` chooses levels, for instance `debug`.
pub(crate) fn start(format: LogFormat) {
    // Libraries might log what they handle: only ours are let through, no matter what is asked for.
    let level = std::env::var("WAXWING_LOG").ok();
    let level = level
        .and_then(|level| level.parse::<LevelFilter>().ok())
        .unwrap_or(LevelFilter::INFO);
    let filter = EnvFilter::new(format!("off,waxwing_relay={level},waxwing_cluster={level}"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// From here on a panic in any thread ends the process.
pub(crate) fn exit_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!(place, "the relay stops because of an error in its own code");
        std::process::exit(PANICKED);
    }));
}
