//! Rosters: an account's devices, as a chain of signed statements.
//!
//! The first statement creates the account with one device and a recovery key; its hash
//! is the account id. Each further one names the hash of the one before and is signed by
//! a device that the chain admits at that point, or by the recovery key. A device that
//! is added signs too.
//!
//! **Elsewhere.** The key log proves which of two rosters is the right one for an address
//! (`transparency`); `engine::account` makes accounts.
//!
//! **Always.** A [`Roster`] was checked from its first statement on. An invalid statement changes
//! nothing.

use bytes::Bytes;
use ed25519_dalek::{Signature, VerifyingKey};
use prost::Message as _;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::{
    ids::{AccountId, DeviceId},
    limits, pb,
    pb::statement::{Change, Signer},
    signature::{HybridPublicKey, HybridSigningKey, Purpose},
    time::Time,
};

const VERSION: u32 = 1;

/// No structure of MLS that a leaf key signs begins so, nor a message's proof.
const LEAF_KEY_LABEL: &[u8] = b"waxwing leaf key v1\0";

/// Why a chain of statements is no roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// There is no statement.
    #[error("the roster is empty")]
    Empty,
    /// More statements, devices or bytes than allowed.
    #[error("the roster exceeds a limit")]
    TooLarge,
    /// A statement does not decode, or lacks a part.
    #[error("statement {0} is malformed")]
    Malformed(u64),
    /// Made by a newer Waxwing.
    #[error("statement {0} has an unknown version")]
    Version(u64),
    /// The hash or position does not follow the statement before.
    #[error("statement {0} does not continue the chain")]
    NotNext(u64),
    /// Signed by a device that the chain does not admit there, or not validly.
    #[error("statement {0} is signed by somebody who may not sign it")]
    Unauthorised(u64),
    /// Adds a device twice, revokes one that is not there, or the like.
    #[error("statement {0} makes a change that is not allowed")]
    Impossible(u64),
}

/// A device that a roster admits.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// Hash of `identity`.
    pub id: DeviceId,
    /// Its identity key.
    pub identity: HybridPublicKey,
    /// Its MLS leaf signature key (Ed25519): a leaf is the device's only with this key.
    pub leaf_key: [u8; 32],
    /// Whether whoever has the leaf key has said that it is this device's. Without, the
    /// account alone says so: it could be another's.
    pub leaf_key_proven: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Device(…)")
    }
}

/// A checked roster: what the chain says at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Roster {
    account: AccountId,
    devices: Vec<Device>,
    /// Keys of devices that were revoked, and keys that a device has replaced.
    former: Vec<(DeviceId, [u8; 32])>,
    recovery_key: HybridPublicKey,
    length: u64,
    head: [u8; 32],
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Roster(…)")
    }
}

