//! Unencrypted fan-out lists: one copy of each, for all links that post with it.
//!
//! **Elsewhere**: [`crate::link`] knows which link may post where; [`super`] opens sealed
//! lists.
//!
//! **Always**: a list is here only while a link is authorised with it. All lists together are
//! bounded: the least recently used one is dropped, and its links authorise again, as after an
//! idle minute.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use waxwing_protocol::{
    ids::{Epoch, GroupId, MailboxId},
    time::Time,
};

use super::{Authorised, Group, Groups};
use crate::{
    answer::Refused, context::Context, least_recently_used::LeastRecentlyUsed, link::LinkId,
    store::Store,
};

/// Bytes that a mailbox of a list costs.
const MAILBOX: usize = 16;
/// Bytes that a list costs besides.
const LIST: usize = 256;
/// Bytes that a link's authorisation costs.
const LINK: usize = 128;

/// All of them.
#[derive(Default)]
pub(crate) struct FanOuts {
    lists: HashMap<(GroupId, Epoch), List>,
    oldest: LeastRecentlyUsed<(GroupId, Epoch)>,
    bytes: usize,
    authorisations: usize,
}

struct List {
    mailboxes: Arc<[MailboxId]>,
    /// Bytes of the sealed lists of its group's epochs, which are in memory while a link may
    /// post there. What is in the clear has only mailboxes that exist.
    sealed: usize,
    links: BTreeSet<LinkId>,
    /// Where it stands in the order of the oldest.
    ordered_at: u64,
}

impl List {
    fn bytes(&self) -> usize {
        self.mailboxes.len() * MAILBOX + self.sealed + LIST
    }
}

impl FanOuts {
    /// Authorises a link by a list; gives the copy that all links share.
    fn join(
        &mut self,
        now: Time,
        of: (GroupId, Epoch),
        link: LinkId,
        (mailboxes, sealed): (Arc<[MailboxId]>, usize),
    ) -> Arc<[MailboxId]> {
        let list = self.lists.entry(of).or_insert_with(|| {
            let list = List {
                mailboxes: Arc::clone(&mailboxes),
                sealed,
                links: BTreeSet::new(),
                ordered_at: now.0,
            };
            self.bytes += list.bytes();
            self.oldest.add(now.0, of);
            list
        });
        if list.mailboxes != mailboxes || list.sealed != sealed {
            // The group was deleted and made again, or has other epochs.
            self.bytes -= list.bytes();
            list.mailboxes = mailboxes;
            list.sealed = sealed;
            self.bytes += list.bytes();
        }
        if list.links.insert(link) {
            self.authorisations += 1;
            self.bytes += LINK;
        }
        Arc::clone(&list.mailboxes)
    }

    /// A link is no longer authorised by a list.
    fn leave(&mut self, of: (GroupId, Epoch), link: LinkId) {
        let Some(list) = self.lists.get_mut(&of) else {
            return;
        };
        if list.links.remove(&link) {
            self.authorisations -= 1;
            self.bytes -= LINK;
        }
        if list.links.is_empty() {
            let ordered_at = list.ordered_at;
            self.oldest.remove(ordered_at, of);
            self.end(of);
        }
    }

    fn end(&mut self, of: (GroupId, Epoch)) -> BTreeSet<LinkId> {
        let Some(list) = self.lists.remove(&of) else {
            return BTreeSet::new();
        };
        self.bytes -= list.bytes() + list.links.len() * LINK;
        self.authorisations -= list.links.len();
        list.links
    }

    fn put_out_of_order(&mut self, of: (GroupId, Epoch)) {
        if let Some(list) = self.lists.get(&of) {
            self.oldest.remove(list.ordered_at, of);
        }
    }

    fn put_in_order(&mut self, now: Time, of: (GroupId, Epoch)) {
        if let Some(list) = self.lists.get_mut(&of) {
            list.ordered_at = now.0;
            self.oldest.add(now.0, of);
        }
    }

    /// Takes the list used longest ago out of the order; `used` says when a link used one.
    fn pop_oldest(
        &mut self,
        used: impl Fn(LinkId, (GroupId, Epoch)) -> Option<Time>,
    ) -> Option<(GroupId, Epoch)> {
        let lists = &mut self.lists;
        self.oldest.pop(|of| {
            let list = lists.get_mut(&of)?;
            let last = list.links.iter().filter_map(|link| used(*link, of)).max();
            list.ordered_at = last.map_or(0, |last| last.0);
            Some(list.ordered_at)
        })
    }

