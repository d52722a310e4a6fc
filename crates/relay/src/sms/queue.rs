//! The queue of texts to submit, cut into messages, across all sessions.
//!
//! **Elsewhere**: [`super::session`] submits them; `waxwing_sms` cuts them.
//!
//! **Always**: a text that is too late, or was postponed too often, is given up, once for all
//! its messages. Nobody is told that it was not sent before the SMSC has answered for each message
//! of it that it got: a text of which a part was taken, or may have been, is uncertain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rusmpp::pdus::SubmitSm;
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, RegisteredDelivery, Ton};
use tokio::time::Instant;
use waxwing_sms::{UserData, concatenation};

use super::{Origin, SmsError, SmscQueue, Text, TextOutcome};
use crate::effect::Verdict;
use crate::texts::SmsReport;

/// A message may be put off so often before it is given up.
const TRIES: u32 = 20;

/// Who texts come from, as SMPP writes it.
#[derive(Clone)]
pub(super) struct TextSender {
    pub(super) kind: Ton,
    plan: Npi,
    pub(super) address: COctetString<1, 21>,
}

/// One message of a text.
pub(super) struct TextSegment {
    pub(super) text: Arc<Sending>,
    coding: DataCoding,
    user_data: UserData,
    coding_octet: waxwing_sms::DataCoding,
    pub(super) tries: u32,
}

/// A text, over all its messages.
pub(super) struct Sending {
    pub(super) text: Text,
    left: AtomicUsize,
    pub(super) given_up: AtomicBool,
    /// Messages that the SMSC has got and not answered.
    in_flight: AtomicUsize,
    /// Whether the SMSC has taken a message, or may have.
    is_partly_out: AtomicBool,
    /// Whether it was told that the text was given up.
    is_told: AtomicBool,
}

impl Sending {
    /// Tells that the text was given up, once it is known how far it came.
    pub(super) fn conclude(&self, outcome: &TextOutcome) {
        let is_settled =
            self.given_up.load(Ordering::Relaxed) && self.in_flight.load(Ordering::Relaxed) == 0;
        if !is_settled || self.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.text.origin {
            Origin::Account { id, .. } if self.is_partly_out.load(Ordering::Relaxed) => {
                outcome.counts.failed.fetch_add(1, Ordering::Relaxed);
                outcome.report(SmsReport::Unanswered(id));
            }
            _ => outcome.failed(&self.text.origin),
        }
    }
}

/// As SMPP writes who a text is from.
pub(super) fn source(from: &str) -> Result<TextSender, SmsError> {
    let wrong = || SmsError::From {
        from: from.to_owned(),
    };
    let digits = from.strip_prefix('+').unwrap_or(from);
    let all_digits = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
    let (kind, plan, address) = match (all_digits, from.starts_with('+')) {
        (true, true) if digits.len() <= 15 => (Ton::International, Npi::Isdn, digits),
        (true, false) if digits.len() <= 15 => (Ton::NetworkSpecific, Npi::Unknown, digits),
        (false, false) if from.len() <= 11 && from.is_ascii() && !from.trim().is_empty() => {
            (Ton::Alphanumeric, Npi::Unknown, from)
        }
        _ => return Err(wrong()),
    };
    Ok(TextSender {
        kind,
        plan,
        address: c_string(address).ok_or_else(wrong)?,
    })
}

pub(super) fn c_string<const MIN: usize, const MAX: usize>(
    text: &str,
) -> Option<COctetString<MIN, MAX>> {
    COctetString::from_vec([text.as_bytes(), &[0]].concat()).ok()
}

/// What there is to do besides listening.
pub(super) enum QueueStep {
    /// The core has said what becomes of a text that came.
    Verdict(u64, Verdict),
    /// A message is to be submitted.
    Segment(Box<TextSegment>),
    /// The relay stops.
    Nothing,
}

impl SmscQueue {
    /// The next thing to do: a message only where one may be submitted.
    pub(super) async fn next(&mut self, may_submit: bool) -> QueueStep {
        loop {
            if let Ok((ticket, verdict)) = self.verdicts.try_recv() {
                return QueueStep::Verdict(ticket, verdict);
            }
            if may_submit && let Some(segment) = self.ready.pop_front() {
                if segment.is_of_use(&self.outcome) {
                    return QueueStep::Segment(Box::new(segment));
                }
                continue;
            }
            tokio::select! {
                biased;
                said = self.verdicts.recv() => return match said {
                    Some((ticket, verdict)) => QueueStep::Verdict(ticket, verdict),
                    None => QueueStep::Nothing,
                },
                text = self.queue.recv(), if may_submit => match text {
                    Some(text) => self.split(text),
                    None => return QueueStep::Nothing,
                },
            }
        }
    }

