//! Verifies a whole log, for `waxwing-relay check`.
//!
//! **Elsewhere**: [`crate::store::check`] checks that each record decodes.
//!
//! **Always**: nothing is changed.

use prost::Message as _;
use waxwing_protocol::pb;
use waxwing_transparency::{
    head::{Head, HeadHash, SignedHead, landmark},
    wire,
};

use super::{KeyLog, LogError};
use crate::store::{KeySpace, Store};

impl<S: Store> KeyLog<S> {
    /// Verifies that the newest head is signed and is the root of what is stored, that the
    /// heads are chained from the first to it, and that each epoch's append-only proof is
    /// there; gives the number of heads.
    ///
    /// # Errors
    /// When one of it is not so, or the store cannot be read.
    pub fn verify(&self) -> Result<u64, LogError> {
        self.check_newest()?;
        let (newest, signed) = {
            let heads = self.heads()?;
            (heads.newest.clone(), heads.signed.clone())
        };
        SignedHead::check(self.identity(), &signed)
            .map_err(|_| LogError::Damaged("its newest head is not signed"))?;
        let mut before: Option<Head> = None;
        for number in 1..=newest.number {
            let head = self.head_at(number).map_err(|error| match error {
                LogError::NoSuch => LogError::Damaged("a head is missing"),
                error => error,
            })?;
            self.check_link(before.as_ref(), &head)?;
            before = Some(head);
        }
        if before != Some(newest) {
            return Err(LogError::Damaged("its newest head is another"));
        }
        Ok(before.map_or(0, |head| head.number))
    }

    fn check_link(&self, before: Option<&Head>, head: &Head) -> Result<(), LogError> {
        let hash = |head: &Head| -> HeadHash { head.hash() };
        let landmark = landmark(head.number)
            .map(|number| self.head_at(number))
            .transpose()?;
        let is_chained = head.log == self.identity().id()
            && head.previous == before.map(hash)
            && head.landmark == landmark.as_ref().map(hash);
        if !is_chained {
            return Err(LogError::Damaged("a head is not chained to the one before"));
        }
        let epoch = before.map_or(0, |before| before.epoch);
        if head.epoch == epoch {
            let same = before.is_none_or(|before| before.root == head.root);
            return if same {
                Ok(())
            } else {
                Err(LogError::Damaged("an epoch has two roots"))
            };
        }
        let at = head.epoch.to_be_bytes();
        let proof = self.store.get(KeySpace::LogAudits, &at)?;
        let proof = proof.and_then(|proof| pb::AuditProof::decode(proof).ok());
        let is_there = proof
            .is_some_and(|proof| proof.epoch == head.epoch && wire::audit_proof(&proof).is_some());
        if head.epoch != epoch.saturating_add(1) || !is_there {
            return Err(LogError::Damaged("an epoch's proof is missing"));
        }
        Ok(())
    }
}
