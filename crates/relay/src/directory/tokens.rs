//! Tokens: issuing and spending them, and their keys, one for each period, so that unspent
//! tokens expire and the relay can forget spent ones.
//!
//! Periods are numbered. A period ends after [`limits::TOKEN_PERIOD`] of the relay's date, and
//! the next one has the next number, however far the date has jumped: no clock, right or
//! wrong, ends two periods at once. The relay accepts tokens of the current and of the
//! previous period. A link gets tokens of the period in which it was greeted; links from an
//! earlier period are ended when they are quiet, so that clients open them again.
//!
//! **Elsewhere**: the cryptography is in `waxwing_protocol::token`.
//!
//! **Always**: a number never decreases, and each number has one key, the same for everybody.
//! A token is spent once: the relay remembers a spent one for as long as it would accept it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use rand::{SeedableRng as _, rngs::StdRng};
use waxwing_protocol::{
    limits,
    pb::{self, relay_frame::Body as Answer},
    time::{Span, Time},
    token::{self, TokenError, TokenIssuer},
};

use crate::{
    answer::{Refused, Reply, RequestResult},
    checker::Checker,
    context::Context,
    link::{LinkId, LinkStage},
    pending_view::PendingView,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{TokenBudgetRecord, TokenPeriodRecord},
    },
    sweep::Done,
};

/// Under which key of [`KeySpace::Meta`] the period is kept.
const KEPT_AT: &[u8] = b"token_period";
/// After a change of period, quiet links are ended within this time: first those that are
/// logged in, on which tokens are issued, then, within as long again, the others, on which
/// they are spent.
const RENEWED_WITHIN: Span = Span::minutes(10);
/// Older relays kept spent tokens under eight bytes of their one key; no period has such a
/// number.
const NO_PERIOD: u64 = 1 << 32;

/// The number and the public key that are shown to everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownTokenKey {
    /// The period's number; 0 before the relay's clock was looked at.
    pub period: u64,
    /// The key of that period.
    pub key: Vec<u8>,
}

/// The keys under which tokens are taken now.
pub(crate) struct TokenKeys {
    period: u64,
    current: TokenIssuer,
    previous: TokenIssuer,
}

impl TokenKeys {
    fn derive(seed: &[u8; 32], period: u64) -> Result<Self, TokenError> {
        Ok(Self {
            period,
            current: TokenIssuer::of_period(seed, period)?,
            previous: TokenIssuer::of_period(seed, period.saturating_sub(1))?,
        })
    }

    /// The key for a link that was greeted in `period`; `None` where that is too long ago.
    pub(crate) fn of(&self, period: u64) -> Option<&TokenIssuer> {
        if period == self.period {
            Some(&self.current)
        } else if period.checked_add(1) == Some(self.period) {
            Some(&self.previous)
        } else {
            None
        }
    }

    /// Checks that a token is one of this relay's.
    pub(crate) fn check<S>(
        &self,
        checker: &mut Checker<'_, S>,
        token: Option<&pb::Token>,
    ) -> Result<(), Refused> {
        checker.signatures += 1;
        if token.is_some_and(|token| self.verifies(token)) {
            Ok(())
        } else {
            Err(Refused::unauthorised(
                "the token is not one of this relay's",
            ))
        }
    }

    fn verifies(&self, token: &pb::Token) -> bool {
        self.current.verifies(token) || self.previous.verifies(token)
    }
}

/// Checks nothing: makes tokens.
pub(crate) struct IssueCheck {
    pub(crate) seed: [u8; 32],
    pub(crate) keys: Arc<TokenKeys>,
    pub(crate) period: u64,
}

impl IssueCheck {
    pub(crate) fn run(self, issue: &pb::IssueTokens) -> Result<pb::TokensIssued, Refused> {
        let mut rng = StdRng::from_seed(self.seed);
        let issuer = self.keys.of(self.period).ok_or_else(Refused::unavailable)?;
        let issued = issuer.issue(&mut rng, &issue.blinded);
        let issued = issued.map_err(|error| Refused::malformed(&error.to_string()))?;
        Ok(issued)
    }
}

/// Which period it is, and which tokens were issued and spent.
pub(crate) struct Tokens {
    /// From which the keys are derived.
    seed: [u8; 32],
    /// Its number is 0 until the date is known.
    record: TokenPeriodRecord,
    keys: Option<Arc<TokenKeys>>,
    shown: Arc<RwLock<ShownTokenKey>>,
    /// When it began in this run, by the steady time.
    turned_at: Option<Time>,
    /// Nothing is left of periods that were over when this one began.
    swept: u64,
    swept_to: Key,
}

