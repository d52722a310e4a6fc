//! Look-alikes: an address that people can mistake for a registered one is registered only if
//! it is plain ASCII, and its owner is told.
//!
//! Letters of other scripts make look-alikes that nobody can tell apart; there, the first
//! registration counts. Plain ASCII pairs (`rn` and `m`, `1` and `l`) can be told apart by
//! looking closely, and are common among honest people; besides, somebody who registered the
//! imitation first would shut out the address that everybody knows. An operator may allow any
//! other look-alike.
//!
//! What an address looks like is its skeleton (UTS #39). The first address with a skeleton has
//! it. Addresses that were registered before the relay knew skeletons get theirs when they are
//! registered again.
//!
//! **Elsewhere**: the protocol computes the skeleton. The client points out a contact whose
//! address imitates another, which other relays may have registered.
//!
//! **Always**: the relay says that a similar address is registered only to people who entered
//! the right code, and so have the address. This is the one thing that the relay reveals about
//! who is registered: the owner of a domain can register addresses that look like others, and
//! learns for each whether somebody has the look-alike. A skeleton is stored as a hash under
//! the relay's key, as addresses are.

use bytes::Bytes;
use waxwing_protocol::{address::Address, pb::ErrorCode};

use super::Registrations;
use crate::{
    answer::Refused,
    context::Context,
    directory::Directory,
    store::{KeySpace, Store, Write, key},
};

impl Registrations {
    /// Whether an address that is not registered looks like one that is. It is refused then,
    /// unless it is [`plain`](is_plain) or the operator has allowed it.
    pub(crate) fn imitates_another(
        context: &Context<impl Store>,
        directory: &Directory,
        address: &Address,
    ) -> Result<bool, Refused> {
        let at = directory.address_key(address);
        if Self::is_registered(context, &at)? {
            return Ok(false);
        }
        let first = Self::first_that_looks_like(context, directory, address)?;
        let looks = Self::looks_key(directory, address);
        let imitates = looks
            .is_some_and(|looks| directory.publications.imitates_one(address, looks))
            || first.is_some_and(|first| first != at.as_slice());
        if !imitates || is_plain(address) || context.config.look_alikes.contains(address) {
            return Ok(imitates);
        }
        Err(Refused::new(
            ErrorCode::AddressConfusable,
            "the address can be mistaken for one that is registered",
        ))
    }

    /// What notes the looks of an address that is about to be registered, if it is the
    /// first that looks so.
    pub(crate) fn looks_write(
        context: &Context<impl Store>,
        directory: &Directory,
        address: &Address,
    ) -> Result<Option<Write>, Refused> {
        if Self::first_that_looks_like(context, directory, address)?.is_some() {
            return Ok(None);
        }
        Ok(Self::looks_key(directory, address).map(|looks| Write {
            space: KeySpace::Skeletons,
            key: key(&[&looks]),
            value: Some(Bytes::copy_from_slice(&directory.address_key(address))),
        }))
    }

    /// The key of the registered address that had these looks first.
    fn first_that_looks_like(
        context: &Context<impl Store>,
        directory: &Directory,
        address: &Address,
    ) -> Result<Option<Bytes>, Refused> {
        let Some(looks) = Self::looks_key(directory, address) else {
            return Ok(None);
        };
        match context.view.get_bytes(KeySpace::Skeletons, &looks)? {
            Some(first) if Self::is_registered(context, &first)? => Ok(Some(first)),
            _ => Ok(None),
        }
    }

    fn is_registered(context: &Context<impl Store>, at: &[u8]) -> Result<bool, Refused> {
        Ok(context.view.get_bytes(KeySpace::Addresses, at)?.is_some())
    }

    /// What an address looks like: its skeleton, as a hash under the relay's key.
    pub(super) fn looks_key(directory: &Directory, address: &Address) -> Option<[u8; 32]> {
        let skeleton = address.skeleton()?;
        Some(directory.hash(b"waxwing skeleton v1", skeleton.as_bytes()))
    }
}

/// Whether an address is in ASCII as people see it.
fn is_plain(address: &Address) -> bool {
    address.display().is_ascii()
}
