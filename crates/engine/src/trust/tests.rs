//! What is kept of alarms, and when proofs are overdue.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use waxwing_protocol::{
    ids::AccountId,
    time::{Span, Time},
};

use super::{alarm, overdue_proofs};
use crate::{
    api::{Alarm, Notice, Problem, RelayMisdeed},
    event::Effect,
    memory::Memory,
    mls,
    store::Store,
    turn::{Fault, Turn},
};

/// A device with a store, and what it tells.
struct Device {
    store: Store,
    memory: Memory,
    rng: ChaCha20Rng,
    now: Time,
}

impl Device {
    fn new() -> Self {
        Self {
            store: Store::open_in_memory().unwrap(),
            memory: Memory::default(),
            rng: ChaCha20Rng::from_seed([1; 32]),
            now: Time(Span::days(20_000).0),
        }
    }

    /// Does something; gives how many warnings it led to.
    fn does(&mut self, work: impl FnOnce(&mut Turn<'_>) -> Result<(), Fault>) -> usize {
        let Self {
            store,
            memory,
            rng,
            now,
        } = self;
        store
            .transaction(|tx| {
                let mut turn = Turn {
                    tx,
                    now: *now,
                    rng,
                    memory,
                    crypto: &mls::Crypto::new().unwrap(),
                    hooks: &crate::engine::hooks(),
                    out: Vec::new(),
                };
                work(&mut turn)?;
                let warns = |effect: &&Effect| matches!(effect, Effect::Notify(Notice::Warning(_)));
                Ok::<_, Fault>(turn.out.iter().filter(warns).count())
            })
            .unwrap()
    }

    fn raises(&mut self, problem: &Problem) -> usize {
        self.does(|turn| alarm::raise(turn, problem))
    }

    fn dismisses(&mut self) {
        self.does(|turn| Ok(alarm::dismiss(turn.tx)?));
    }

    fn alarms(&mut self) -> Vec<Alarm> {
        let mut all = Vec::new();
        self.does(|turn| {
            all = alarm::all(turn.tx)?;
            Ok(())
        });
        all
    }

    fn has(&mut self, problem: &Problem) -> bool {
        let mut alarms = self.alarms().into_iter();
        alarms.any(|one| one.problem().as_ref() == Some(problem))
    }
}

fn added(number: usize) -> Problem {
    Problem::DeviceAdded {
        device: format!("{number:08x}"),
    }
}

fn late(names: &[&str]) -> Problem {
    Problem::HeadsNotCompared {
        addresses: names.iter().map(|&name| name.to_owned()).collect(),
        others: 0,
    }
}

#[test]
fn a_flood_of_one_kind_of_alarm_pushes_out_no_other() {
    let mut device = Device::new();
    assert_eq!(device.raises(&Problem::AddressTaken), 1);
    device.dismisses();
    assert_eq!(device.raises(&Problem::RecoveryKeyChanged), 1);
    for number in 0..1_000 {
        // Each is shown, no matter what is kept.
        assert_eq!(device.raises(&added(number)), 1);
        device.now = device.now.after(Span::seconds(1));
    }
    assert!(device.has(&Problem::RecoveryKeyChanged));
    assert!(device.has(&added(999)));
    assert!(device.alarms().len() < 50);
    // What was dismissed is still known to be.
    assert_eq!(device.raises(&Problem::AddressTaken), 0);
}

#[test]
fn dismissed_alarms_make_room_first() {
    let mut device = Device::new();
    for number in 0..31 {
        device.raises(&added(number));
        device.now = device.now.after(Span::seconds(1));
    }
    device.dismisses();
    let stands = added(1_000);
    device.raises(&stands);
    for number in 2_000..2_031 {
        device.now = device.now.after(Span::seconds(1));
        assert_eq!(device.raises(&added(number)), 1);
        assert!(device.has(&stands), "{number}");
    }
    assert_eq!(device.alarms().len(), 32);
}

#[test]
fn every_misdeed_of_a_relay_has_room() {
    let mut device = Device::new();
    let misdeeds = [
        RelayMisdeed::LogSplit,
        RelayMisdeed::TokenKeysDiffer,
        RelayMisdeed::TokenProofFalse,
        RelayMisdeed::RosterFalse,
        RelayMisdeed::MemberNotEntitled,
        RelayMisdeed::RosterRolledBack,
        RelayMisdeed::LogFalse,
        RelayMisdeed::LogRolledBack,
        RelayMisdeed::LogRewritten,
        RelayMisdeed::LogReplaced,
        RelayMisdeed::LogHidden,
        RelayMisdeed::OwnEntryFalse,
        RelayMisdeed::OwnEntryMissing,
        RelayMisdeed::AnothersWelcome,
        RelayMisdeed::Malformed,
    ];
    for _ in 0..3 {
        for what in misdeeds {
            device.raises(&Problem::RelayMisbehaves { what });
        }
    }
    assert_eq!(device.alarms().len(), misdeeds.len());
}

#[test]
fn an_alarm_whose_words_change_is_one_alarm() {
    let mut device = Device::new();
    let mut shown = 0;
    // What a relay says of a contest may be another time with every frame.
    for minute in 0..600 {
        let until = device.now.after(Span(minute)).into();
        shown += device.raises(&Problem::AddressContested { until });
        device.now = device.now.after(Span::minutes(1));
    }
    assert_eq!(shown, 1);
    assert_eq!(device.alarms().len(), 1);
    // News is shown, a day later, though the old was dismissed.
    assert_eq!(device.raises(&late(&["a@x.org"])), 1);
    device.dismisses();
    device.now = device.now.after(Span::hours(25));
    assert_eq!(device.raises(&late(&["a@x.org"])), 0);
    assert!(device.alarms().is_empty());
    assert_eq!(device.raises(&late(&["a@x.org", "b@x.org"])), 1);
    assert!(device.has(&late(&["a@x.org", "b@x.org"])));
}

#[test]
fn a_clock_that_was_a_year_ahead_keeps_no_alarm_dismissed() {
    let mut device = Device::new();
    device.now = device.now.after(Span::days(365));
    device.raises(&Problem::AddressTaken);
    device.dismisses();
    device.now = Time(device.now.0 - Span::days(360).0);
    assert_eq!(device.raises(&Problem::AddressTaken), 1);
    assert_eq!(device.alarms().len(), 1);
    assert_eq!(device.raises(&Problem::AddressTaken), 0);
}

#[test]
fn a_warning_is_not_given_over_and_over() {
    let mut device = Device::new();
    let mut given = 0;
    for second in 0..3_600 {
        let age_ms = 7_200_000 + second * 1_000;
        given += device.does(|turn| {
            turn.warn(&Problem::LogStale { age_ms });
            Ok(())
        });
        device.now = device.now.after(Span::seconds(1));
    }
    assert_eq!(given, 2);
}

#[test]
fn strangers_are_not_missed_when_their_heads_do_not_come() {
    let mut device = Device::new();
    device.does(|turn| {
        for number in 0..100 {
            overdue_proofs::record_head_missing(turn, None, AccountId([number; 32]))?;
        }
        let rows: i64 = turn
            .tx
            .query_row("SELECT count(*) FROM head_comparison", [], |row| row.get(0))?;
        assert_eq!(rows, 0);
        Ok(())
    });
}
