//! The relay's date, which no jump of the machine's clock moves.
//!
//! The relay is given a *steady* time, which always advances evenly, and from time to time the
//! machine's clock. The date is the steady time plus a correction. If the clock runs a little
//! fast or slow, the date follows it slowly. If the clock jumps, it is in doubt: the date
//! advances with the steady time, nothing expires, and the key log signs nothing, until the
//! clock is back, has run evenly for [`CONFIRMED_AFTER`], or the operator confirms it. A jump
//! forward that only time has confirmed may still be wrong, and deleted data cannot be
//! restored: nothing expires for another [`EXPIRY_WAITS`].
//!
//! At the start the relay compares the clock with the date in the store: a relay that was off
//! for longer than [`DOWNTIME`] cannot know whether its clock is right.
//!
//! **Elsewhere**: [`crate::server`] reads the clocks. What is only in memory (rate limits,
//! codes, links, rendezvous) uses the steady time, and needs no date.
//!
//! **Always**: what the relay stores, signs or tells clients carries the date, never the
//! steady time. What is deleted because it is old is compared with [`Calendar::expiry_date`].

use waxwing_protocol::time::{Span, Time};

use crate::{
    pending_view::PendingView,
    store::{KeySpace, Store, StoreError, key, records::ClockRecord},
};

/// A clock that is further off than this has leapt.
pub const LEAP: Span = Span::minutes(1);
/// A leap is believed after this long, if the clock goes on in step. Well below the age at
/// which clients refuse a head, so that a running relay is never without a good one.
pub const CONFIRMED_AFTER: Span = Span::minutes(30);
/// After a leap ahead that time alone confirmed, nothing expires for this long.
pub const EXPIRY_WAITS: Span = Span::hours(24);
/// A relay may have been off for this long before its clock is in doubt at the start.
pub const DOWNTIME: Span = Span::hours(1);

/// At a start after no more than this, the clock is most likely right: machines are off for a
/// while, and a clock without a battery begins in the past.
pub const ABSENCE: Span = Span::days(14);
/// It is believed after this long then: time for whoever sets clocks to do so. Nothing expires
/// for [`EXPIRY_WAITS`] even so.
pub const CONFIRMED_AFTER_START: Span = Span::minutes(3);

/// The date is kept this often.
const KEPT_EVERY: Span = Span::minutes(10);
/// Of the time that passes, the part by which a clock that is not in doubt is followed.
const FOLLOWED: u64 = 10;
/// Under which key of [`KeySpace::Meta`] the date is kept.
const KEPT_AT: &[u8] = b"clock";

/// What has become of the clock; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockNews {
    /// It has leapt, by so many milliseconds against the relay's date.
    Leapt(i64),
    /// It is back where it was.
    Returned,
    /// It has gone on in step for long enough: the date is the clock's now.
    Confirmed,
}

/// The date, and whether it can be relied on.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    /// What the date is ahead of the steady time, in milliseconds.
    ahead: i64,
    /// When the clock was looked at last, by the steady time.
    looked_at: Option<Time>,
    doubt: Option<ClockDoubt>,
    /// The date from which on things expire.
    expires_from: Time,
    /// What the store knew at the start.
    known: Option<Time>,
    /// Whether the store knew something that cannot be read.
    is_damaged: bool,
    /// The date that was kept last.
    kept: Option<Time>,
    leaps: u64,
}

/// A clock that has leapt.
#[derive(Clone, Copy, Debug)]
struct ClockDoubt {
    /// Since when it has gone on in step, by the steady time.
    since: Time,
    /// What it is ahead of the steady time.
    ahead: i64,
    /// How far ahead of the date it may be and count as back: the time that the relay was
    /// off is not known.
    slack: Span,
    /// It is believed after this long.
    believed_after: Span,
}

impl Calendar {
    /// Reads the date that was kept.
    pub(crate) fn open(view: &mut PendingView<impl Store>) -> Result<Self, StoreError> {
        let record = match view.get(KeySpace::Meta, KEPT_AT) {
            Err(StoreError::Damaged(_)) => {
                view.note_damage(KeySpace::Meta, KEPT_AT);
                return Ok(Self::damaged());
            }
            record => record?,
        };
        Ok(Self::restored(record))
    }

    /// What was kept cannot be read. The machine's clock is all there is to go by, and may be
    /// wrong: nothing expires for [`EXPIRY_WAITS`].
    fn damaged() -> Self {
        Self {
            is_damaged: true,
            ..Self::default()
        }
    }

