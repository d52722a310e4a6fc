//! RPC over standard input and output: `waxwing rpc`.
//!
//! **Elsewhere.** [`crate::session`] decides whether this process or another one answers.

use std::io;

use super::{
    Backend,
    connection::{Handover, serve},
};

/// Answers calls from standard input until it ends.
pub async fn run(backend: &mut impl Backend) -> io::Result<()> {
    serve(
        tokio::io::stdin(),
        tokio::io::stdout(),
        backend,
        Handover::Silent,
    )
    .await
}
