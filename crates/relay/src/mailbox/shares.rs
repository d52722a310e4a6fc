//! What waits in a mailbox, and how much of it one group may use.
//!
//! A mailbox is finite, and anybody can create a group and post to it. The fuller a mailbox
//! is, the less of it one group may use ([`share`]): an eighth of an empty one, and little of
//! the last quarter. To fill a mailbox, somebody needs more than two thousand groups, each of
//! which costs a token. A group whose welcome still waits here is new to the device; all such
//! groups together get a quarter of the mailbox ([`NEW`]), however many there are.
//!
//! **Elsewhere**: [`super::deposit`] handles posts that do not fit.
//!
//! **Always**: these counts cover only what waits, and are forgotten with it. Nothing here, on
//! disk or in memory, says in which groups a device is when nothing waits for it.

use std::collections::BTreeMap;

use waxwing_protocol::{ids::GroupId, pb::PostKind};

use super::posts::StoredPost;
use crate::store::records::EntryRecord;

/// How much of a pool of `most` one group may have, when so much of it is left.
const fn share(left: u64, most: u64) -> u64 {
    if left >= most / 4 * 3 {
        most / 8
    } else if left >= most / 2 {
        most / 64
    } else if left >= most / 4 {
        most / 1_024
    } else {
        most / 8_192
    }
}

/// New groups together may have one part in so many of the whole mailbox.
const NEW: u64 = 4;
/// Marks fit even into a full mailbox, until there is one for so many of its posts.
const MARKS: u64 = 16;

/// Stands for every group in a mark, where there are too many to name.
pub(crate) const ANY_GROUP: GroupId = GroupId([0; 16]);

/// Posts and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) posts: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    const fn plus(self, other: Self) -> Self {
        Self {
            posts: self.posts.saturating_add(other.posts),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            posts: self.posts.saturating_sub(other.posts),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    const fn part(self, of: u64) -> Self {
        Self {
            posts: self.posts / of,
            bytes: self.bytes / of,
        }
    }

    const fn holds(self, other: Self) -> bool {
        other.posts <= self.posts && other.bytes <= self.bytes
    }
}

/// One post that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Not known of what an earlier version stored: that counts for the mailbox only.
    group: Option<GroupId>,
    pub(crate) bytes: u64,
    welcome: bool,
}

impl Item {
    pub(crate) fn of_post(post: &StoredPost) -> Self {
        Self {
            group: Some(post.group),
            bytes: post.body.len() as u64,
            welcome: post.kind == PostKind::Welcome,
        }
    }

    pub(crate) fn of_record(entry: &EntryRecord) -> Self {
        Self {
            group: GroupId::try_from(&entry.group_id).ok(),
            bytes: entry.size,
            welcome: entry.welcome,
        }
    }

    const fn amount(self) -> Amount {
        Amount {
            posts: 1,
            bytes: self.bytes,
        }
    }
}

/// What waits of one group.
#[derive(Clone, Copy, Default)]
struct OfGroup {
    amount: Amount,
    welcomes: u64,
    /// The number of the newest mark that posts are missing.
    marked: u64,
}

/// What waits.
#[derive(Default)]
pub(crate) struct WaitingPosts {
    all: Amount,
    /// Of groups whose welcome waits.
    new: Amount,
    groups: BTreeMap<GroupId, OfGroup>,
}

impl WaitingPosts {
    /// Whether the mailbox, which holds `most`, has room for `more` of a group.
    pub(crate) fn has_room(
        &self,
        group: GroupId,
        more: Amount,
        is_new: bool,
        most: Amount,
    ) -> bool {
        let of = self.groups.get(&group).copied().unwrap_or_default();
        let wanted = of.amount.plus(more);
        let is_new = is_new || of.welcomes > 0;
        let new = (self.new, most.part(NEW));
        let pools = [(self.all, most)].into_iter().chain(is_new.then_some(new));
        pools.into_iter().all(|(used, most)| {
            let left = most.minus(used);
            let then = left.minus(more);
            // A group of which nothing waits may say something in however small a mailbox.
            let least = if of.amount.posts == 0 { more.posts } else { 0 };
            let share = Amount {
                posts: share(then.posts, most.posts).max(least),
                bytes: share(then.bytes, most.bytes),
            };
            left.holds(more) && share.holds(wanted)
        })
    }

    /// Whether there is to be a mark that posts of a group are missing: there is none that
    /// the device was not sent yet. `None` where marks of that group have no room.
    pub(crate) fn needs_mark(&self, group: GroupId, sent_to: u64, most: Amount) -> Option<bool> {
        let of = self.groups.get(&group).copied().unwrap_or_default();
        if of.marked > sent_to {
            return Some(false);
        }
        let full = most.posts.saturating_add(most.posts / MARKS);
        (group == ANY_GROUP || self.all.posts <= full).then_some(true)
    }

    pub(crate) fn add(&mut self, item: Item) {
        self.all = self.all.plus(item.amount());
        let Some(group) = item.group else { return };
        let of = self.groups.entry(group).or_default();
        if item.welcome {
            if of.welcomes == 0 {
                self.new = self.new.plus(of.amount);
            }
            of.welcomes = of.welcomes.saturating_add(1);
        }
        of.amount = of.amount.plus(item.amount());
        if of.welcomes > 0 {
            self.new = self.new.plus(item.amount());
        }
    }