impl Tokens {
    /// Reads which period it was.
    pub(crate) fn open(
        view: &mut PendingView<impl Store>,
        seed: [u8; 32],
    ) -> Result<Self, StoreError> {
        let record: Option<TokenPeriodRecord> = view.sound_at(KeySpace::Meta, KEPT_AT)?;
        Ok(Self {
            seed,
            record: record.unwrap_or_default(),
            keys: None,
            shown: Arc::default(),
            turned_at: None,
            swept: 0,
            swept_to: Key::new(),
        })
    }

    /// Under which numbers a token that is good now may have been spent.
    pub(crate) fn taken(&self) -> [u64; 2] {
        [self.number(), self.number().saturating_sub(1)]
    }

    /// The current period's number.
    pub(crate) const fn number(&self) -> u64 {
        self.record.number
    }
}

impl Tokens {
    /// What links are shown, for clients that do not open one.
    pub(crate) fn shown_key(&self) -> Arc<RwLock<ShownTokenKey>> {
        Arc::clone(&self.shown)
    }

    /// Begins the next period where its time has come.
    pub(crate) fn turn_period(&mut self, context: &mut Context<impl Store>, now: Time) {
        let next = self.next_period(context, now);
        if next != self.record {
            // On a full disk the next one waits; the first one cannot.
            if self.number() > 0 && context.view.store().is_nearly_full() {
                return;
            }
            self.record = next;
            context.view.put(KeySpace::Meta, key(&[KEPT_AT]), &next);
        }
        let before = self.keys.as_ref().map(|keys| keys.period);
        if before == Some(next.number) {
            return;
        }
        // Deriving a key fails with no seed that anybody will see; the one before stays.
        let Ok(keys) = TokenKeys::derive(&self.seed, next.number) else {
            return;
        };
        *self.shown.write() = ShownTokenKey {
            period: next.number,
            key: keys.current.public_key().to_vec(),
        };
        self.swept_to.clear();
        self.turned_at = before.map(|_| now);
        self.keys = Some(Arc::new(keys));
    }

    fn next_period(&self, context: &Context<impl Store>, now: Time) -> TokenPeriodRecord {
        let mut record = self.record;
        let date = context.date(now);
        let began = Time(record.began_ms);
        let period = limits::TOKEN_PERIOD;
        if record.number == 0 {
            // Higher than any number of a store that was here before and is lost.
            let periods = date.0 / period.0;
            record.number = periods + 1;
            record.began_ms = periods * period.0;
        } else if date < began {
            // The clock was ahead when it began.
            record.began_ms = date.0;
        } else if date.since(began) >= period && context.calendar.is_expiring(now) {
            record.number = record.number.saturating_add(1);
            let is_late = date.since(began).0 / 2 >= period.0;
            record.began_ms = if is_late { date } else { began.after(period) }.0;
        }
        record
    }

    /// What a link is greeted with.
    pub(crate) fn key_to_show(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
    ) -> ShownTokenKey {
        self.turn_period(context, now);
        self.shown.read().clone()
    }

    /// The keys, and the period whose key the link was shown. A link that was greeted too long
    /// ago is ended: the tokens that it may want to spend are no good.
    pub(crate) fn keys_of(
        &self,
        context: &mut Context<impl Store>,
        link: LinkId,
    ) -> Result<(Arc<TokenKeys>, u64), Refused> {
        let period = context.links.of_request(link)?.token_period;
        let keys = self.keys.clone();
        let keys = keys.ok_or_else(Refused::unavailable)?;
        if keys.of(period).is_none() {
            context.close(link);
            return Err(Refused::unavailable());
        }
        Ok((keys, period))
    }

    /// The link is quiet: it is ended if it was greeted in an earlier period, so that it is
    /// opened again and shown the new key.
    pub(crate) fn renew_link(&self, context: &mut Context<impl Store>, now: Time, id: LinkId) {
        let Some(link) = context.links.get(id) else {
            return;
        };
        if link.token_period >= self.number() {
            return;
        }
        let waits = match link.stage {
            LinkStage::LoggedIn { .. } => Span(0),
            LinkStage::Greeted | LinkStage::Open => RENEWED_WITHIN,
        };
        // Not all of them at once; the golden ratio spreads numbers that follow each other.
        let spread = id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let waits = Span(waits.0 + spread % RENEWED_WITHIN.0);
        let turned_at = self.turned_at.unwrap_or(Time(0));
        if now.since(turned_at) >= waits {
            context.close(id);
        }
    }

