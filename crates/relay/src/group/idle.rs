//! Idle groups: the relay deletes what it has of groups that nobody uses any more.
//!
//! **Elsewhere**: members who come back find that the group is unknown, and their engines begin
//! another one for the conversation.
//!
//! **Always**: a group to which a link may post is in use.

use waxwing_protocol::{
    ids::GroupId,
    time::{Span, Time},
};

use super::Groups;
use crate::{
    answer::Refused,
    context::Context,
    pending_view::decode,
    store::{KeySpace, Store, StoreError, key, records::GroupRecord},
    sweep::{Done, IN_MEMORY},
};

/// Groups that are looked at in one slice: their records are large.
const GROUPS: usize = 16;

/// Of idle groups, only those stay whose sealed lists have so few bytes.
const SMALL: usize = 16 << 10;

fn day_of(date: Time) -> u64 {
    date.0 / Span::days(1).0
}

impl Groups {
    /// Somebody may post: noted once a day.
    pub(super) fn note_use(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        id: GroupId,
    ) -> Result<(), Refused> {
        let today = day_of(context.date(now));
        let group = self.group(context, id)?;
        if group.record.used_on_day >= today || group.record.changed_on_day >= today {
            return Ok(());
        }
        group.record.used_on_day = today;
        let record = group.record.clone();
        context
            .view
            .put(KeySpace::Groups, key(&[id.as_bytes()]), &record);
        Ok(())
    }

    /// Deletes some of the groups that were not used for too long.
    pub(crate) fn sweep_groups(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let expiry = context.expiry_date(now);
        let today = day_of(context.date(now));
        let (records, done) =
            context.next_of_round(KeySpace::Groups, &mut self.round, now, most.min(GROUPS))?;
        for (at, value) in records {
            let record = decode::<GroupRecord>(KeySpace::Groups, value);
            let (Ok(mut record), Ok(id)) = (record, GroupId::try_from(&at)) else {
                continue;
            };
            let used_on = record.used_on_day.max(record.changed_on_day);
            let idle = day_of(expiry).saturating_sub(used_on);
            let in_use = self.all.get(&id).is_some_and(|group| !group.is_idle());
            if used_on == 0 {
                // The first relays did not write it down: its time begins now.
                record.used_on_day = today;
                if let Some(group) = self.all.get_mut(&id) {
                    group.record.used_on_day = today;
                }
                context.view.put(KeySpace::Groups, key(&[&at]), &record);
                continue;
            }
            if idle < context.config.group_idle_days || in_use {
                continue;
            }
            self.all.remove(&id);
            for space in [
                KeySpace::Groups,
                KeySpace::GroupInfos,
                KeySpace::GroupSequences,
            ] {
                context.view.delete(space, key(&[&at]));
            }
            context.count(|usage| {
                usage.groups = usage.groups.saturating_sub(1);
                usage.group_bytes = usage.group_bytes.saturating_sub(record.counted_bytes);
            });
        }
        Ok(done)
    }

    /// Drops some of the idle groups from memory, if too many or large ones are there.
    pub(crate) fn drop_idle_groups(&mut self, most: usize) -> Done {
        let looked_at = most.min(self.in_memory.len());
        for _ in 0..looked_at {
            let few = self.all.len() <= IN_MEMORY;
            let Some(id) = self.in_memory.pop_front() else {
                break;
            };
            match self.all.get(&id) {
                Some(group) if group.is_idle() && !(few && group.sealed_bytes() <= SMALL) => {
                    self.all.remove(&id);
                }
                Some(_) => self.in_memory.push_back(id),
                None => {}
            }
        }
        Done::some(looked_at)
    }
}