    /// Links that are authorised, each list counted.
    pub(crate) fn authorisations(&self) -> usize {
        self.authorisations
    }

    /// Bytes that all lists cost.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Groups {
    /// Authorises a link by a list. Others give way where all together are too much.
    pub(super) fn share_fan_out(
        &mut self,
        context: &Context<impl Store>,
        now: Time,
        link: LinkId,
        (group, epoch): (GroupId, Epoch),
        fan_out: Arc<[MailboxId]>,
    ) -> Arc<[MailboxId]> {
        let of = (group, epoch);
        let sealed = self.all.get(&group).map_or(0, Group::sealed_bytes);
        let shared = self.fan_outs.join(now, of, link, (fan_out, sealed));
        // It is used now: it does not give way to itself.
        self.fan_outs.put_out_of_order(of);
        while self.fan_outs.bytes > context.config.fan_out_bytes {
            let posting = &self.posting;
            let used = |link, of| {
                let authorised: Option<&Authorised> = posting.get(&link)?.get(&of);
                authorised.map(|authorised| authorised.used_at)
            };
            let Some(oldest) = self.fan_outs.pop_oldest(used) else {
                break;
            };
            self.fan_out_gives_way(oldest);
        }
        self.fan_outs.put_in_order(now, of);
        shared
    }

    fn fan_out_gives_way(&mut self, of: (GroupId, Epoch)) {
        for link in self.fan_outs.end(of) {
            if let Some(posting) = self.posting.get_mut(&link)
                && posting.remove(&of).is_some()
            {
                self.drop_group_from_memory(of.0);
            }
        }
    }

    /// A link that is no longer authorised gives up its part in a list.
    pub(crate) fn fan_out_left(&mut self, of: (GroupId, Epoch), link: LinkId) {
        self.fan_outs.leave(of, link);
        self.drop_group_from_memory(of.0);
    }

    /// Whether the link may have one more authorisation, as far as all links' are concerned:
    /// where they are too many, only links that have few get more.
    pub(super) fn may_share_more(
        &self,
        context: &Context<impl Store>,
        has: usize,
    ) -> Result<(), Refused> {
        /// Authorisations that a link may have at any time.
        const FEW: usize = 16;
        if has >= FEW && self.fan_outs.authorisations() >= context.config.authorisations {
            return Err(Refused::rate_limited(
                waxwing_protocol::limits::POSTING_IDLE,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(mailboxes: u8) -> (Arc<[MailboxId]>, usize) {
        ((0..mailboxes).map(|n| MailboxId([n; 16])).collect(), 100)
    }

    #[test]
    fn a_list_is_kept_once_and_ends_with_its_last_link() {
        let mut all = FanOuts::default();
        let of = (GroupId([1; 16]), Epoch(7));
        let one = all.join(Time(1), of, LinkId(1), list(10));
        let bytes = all.bytes();
        let other = all.join(Time(2), of, LinkId(2), list(10));
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(all.bytes(), bytes + LINK);
        all.join(Time(3), of, LinkId(2), list(10));
        assert_eq!(all.authorisations(), 2);
        all.leave(of, LinkId(1));
        all.leave(of, LinkId(1));
        assert_eq!(all.authorisations(), 1);
        all.leave(of, LinkId(2));
        assert_eq!((all.bytes(), all.authorisations()), (0, 0));
        assert_eq!(all.oldest.len(), 0);
    }

    #[test]
    fn the_list_that_all_its_links_used_longest_ago_is_the_oldest() {
        let mut all = FanOuts::default();
        let of = [1, 2, 3].map(|n| (GroupId([n; 16]), Epoch(0)));
        for (n, of) in of.into_iter().enumerate() {
            all.join(Time(n as u64), of, LinkId(0), list(1));
            all.join(Time(n as u64), of, LinkId(1), list(1));
        }
        let used = |link: LinkId, at: (GroupId, Epoch)| {
            let first_is_busy = at == of[0] && link == LinkId(1);
            Some(Time(if first_is_busy { 100 } else { 10 }))
        };
        assert_eq!(all.pop_oldest(used), Some(of[1]));
        assert_eq!(all.end(of[1]).len(), 2);
        assert_eq!(all.pop_oldest(used), Some(of[2]));
    }
}
