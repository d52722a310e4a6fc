//! The cost of requests, so that nobody causes much work with little effort.
//!
//! The unit is the relay's work for a post to two mailboxes: about ten microseconds of one
//! processor, with or without the lock. A request is charged to its link. An expensive one is
//! also charged to its source, in tenths of a millisecond, so that many links gain nothing
//! over one.
//!
//! **Elsewhere**: the rates are settings ([`crate::config`]); limits on what is *stored* are
//! in the modules that store it.

use waxwing_protocol::{
    limits,
    pb::client_frame::Body as Request,
    time::{Span, Time},
};

use crate::{
    answer::Refused, config::Config, link::LinkId, link::Links, rate_limit::SourceBuckets,
};

/// From this cost on a request is charged to its source too.
const EXPENSIVE: u32 = 10;

/// A hybrid signature that is verified.
const SIGNATURE: u32 = 20;
/// A token that is verified or made.
const TOKEN: u32 = 15;
/// A proof of the key log.
const PROOF: u32 = 50;

/// What a request costs, as far as it tells itself.
pub(crate) fn of(body: Option<&Request>) -> u32 {
    let Some(body) = body else { return 1 };
    match body {
        // There is no answer that could tell the device to repeat it, and there are no more
        // of them than of posts.
        Request::Acknowledge(_) => 0,
        Request::Open(_)
        | Request::Ping(_)
        | Request::Post(_)
        | Request::Signal(_)
        | Request::FetchLogIdentity(_)
        | Request::FetchBlobState(_)
        | Request::LeaveRendezvous(_)
        | Request::KeepAddress(_) => 1,
        Request::JoinRendezvous(_) | Request::SendRendezvous(_) => 5,
        Request::PutBlobPart(_)
        | Request::FetchBlobPart(_)
        | Request::BlobRead(_)
        | Request::DeleteBlob(_)
        | Request::PutBackup(_)
        | Request::FinishBackup(_)
        | Request::FetchBackup(_)
        | Request::StartRegistration(_)
        | Request::SetSmsKey(_) => 10,
        Request::PublishKeyPackages(publish) => 10 + count(publish.key_packages.len()),
        Request::FetchGroupInfo(_) => 15,
        Request::AuthorisePosting(_) | Request::Rejoin(_) => 20,
        Request::Login(_) => 2 * SIGNATURE,
        Request::CreateGroup(_) | Request::ClaimKeyPackages(_) => TOKEN + 20,
        Request::OpenBlob(open) => 10 + TOKEN * count(open.tokens.len()),
        Request::IssueTokens(issue) => 10 + TOKEN * count(issue.blinded.len()),
        Request::LookUp(_) | Request::FetchHeads(_) | Request::SetLock(_) => PROOF,
        Request::FetchHistory(fetch) => {
            let versions = match fetch.most_recent {
                0 => limits::HISTORY_VERSIONS,
                most => most as usize,
            };
            PROOF + count(versions.min(limits::HISTORY_VERSIONS))
        }
        Request::ChangeRoster(_) => PROOF + 2 * SIGNATURE,
        Request::FinishRegistration(finish) => {
            PROOF + SIGNATURE * (1 + 2 * count(finish.roster.len()))
        }
        Request::SendSms(_) => 200,
    }
}

/// What a list of so many mailboxes costs beyond the first few: to look for each of them in
/// the store.
pub(crate) fn of_list(mailboxes: usize) -> u32 {
    count(mailboxes / 4)
}

/// What a stored roster costs that has to be read.
pub(crate) fn of_roster(statements: usize) -> u32 {
    count(statements).saturating_mul(2)
}

/// What posting to so many mailboxes costs beyond the first few.
pub(crate) fn of_fan_out(mailboxes: usize) -> u32 {
    count(mailboxes / 16)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What was charged.
pub(crate) struct Costs {
    /// What expensive requests cost, by source.
    pub(crate) work: SourceBuckets,
    /// What was charged since the last call of [`Self::take`].
    charged: u32,
}

impl Costs {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            work: SourceBuckets::new(config.work_per_source, 100_000),
            charged: 0,
        }
    }

    /// Notes that the lock was held for a while, by work that nobody is charged for.
    pub(crate) fn spend_time(&mut self, cost: usize) {
        self.charged = self.charged.saturating_add(count(cost));
    }

    /// The cost of the requests since the last call.
    pub(crate) fn take(&mut self) -> u32 {
        std::mem::take(&mut self.charged)
    }

    /// Charges a link, and its source if it is much; or tells how long to wait.
    pub(crate) fn charge(
        &mut self,
        now: Time,
        links: &mut Links,
        config: &Config,
        link: LinkId,
        cost: u32,
    ) -> Result<(), Refused> {
        if cost == 0 {
            return Ok(());
        }
        self.charged = self.charged.saturating_add(cost);
        let link = links.of_request_mut(link)?;
        let rate = config.requests_per_link;
        // What costs more than a link may ever spend must still be possible.
        let source = link.source;
        let taken = link.requests.take(now, rate, cost.min(rate.burst));
        taken.map_err(Refused::rate_limited)?;
        if cost >= EXPENSIVE {
            let tenths = (cost / 10).min(config.work_per_source.burst);
            let taken = self.work.take_many(now, source, tenths);
            taken.map_err(|wait| Refused::rate_limited(wait.max(Span(1))))?;
        }
        Ok(())
    }
}
