//! Idle groups: the relay deletes what it has of groups that nobody uses any more.
//!
//! **Elsewhere**: [`crate::sweep`] handles groups that only leave the memory. Members who come
//! back find that the group is unknown, and their engines begin another one for the
//! conversation.
//!
//! **Always**: a group to which a link may post is in use.

use waxwing_protocol::{
    ids::GroupId,
    time::{Span, Time},
};

use crate::{
    answer::Refused,
    pending_view::decode,
    relay::Relay,
    store::{KeySpace, Store, StoreError, key, records::GroupRecord},
    sweep::Done,
};

fn day_of(date: Time) -> u64 {
    date.0 / Span::days(1).0
}

impl<S: Store> Relay<S> {
    /// Somebody may post: noted once a day.
    pub(super) fn note_use(&mut self, now: Time, id: GroupId) -> Result<(), Refused> {
        let today = day_of(self.context.date(now));
        let group = self.group(id)?;
        if group.record.used_on_day >= today || group.record.changed_on_day >= today {
            return Ok(());
        }
        group.record.used_on_day = today;
        let record = group.record.clone();
        self.context
            .view
            .put(KeySpace::Groups, key(&[id.as_bytes()]), &record);
        Ok(())
    }

    /// Deletes some of the groups that were not used for too long.
    pub(crate) fn sweep_groups(&mut self, now: Time, most: usize) -> Result<Done, StoreError> {
        let expiry = self.context.expiry_date(now);
        let today = day_of(self.context.date(now));
        let (records, done) =
            self.next_of_round(KeySpace::Groups, |sweep| &mut sweep.groups, most)?;
        for (at, value) in records {
            let record = decode::<GroupRecord>(KeySpace::Groups, value);
            let (Ok(mut record), Ok(id)) = (record, GroupId::try_from(&at)) else {
                continue;
            };
            let used_on = record.used_on_day.max(record.changed_on_day);
            let idle = day_of(expiry).saturating_sub(used_on);
            let in_use = self.groups.get(&id).is_some_and(|group| !group.is_idle());
            if used_on == 0 {
                // The first relays did not write it down: its time begins now.
                record.used_on_day = today;
                if let Some(group) = self.groups.get_mut(&id) {
                    group.record.used_on_day = today;
                }
                self.context
                    .view
                    .put(KeySpace::Groups, key(&[&at]), &record);
                continue;
            }
            if idle < self.context.config.group_idle_days || in_use {
                continue;
            }
            self.groups.remove(&id);
            for space in [
                KeySpace::Groups,
                KeySpace::GroupInfos,
                KeySpace::GroupSequences,
            ] {
                self.context.view.delete(space, key(&[&at]));
            }
            self.context.count(|usage| {
                usage.groups = usage.groups.saturating_sub(1);
                usage.group_bytes = usage.group_bytes.saturating_sub(record.counted_bytes);
            });
        }
        Ok(done)
    }
}
