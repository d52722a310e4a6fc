//! `xtask-swap DATA ACCOUNT OTHER`: makes the relay with this data directory, which must not
//! be running, hand out the devices and keys of OTHER for ACCOUNT. Both are account ids in
//! hexadecimal digits.
//!
//! For the demo: an operator, or somebody who took the machine, can do this to the disk, with
//! every key of the relay. How the clients react is up to them.
//!
//! **Elsewhere**: the attacks that are tried, this one among them, are in `tests/tests/attacks`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use prost::Message as _;
use waxwing_protocol::ids::AccountId;
use waxwing_relay::store::{
    KeySpace, Store as _, Write, embedded::EmbeddedStore, key, records::AddressRecord,
};

/// Records that are read at a time.
const PAGE: usize = 1_000;

fn main() -> Result<()> {
    let usage = "xtask-swap DATA ACCOUNT OTHER";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, account, other] =
        <[String; 3]>::try_from(arguments).map_err(|_| anyhow::anyhow!(usage))?;
    let (account, other) = (id(&account)?, id(&other)?);
    let store = EmbeddedStore::open(&PathBuf::from(data).join("store"))
        .context("the store does not open: does the relay still run?")?;
    let roster = store
        .get(KeySpace::Accounts, other.as_bytes())?
        .context("the relay has no such account")?;
    let mut writes = vec![Write {
        space: KeySpace::Accounts,
        key: key(&[account.as_bytes()]),
        value: Some(roster),
    }];
    // And whoever asks for key packages of the address gets the other's.
    let addresses = store.scan(KeySpace::Addresses, &[], None, PAGE)?;
    for (at, value) in addresses {
        let mut record = AddressRecord::decode(value)?;
        if record.account_id == account.to_bytes() {
            record.account_id = other.to_bytes();
            writes.push(Write {
                space: KeySpace::Addresses,
                key: key(&[&at]),
                value: Some(record.encode_to_vec().into()),
            });
        }
    }
    if writes.len() < 2 {
        bail!("the account has no address");
    }
    Ok(store.commit(writes)?)
}

fn id(text: &str) -> Result<AccountId> {
    let bytes = HEXLOWER.decode(text.as_bytes())?;
    AccountId::try_from(bytes.as_slice())
        .map_err(|_| anyhow::anyhow!("{text} is not an account id"))
}