/// Who signs a statement that is being made.
#[derive(Clone, Copy, Debug)]
pub enum SigningWith<'a> {
    /// A device of the roster.
    Device(&'a HybridSigningKey),
    /// The recovery key.
    Recovery(&'a HybridSigningKey),
}

/// What is done about a statement's signatures.
#[derive(Clone, Copy)]
enum Signatures {
    /// They are verified.
    Verify,
    /// They were.
    Verified,
}

impl Roster {
    /// Checks a chain from its first statement.
    pub fn verify(statements: &[pb::SignedStatement]) -> Result<Self, RosterError> {
        Self::of(statements, Signatures::Verify)
    }

    /// What a chain says whose signatures **this program has verified before**, and which it
    /// has kept where nobody else can change it. Verifying takes most of the time that a
    /// group of many takes.
    pub fn of_verified(statements: &[pb::SignedStatement]) -> Result<Self, RosterError> {
        Self::of(statements, Signatures::Verified)
    }

    fn of(statements: &[pb::SignedStatement], signatures: Signatures) -> Result<Self, RosterError> {
        if statements.len() > limits::ROSTER_STATEMENTS {
            return Err(RosterError::TooLarge);
        }
        let (first, rest) = statements.split_first().ok_or(RosterError::Empty)?;
        let mut roster = Self::first(first, signatures)?;
        for statement in rest {
            roster.apply(statement, signatures)?;
        }
        Ok(roster)
    }

    /// Checks and applies the next statement.
    pub fn extend(&mut self, signed: &pb::SignedStatement) -> Result<(), RosterError> {
        self.apply(signed, Signatures::Verify)
    }

    fn apply(
        &mut self,
        signed: &pb::SignedStatement,
        signatures: Signatures,
    ) -> Result<(), RosterError> {
        let place = self.length;
        if place >= limits::ROSTER_STATEMENTS as u64 {
            return Err(RosterError::TooLarge);
        }
        let statement = decode(signed, place)?;
        if statement.previous != self.head.as_slice() || statement.position != place {
            return Err(RosterError::NotNext(place));
        }
        let change = statement
            .change
            .as_ref()
            .ok_or(RosterError::Malformed(place))?;
        let signer = self.signer(statement.signer.as_ref(), place)?;
        signatures.check(
            &signer,
            Purpose::Statement,
            signed,
            signed.signature.as_ref(),
            place,
        )?;
        let next = self.changed(
            change,
            statement.signer.as_ref(),
            (signed, signatures),
            place,
        )?;
        *self = Self {
            length: place + 1,
            head: hash(&signed.statement),
            ..next
        };
        Ok(())
    }

    /// The account.
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The devices that are admitted now.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device, if it is admitted now.
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    /// Whether the chain admitted this device with this leaf key at some time, and does not
    /// any more.
    pub fn admitted_once(&self, id: DeviceId, leaf_key: &[u8; 32]) -> bool {
        let is_now = self
            .device(id)
            .is_some_and(|device| device.leaf_key == *leaf_key);
        !is_now && self.former.contains(&(id, *leaf_key))
    }

    /// The recovery key in force.
    pub const fn recovery_key(&self) -> &HybridPublicKey {
        &self.recovery_key
    }

    /// How many statements there are.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Hash of the last statement.
    pub const fn head(&self) -> &[u8; 32] {
        &self.head
    }

    fn first(signed: &pb::SignedStatement, signatures: Signatures) -> Result<Self, RosterError> {
        let statement = decode(signed, 0)?;
        let Some(Change::CreateAccount(create)) = &statement.change else {
            return Err(RosterError::Malformed(0));
        };
        if !statement.previous.is_empty() || statement.position != 0 {
            return Err(RosterError::NotNext(0));
        }
        if create.nonce.len() != 32 {
            return Err(RosterError::Malformed(0));
        }
        let device = device(create.device.as_ref(), signatures, 0)?;
        let recovery_key = public_key(create.recovery_key.as_ref(), 0)?;
        if !matches!(&statement.signer, Some(Signer::DeviceId(id)) if *id == device.id.as_bytes().as_slice())
        {
            return Err(RosterError::Unauthorised(0));
        }
        signatures.check(
            &device.identity,
            Purpose::Statement,
            signed,
            signed.signature.as_ref(),
            0,
        )?;
        let head = hash(&signed.statement);
        Ok(Self {
            account: AccountId(head),
            devices: vec![device],
            former: Vec::new(),
            recovery_key,
            length: 1,
            head,
        })
    }

    fn signer(&self, signer: Option<&Signer>, place: u64) -> Result<HybridPublicKey, RosterError> {
        match signer {
            Some(Signer::DeviceId(id)) => DeviceId::try_from(id)
                .ok()
                .and_then(|id| self.device(id))
                .map(|device| device.identity.clone())
                .ok_or(RosterError::Unauthorised(place)),
            Some(Signer::RecoveryKey(true)) => Ok(self.recovery_key.clone()),
            _ => Err(RosterError::Malformed(place)),
        }
    }

    /// The roster with `change` applied; length and head are the caller's to set.
    fn changed(
        &self,
        change: &Change,
        signer: Option<&Signer>,
        (signed, signatures): (&pb::SignedStatement, Signatures),
        place: u64,
    ) -> Result<Self, RosterError> {
        let mut next = self.clone();
        match change {
            Change::CreateAccount(_) => return Err(RosterError::Impossible(place)),
            Change::AddDevice(entry) => {
                let device = device(Some(entry), signatures, place)?;
                if self.device(device.id).is_some() {
                    return Err(RosterError::Impossible(place));
                }
                if self.devices.len() >= limits::DEVICES {
                    return Err(RosterError::TooLarge);
                }
                let consent = signed.consent.as_ref();
                signatures.check(
                    &device.identity,
                    Purpose::DeviceConsent,
                    signed,
                    consent,
                    place,
                )?;
                next.devices.push(device);
            }
            Change::RevokeDevice(id) => {
                next.devices
                    .retain(|device| *id != device.id.as_bytes().as_slice());
                if next.devices.len() == self.devices.len() {
                    return Err(RosterError::Impossible(place));
                }
                let gone = |device: &&Device| *id == device.id.as_bytes().as_slice();
                let gone = self.devices.iter().filter(gone);
                next.former
                    .extend(gone.map(|device| (device.id, device.leaf_key)));
            }
            Change::SetRecoveryKey(key) => next.recovery_key = public_key(Some(key), place)?,
            Change::SetLeafKey(key) => {
                let Some(Signer::DeviceId(id)) = signer else {
                    return Err(RosterError::Impossible(place));
                };
                let key = leaf_key(key, place)?;
                let device = next
                    .devices
                    .iter_mut()
                    .find(|device| *id == device.id.as_bytes().as_slice())
                    .ok_or(RosterError::Impossible(place))?;
                device.leaf_key_proven = false;
                let before = std::mem::replace(&mut device.leaf_key, key);
                next.former.push((device.id, before));
            }
        }
        Ok(next)
    }
}

/// Makes the first statement of a new account, without a proof that the leaf key is the
/// device's own.
pub fn create_account(
    rng: &mut (impl CryptoRng + ?Sized),
    now: Time,
    device: &HybridSigningKey,
    leaf_key: [u8; 32],
    recovery_key: &HybridPublicKey,
) -> pb::SignedStatement {
    let entry = entry(device.public(), leaf_key);
    create_account_with(rng, now, device, entry, recovery_key)
}

/// Makes the first statement of a new account whose first device has this entry.
pub fn create_account_with(
    rng: &mut (impl CryptoRng + ?Sized),
    now: Time,
    device: &HybridSigningKey,
    entry: pb::DeviceEntry,
    recovery_key: &HybridPublicKey,
) -> pb::SignedStatement {
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let statement = pb::Statement {
        version: VERSION,
        previous: Bytes::new(),
        position: 0,
        made_at_ms: now.0,
        signer: Some(Signer::DeviceId(device.public().device_id().to_bytes())),
        change: Some(Change::CreateAccount(pb::CreateAccount {
            device: Some(entry),
            recovery_key: Some(recovery_key.to_wire()),
            nonce: Bytes::copy_from_slice(&nonce),
        })),
    };
    sign(rng, &statement, device, None)
}

/// Makes the next statement of `roster`. `consent` signs as the device that is added.
pub fn next_statement(
    rng: &mut (impl CryptoRng + ?Sized),
    now: Time,
    roster: &Roster,
    signer: SigningWith<'_>,
    change: Change,
    consent: Option<&HybridSigningKey>,
) -> pb::SignedStatement {
    let (key, named) = match signer {
        SigningWith::Device(key) => (key, Signer::DeviceId(key.public().device_id().to_bytes())),
        SigningWith::Recovery(key) => (key, Signer::RecoveryKey(true)),
    };
    sign(rng, &next(now, roster, named, change), key, consent)
}

fn next(now: Time, roster: &Roster, signer: Signer, change: Change) -> pb::Statement {
    pb::Statement {
        version: VERSION,
        previous: Bytes::copy_from_slice(&roster.head),
        position: roster.length,
        made_at_ms: now.0,
        signer: Some(signer),
        change: Some(change),
    }
}

/// A statement that is not signed yet: what a device agrees to before the other signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal(Bytes);

impl std::fmt::Debug for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proposal(…)")
    }
}