    /// What was kept in a store.
    fn restored(record: Option<ClockRecord>) -> Self {
        let record = record.unwrap_or_default();
        Self {
            known: (record.date_ms > 0).then_some(Time(record.date_ms)),
            expires_from: Time(record.expires_from_ms),
            ..Self::default()
        }
    }

    /// The date.
    pub(crate) fn date(&self, now: Time) -> Time {
        Time(now.0.saturating_add_signed(self.ahead))
    }

    /// Whether anything expires now.
    pub(crate) fn is_expiring(&self, now: Time) -> bool {
        self.doubt.is_none() && self.date(now) >= self.expires_from
    }

    /// The date that decides whether something is old enough to be deleted: long ago, where
    /// nothing is, because the clock is in doubt.
    pub(crate) fn expiry_date(&self, now: Time) -> Time {
        if self.is_expiring(now) {
            self.date(now)
        } else {
            Time(0)
        }
    }

    /// Whether the clock is in doubt: nothing may be signed with a date.
    pub(crate) const fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// How often the clock has jumped since the start.
    pub(crate) const fn leaps(&self) -> u64 {
        self.leaps
    }

    /// The machine's clock says `wall`.
    pub(crate) fn look(&mut self, now: Time, wall: Time) -> Option<ClockNews> {
        let ahead = ahead(wall, now);
        let Some(before) = self.looked_at.replace(now) else {
            return self.start(now, wall);
        };
        let off_by = ahead.saturating_sub(self.ahead);
        let slack = self.doubt.map_or(LEAP, |doubt| doubt.slack.max(LEAP));
        if is_within(off_by, LEAP) {
            let most = i64::try_from(now.since(before).0 / FOLLOWED).unwrap_or(i64::MAX);
            self.ahead = self.ahead.saturating_add(off_by.clamp(-most, most));
            return self.doubt.take().map(|_| ClockNews::Returned);
        }
        if off_by > 0 && is_within(off_by, slack) {
            self.ahead = ahead;
            return self.doubt.take().map(|_| ClockNews::Returned);
        }
        match &mut self.doubt {
            None => {
                self.leaps += 1;
                self.doubt = Some(ClockDoubt {
                    since: now,
                    ahead,
                    slack: Span(0),
                    believed_after: CONFIRMED_AFTER,
                });
                Some(ClockNews::Leapt(off_by))
            }
            Some(doubt) if !is_within(ahead.saturating_sub(doubt.ahead), LEAP) => {
                self.leaps += 1;
                doubt.since = now;
                doubt.ahead = ahead;
                doubt.believed_after = CONFIRMED_AFTER;
                Some(ClockNews::Leapt(off_by))
            }
            Some(doubt) if now.since(doubt.since) >= doubt.believed_after => {
                self.adopt(now, wall, EXPIRY_WAITS);
                Some(ClockNews::Confirmed)
            }
            Some(_) => None,
        }
    }

    /// The first look after a start.
    fn start(&mut self, now: Time, wall: Time) -> Option<ClockNews> {
        let ahead = ahead(wall, now);
        let Some(known) = self.known else {
            // At a first start there is nothing to compare with, and nothing to lose.
            self.ahead = ahead;
            if self.is_damaged {
                self.expires_from = self.date(now).after(EXPIRY_WAITS);
            }
            return None;
        };
        if wall.after(LEAP) >= known && wall.since(known) <= DOWNTIME {
            self.ahead = ahead;
            return None;
        }
        self.ahead = self::ahead(known, now);
        self.leaps += 1;
        self.doubt = Some(ClockDoubt {
            since: now,
            ahead,
            slack: DOWNTIME,
            believed_after: if wall >= known && wall.since(known) <= ABSENCE {
                CONFIRMED_AFTER_START
            } else {
                CONFIRMED_AFTER
            },
        });
        Some(ClockNews::Leapt(ahead.saturating_sub(self.ahead)))
    }

    /// The operator says that the clock is right: things expire at once.
    pub(crate) fn confirm(&mut self, now: Time, wall: Time) {
        self.looked_at = Some(now);
        self.adopt(now, wall, Span(0));
        self.expires_from = Time(0);
    }

    /// Writes the date down now and then. A date in doubt is not: the next start is to
    /// doubt it as well.
    pub(crate) fn keep(&mut self, view: &mut PendingView<impl Store>, now: Time, is_news: bool) {
        let date = self.date(now);
        let is_due = self
            .kept
            .is_none_or(|kept| is_news || date.since(kept) >= KEPT_EVERY);
        if self.doubt.is_some() || !is_due || view.store().is_nearly_full() {
            return;
        }
        self.kept = Some(date);
        let record = ClockRecord {
            date_ms: date.0,
            expires_from_ms: self.expires_from.0,
        };
        view.put(KeySpace::Meta, key(&[KEPT_AT]), &record);
    }

