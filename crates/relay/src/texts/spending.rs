//! Limits on what may be spent on texts, against "SMS pumping", where somebody asks for codes
//! to numbers that earn them money.
//!
//! **Elsewhere**: how often one address, source or network may ask is counted together with
//! mails ([`crate::address::codes`]).
//!
//! **Always**: codes have one budget and people's texts another, so that neither uses up the
//! other. Each has a limit for all numbers together, and one for each country or longer
//! prefix. A prefix without its own limit has that of its country; where the limit is 0, no
//! text is sent there. What was spent is on the relay's disk, by prefix.

use std::collections::{BTreeSet, HashMap};

use waxwing_protocol::time::{Span, Time};

use crate::{
    config::TextLimits,
    pending_view::PendingView,
    rate_limit::{Bucket, Rate},
    store::{Key, KeySpace, Store, StoreError, key, records::SmsSpendingRecord},
};

/// All numbers together: every one begins so.
const ALL: &str = "+";
/// More than there are countries, and prefixes that anybody names.
const PREFIXES: usize = 4_096;

/// Why a text does not go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoText {
    /// None goes there at all.
    Never,
    /// Not before so long.
    Later(Span),
}

/// Begins the key of what codes cost.
const OF_CODES: &str = "codes ";

/// What was spent on both.
pub(crate) struct TextBudgets {
    /// What people write.
    pub(crate) own: Spending,
    pub(crate) codes: Spending,
}

impl TextBudgets {
    fn new(limits: TextLimits) -> Self {
        let of_codes = TextLimits {
            per_day: limits.codes_per_day,
            ..limits.clone()
        };
        Self {
            own: Spending::new(limits),
            codes: Spending::new(of_codes),
        }
    }

    /// Reads what was spent before.
    pub(crate) fn open(
        view: &mut PendingView<impl Store>,
        limits: TextLimits,
    ) -> Result<Self, StoreError> {
        let mut budgets = Self::new(limits);
        let mut from = Key::new();
        loop {
            let page = view.page(KeySpace::SmsSpending, &from, 2 * PREFIXES)?;
            for (at, value) in page.records {
                if let Some(record) = view.sound(KeySpace::SmsSpending, &at, value) {
                    budgets.restore(&String::from_utf8_lossy(&at), record);
                }
            }
            if page.next.is_empty() {
                return Ok(budgets);
            }
            from = page.next;
        }
    }

    /// Writes down what was spent, with the next batch.
    pub(crate) fn keep(&mut self, view: &mut PendingView<impl Store>) {
        for (kind, spending) in [("", &mut self.own), (OF_CODES, &mut self.codes)] {
            for (prefix, full_at) in spending.changed() {
                let record = SmsSpendingRecord {
                    full_at_ms: full_at.0,
                };
                let at = key(&[kind.as_bytes(), prefix.as_bytes()]);
                view.put(KeySpace::SmsSpending, at, &record);
            }
        }
    }

    /// What was kept under this key.
    fn restore(&mut self, at: &str, record: SmsSpendingRecord) {
        let full_at = Time(record.full_at_ms);
        match at.strip_prefix(OF_CODES) {
            Some(prefix) => self.codes.restore(prefix.to_owned(), full_at),
            None => self.own.restore(at.to_owned(), full_at),
        }
    }
}

/// What was spent.
pub(crate) struct Spending {
    limits: TextLimits,
    all: Bucket,
    by_prefix: HashMap<String, Bucket>,
    /// What has changed since it was kept last.
    changed: BTreeSet<String>,
}

impl Spending {
    pub(crate) fn new(limits: TextLimits) -> Self {
        Self {
            limits,
            all: Bucket::default(),
            by_prefix: HashMap::new(),
            changed: BTreeSet::new(),
        }
    }

    /// What was kept of a prefix.
    fn restore(&mut self, prefix: String, full_at: Time) {
        let bucket = Bucket::full_again_at(full_at);
        if prefix == ALL {
            self.all = bucket;
        } else {
            self.by_prefix.insert(prefix, bucket);
        }
    }

