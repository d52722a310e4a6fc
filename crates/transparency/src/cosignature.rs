//! Co-signatures: an auditor's word that the log only ever grew up to a head.
//!
//! **Elsewhere**: verifying what is co-signed is `waxwing audit`.
//!
//! **Always**: a [`CoSigned`] was signed by the auditor that it names, for the log that
//! was asked for.

use bytes::Bytes;
use prost::Message as _;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    pb,
    signature::{HybridPublicKey, HybridSigningKey, Purpose},
    time::Time,
};

use crate::{
    head::{Head, HeadHash},
    identity::{LogId, LogIdentity},
};

const VERSION: u32 = 1;
/// Bytes of a statement, at most.
const STATEMENT_BYTES: usize = 512;
/// In front of an auditor's id where people see it.
const PREFIX: &str = "waxwing-auditor-";

/// SHA-256 of an auditor's public key: how people name an auditor to their client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuditorId(pub [u8; 32]);

impl AuditorId {
    /// The auditor with this key.
    pub fn of(key: &HybridPublicKey) -> Self {
        Self(Sha256::digest(key.to_wire().encode_to_vec()).into())
    }

    /// From what [`Display`](std::fmt::Display) writes; in any case of letters.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let hex = text.strip_prefix(PREFIX)?;
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for AuditorId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl std::fmt::Debug for AuditorId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// What an auditor co-signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoSigned {
    /// Who.
    pub auditor: AuditorId,
    /// Which head.
    pub head: HeadHash,
    /// Its number.
    pub number: u64,
    /// When, by the auditor's clock.
    pub made_at: Time,
}

/// A co-signature that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the co-signature does not hold")]
pub struct CoSignatureError;

impl CoSigned {
    /// Checks a co-signature for this log.
    pub fn check(log: &LogIdentity, wire: &pb::CoSignature) -> Result<Self, CoSignatureError> {
        let (signed, of) = Self::check_any(wire)?;
        (of == log.id()).then_some(signed).ok_or(CoSignatureError)
    }

    /// Checks a co-signature for the log that it names.
    pub fn check_any(wire: &pb::CoSignature) -> Result<(Self, LogId), CoSignatureError> {
        if wire.statement.len() > STATEMENT_BYTES {
            return Err(CoSignatureError);
        }
        let statement =
            pb::CoSigned::decode(wire.statement.clone()).map_err(|_| CoSignatureError)?;
        let key = wire
            .auditor_key
            .as_ref()
            .and_then(|key| HybridPublicKey::from_wire(key).ok())
            .ok_or(CoSignatureError)?;
        let auditor = AuditorId::of(&key);
        if statement.version != VERSION || statement.auditor_id != auditor.0.as_slice() {
            return Err(CoSignatureError);
        }
        let signature = wire.signature.as_ref().ok_or(CoSignatureError)?;
        key.verify(Purpose::CoSignature, &wire.statement, signature)
            .map_err(|_| CoSignatureError)?;
        let digest = |bytes: &Bytes| bytes.as_ref().try_into().map_err(|_| CoSignatureError);
        let signed = Self {
            auditor,
            head: HeadHash(digest(&statement.head_hash)?),
            number: statement.number,
            made_at: Time(statement.made_at_ms),
        };
        Ok((signed, LogId(digest(&statement.log_id)?)))
    }

    /// Co-signs a head.
    pub fn sign(
        rng: &mut (impl CryptoRng + ?Sized),
        key: &HybridSigningKey,
        head: &Head,
        now: Time,
    ) -> pb::CoSignature {
        let statement = pb::CoSigned {
            version: VERSION,
            auditor_id: Bytes::copy_from_slice(&AuditorId::of(key.public()).0),
            log_id: Bytes::copy_from_slice(&head.log.0),
            number: head.number,
            head_hash: Bytes::copy_from_slice(&head.hash().0),
            made_at_ms: now.0,
        }
        .encode_to_vec();
        let signature = key.sign(rng, Purpose::CoSignature, &statement);
        pb::CoSignature {
            statement: statement.into(),
            signature: Some(signature),
            auditor_key: Some(key.public().to_wire()),
        }
    }
}
