//! MLS (RFC 9420) as the engine uses it: openmls with our store, our randomness and one suite,
//! behind a few typed operations.
//!
//! **Elsewhere**: `contact` and `trust` decide which leaves are accepted (rosters, look-ups);
//! `content` has what a group's messages carry; `conversation` decides when to rekey or
//! rejoin.
//!
//! **Always**: state changes only inside the caller's store transaction. After an error, or if
//! the transaction is not committed, a [`Group`] in memory is ahead of the store and must be
//! loaded again. Everything that is sent is a PrivateMessage, except external commits. The
//! caller sees leaves from others before they count.

mod commit;
mod error;
mod group;
mod key_package;
mod leaf;
mod provider;
mod storage;

#[cfg(test)]
mod tests;

pub use commit::{EpochKeys, IncomingCommit, NewEpoch, PendingCommit};
pub use error::{MlsError, ProcessError};
pub use group::{Group, Incoming, StagedWelcome};
pub use key_package::{
    KeyPackage, KeyPackageMade, KeyPackageUse, forget_key_package, forget_key_packages,
    make_key_package,
};
pub use leaf::{Leaf, LeafKey, Member};
pub use provider::{Crypto, Provider};
pub(crate) use storage::SCHEMA;

use openmls::prelude::{
    Capabilities, Ciphersuite, CredentialType, Extension, ExtensionType, Extensions, GroupContext,
    MlsGroupJoinConfig, ProtocolVersion, RequiredCapabilitiesExtension, SenderRatchetConfiguration,
    UnknownExtension,
};
use waxwing_protocol::{conversation::ConversationSecrets, limits};

/// X-Wing (X25519 and ML-KEM-768), ChaCha20-Poly1305, SHA-256, Ed25519: 0x004D.
pub const SUITE: Ciphersuite = Ciphersuite::MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519;

/// The group context extension that holds [`ConversationSecrets`]: private use, RFC
/// 9420 section 17.3.
pub const CONVERSATION_SECRETS: u16 = 0xF0A7;

/// Messages of one sender in one epoch that may come before an earlier one does.
const OUT_OF_ORDER: u32 = 4096;

/// Messages of one sender in one epoch that may be missing before the next.
const FORWARD: u32 = 4096;

fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        Some(&[
            ExtensionType::Unknown(CONVERSATION_SECRETS),
            ExtensionType::LastResort,
        ]),
        None,
        Some(&[CredentialType::Basic]),
    )
}

fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .use_ratchet_tree_extension(true)
        .max_past_epochs(past_epochs())
        .sender_ratchet_configuration(ratchet())
        .build()
}

fn past_epochs() -> usize {
    usize::try_from(limits::PAST_EPOCHS).unwrap_or(usize::MAX)
}

fn ratchet() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(OUT_OF_ORDER, FORWARD)
}

/// The extensions of a new group's context: never with secrets that members would refuse to
/// read.
fn group_context(secrets: &ConversationSecrets) -> Result<Extensions<GroupContext>, MlsError> {
    let encoded = secrets.encode();
    ConversationSecrets::decode(&encoded).map_err(MlsError::refused)?;
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(RequiredCapabilitiesExtension::new(
            &[ExtensionType::Unknown(CONVERSATION_SECRETS)],
            &[],
            &[CredentialType::Basic],
        )),
        Extension::Unknown(CONVERSATION_SECRETS, UnknownExtension(encoded)),
    ])
    .map_err(MlsError::library)
}

/// What the group context says, if it says it well.
fn secrets(extensions: &Extensions<GroupContext>) -> Result<ConversationSecrets, MlsError> {
    let UnknownExtension(bytes) = extensions
        .unknown(CONVERSATION_SECRETS)
        .ok_or_else(|| MlsError::Refused("a group without conversation secrets".to_owned()))?;
    ConversationSecrets::decode(bytes).map_err(MlsError::refused)
}