    /// What is to be kept.
    fn changed(&mut self) -> Vec<(String, Time)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let bucket = |prefix: &str| match prefix {
            ALL => self.all,
            prefix => self.by_prefix.get(prefix).copied().unwrap_or_default(),
        };
        changed
            .map(|prefix| {
                let full_at = bucket(&prefix).full_at();
                (prefix, full_at)
            })
            .collect()
    }

    /// Takes so many to this number (E.164 with the plus sign).
    pub(crate) fn take(&mut self, now: Time, number: &str, count: u32) -> Result<(), NoText> {
        let (prefix, limit) = self.limit_of(number);
        if limit == 0 || self.limits.per_day == 0 {
            return Err(NoText::Never);
        }
        // Bounded: there are as many prefixes as countries, and those named.
        let spent = self.by_prefix.entry(prefix.clone()).or_default();
        let mut after = *spent;
        after
            .take(now, Rate::a_day(limit), count)
            .map_err(NoText::Later)?;
        self.all
            .take(now, Rate::a_day(self.limits.per_day), count)
            .map_err(NoText::Later)?;
        *spent = after;
        self.changed.extend([prefix, ALL.to_owned()]);
        Ok(())
    }

    /// How many may go to this number now.
    pub(crate) fn left(&self, now: Time, number: &str) -> Result<u32, NoText> {
        let (prefix, limit) = self.limit_of(number);
        if limit == 0 || self.limits.per_day == 0 {
            return Err(NoText::Never);
        }
        let spent = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        let all = self.all.left(now, Rate::a_day(self.limits.per_day));
        Ok(spent.left(now, Rate::a_day(limit)).min(all))
    }

    /// The longest prefix that is named, or the country's code. What has none is of one country.
    fn limit_of(&self, number: &str) -> (String, u32) {
        let named = self
            .limits
            .prefixes
            .iter()
            .filter(|(prefix, _)| number.starts_with(prefix.as_str()))
            .max_by_key(|(prefix, _)| prefix.len());
        if let Some((prefix, limit)) = named {
            return (prefix.clone(), *limit);
        }
        let parsed = phonenumber::parse(None, number).ok();
        let code = parsed.map_or(0, |number| number.country().code());
        (format!("+{code}"), self.limits.per_prefix_per_day)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spending() -> Spending {
        Spending::new(TextLimits {
            per_day: 10,
            codes_per_day: 10,
            per_prefix_per_day: 4,
            prefixes: [("+44", 2), ("+447911", 3), ("+882", 0)]
                .map(|(prefix, limit)| (prefix.to_owned(), limit))
                .into(),
            prices: BTreeMap::new(),
        })
    }

    fn many(spending: &mut Spending, now: Time, number: &str) -> usize {
        (0..20)
            .take_while(|_| spending.take(now, number, 1).is_ok())
            .count()
    }

    #[test]
    fn each_prefix_has_its_own_limit_and_all_have_one() {
        let mut spending = spending();
        let now = Time(0);
        assert_eq!(many(&mut spending, now, "+442071234567"), 2);
        assert_eq!(many(&mut spending, now, "+447911123456"), 3);
        assert_eq!(spending.take(now, "+8821234567", 1), Err(NoText::Never));
        assert_eq!(many(&mut spending, now, "+358401234567"), 4);
        // Nine are gone: one is left for everybody.
        assert_eq!(many(&mut spending, now, "+33123456789"), 1);
        assert!(matches!(
            spending.take(now, "+33123456789", 1),
            Err(NoText::Later(_))
        ));
    }

    #[test]
    fn a_day_later_there_is_as_much_again_and_not_more() {
        let mut spending = spending();
        assert_eq!(many(&mut spending, Time(0), "+358401234567"), 4);
        let half = Time(Span::days(1).0 / 2);
        assert_eq!(many(&mut spending, half, "+358401234567"), 2);
        let later = Time(Span::days(9).0);
        assert_eq!(many(&mut spending, later, "+358401234567"), 4);
    }

    #[test]
    fn a_country_has_one_limit_whatever_its_numbers_begin_with() {
        let mut spending = spending();
        let now = Time(0);
        assert_eq!(many(&mut spending, now, "+12025550123"), 4);
        assert_eq!(many(&mut spending, now, "+14155550123"), 0);
    }

    #[test]
    fn what_was_spent_outlives_the_relay() {
        let mut before = spending();
        let now = Time(0);
        assert_eq!(many(&mut before, now, "+358401234567"), 4);
        let mut after = spending();
        for (prefix, full_at) in before.changed() {
            after.restore(prefix, full_at);
        }
        assert_eq!(many(&mut after, now, "+358401234567"), 0);
        assert_eq!(many(&mut after, now, "+33123456789"), 4);
        assert_eq!(many(&mut after, now, "+46701234567"), 2, "of all ten");
        assert_eq!(before.changed(), []);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let mut spending = spending();
        let now = Time(0);
        assert_eq!(many(&mut spending, now, "+358401234567"), 4);
        for _ in 0..50 {
            let _ = spending.take(now, "+358401234567", 1);
        }
        assert_eq!(many(&mut spending, now, "+46701234567"), 4);
    }
}
