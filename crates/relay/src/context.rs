//! What all features of the relay work with: the store, the links, the clock, and what they
//! ask the server to do.
//!
//! A feature owns its own state and rules, and gets the context with each call, as well as the
//! time and randomness.
//!
//! **Elsewhere**: [`crate::relay`] owns the context and all features; [`crate::feature`] says
//! what features do when something happens that is not a request.
//!
//! **Always**: a feature changes records only through the view, and reaches links only by
//! effects.

use std::collections::VecDeque;

use waxwing_protocol::{pb, pb::relay_frame::Body as Answer, time::Time};

use crate::{
    answer::Refused,
    clock::Calendar,
    config::Config,
    cost::Costs,
    counts::Counts,
    effect::Effect,
    link::LinkId,
    link::Links,
    pending_view::PendingView,
    quota::Quotas,
    store::{KeySpace, Record, Store, StoreError, records::UsageRecord},
    sweep::{Done, Round},
};

/// See the module.
pub(crate) struct Context<S> {
    pub(crate) config: Config,
    pub(crate) view: PendingView<S>,
    pub(crate) links: Links,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) counts: Counts,
    pub(crate) calendar: Calendar,
    pub(crate) costs: Costs,
    pub(crate) quotas: Quotas,
}

impl<S: Store> Context<S> {
    /// Opens what is kept of it in the store.
    pub(crate) fn open(mut view: PendingView<S>, config: Config) -> Result<Self, StoreError> {
        let calendar = Calendar::open(&mut view)?;
        let quotas = Quotas::open(&mut view)?;
        Ok(Self {
            costs: Costs::new(&config),
            config,
            links: Links::default(),
            effects: VecDeque::new(),
            counts: Counts::default(),
            view,
            calendar,
            quotas,
        })
    }

    /// Sends an answer, or a message of the relay's own if `request` is 0.
    pub(crate) fn send(&mut self, link: LinkId, request: u32, answer: Answer) {
        let frame = pb::RelayFrame {
            request,
            body: Some(answer),
        };
        self.effects.push_back(Effect::Send { link, frame });
    }

    /// Closes a link, after what was sent.
    pub(crate) fn close(&mut self, link: LinkId) {
        self.effects.push_back(Effect::Close { link });
    }

    /// The date.
    pub(crate) fn date(&self, now: Time) -> Time {
        self.calendar.date(now)
    }

    /// The date that decides whether something is old enough to be deleted: long ago, where
    /// nothing is, because the clock is in doubt.
    pub(crate) fn expiry_date(&self, now: Time) -> Time {
        self.calendar.expiry_date(now)
    }

    /// Whether more may be stored: there is room, and earlier changes could be written.
    pub(crate) fn has_space(&self) -> bool {
        self.view.has_space()
    }

    /// Charges a link, and its source if it is much; or tells how long to wait.
    pub(crate) fn charge(&mut self, now: Time, link: LinkId, cost: u32) -> Result<(), Refused> {
        self.costs
            .charge(now, &mut self.links, &self.config, link, cost)
    }

    /// Changes the counts of what is stored, in the same batch as what they count.
    pub(crate) fn count(&mut self, change: impl FnOnce(&mut UsageRecord)) {
        self.quotas.count(&mut self.view, change);
    }

    /// The next records of a round.
    pub(crate) fn next_of_round(
        &mut self,
        space: KeySpace,
        round: &mut Round,
        now: Time,
        most: usize,
    ) -> Result<(Vec<Record>, Done), StoreError> {
        let (records, next) = self.view.sound_slice(space, round.from(), most)?;
        // It goes on behind some that cannot be read.
        let touched = records.len().max(usize::from(next.is_some()));
        let is_all = round.record_progress(now, touched, next);
        Ok((records, Done { touched, is_all }))
    }
}