    /// A mark of the group has this number.
    pub(crate) fn marked(&mut self, group: GroupId, sequence: u64) {
        if let Some(of) = self.groups.get_mut(&group) {
            of.marked = of.marked.max(sequence);
        }
    }

    pub(crate) fn remove(&mut self, item: Item) {
        self.all = self.all.minus(item.amount());
        let Some(group) = item.group else { return };
        let Some(of) = self.groups.get_mut(&group) else {
            return;
        };
        if of.welcomes > 0 {
            self.new = self.new.minus(item.amount());
        }
        of.amount = of.amount.minus(item.amount());
        if item.welcome && of.welcomes > 0 {
            of.welcomes -= 1;
            if of.welcomes == 0 {
                self.new = self.new.minus(of.amount);
            }
        }
        if of.amount.posts == 0 {
            self.groups.remove(&group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Amount = Amount {
        posts: 50_000,
        bytes: 256 << 20,
    };

    fn group(n: u64) -> GroupId {
        let mut id = [1; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        GroupId(id)
    }

    fn item(n: u64, bytes: u64, welcome: bool) -> Item {
        Item {
            group: Some(group(n)),
            bytes,
            welcome,
        }
    }

    /// Posts of a group until there is no room; gives how many bytes went in.
    fn fill(waiting: &mut WaitingPosts, n: u64, bytes: u64) -> u64 {
        let mut filled = 0;
        let one = Amount { posts: 1, bytes };
        while waiting.has_room(group(n), one, false, MOST) {
            waiting.add(item(n, bytes, false));
            filled += bytes;
        }
        filled
    }

    #[test]
    fn one_group_gets_an_eighth() {
        let mut waiting = WaitingPosts::default();
        assert_eq!(fill(&mut waiting, 1, 256 << 10), MOST.bytes / 8);
        assert_eq!(fill(&mut waiting, 2, 256 << 10), MOST.bytes / 8);
        // The same for many small ones.
        let mut waiting = WaitingPosts::default();
        assert_eq!(fill(&mut waiting, 1, 1), MOST.posts / 8);
    }

    #[test]
    fn two_thousand_groups_leave_room_for_a_friends_messages() {
        let mut waiting = WaitingPosts::default();
        for n in 0..2_000 {
            for bytes in [256 << 10, 30_000, 1_000, 1] {
                fill(&mut waiting, n, bytes);
            }
        }
        let message = Amount {
            posts: 1,
            bytes: 4_000,
        };
        for _ in 0..5 {
            assert!(waiting.has_room(group(3_000), message, false, MOST));
            waiting.add(item(3_000, message.bytes, false));
        }
    }

    #[test]
    fn new_groups_together_get_a_quarter_however_many() {
        let mut waiting = WaitingPosts::default();
        let welcome = Amount {
            posts: 1,
            bytes: 10_000,
        };
        let mut made = 0;
        for n in 0..20_000 {
            if !waiting.has_room(group(n), welcome, true, MOST) {
                break;
            }
            waiting.add(item(n, welcome.bytes, true));
            fill(&mut waiting, n, 100_000);
            fill(&mut waiting, n, 1);
            made += 1;
        }
        assert!(waiting.all.bytes <= MOST.bytes / NEW);
        assert!(waiting.all.posts <= MOST.posts / NEW);
        // A group that the device knows has what it has in a mailbox that is a quarter full.
        assert!(fill(&mut waiting, 50_000, 1_000) >= MOST.posts / 64 * 1_000);
        // Once its welcome is here, a group is like every other.
        for n in 0..made {
            waiting.remove(item(n, welcome.bytes, true));
        }
        assert_eq!(waiting.new, Amount::default());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut waiting = WaitingPosts::default();
        let items = [
            item(1, 10, false),
            item(1, 20, true),
            item(2, 5, true),
            item(1, 0, false),
            Item {
                group: None,
                bytes: 7,
                welcome: false,
            },
        ];
        for item in items {
            waiting.add(item);
        }
        assert_eq!(
            waiting.all,
            Amount {
                posts: 5,
                bytes: 42
            }
        );
        assert_eq!(
            waiting.new,
            Amount {
                posts: 4,
                bytes: 35
            }
        );
        for item in items {
            waiting.remove(item);
        }
        assert_eq!(waiting.all, Amount::default());
        assert_eq!(waiting.new, Amount::default());
        assert!(waiting.groups.is_empty());
    }

    #[test]
    fn one_mark_of_a_group_waits_and_a_full_mailbox_has_one_for_all() {
        let most = Amount {
            posts: 2,
            bytes: 100,
        };
        let mut waiting = WaitingPosts::default();
        assert_eq!(waiting.needs_mark(group(1), 0, most), Some(true));
        waiting.add(item(1, 0, false));
        waiting.marked(group(1), 7);
        assert_eq!(waiting.needs_mark(group(1), 6, most), Some(false));
        // The device was sent it: what is missed from now on is news.
        assert_eq!(waiting.needs_mark(group(1), 7, most), Some(true));
        waiting.add(item(2, 0, false));
        waiting.add(item(3, 0, false));
        assert_eq!(waiting.needs_mark(group(4), 0, most), None);
        assert_eq!(waiting.needs_mark(ANY_GROUP, 0, most), Some(true));
    }
}
