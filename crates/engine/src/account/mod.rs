//! This device and its account: keys, roster, and the stage of the registration.
//!
//! [`begin`] makes the keys before the relay is asked for anything; [`finish`] signs the
//! statement that binds an address to them; [`complete`] records that the relay has done so.
//!
//! **Elsewhere**: the steps of a registration, with the relay's answers, are in `devices`; what a
//! roster may contain is in `waxwing_protocol::roster`; other people's accounts are in
//! `contact`.
//!
//! **Always**: keys are made once and survive failed registrations, so that what the relay
//! learned about them stays true. The recovery key's private half is on the device only until
//! the person has written down its words.

mod joining;
mod recovery;

#[cfg(test)]
mod tests;

use prost::Message as _;
use rand_core::CryptoRng;
use rusqlite::{OptionalExtension as _, Transaction, params};
use waxwing_protocol::{
    Exporter,
    address::Address,
    ids::{AccountId, DeviceId, MailboxId, RegistrationId},
    pb,
    roster::{self, Roster},
    signature::{HybridSigningKey, Purpose, SigningSeed, login_message, registration_message},
    time::Time,
};
use zeroize::Zeroizing;

pub use joining::{
    NotExtended, adopt, begin_device, device_added, extend, own_entry, own_identity,
};
pub use recovery::{RecoveryKey, RecoveryWordsError};

use crate::{
    mls::{Leaf, LeafKey},
    store::StoreError,
};

/// `account` has one row, once there are keys; `address` and `mailbox` come with the
/// registration. `roster` is the account's chain of SignedStatements.
pub(crate) const SCHEMA: &str = "
    CREATE TABLE account (
        id            INTEGER PRIMARY KEY CHECK (id = 1),
        identity_seed BLOB NOT NULL,
        leaf_seed     BLOB NOT NULL,
        recovery      BLOB,
        address       TEXT,
        mailbox       BLOB,
        CHECK ((address IS NULL) = (mailbox IS NULL))
    ) STRICT;
    CREATE TABLE roster (
        position  INTEGER PRIMARY KEY,
        statement BLOB NOT NULL
    ) STRICT;
";

/// This device's account, registered.
pub struct Account {
    roster: Roster,
    device: DeviceId,
    mailbox: MailboxId,
    address: Address,
    leaf: Leaf,
}

impl core::fmt::Debug for Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Account(..)")
    }
}

impl Account {
    /// Its id.
    pub const fn id(&self) -> AccountId {
        self.roster.account()
    }

    /// Its devices, as the roster has them.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// This device.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Whether the account's roster has this device; not so when it was revoked.
    pub fn is_admitted(&self) -> bool {
        self.roster.device(self.device).is_some()
    }

    /// This device's mailbox.
    pub const fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// The address that was verified.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What this device joins groups as.
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

/// What a relay needs to bind an address to the account.
pub struct Finish {
    /// The whole roster.
    pub roster: Vec<pb::SignedStatement>,
    /// By this device.
    pub signature: pb::HybridSignature,
}

impl core::fmt::Debug for Finish {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Finish(..)")
    }
}

/// Makes the device's keys, the recovery key and the roster's first statement, where
/// there are none yet. Gives the recovery key, if it was made.
pub fn begin(
    tx: &Transaction<'_>,
    rng: &mut dyn CryptoRng,
    now: Time,
) -> Result<Option<RecoveryKey>, StoreError> {
    if pending_device(tx)?.is_some() {
        if !statements(tx)?.is_empty() {
            return Ok(None);
        }
        // Keys for joining an account, which was given up.
        tx.execute("DELETE FROM account WHERE address IS NULL", [])?;
    }
    let seed = SigningSeed::generate(rng);
    let identity = HybridSigningKey::from_seed(&seed);
    let leaf = LeafKey::generate(rng);
    let recovery = RecoveryKey::generate(rng);
    let first = roster::create_account_with(
        rng,
        now,
        &identity,
        leaf.entry(identity.public()),
        recovery.signing_key().public(),
    );
    tx.execute(
        "INSERT INTO account (id, identity_seed, leaf_seed, recovery) VALUES (1, ?1, ?2, ?3)",
        params![
            Zeroizing::new(seed.to_bytes()).as_slice(),
            leaf.seed().as_slice(),
            recovery.entropy().as_slice()
        ],
    )?;
    tx.execute(
        "INSERT INTO roster (position, statement) VALUES (0, ?1)",
        [first.encode_to_vec()],
    )?;
    Ok(Some(recovery))
}

/// The device that [`begin`] made keys for, registered or not.
pub fn pending_device(tx: &Transaction<'_>) -> Result<Option<DeviceId>, StoreError> {
    Ok(identity(tx)?.map(|identity| identity.public().device_id()))
}

/// Signs the end of a registration: `code` was sent to the address, and works for this account
/// only.
pub fn finish(
    tx: &Transaction<'_>,
    rng: &mut dyn CryptoRng,
    exporter: &Exporter,
    registration: RegistrationId,
    code: &str,
) -> Result<Finish, StoreError> {
    let identity = identity(tx)?.ok_or_else(no_keys)?;
    let statements = statements(tx)?;
    let roster = Roster::verify(&statements).map_err(damaged_roster)?;
    let message = registration_message(
        exporter,
        registration,
        code,
        roster.account(),
        roster.head(),
    );
    let signature = identity.sign(rng, Purpose::Registration, &message);
    Ok(Finish {
        roster: statements,
        signature,
    })
}

