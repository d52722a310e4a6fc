//! Which keys a log has, and whose log it is.
//!
//! The relay's TLS key signs the log's keys, so that whoever pins the relay pins its log;
//! and two signed identities of one relay prove that it keeps two logs.
//!
//! **Elsewhere**: pinning the relay is the client's link.
//!
//! **Always**: a [`LogIdentity`] was checked: its keys are well-formed and its signature
//! is by the relay key that it names.

use bytes::Bytes;
use p256::{
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    pkcs8::DecodePublicKey as _,
};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{pb, signature::HybridPublicKey};

const VERSION: u32 = 1;
const LABEL: &[u8] = b"waxwing log identity v1\0";
/// Bytes of a statement, at most: its keys have about 2,100.
const STATEMENT_BYTES: usize = 4096;

/// SHA-256 of a log's identity statement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 32]);

impl std::fmt::Debug for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// Lower-case hexadecimal.
impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A log's keys, and the pin of the relay that keeps it.
#[derive(Clone, PartialEq)]
pub struct LogIdentity {
    id: LogId,
    head_key: HybridPublicKey,
    vrf_key: [u8; 32],
    relay_pin: [u8; 32],
    wire: pb::LogIdentity,
}

impl std::fmt::Debug for LogIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogIdentity({})", self.id)
    }
}

/// A log identity that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It does not decode, or a key in it is none.
    #[error("the log's identity is malformed")]
    Malformed,
    /// The relay key that it names did not sign it.
    #[error("the log's identity is not signed by the relay's key")]
    Unsigned,
}

impl LogIdentity {
    /// Checks what a relay gave.
    pub fn check(wire: &pb::LogIdentity) -> Result<Self, IdentityError> {
        if wire.statement.len() > STATEMENT_BYTES || wire.signature.len() > 128 {
            return Err(IdentityError::Malformed);
        }
        let statement = pb::LogIdentityStatement::decode(wire.statement.clone())
            .map_err(|_| IdentityError::Malformed)?;
        if statement.version != VERSION {
            return Err(IdentityError::Malformed);
        }
        let head_key = statement
            .head_key
            .as_ref()
            .and_then(|key| HybridPublicKey::from_wire(key).ok())
            .ok_or(IdentityError::Malformed)?;
        let vrf_key: [u8; 32] = statement
            .vrf_key
            .as_ref()
            .try_into()
            .map_err(|_| IdentityError::Malformed)?;
        if akd_core::ecvrf::VRFPublicKey::try_from(vrf_key.as_slice()).is_err() {
            return Err(IdentityError::Malformed);
        }
        let relay_key = VerifyingKey::from_public_key_der(&statement.relay_key)
            .map_err(|_| IdentityError::Malformed)?;
        let signature =
            Signature::from_der(&wire.signature).map_err(|_| IdentityError::Malformed)?;
        relay_key
            .verify(&signed_message(&wire.statement), &signature)
            .map_err(|_| IdentityError::Unsigned)?;
        Ok(Self {
            id: log_id(&wire.statement),
            head_key,
            vrf_key,
            relay_pin: Sha256::digest(&statement.relay_key).into(),
            wire: wire.clone(),
        })
    }

    /// The log's id.
    pub const fn id(&self) -> LogId {
        self.id
    }

    /// What signs its heads.
    pub const fn head_key(&self) -> &HybridPublicKey {
        &self.head_key
    }

    /// What its labels are hidden behind (RFC 9381).
    pub const fn vrf_key(&self) -> &[u8; 32] {
        &self.vrf_key
    }

    /// SHA-256 of the relay's `SubjectPublicKeyInfo`: what clients pin.
    pub const fn relay_pin(&self) -> &[u8; 32] {
        &self.relay_pin
    }

    /// As it was given.
    pub const fn wire(&self) -> &pb::LogIdentity {
        &self.wire
    }
}

/// The statement that a relay with these keys signs. `relay_key` is a
/// `SubjectPublicKeyInfo`, DER.
pub fn statement(head_key: &HybridPublicKey, vrf_key: &[u8; 32], relay_key: &[u8]) -> Bytes {
    pb::LogIdentityStatement {
        version: VERSION,
        head_key: Some(head_key.to_wire()),
        vrf_key: Bytes::copy_from_slice(vrf_key),
        relay_key: Bytes::copy_from_slice(relay_key),
    }
    .encode_to_vec()
    .into()
}

/// What the relay's TLS key signs of a statement, with ECDSA and SHA-256.
pub fn signed_message(statement: &[u8]) -> Vec<u8> {
    [LABEL, statement].concat()
}

/// The id of the log with this statement.
pub fn log_id(statement: &[u8]) -> LogId {
    LogId(Sha256::digest(statement).into())
}