    /// The clock is right; nothing expires for as long as given.
    fn adopt(&mut self, now: Time, wall: Time, expiry_waits: Span) {
        let before = self.date(now);
        self.ahead = ahead(wall, now);
        self.doubt = None;
        let from = wall.after(expiry_waits);
        // A leap back makes nothing older than it was.
        self.expires_from = if wall > before {
            from
        } else {
            self.expires_from.min(from)
        };
    }
}

/// What `wall` is ahead of `now`.
fn ahead(wall: Time, now: Time) -> i64 {
    wall.0.cast_signed().saturating_sub(now.0.cast_signed())
}

fn is_within(off_by: i64, span: Span) -> bool {
    off_by.unsigned_abs() <= span.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Time = Time(1_795_550_400_000);
    const YEAR: Span = Span::days(365);

    /// A calendar and the steady time; the wall clock is the steady time and an error.
    struct Machine {
        calendar: Calendar,
        now: Time,
        error: i64,
    }

    impl Machine {
        fn started(known: Option<Time>, error: i64) -> Self {
            let record = known.map(|known| ClockRecord {
                date_ms: known.0,
                expires_from_ms: 0,
            });
            let mut this = Self {
                calendar: Calendar::restored(record),
                now: BEGAN,
                error,
            };
            this.look();
            this
        }

        fn look(&mut self) -> Option<ClockNews> {
            let wall = Time(self.now.0.saturating_add_signed(self.error));
            self.calendar.look(self.now, wall)
        }

        /// Looks each second.
        fn run(&mut self, span: Span) -> Vec<ClockNews> {
            let until = self.now.after(span);
            let mut news = Vec::new();
            while self.now < until {
                self.now = self.now.after(Span::seconds(1));
                news.extend(self.look());
            }
            news
        }

        /// What the date is off from the steady time.
        fn date_error(&self) -> i64 {
            ahead(self.calendar.date(self.now), self.now)
        }
    }

    fn signed(span: Span) -> i64 {
        span.0.cast_signed()
    }

    #[test]
    fn a_clock_that_is_wrong_for_half_a_minute_moves_nothing() {
        for error in [signed(YEAR), -signed(YEAR), signed(Span::minutes(2))] {
            let mut machine = Machine::started(Some(BEGAN), 0);
            machine.run(Span::minutes(1));
            assert!(machine.calendar.is_expiring(machine.now));
            machine.error = error;
            assert!(matches!(
                machine.run(Span::seconds(30))[..],
                [ClockNews::Leapt(by)] if by == error
            ));
            assert_eq!(machine.date_error(), 0);
            assert!(!machine.calendar.is_expiring(machine.now));
            machine.error = 0;
            assert_eq!(machine.run(Span::seconds(30)), [ClockNews::Returned]);
            assert_eq!(machine.date_error(), 0);
            assert!(machine.calendar.is_expiring(machine.now));
        }
    }

    #[test]
    fn a_leap_that_stays_is_believed_and_deletes_nothing_for_a_day() {
        let mut machine = Machine::started(Some(BEGAN), 0);
        machine.error = signed(YEAR);
        machine.run(Span::minutes(29));
        assert!(machine.calendar.doubt.is_some());
        assert_eq!(machine.run(Span::minutes(2)), [ClockNews::Confirmed]);
        assert_eq!(machine.date_error(), signed(YEAR));
        machine.run(Span::hours(23));
        assert!(!machine.calendar.is_expiring(machine.now));
        machine.run(Span::hours(1));
        assert!(machine.calendar.is_expiring(machine.now));
    }

    #[test]
    fn a_leap_back_that_stays_is_believed_and_things_expire_again() {
        let mut machine = Machine::started(Some(BEGAN), 0);
        machine.error = signed(YEAR);
        machine.run(Span::minutes(31));
        assert_eq!(machine.date_error(), signed(YEAR));
        machine.error = 0;
        let news = machine.run(Span::minutes(31));
        assert_eq!(
            news,
            [ClockNews::Leapt(-signed(YEAR)), ClockNews::Confirmed]
        );
        assert_eq!(machine.date_error(), 0);
        machine.run(Span::hours(24));
        assert!(machine.calendar.is_expiring(machine.now));
    }

    #[test]
    fn a_clock_that_leaps_about_is_never_believed() {
        let mut machine = Machine::started(Some(BEGAN), 0);
        for n in 1..20 {
            machine.error = n * signed(Span::hours(5));
            machine.run(Span::minutes(20));
            assert!(machine.calendar.doubt.is_some());
            assert_eq!(machine.date_error(), 0);
        }
    }

    #[test]
    fn a_clock_that_is_put_right_by_seconds_is_followed_slowly() {
        let mut machine = Machine::started(Some(BEGAN), 0);
        machine.run(Span::seconds(5));
        for error in [signed(Span::seconds(40)), -signed(Span::seconds(10))] {
            machine.error = error;
            assert_eq!(machine.run(Span::seconds(10)), []);
            assert_ne!(machine.date_error(), error);
            assert_eq!(machine.run(Span::minutes(15)), []);
            assert_eq!(machine.date_error(), error);
        }
    }

    #[test]
    fn a_restart_needs_no_confirmation_and_a_month_off_does() {
        for off in [Span(0), Span::minutes(59)] {
            let known = Time(BEGAN.0 - off.0);
            let machine = Machine::started(Some(known), 0);
            assert!(machine.calendar.is_expiring(machine.now), "{off}");
        }
        let month = Span::days(30);
        let mut machine = Machine::started(Some(Time(BEGAN.0 - month.0)), 0);
        assert!(machine.calendar.doubt.is_some());
        assert_eq!(machine.date_error(), -signed(month));
        assert_eq!(machine.run(Span::minutes(31)), [ClockNews::Confirmed]);
        assert_eq!(machine.date_error(), 0);
        assert!(!machine.calendar.is_expiring(machine.now));
    }

    #[test]
    fn after_a_weekend_off_nothing_expires_for_a_day() {
        let off = Span::days(3);
        let mut machine = Machine::started(Some(Time(BEGAN.0 - off.0)), 0);
        machine.run(Span::minutes(2));
        assert!(machine.calendar.doubt.is_some());
        assert_eq!(machine.run(Span::minutes(2)), [ClockNews::Confirmed]);
        assert_eq!(machine.date_error(), 0);
        assert!(!machine.calendar.is_expiring(machine.now));
        // One that is put right meanwhile has to go on evenly for longer.
        let mut machine = Machine::started(Some(Time(BEGAN.0 - off.0)), signed(Span::days(5)));
        machine.run(Span::minutes(2));
        machine.error = signed(Span::days(2));
        machine.run(Span::minutes(29));
        assert!(machine.calendar.doubt.is_some());
    }

    #[test]
    fn a_clock_without_a_battery_is_right_again_once_it_is_set() {
        // The machine was off for twenty minutes, and starts in 1970.
        let known = Time(BEGAN.0 - Span::minutes(20).0);
        let mut machine = Machine::started(Some(known), -signed(Span(BEGAN.0)));
        machine.run(Span::minutes(2));
        assert!(machine.calendar.doubt.is_some());
        machine.error = 0;
        assert_eq!(machine.run(Span::seconds(2)), [ClockNews::Returned]);
        assert_eq!(machine.date_error(), 0);
        assert!(machine.calendar.is_expiring(machine.now));
    }

    #[test]
    fn a_first_start_takes_the_clock_as_it_is() {
        let machine = Machine::started(None, -signed(YEAR));
        assert!(machine.calendar.doubt.is_none());
        assert_eq!(machine.date_error(), -signed(YEAR));
    }

    #[test]
    fn after_a_damaged_record_nothing_expires_for_a_day() {
        let mut machine = Machine {
            calendar: Calendar::damaged(),
            now: BEGAN,
            error: signed(YEAR),
        };
        machine.look();
        assert!(!machine.calendar.is_expiring(machine.now));
        machine.run(EXPIRY_WAITS);
        assert!(machine.calendar.is_expiring(machine.now));
    }

    #[test]
    fn a_machine_that_slept_with_both_clocks_on_is_not_in_doubt() {
        let mut machine = Machine::started(Some(BEGAN), 0);
        machine.now = machine.now.after(Span::days(3));
        assert_eq!(machine.look(), None);
        assert!(machine.calendar.is_expiring(machine.now));
    }

    #[test]
    fn no_time_overflows() {
        let mut calendar = Calendar::default();
        for (now, wall) in [
            (0, u64::MAX),
            (u64::MAX, 0),
            (u64::MAX, u64::MAX),
            (1, i64::MAX.cast_unsigned()),
        ] {
            calendar.look(Time(now), Time(wall));
            calendar.date(Time(now));
        }
    }
}