    /// Forgets which tokens of periods that are over were spent. They lie in the order of
    /// their periods, and behind them what an older relay wrote.
    pub(crate) fn sweep_spent(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        self.turn_period(context, now);
        let [number, first_kept] = self.taken();
        if number == 0 || self.swept == number {
            return Ok(Done::all(0));
        }
        let from = self.swept_to.clone();
        let (records, mut next) = context
            .view
            .sound_slice(KeySpace::SpentTokens, &from, most)?;
        // It goes on behind some that cannot be read.
        let touched = records.len().max(usize::from(next.is_some()));
        for (at, _) in records {
            let period = at.first_chunk::<8>().map(|at| u64::from_be_bytes(*at));
            if period.is_some_and(|period| (first_kept..NO_PERIOD).contains(&period)) {
                next = Some(key(&[&NO_PERIOD.to_be_bytes()]));
                break;
            }
            context.view.delete(KeySpace::SpentTokens, key(&[&at]));
        }
        let is_all = next.is_none();
        self.swept_to = next.unwrap_or_default();
        if is_all {
            self.swept = number;
        }
        Ok(Done { touched, is_all })
    }

    /// What an account's tokens come to, on this day, with those that are asked for.
    pub(crate) fn may_issue(
        context: &Context<impl Store>,
        now: Time,
        link: LinkId,
        issue: &pb::IssueTokens,
    ) -> Result<(Key, TokenBudgetRecord), Refused> {
        context.links.of_request(link)?;
        let account = context.links.account_logged_in(link)?;
        let now = context.date(now);
        let day = now.0 / Span::days(1).0;
        let at = key(&[account.as_bytes()]);
        let budget: TokenBudgetRecord = context
            .view
            .get(KeySpace::TokenBudgets, &at)?
            .unwrap_or_default();
        let asked_for = u32::try_from(issue.blinded.len()).unwrap_or(u32::MAX);
        let period = now.0 / limits::TOKEN_PERIOD.0;
        let of = |is_current: bool, issued: u32| if is_current { issued } else { 0 };
        let issued = of(budget.day == day, budget.issued).saturating_add(asked_for);
        let issued_in_period =
            of(budget.period == period, budget.issued_in_period).saturating_add(asked_for);
        if issued_in_period > context.config.tokens_per_period {
            let next = Time((period + 1).saturating_mul(limits::TOKEN_PERIOD.0));
            return Err(Refused::rate_limited(next.since(now)));
        }
        if issued > context.config.tokens_per_day {
            let tomorrow = Time((day + 1) * Span::days(1).0);
            return Err(Refused::rate_limited(tomorrow.since(now)));
        }
        let budget = TokenBudgetRecord {
            day,
            issued,
            period,
            issued_in_period,
        };
        Ok((at, budget))
    }

    pub(crate) fn issue(
        context: &mut Context<impl Store>,
        now: Time,
        link: LinkId,
        issue: &pb::IssueTokens,
        tokens: pb::TokensIssued,
    ) -> RequestResult {
        let (at, budget) = Self::may_issue(context, now, link, issue)?;
        context.view.put(KeySpace::TokenBudgets, at, &budget);
        Ok(Reply::Durable(Answer::TokensIssued(tokens)))
    }

    /// The token, if nobody spent it. Whether this relay issued it is verified
    /// ([`crate::verification`]) before it counts.
    pub(crate) fn unspent(
        &self,
        context: &Context<impl Store>,
        token: Option<&pb::Token>,
    ) -> Result<pb::Token, Refused> {
        let token =
            token.ok_or_else(|| Refused::unauthorised("the token is not one of this relay's"))?;
        for period in self.taken() {
            let at = spent_key(period, token);
            if context
                .view
                .get_bytes(KeySpace::SpentTokens, &at)?
                .is_some()
            {
                return Err(Refused::unauthorised("the token was spent before"));
            }
        }
        Ok(token.clone())
    }

    pub(crate) fn spend(&self, context: &mut Context<impl Store>, token: &pb::Token) {
        let at = spent_key(self.number(), token);
        context
            .view
            .put_bytes(KeySpace::SpentTokens, at, Bytes::new());
    }
}

/// A token that was spent in a period. It was issued in that one or the one before.
fn spent_key(period: u64, token: &pb::Token) -> Key {
    key(&[&period.to_be_bytes(), &token::spent_id(token)])
}