    fn split(&mut self, text: Text) {
        // Texts to phones share no state: a reference only has to differ from the last ones.
        let reference = rand::random::<u16>();
        let Ok((coding, parts)) = concatenation::split(&text.text, reference) else {
            self.outcome.failed(&text.origin);
            return;
        };
        let sending = Arc::new(Sending {
            text,
            left: AtomicUsize::new(parts.len()),
            given_up: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            is_partly_out: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        });
        self.ready
            .extend(parts.into_iter().map(|user_data| TextSegment {
                text: Arc::clone(&sending),
                coding: DataCoding::from(coding.0),
                user_data,
                coding_octet: coding,
                tries: 0,
            }));
    }

    pub(super) fn put_back(&mut self, segment: TextSegment) {
        if segment.is_of_use(&self.outcome) {
            self.ready.push_front(segment);
        }
    }
}

impl TextSegment {
    /// Whether it is to be sent still; what is too late is given up.
    pub(super) fn is_of_use(&self, outcome: &TextOutcome) -> bool {
        if Instant::now() >= self.text.text.until || self.tries >= TRIES {
            self.give_up(outcome);
        }
        !self.text.given_up.load(Ordering::Relaxed)
    }

    /// Once for all messages of a text.
    pub(super) fn give_up(&self, outcome: &TextOutcome) {
        self.text.given_up.store(true, Ordering::Relaxed);
        self.text.conclude(outcome);
    }

    /// The SMSC gets it now.
    pub(super) fn submitted(&mut self) {
        self.tries += 1;
        self.text.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// The SMSC has answered.
    pub(super) fn answered(&self) {
        self.text.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The session broke before it was answered. A code goes again: it may come twice, and is
    /// never lost. What people write does not.
    pub(super) fn unanswered(self, work: &mut SmscQueue) {
        self.answered();
        if matches!(self.text.text.origin, Origin::Code(_)) {
            return work.put_back(self);
        }
        self.text.is_partly_out.store(true, Ordering::Relaxed);
        self.give_up(&work.outcome);
    }

    pub(super) fn taken(&self, outcome: &TextOutcome, id: &str) {
        self.text.is_partly_out.store(true, Ordering::Relaxed);
        outcome.taken(&self.text.text.origin, id);
        if self.text.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            outcome.sent();
        }
    }

    /// What is submitted for it; codes come from this source.
    pub(super) fn submission(&self, codes: &TextSender) -> Option<SubmitSm> {
        let own = match &self.text.text.origin {
            Origin::Code(_) => None,
            Origin::Account { from, .. } => Some(source(from).ok()?),
        };
        let source = own.as_ref().unwrap_or(codes);
        let to = &self.text.text.to;
        let digits = to.strip_prefix('+').unwrap_or(to);
        let (short_message, has_header) = self.short_message()?;
        Some(
            SubmitSm::builder()
                .source_addr_ton(source.kind)
                .source_addr_npi(source.plan)
                .source_addr(source.address.clone())
                .dest_addr_ton(Ton::International)
                .dest_addr_npi(Npi::Isdn)
                .destination_addr(c_string(digits)?)
                // Default mode; 0x40 says that there is a header (section 5.2.12).
                .esm_class(EsmClass::from(if has_header { 0x40 } else { 0 }))
                // A receipt in any case (section 5.2.17).
                .registered_delivery(RegisteredDelivery::from(1))
                .data_coding(self.coding)
                .short_message(OctetString::from_vec(short_message).ok()?)
                .build(),
        )
    }

    /// The header, and behind it septets with an octet each, as SMSCs expect them; they pack
    /// them themselves.
    fn short_message(&self) -> Option<(Vec<u8>, bool)> {
        let (_, packed) = self.user_data.packed(self.coding_octet).ok()?;
        let has_header = !self.user_data.header.is_empty();
        if self.coding_octet != waxwing_sms::DataCoding::SEPTETS {
            return Some((packed, has_header));
        }
        let waxwing_sms::Body::Text(text) = &self.user_data.body else {
            return None;
        };
        let header = if has_header {
            let length = usize::from(*packed.first()?);
            packed.get(..=length)?.to_vec()
        } else {
            Vec::new()
        };
        let mut septets = header;
        for character in text.chars() {
            waxwing_sms::alphabet::Alphabet::DEFAULT
                .encode(character)?
                .append_to(&mut septets);
        }
        Some((septets, has_header))
    }
}
