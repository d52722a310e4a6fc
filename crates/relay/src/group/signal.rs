//! Signals: what members who are there tell each other in passing, such as that they write.
//!
//! **Elsewhere**: what is in one is the engine's; the relay cannot read it.
//!
//! **Always**: a signal touches no disk and no mailbox; whoever is not there does not miss it.

use std::sync::Arc;

use waxwing_protocol::{ids::Epoch, limits, pb, pb::relay_frame::Body as Answer, time::Time};

use super::{group_id, too_large};
use crate::{
    link::Stage,
    relay::{LinkId, Outcome, Refused, Relay, Reply},
    store::Store,
};

impl<S: Store> Relay<S> {
    pub(crate) fn signal(&mut self, now: Time, link: LinkId, signal: &pb::Signal) -> Outcome {
        let id = group_id(&signal.group_id)?;
        let epoch = Epoch(signal.epoch);
        if signal.body.is_empty() || signal.body.len() > limits::SIGNAL_BYTES {
            return Err(too_large());
        }
        let state = self
            .links
            .get_mut(&link)
            .ok_or_else(|| Refused::malformed("the link is closed"))?;
        let Some(authorised) = state.posting.get_mut(&(id, epoch)) else {
            return Err(Refused::unauthorised("this link may not post there"));
        };
        let fan_out = Arc::clone(&authorised.fan_out);
        let before = state.signalled_at;
        let too_soon = before.is_some_and(|at| now.since(at) < limits::SIGNALS_APART);
        if too_soon || fan_out.len() > limits::SIGNAL_MAILBOXES {
            return Ok(Reply::Now(Answer::Done(pb::Done {})));
        }
        state.signalled_at = Some(now);
        for mailbox in fan_out.iter() {
            let open = self.mailboxes.get(mailbox).and_then(|mailbox| mailbox.link);
            let there = open.filter(|open| {
                let state = self.links.get(open);
                state.is_some_and(|state| matches!(state.stage, Stage::LoggedIn { .. }))
            });
            if let Some(open) = there {
                let signalled = pb::Signalled {
                    group_id: signal.group_id.clone(),
                    epoch: signal.epoch,
                    body: signal.body.clone(),
                };
                self.send(open, 0, Answer::Signalled(signalled));
            }
        }
        Ok(Reply::Now(Answer::Done(pb::Done {})))
    }
}
