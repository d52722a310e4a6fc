//! Signals: short-lived messages between members who are online, such as typing notices.
//!
//! **Elsewhere**: the engine decides what is in a signal; the relay cannot read it.
//!
//! **Always**: a signal touches no disk and no mailbox; members who are offline never learn of
//! it.

use std::sync::Arc;

use waxwing_protocol::{ids::Epoch, limits, pb, pb::relay_frame::Body as Answer, time::Time};

use super::{Groups, conflict, group_id, too_large};
use crate::{
    answer::{Refused, Reply, RequestResult},
    context::Context,
    link::LinkId,
    mailbox::Mailboxes,
    store::Store,
};

impl Groups {
    pub(crate) fn signal(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &Mailboxes,
        now: Time,
        link: LinkId,
        signal: &pb::Signal,
    ) -> RequestResult {
        let id = group_id(&signal.group_id)?;
        let epoch = Epoch(signal.epoch);
        if signal.body.is_empty() || signal.body.len() > limits::SIGNAL_BYTES {
            return Err(too_large());
        }
        let authorised = self.authorised(link, id, epoch);
        let fan_out = authorised.map(|authorised| Arc::clone(&authorised.fan_out));
        let Some(fan_out) = fan_out else {
            return Err(Refused::unauthorised("this link may not post there"));
        };
        let date = context.date(now);
        let group = self.group(context, id)?;
        if group.open_epoch(date, epoch).is_none() {
            return Err(conflict(group.epoch()));
        }
        let state = context.links.of_request_mut(link)?;
        let before = state.signalled_at;
        let too_soon = before.is_some_and(|at| now.since(at) < limits::SIGNALS_APART);
        if too_soon || fan_out.len() > limits::SIGNAL_MAILBOXES {
            return Ok(Reply::Now(Answer::Done(pb::Done {})));
        }
        state.signalled_at = Some(now);
        for mailbox in fan_out.iter() {
            let open = mailboxes.link_of(*mailbox);
            let links = &context.links;
            if let Some(open) = open.filter(|open| links.account_on(*open).is_some()) {
                let signalled = pb::Signalled {
                    group_id: signal.group_id.clone(),
                    epoch: signal.epoch,
                    body: signal.body.clone(),
                };
                context.send(open, 0, Answer::Signalled(signalled));
            }
        }
        Ok(Reply::Now(Answer::Done(pb::Done {})))
    }
}