impl Proposal {
    /// The statement after `roster` by which its device `signer` admits `device`.
    pub fn add_device(
        now: Time,
        roster: &Roster,
        signer: DeviceId,
        device: pb::DeviceEntry,
    ) -> Self {
        let statement = next(
            now,
            roster,
            Signer::DeviceId(signer.to_bytes()),
            Change::AddDevice(device),
        );
        Self(statement.encode_to_vec().into())
    }

    /// Checks that `statement` is what comes after `roster` and that all it does is to
    /// admit a device; gives that device, too. Signed it is not.
    pub fn check(roster: &Roster, statement: Bytes) -> Result<(Self, Device), RosterError> {
        let place = roster.length;
        let signed = pb::SignedStatement {
            statement,
            ..pb::SignedStatement::default()
        };
        let decoded = decode(&signed, place)?;
        if decoded.previous != roster.head.as_slice() || decoded.position != place {
            return Err(RosterError::NotNext(place));
        }
        roster.signer(decoded.signer.as_ref(), place)?;
        let Some(Change::AddDevice(entry)) = &decoded.change else {
            return Err(RosterError::Impossible(place));
        };
        let device = device(Some(entry), Signatures::Verify, place)?;
        if roster.device(device.id).is_some() {
            return Err(RosterError::Impossible(place));
        }
        // Nothing stands in it that is not understood here.
        if decoded.encode_to_vec() != signed.statement {
            return Err(RosterError::Malformed(place));
        }
        Ok((Self(signed.statement), device))
    }

    /// The encoded statement.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The agreement of the device that it admits.
    pub fn consent(
        &self,
        rng: &mut (impl CryptoRng + ?Sized),
        device: &HybridSigningKey,
    ) -> pb::HybridSignature {
        device.sign(rng, Purpose::DeviceConsent, &self.0)
    }

