//! Damaged records: records that cannot be read as they were written.
//!
//! A damaged record affects only what it is about: the relay skips it, counts it, and tells
//! the operator (`waxwing_records_damaged_total`, and a line in the log).
//!
//! **Elsewhere**: [`crate::store::check`] finds everything else that is wrong with a store.
//!
//! **Always**: a damaged record whose key is known is counted once, as long as there are not
//! very many. Records behind it do not wait for it.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message;

use crate::{
    pending_view::{PendingView, decode},
    store::{Key, KeySpace, Record, Store, StoreError, key},
};

/// Damaged records that are counted separately.
const KNOWN: usize = 4096;
/// Bytes of a key that are looked at where records cannot be read.
const KEY_BYTES: usize = 48;
/// Of a page that cannot be read, so large a part is tried.
const PART: usize = 8;

/// Those that were met since the start.
#[derive(Default)]
pub(crate) struct Damaged {
    known: HashSet<(KeySpace, Key)>,
    count: u64,
}

impl Damaged {
    /// How many there were.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }
}

/// Some records of a key space, and where to go on.
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// Empty: at the beginning.
    pub(crate) next: Key,
}

impl<S: Store> PendingView<S> {
    /// A record was met that is not as it was written.
    pub(crate) fn note_damage(&mut self, space: KeySpace, at: &[u8]) {
        let place = (space, Key::from_slice(at));
        if self.damaged.known.contains(&place) {
            return;
        }
        self.damaged.count += 1;
        if self.damaged.known.len() < KNOWN {
            self.damaged.known.insert(place);
        }
    }

    /// A record that decodes; `None` where it does not, which is noted.
    pub(crate) fn sound<T: Message + Default>(
        &mut self,
        space: KeySpace,
        at: &[u8],
        value: Bytes,
    ) -> Option<T> {
        let decoded = decode(space, value);
        if decoded.is_err() {
            self.note_damage(space, at);
        }
        decoded.ok()
    }

    /// The record at this key; `None` where there is none, or one that cannot be read, which
    /// is noted.
    pub(crate) fn sound_at<T: Message + Default>(
        &mut self,
        space: KeySpace,
        at: &[u8],
    ) -> Result<Option<T>, StoreError> {
        match self.get(space, at) {
            Err(StoreError::Damaged(_)) => {
                self.note_damage(space, at);
                Ok(None)
            }
            record => record,
        }
    }

    /// The next records of a sweep and where to go on, as [`PendingView::slice`] gives them; where
    /// some cannot be read, it goes on behind them.
    pub(crate) fn sound_slice(
        &mut self,
        space: KeySpace,
        from: &[u8],
        most: usize,
    ) -> Result<(Vec<Record>, Option<Key>), StoreError> {
        match self.slice(space, from, most) {
            Err(StoreError::Damaged(_)) => {
                let page = self.page(space, from, most)?;
                Ok((page.records, (!page.next.is_empty()).then_some(page.next)))
            }
            slice => slice,
        }
    }

    /// The first records whose keys begin with `prefix`, `most` of them at most and without
    /// those that cannot be read; and whether there are no others.
    pub(crate) fn readable(
        &mut self,
        space: KeySpace,
        prefix: &[u8],
        most: usize,
    ) -> Result<(Vec<Record>, bool), StoreError> {
        match self.scan_prefix(space, prefix, prefix, most) {
            Err(StoreError::Damaged(_)) => {}
            records => {
                let records = records?;
                let is_all = records.len() < most;
                return Ok((records, is_all));
            }
        }
        let mut from = key(&[prefix]);
        let mut readable = Vec::new();
        loop {
            let page = self.page(space, &from, most.saturating_sub(readable.len()))?;
            let own = page.records.into_iter();
            readable.extend(own.filter(|(at, _)| at.starts_with(prefix)));
            let is_all = page.next.is_empty() || !page.next.starts_with(prefix);
            if is_all || readable.len() >= most {
                return Ok((readable, is_all));
            }
            from = page.next;
        }
    }

    /// At most `limit` records from `from` on, for a sweep. Where some cannot be read, it
    /// goes on behind them.
    pub(crate) fn page(
        &mut self,
        space: KeySpace,
        from: &[u8],
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut part = limit.max(1);
        loop {
            match self.scan(space, from, None, part) {
                Ok(records) => {
                    let next = match records.last() {
                        Some((last, _)) if records.len() == part => key(&[last, &[0]]),
                        _ => Key::new(),
                    };
                    return Ok(Page { records, next });
                }
                Err(StoreError::Damaged(_)) if part > 1 => part = (part / PART).max(1),
                Err(StoreError::Damaged(_)) => {
                    self.note_damage(space, from);
                    let next = self.behind_damage(space, from)?.unwrap_or_default();
                    return Ok(Page {
                        records: Vec::new(),
                        next,
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl<S: Store> PendingView<S> {
    /// A key from which on the next record can be read, where the one at `from` cannot:
    /// searched in steps that double, so that little is passed over. `None` at the end.
    fn behind_damage(&self, space: KeySpace, from: &[u8]) -> Result<Option<Key>, StoreError> {
        for bit in 0..KEY_BYTES * 8 {
            let Some(at) = plus(from, bit) else {
                return Ok(None);
            };
            match self.scan(space, &at, None, 1) {
                Ok(records) => return Ok((!records.is_empty()).then_some(at)),
                Err(StoreError::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// A key as a number, and the power of two with this exponent added to it; `None` where
/// that is behind all keys.
fn plus(from: &[u8], bit: usize) -> Option<Key> {
    let mut bytes = [0; KEY_BYTES];
    for (byte, given) in bytes.iter_mut().zip(from) {
        *byte = *given;
    }
    let mut carry = 1_u16 << (bit % 8);
    for byte in bytes.iter_mut().rev().skip(bit / 8) {
        let sum = u16::from(*byte) + carry;
        let [high, low] = sum.to_be_bytes();
        *byte = low;
        carry = high.into();
        if carry == 0 {
            return Some(Key::from_slice(&bytes));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_added_to_as_numbers() {
        let mut expected = vec![1; 1];
        expected.resize(KEY_BYTES, 0);
        expected[KEY_BYTES - 1] = 4;
        assert_eq!(plus(&[1], 2).unwrap().to_vec(), expected);
        let mut carried = vec![2];
        carried.resize(KEY_BYTES, 0);
        assert_eq!(
            plus(&[1, 0x80], KEY_BYTES * 8 - 9).unwrap().to_vec(),
            carried
        );
        assert_eq!(plus(&[0xff], KEY_BYTES * 8 - 8), None);
    }
}