/// Notes that the relay has bound `address` to the account.
pub fn complete(
    tx: &Transaction<'_>,
    address: &Address,
    mailbox: MailboxId,
) -> Result<(), StoreError> {
    let changed = tx.execute(
        "UPDATE account SET address = ?1, mailbox = ?2",
        params![address.display(), mailbox.as_bytes().as_slice()],
    )?;
    if changed == 1 { Ok(()) } else { Err(no_keys()) }
}

/// The account, if it is registered.
pub fn load(tx: &Transaction<'_>) -> Result<Option<Account>, StoreError> {
    let registered: Option<(String, Vec<u8>, Zeroizing<Vec<u8>>)> = tx
        .query_row(
            "SELECT address, mailbox, leaf_seed FROM account WHERE address IS NOT NULL",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, Zeroizing::new(row.get(2)?))),
        )
        .optional()?;
    let Some((address, mailbox, leaf_seed)) = registered else {
        return Ok(None);
    };
    let device = pending_device(tx)?.ok_or_else(no_keys)?;
    let roster = Roster::verify(&statements(tx)?).map_err(damaged_roster)?;
    let address = Address::parse(&address).map_err(|_| damaged("an address that is none"))?;
    let mailbox = MailboxId::try_from(mailbox.as_slice())
        .map_err(|_| damaged("a mailbox id that is none"))?;
    let leaf_seed = leaf_seed
        .as_slice()
        .try_into()
        .map_err(|_| damaged("a leaf key that is none"))?;
    let leaf = Leaf::new(
        LeafKey::from_seed(leaf_seed),
        roster.account(),
        device,
        mailbox,
    );
    Ok(Some(Account {
        roster,
        device,
        mailbox,
        address,
        leaf,
    }))
}

/// Signs a login on the link with this exporter, for the relay's `challenge`.
pub fn sign_login(
    tx: &Transaction<'_>,
    rng: &mut dyn CryptoRng,
    exporter: &Exporter,
    challenge: &[u8; 32],
) -> Result<(DeviceId, pb::HybridSignature), StoreError> {
    let identity = identity(tx)?.ok_or_else(no_keys)?;
    let device = identity.public().device_id();
    let message = login_message(exporter, challenge, device);
    Ok((device, identity.sign(rng, Purpose::Login, &message)))
}

/// The account's roster, as the relay shows it to others.
pub fn statements(tx: &Transaction<'_>) -> Result<Vec<pb::SignedStatement>, StoreError> {
    let mut statement = tx.prepare("SELECT statement FROM roster ORDER BY position")?;
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|row| {
        pb::SignedStatement::decode(row?.as_slice())
            .map_err(|_| damaged("a roster statement that does not decode"))
    })
    .collect()
}

/// The recovery key's words, until they are forgotten.
pub fn recovery_words(tx: &Transaction<'_>) -> Result<Option<String>, StoreError> {
    Ok(recovery_key(tx)?.map(|key| key.words()))
}

/// The recovery key, until its words are forgotten.
pub fn recovery_key(tx: &Transaction<'_>) -> Result<Option<RecoveryKey>, StoreError> {
    let entropy: Option<Zeroizing<Vec<u8>>> = tx
        .query_row(
            "SELECT recovery FROM account WHERE recovery IS NOT NULL",
            [],
            |row| row.get(0).map(Zeroizing::new),
        )
        .optional()?;
    let Some(entropy) = entropy else {
        return Ok(None);
    };
    let entropy = entropy
        .as_slice()
        .try_into()
        .map_err(|_| damaged("a recovery key that is none"))?;
    Ok(Some(RecoveryKey::from_entropy(entropy)))
}

/// Forgets keys and roster: this device begins another life.
pub fn forget(tx: &Transaction<'_>) -> Result<(), StoreError> {
    forget_roster(tx)?;
    tx.execute("DELETE FROM account", [])?;
    Ok(())
}

/// Forgets the roster, and keeps the device's keys.
pub fn forget_roster(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM roster", [])?;
    Ok(())
}

/// The person has written the words down: deletes the key's private half.
pub fn forget_recovery_words(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE account SET recovery = NULL", [])?;
    Ok(())
}

fn identity(tx: &Transaction<'_>) -> Result<Option<HybridSigningKey>, StoreError> {
    let seed: Option<Zeroizing<Vec<u8>>> = tx
        .prepare_cached("SELECT identity_seed FROM account")?
        .query_row([], |row| row.get(0).map(Zeroizing::new))
        .optional()?;
    let Some(seed) = seed else { return Ok(None) };
    let seed = seed
        .as_slice()
        .try_into()
        .map_err(|_| damaged("an identity key that is none"))?;
    Ok(Some(HybridSigningKey::from_seed(&SigningSeed::from_bytes(
        seed,
    ))))
}

fn no_keys() -> StoreError {
    damaged("no device keys where there should be")
}

fn damaged_roster(_: roster::RosterError) -> StoreError {
    damaged("a roster that does not verify")
}

fn damaged(found: &str) -> StoreError {
    StoreError::Damaged {
        found: found.to_owned(),
    }
}