    /// Signs it.
    pub fn sign(
        self,
        rng: &mut (impl CryptoRng + ?Sized),
        key: &HybridSigningKey,
        consent: pb::HybridSignature,
    ) -> pb::SignedStatement {
        let signature = key.sign(rng, Purpose::Statement, &self.0);
        pb::SignedStatement {
            statement: self.0,
            signature: Some(signature),
            consent: Some(consent),
        }
    }
}

/// A device's entry for [`Change::AddDevice`], without a proof that the leaf key is its own.
pub fn entry(identity: &HybridPublicKey, leaf_key: [u8; 32]) -> pb::DeviceEntry {
    pb::DeviceEntry {
        identity: Some(identity.to_wire()),
        leaf_key: Bytes::copy_from_slice(&leaf_key),
        leaf_key_proof: Bytes::new(),
    }
}

fn sign(
    rng: &mut (impl CryptoRng + ?Sized),
    statement: &pb::Statement,
    key: &HybridSigningKey,
    consent: Option<&HybridSigningKey>,
) -> pb::SignedStatement {
    let statement = statement.encode_to_vec();
    let signature = key.sign(rng, Purpose::Statement, &statement);
    let consent = consent.map(|key| key.sign(rng, Purpose::DeviceConsent, &statement));
    pb::SignedStatement {
        statement: statement.into(),
        signature: Some(signature),
        consent,
    }
}

fn decode(signed: &pb::SignedStatement, place: u64) -> Result<pb::Statement, RosterError> {
    if signed.statement.len() > limits::STATEMENT_BYTES {
        return Err(RosterError::TooLarge);
    }
    let statement = pb::Statement::decode(signed.statement.clone())
        .map_err(|_| RosterError::Malformed(place))?;
    if statement.version == VERSION {
        Ok(statement)
    } else {
        Err(RosterError::Version(place))
    }
}

impl Signatures {
    fn check(
        self,
        key: &HybridPublicKey,
        purpose: Purpose,
        signed: &pb::SignedStatement,
        signature: Option<&pb::HybridSignature>,
        place: u64,
    ) -> Result<(), RosterError> {
        let signature = signature.ok_or(RosterError::Unauthorised(place))?;
        match self {
            Self::Verified => Ok(()),
            Self::Verify => key
                .verify(purpose, &signed.statement, signature)
                .map_err(|_| RosterError::Unauthorised(place)),
        }
    }
}

fn device(
    entry: Option<&pb::DeviceEntry>,
    signatures: Signatures,
    place: u64,
) -> Result<Device, RosterError> {
    let entry = entry.ok_or(RosterError::Malformed(place))?;
    let identity = public_key(entry.identity.as_ref(), place)?;
    let id = identity.device_id();
    let leaf_key = leaf_key(&entry.leaf_key, place)?;
    // There was none once; a false one never is.
    let leaf_key_proven = !entry.leaf_key_proof.is_empty();
    if leaf_key_proven && matches!(signatures, Signatures::Verify) {
        let signature = Signature::from_slice(&entry.leaf_key_proof)
            .map_err(|_| RosterError::Malformed(place))?;
        VerifyingKey::from_bytes(&leaf_key)
            .and_then(|key| key.verify_strict(&leaf_key_claim(id), &signature))
            .map_err(|_| RosterError::Unauthorised(place))?;
    }
    Ok(Device {
        id,
        identity,
        leaf_key,
        leaf_key_proven,
    })
}

/// What a leaf key signs to say that it is this device's ([`pb::DeviceEntry`]).
pub fn leaf_key_claim(device: DeviceId) -> Vec<u8> {
    [LEAF_KEY_LABEL, device.as_bytes()].concat()
}

fn public_key(
    key: Option<&pb::HybridPublicKey>,
    place: u64,
) -> Result<HybridPublicKey, RosterError> {
    key.and_then(|key| HybridPublicKey::from_wire(key).ok())
        .ok_or(RosterError::Malformed(place))
}

fn leaf_key(key: &Bytes, place: u64) -> Result<[u8; 32], RosterError> {
    let key: [u8; 32] = key
        .as_ref()
        .try_into()
        .map_err(|_| RosterError::Malformed(place))?;
    let point = VerifyingKey::from_bytes(&key).map_err(|_| RosterError::Malformed(place))?;
    if point.is_weak() {
        Err(RosterError::Malformed(place))
    } else {
        Ok(key)
    }
}

fn hash(statement: &Bytes) -> [u8; 32] {
    Sha256::digest(statement).into()
}

#[cfg(test)]
mod tests;
