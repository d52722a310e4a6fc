//! The log's answers: proofs, histories, heads.
//!
//! **Elsewhere**: [`crate::directory`] decides who may ask what, and how often, before a
//! question arrives here.
//!
//! **Always**: an answer is made under one lock on the heads, so that head, proof and roster
//! belong to one state; nothing is changed.

use std::collections::{BTreeMap, btree_map::Entry::Vacant};

use akd::HistoryParams;
use bytes::Bytes;
use futures_lite::future::block_on;
use prost::Message as _;
use waxwing_protocol::{
    address::Address,
    ids::AccountId,
    limits, pb,
    pb::{ErrorCode, relay_frame::Body as Answer},
};
use waxwing_transparency::{
    head,
    proof::{Entry, label},
    wire,
};

use super::{Heads, KeyLog, LogError, failed};
use crate::store::{KeySpace, Store, StoreError, records::AccountRecord};

/// Bytes of a frame that are not the answer in it.
const FRAME_ROOM: usize = 64;

/// What somebody asks the log, once the relay has found that they may.
#[derive(Clone)]
pub enum Question {
    /// Who is behind an address?
    LookUp {
        /// Which.
        address: Address,
        /// Number of the newest head that the asker knows; 0 for none.
        known_head: u64,
    },
    /// What was behind an address?
    History {
        /// Which.
        address: Address,
        /// Who asks.
        account: AccountId,
        /// Number of the newest head that the asker knows; 0 for none.
        known_head: u64,
        /// So many versions at most, the newest; 0 for all.
        most_recent: u32,
    },
    /// The newest head.
    Heads {
        /// Numbers of heads that the asker knows.
        known: Vec<u64>,
    },
}

/// Whose address it is about is nobody's to read.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LookUp { .. } => "LookUp(…)",
            Self::History { .. } => "History(…)",
            Self::Heads { .. } => "Heads(…)",
        })
    }
}

impl<S: Store> KeyLog<S> {
    /// Answers a question, with an error where it cannot.
    pub fn answer(&self, question: &Question) -> Answer {
        let answer = match question {
            Question::LookUp {
                address,
                known_head,
            } => self
                .look_up(address, *known_head)
                .map(|found| Answer::LookedUp(Box::new(found))),
            Question::History {
                address,
                account,
                known_head,
                most_recent,
            } => self
                .history(address, *account, *known_head, *most_recent)
                .map(|fetched| Answer::HistoryFetched(Box::new(fetched))),
            Question::Heads { known } => self
                .view(known)
                .map(|log| Answer::HeadsFetched(pb::HeadsFetched { log: Some(log) })),
        };
        match answer {
            Ok(answer) if size(&answer) <= limits::FRAME_BYTES - FRAME_ROOM => answer,
            Ok(_) => refusal(&LogError::TooLarge),
            Err(error) => refusal(&error),
        }
    }

    /// Who is behind an address, with proof, and their roster as the log vouches for it.
    ///
    /// # Errors
    /// When nobody is, or the store cannot be read.
    pub fn look_up(&self, address: &Address, known_head: u64) -> Result<pb::LookedUp, LogError> {
        let heads = self.heads()?;
        let label = label(address);
        // Whether it is there is asked of the store: akd's answer does not tell absence
        // from failure.
        if self.read.newest(&label)?.is_none() {
            return Err(LogError::Unknown);
        }
        let (proof, _) = block_on(self.reading.lookup(label)).map_err(failed)?;
        let entry = Entry::decode(&proof.value.0)
            .map_err(|_| LogError::Damaged("an entry is malformed"))?;
        let mut roster = self.roster(entry.account)?;
        // An account may have grown since, under another of its addresses.
        roster.truncate(usize::try_from(entry.roster_length).unwrap_or(usize::MAX));
        Ok(pb::LookedUp {
            account_id: entry.account.to_bytes(),
            roster,
            address: address.canonical().to_owned(),
            log: Some(self.view_of(&heads, &[known_head])?),
            proof: Some(wire::from_look_up_proof(proof)),
        })
    }

