//! RPC over standard input and output: `waxwing rpc`.
//!
//! **Elsewhere.** Whether this process or another one answers: [`crate::session`].

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
