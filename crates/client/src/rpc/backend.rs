//! Who answers calls: this process ([`super::Service`]) or another one
//! ([`crate::session::Session`]).

use serde_json::Value;

use super::RpcError;

/// What a backend tells of its own accord.
pub enum Told {
    /// A notice, as JSON: `api::Notice`, or `{"type":"missed"}` when some were
    /// lost: what is shown should be read again.
    Notice(Value),
    /// This process will end soon; calls are still answered for a moment.
    Closing,
}

/// A notice may hold a text, or recovery words.
impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Notice(_) => "Notice(..)",
            Self::Closing => "Closing",
        })
    }
}

/// Answers calls.
pub trait Backend: Send {
    /// Carries out a call.
    fn call(
        &mut self,
        method: &str,
        params: Option<Value>,
    ) -> impl Future<Output = Result<Value, RpcError>> + Send;

    /// The next that it tells; may be cancelled without losing one. Notices come after a
    /// `subscribe` only.
    fn told(&mut self) -> impl Future<Output = Told> + Send;
}