    /// What was behind an address, newest first, with proof; and the roster of `account`.
    ///
    /// # Errors
    /// When nothing was, there is more than one answer may hold, or the store cannot be
    /// read.
    pub fn history(
        &self,
        address: &Address,
        account: AccountId,
        known_head: u64,
        most_recent: u32,
    ) -> Result<pb::HistoryFetched, LogError> {
        let heads = self.heads()?;
        let label = label(address);
        let versions = self.read.values(&label)?.len();
        let asked = match most_recent {
            0 => versions,
            most => versions.min(most as usize),
        };
        if versions == 0 {
            return Err(LogError::Unknown);
        }
        if asked > limits::HISTORY_VERSIONS {
            return Err(LogError::TooLarge);
        }
        let params = match most_recent {
            0 => HistoryParams::Complete,
            most => HistoryParams::MostRecent(most as usize),
        };
        let (proof, _) = block_on(self.reading.key_history(&label, params)).map_err(failed)?;
        Ok(pb::HistoryFetched {
            log: Some(self.view_of(&heads, &[known_head])?),
            proof: Some(wire::from_history_proof(proof)),
            roster: self.roster(account)?,
        })
    }

    /// The newest head, tied to those with these numbers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn view(&self, known: &[u64]) -> Result<pb::LogView, LogError> {
        let heads = self.heads()?;
        self.view_of(&heads, known)
    }

    /// The encoded heads with the numbers `from` to `to`, both included.
    ///
    /// # Errors
    /// When the log has one of them not, or the store cannot be read.
    pub fn heads_between(&self, from: u64, to: u64) -> Result<Vec<Bytes>, LogError> {
        let newest = self.heads()?.newest.number;
        if from == 0 || from > to || to > newest {
            return Err(LogError::NoSuch);
        }
        if to - from >= limits::HEAD_LINKS as u64 {
            return Err(LogError::TooLarge);
        }
        (from..=to)
            .map(|number| Ok(self.head_at(number)?.encoded().clone()))
            .collect()
    }

    /// The proof that the log of this epoch only adds to the one before, encoded.
    ///
    /// # Errors
    /// When the log has no such epoch, or the store cannot be read.
    pub fn audit(&self, epoch: u64) -> Result<Bytes, LogError> {
        let _heads = self.heads()?;
        let proof = self.store.get(KeySpace::LogAudits, &epoch.to_be_bytes())?;
        proof.ok_or(LogError::NoSuch)
    }

    fn view_of(&self, heads: &Heads, known: &[u64]) -> Result<pb::LogView, LogError> {
        let mut links = BTreeMap::new();
        for number in known {
            self.link(heads, *number, &mut links)?;
        }
        let mut newest_first: Vec<_> = heads.cosigned.values().collect();
        newest_first.sort_by_key(|(signed, _)| std::cmp::Reverse(signed.number));
        let mut cosignatures = Vec::new();
        for (signed, wire) in newest_first.into_iter().take(limits::COSIGNATURES) {
            let mut more = links.clone();
            self.link(heads, signed.number, &mut more)?;
            // A view that is too large is refused whole.
            if more.len() <= limits::HEAD_LINKS {
                links = more;
                cosignatures.push(wire.clone());
            }
        }
        Ok(pb::LogView {
            head: Some(heads.signed.clone()),
            links: links.into_values().collect(),
            cosignatures,
        })
    }

    /// Adds what ties the newest head to the one with `number`.
    fn link(
        &self,
        heads: &Heads,
        number: u64,
        links: &mut BTreeMap<u64, Bytes>,
    ) -> Result<(), LogError> {
        for number in head::path(heads.newest.number, number) {
            if let Vacant(place) = links.entry(number) {
                place.insert(self.head_at(number)?.encoded().clone());
            }
        }
        Ok(())
    }

    fn roster(&self, account: AccountId) -> Result<Vec<pb::SignedStatement>, LogError> {
        let record = self.store.get(KeySpace::Accounts, account.as_bytes())?;
        let record = record.ok_or(LogError::Damaged("an account is missing"))?;
        let record = AccountRecord::decode(record)
            .map_err(|error| StoreError::Damaged(format!("a record of accounts: {error}")))?;
        Ok(record.roster)
    }
}

fn size(answer: &Answer) -> usize {
    match answer {
        Answer::LookedUp(answer) => answer.encoded_len(),
        Answer::HistoryFetched(answer) => answer.encoded_len(),
        Answer::HeadsFetched(answer) => answer.encoded_len(),
        _ => 0,
    }
}

fn refusal(error: &LogError) -> Answer {
    let (code, detail) = match error {
        LogError::Unknown => (ErrorCode::AddressUnknown, "nobody here has this address"),
        LogError::TooLarge => (ErrorCode::TooLarge, "the answer would be too large"),
        _ => (ErrorCode::Unavailable, "the key log cannot be read now"),
    };
    let retry_after_ms = if code == ErrorCode::Unavailable {
        1000
    } else {
        0
    };
    Answer::Error(pb::Error {
        code: code.into(),
        detail: detail.to_owned(),
        retry_after_ms,
        ..pb::Error::default()
    })
}
