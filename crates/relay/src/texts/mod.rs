//! Texts of accounts: what their people write to phones, and what phones write to them.
//!
//! A device tells the relay which key to seal its texts to ([`pb::SetSmsKey`]). Everything
//! that the relay learns about a text of the account is at once sealed to each of its devices
//! and put into their mailboxes: a text that arrived, one that a device wrote, and what
//! happened to it.
//!
//! A text to a phone is submitted **once**. Its id is on disk before the SMSC gets any of it,
//! but the text itself never is. A relay that stops in between therefore cannot continue: the device that wrote the text keeps it, sends it again, and learns that nobody
//! knows ([`pb::sms_fate::Fate::Uncertain`]) whether some of it was sent. Only people can
//! decide then.
//!
//! **Elsewhere**: [`crate::sms`] connects to the SMSC, `waxwing_protocol::sms` seals,
//! [`spending`] bounds what may be spent.
//!
//! **Always**: no text and no phone's number is written to disk. The relay confirms a text to
//! the SMSC once it is on disk, sealed.

pub(crate) mod spending;

use std::{collections::HashMap, sync::Arc};

use prost::Message as _;
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    address::{Address, AddressKind},
    ids::{AccountId, DeviceId, GroupId, MailboxId, PostId},
    limits, pb,
    pb::{ErrorCode, PostKind, relay_frame::Body as Answer, sms_fate::Fate, sms_record::Record},
    roster::Roster,
    sms,
    time::{Span, Time},
};
use waxwing_sms::concatenation;

use self::spending::{NoText, TextBudgets};
use crate::{
    answer::{Refused, Reply, RequestResult},
    config::Config,
    context::Context,
    directory::Directory,
    effect::{Effect, SmsId, Submission, Verdict},
    feature::Feature,
    link::LinkId,
    mailbox::{Mailboxes, deposit},
    pending_view::PendingView,
    rate_limit::Buckets,
    store::{
        Key, KeySpace, Store, StoreError, key,
        records::{DeviceRecord, SmsReceiptRecord, SmsSubmissionRecord},
    },
    sweep::{Done, Round},
};

/// What became of a text is waited for so long.
const KEPT: Span = Span::days(7);

/// What the SMSC, or the connection with it, reports about texts.
pub enum SmsReport {
    /// The SMSC has taken a segment, and calls it so.
    Taken(SmsId, String),
    /// The SMSC refused it, or it was too late.
    Refused(SmsId),
    /// The session broke before the SMSC had answered: it may have some of it.
    Unanswered(SmsId),
    /// What the SMSC says of a segment that it has called so.
    Became {
        /// What it called it.
        segment: String,
        /// Whether the phone has it, or does not get it.
        delivered: bool,
    },
    /// Whether there is a session with the SMSC.
    Connected(bool),
    /// A phone has written.
    Came {
        /// The number that its answer names.
        ticket: u64,
        /// To whom: E.164, with the plus sign.
        to: String,
        /// SMS-DELIVER, one or more.
        tpdus: Vec<Vec<u8>>,
    },
}

/// What is done once the disk has what was gathered by now.
enum OnceDurable {
    Submit(Box<Submission>),
    Answer { ticket: u64 },
}

/// Texts of accounts, in memory.
pub(crate) struct Texts {
    /// Texts that one account may write, and get.
    pub(crate) outbound: Buckets<AccountId>,
    pub(crate) inbound: Buckets<AccountId>,
    /// Being handed over, and how many segments each has.
    handing: HashMap<SmsId, u32>,
    /// What waits for the batch that gathers, and for the one that is being written.
    gathering: Vec<OnceDurable>,
    writing: Vec<OnceDurable>,
    /// Whether the SMSC is there.
    connected: bool,
    /// What was spent; `None` if the relay cannot send texts.
    pub(crate) budgets: Option<TextBudgets>,
    pub(crate) submissions: Round,
    pub(crate) receipts: Round,
}

impl Texts {
    pub(crate) fn open(
        view: &mut PendingView<impl Store>,
        config: &Config,
    ) -> Result<Self, StoreError> {
        let limits = config.texts.clone();
        let budgets = limits.map(|limits| TextBudgets::open(view, limits));
        Ok(Self {
            budgets: budgets.transpose()?,
            submissions: Round::default(),
            receipts: Round::default(),
            outbound: Buckets::new(config.texts_per_account, 100_000),
            inbound: Buckets::new(config.inbound_texts_per_account, 100_000),
            handing: HashMap::new(),
            gathering: Vec::new(),
            writing: Vec::new(),
            connected: false,
        })
    }

    fn refuse<S>(&mut self, context: &mut Context<S>, lost: Vec<OnceDurable>) {
        for one in lost {
            match one {
                // Its device is answered that nothing was stored, and asks again.
                OnceDurable::Submit(submission) => {
                    self.handing.remove(&submission.id);
                }
                OnceDurable::Answer { ticket } => {
                    let verdict = Verdict::Later;
                    context
                        .effects
                        .push_back(Effect::AnswerSms { ticket, verdict });
                }
            }
        }
    }

    /// Whether anything waits for a batch.
    pub(crate) const fn awaits_disk(&self) -> bool {
        !self.gathering.is_empty()
    }
}

impl<S: Store> Feature<S> for Texts {
    fn batch_taken(&mut self) {
        self.writing = std::mem::take(&mut self.gathering);
    }

    fn batch_written(&mut self, context: &mut Context<S>) {
        for one in self.writing.drain(..) {
            context.effects.push_back(match one {
                OnceDurable::Submit(submission) => Effect::SendSms(submission),
                OnceDurable::Answer { ticket } => Effect::AnswerSms {
                    ticket,
                    verdict: Verdict::Taken,
                },
            });
        }
    }

    fn batch_lost(&mut self, context: &mut Context<S>) {
        let lost = std::mem::take(&mut self.writing);
        self.refuse(context, lost);
    }

    fn forget_unwritten(&mut self, context: &mut Context<S>) {
        let lost = std::mem::take(&mut self.gathering);
        self.refuse(context, lost);
    }
}

impl Texts {
    pub(crate) fn set_sms_key(
        &self,
        context: &mut Context<impl Store>,
        link: LinkId,
        set: &pb::SetSmsKey,
    ) -> RequestResult {
        let device = context.links.device_logged_in(link)?;
        sms::check_key(&set.key).map_err(|error| Refused::malformed(&error.to_string()))?;
        let at = key(&[device.as_bytes()]);
        let record: DeviceRecord = context
            .view
            .get(KeySpace::Devices, &at)?
            .ok_or_else(Refused::unavailable)?;
        let answer = Answer::SmsTerms(self.terms(context));
        if record.sms_key == set.key {
            return Ok(Reply::Now(answer));
        }
        let record = DeviceRecord {
            sms_key: set.key.clone(),
            ..record
        };
        context.view.put(KeySpace::Devices, at, &record);
        Ok(Reply::Durable(answer))
    }

    fn terms(&self, context: &Context<impl Store>) -> pb::SmsTerms {
        let prices = context.config.texts.iter().flat_map(|texts| &texts.prices);
        pb::SmsTerms {
            offered: self.budgets.is_some() && context.config.texts_of_accounts,
            prices: prices
                .take(limits::SMS_PRICES)
                .map(|(prefix, price)| pb::SmsPrice {
                    prefix: prefix.clone(),
                    price: price.clone(),
                })
                .collect(),
        }
    }

    /// Somebody writes to a phone.
    pub(crate) fn send_sms(
        &mut self,
        context: &mut Context<impl Store>,
        directory: &Directory,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        (link, send): (LinkId, pb::SendSms),
    ) -> RequestResult {
        let account = context.links.account_logged_in(link)?;
        let id = SmsId {
            account,
            id: send
                .sms_id
                .as_ref()
                .try_into()
                .map_err(|_| Refused::malformed("an SMS has an id of 16 bytes"))?,
        };
        let from = phone(&send.from)?;
        let to = phone(&send.to)?;
        directory.own_address(context, account, &from)?;
        if let Some(record) = Self::submission(context, id)? {
            return self.submitted_before(context, mailboxes, now, rng, id, record);
        }
        let segments = segments(&send)?;
        if !context.config.texts_of_accounts {
            return Err(nowhere("this relay sends no texts of its people"));
        }
        let has_space = context.has_space();
        let date = context.date(now);
        let Some(spending) = &mut self.budgets else {
            return Err(nowhere("this relay cannot send text messages"));
        };
        if !self.connected || !has_space {
            return Err(Refused::unavailable());
        }
        self.outbound
            .take_many(now, account, segments)
            .map_err(Refused::rate_limited)?;
        match spending.own.take(date, to.canonical(), segments) {
            Ok(()) => {}
            Err(NoText::Never) => return Err(nowhere("this relay sends no text messages there")),
            Err(NoText::Later(span)) => return Err(Refused::rate_limited(span)),
        }
        spending.keep(&mut context.view);
        let record = SmsSubmissionRecord {
            segments,
            taken: 0,
            delivered: 0,
            fate: Fate::Unspecified.into(),
            made_at_ms: date.0,
        };
        // What is refused here is as if it never had come.
        Self::deposit_record(
            context,
            mailboxes,
            now,
            rng,
            account,
            Record::Taken(pb::SmsTaken {
                sms_id: send.sms_id,
                to: to.canonical().to_owned(),
                text: send.text.clone(),
                segments,
                at_ms: date.0,
            }),
        )?;
        Self::put_submission(context, id, &record);
        self.handing.insert(id, segments);
        let submission = Box::new(Submission {
            id,
            from: from.canonical().to_owned(),
            to: to.canonical().to_owned(),
            text: send.text,
        });
        self.gathering.push(OnceDurable::Submit(submission));
        Ok(Reply::Durable(Answer::Done(pb::Done {})))
    }

    /// It is known. If this relay was stopped while it was being handed over, nobody knows how
    /// far that was.
    fn submitted_before(
        &self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: SmsId,
        record: SmsSubmissionRecord,
    ) -> RequestResult {
        let fate = record.fate();
        if fate != Fate::Unspecified {
            // Its device has not heard: a mailbox may have been full.
            Self::tell_fate(context, mailboxes, now, rng, id, fate)?;
        } else if self.handing.contains_key(&id) {
            return Ok(Reply::Now(Answer::Done(pb::Done {})));
        } else {
            Self::conclude(context, mailboxes, now, rng, id, record, Fate::Uncertain)?;
        }
        Ok(Reply::Durable(Answer::Done(pb::Done {})))
    }

    /// The SMSC reports something.
    pub(crate) fn handle_report(
        &mut self,
        context: &mut Context<impl Store>,
        directory: &Directory,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        report: SmsReport,
    ) {
        let ticket = match &report {
            SmsReport::Came { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let done = match report {
            SmsReport::Taken(id, segment) => {
                self.segment_taken(context, mailboxes, now, rng, id, &segment)
            }
            SmsReport::Refused(id) => self.handle_refusal(context, mailboxes, now, rng, id),
            SmsReport::Unanswered(id) => self.unanswered(context, mailboxes, now, rng, id),
            SmsReport::Became { segment, delivered } => {
                Self::became(context, mailboxes, now, rng, &segment, delivered)
            }
            SmsReport::Connected(connected) => {
                self.connected = connected;
                Ok(())
            }
            SmsReport::Came { ticket, to, tpdus } => {
                let text = (ticket, to.as_str(), tpdus);
                self.handle_incoming_text(context, directory, mailboxes, now, rng, text)
            }
        };
        // Whoever waits is told; what was to be noted only is lost with the disk that failed.
        if let (Err(Refused(error)), Some(ticket)) = (done, ticket) {
            let verdict = match error.code() {
                ErrorCode::AddressUnknown | ErrorCode::Malformed => Verdict::Nobody,
                _ => Verdict::Later,
            };
            context
                .effects
                .push_back(Effect::AnswerSms { ticket, verdict });
        }
    }

    fn segment_taken(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: SmsId,
        segment: &str,
    ) -> Result<(), Refused> {
        let receipt = SmsReceiptRecord {
            account_id: id.account.to_bytes(),
            sms_id: bytes::Bytes::copy_from_slice(&id.id),
            made_at_ms: context.date(now).0,
        };
        context
            .view
            .put(KeySpace::SmsReceipts, receipt_key(segment), &receipt);
        let Some(mut record) = Self::submission(context, id)? else {
            return Ok(());
        };
        record.taken += 1;
        if record.fate() == Fate::Refused {
            // It was to be as if nothing had been sent.
            return Self::conclude(context, mailboxes, now, rng, id, record, Fate::Uncertain);
        }
        if record.taken < record.segments {
            Self::put_submission(context, id, &record);
            return Ok(());
        }
        self.handing.remove(&id);
        Self::conclude(context, mailboxes, now, rng, id, record, Fate::Accepted)
    }

    fn handle_refusal(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: SmsId,
    ) -> Result<(), Refused> {
        self.handing.remove(&id);
        match Self::submission(context, id)? {
            // Some of it is out: a text that nobody would wish to have sent twice.
            Some(record) if record.taken > 0 => {
                Self::conclude(context, mailboxes, now, rng, id, record, Fate::Uncertain)
            }
            Some(record) => Self::conclude(context, mailboxes, now, rng, id, record, Fate::Refused),
            None => Ok(()),
        }
    }

    fn unanswered(
        &mut self,
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: SmsId,
    ) -> Result<(), Refused> {
        self.handing.remove(&id);
        match Self::submission(context, id)? {
            Some(record) => {
                Self::conclude(context, mailboxes, now, rng, id, record, Fate::Uncertain)
            }
            None => Ok(()),
        }
    }

    fn became(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        segment: &str,
        delivered: bool,
    ) -> Result<(), Refused> {
        let at = receipt_key(segment);
        let Some(receipt): Option<SmsReceiptRecord> =
            context.view.get(KeySpace::SmsReceipts, &at)?
        else {
            return Ok(());
        };
        context.view.delete(KeySpace::SmsReceipts, at);
        let (Ok(account), Ok(id)) = (
            AccountId::try_from(&receipt.account_id),
            receipt.sms_id.as_ref().try_into(),
        ) else {
            return Ok(());
        };
        let id = SmsId { account, id };
        let Some(mut record) = Self::submission(context, id)? else {
            return Ok(());
        };
        if !delivered {
            return Self::conclude(context, mailboxes, now, rng, id, record, Fate::Undelivered);
        }
        record.delivered += 1;
        if record.delivered < record.segments || record.fate() == Fate::Undelivered {
            Self::put_submission(context, id, &record);
            return Ok(());
        }
        Self::conclude(context, mailboxes, now, rng, id, record, Fate::Delivered)
    }

    /// Records the outcome and notifies the account's devices once.
    fn conclude(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: SmsId,
        record: SmsSubmissionRecord,
        fate: Fate,
    ) -> Result<(), Refused> {
        let told = record.fate() == fate;
        let record = SmsSubmissionRecord {
            fate: fate.into(),
            ..record
        };
        Self::put_submission(context, id, &record);
        if told {
            return Ok(());
        }
        Self::tell_fate(context, mailboxes, now, rng, id, fate)
    }

    fn tell_fate(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        id: SmsId,
        fate: Fate,
    ) -> Result<(), Refused> {
        let fate = pb::SmsFate {
            sms_id: bytes::Bytes::copy_from_slice(&id.id),
            fate: fate.into(),
        };
        Self::deposit_record(context, mailboxes, now, rng, id.account, Record::Fate(fate))
            .map(|_| ())
    }

    /// A phone has written to somebody here, or to nobody.
    fn handle_incoming_text(
        &mut self,
        context: &mut Context<impl Store>,
        directory: &Directory,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        (ticket, to, tpdus): (u64, &str, Vec<Vec<u8>>),
    ) -> Result<(), Refused> {
        let to = phone(to)?;
        let account = directory.account_of(context, &to)?.ok_or_else(nobody)?;
        let count = u32::try_from(tpdus.len()).unwrap_or(u32::MAX);
        self.inbound
            .take_many(now, account, count)
            .map_err(Refused::rate_limited)?;
        let mut devices = 0;
        for tpdu in tpdus {
            let came = pb::SmsCame {
                to: to.canonical().to_owned(),
                tpdu: tpdu.into(),
            };
            devices =
                Self::deposit_record(context, mailboxes, now, rng, account, Record::Came(came))?;
        }
        if devices == 0 {
            return Err(nobody());
        }
        self.gathering.push(OnceDurable::Answer { ticket });
        Ok(())
    }

    /// Seals a record to the account's devices and puts it into their mailboxes; gives how
    /// many those are.
    fn deposit_record(
        context: &mut Context<impl Store>,
        mailboxes: &mut Mailboxes,
        now: Time,
        rng: &mut dyn CryptoRng,
        account: AccountId,
        record: Record,
    ) -> Result<usize, Refused> {
        let devices = Self::sms_devices(context, account)?;
        if devices.is_empty() {
            return Ok(0);
        }
        let record = pb::SmsRecord {
            record: Some(record),
        };
        let keys = devices.iter().map(|one| (one.device, one.key.as_ref()));
        let body = sms::seal(rng, &record, keys).encode_to_vec();
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let list: Arc<[MailboxId]> = devices.iter().map(|one| one.mailbox).collect();
        let incoming = deposit::Deposit {
            group: GroupId([0; 16]),
            group_sequence: 0,
            epoch: 0,
            kind: PostKind::Sms,
            id: PostId(id),
            body: body.into(),
        };
        mailboxes.deposit(context, now, incoming, &list)?;
        Ok(devices.len())
    }

    /// The account's devices that have said what is sealed to them.
    fn sms_devices(
        context: &Context<impl Store>,
        account: AccountId,
    ) -> Result<Vec<SmsDevice>, Refused> {
        let Some(statements) = Directory::statements(context, account)? else {
            return Ok(Vec::new());
        };
        // Checked when it was stored.
        let roster = Roster::of_verified(&statements).map_err(|_| Refused::unavailable())?;
        let mut devices = Vec::new();
        for device in roster.devices() {
            let record: Option<DeviceRecord> =
                context.view.get(KeySpace::Devices, device.id.as_bytes())?;
            let Some(record) = record.filter(|record| !record.sms_key.is_empty()) else {
                continue;
            };
            let mailbox =
                MailboxId::try_from(&record.mailbox_id).map_err(|_| Refused::unavailable())?;
            devices.push(SmsDevice {
                device: device.id,
                mailbox,
                key: record.sms_key,
            });
        }
        Ok(devices)
    }

    fn submission(
        context: &Context<impl Store>,
        id: SmsId,
    ) -> Result<Option<SmsSubmissionRecord>, StoreError> {
        context
            .view
            .get(KeySpace::SmsSubmissions, &submission_key(id))
    }

    fn put_submission(context: &mut Context<impl Store>, id: SmsId, record: &SmsSubmissionRecord) {
        context
            .view
            .put(KeySpace::SmsSubmissions, submission_key(id), record);
    }

    /// Forgets what nobody waits for any more.
    pub(crate) fn sweep_sms(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let date = context.expiry_date(now);
        let space = KeySpace::SmsSubmissions;
        let (records, done) = context.next_of_round(space, &mut self.submissions, now, most)?;
        for (at, value) in records {
            let record: Option<SmsSubmissionRecord> = context.view.sound(space, &at, value);
            if record.is_some_and(|record| date.since(Time(record.made_at_ms)) >= KEPT) {
                context.view.delete(space, key(&[&at]));
            }
        }
        Ok(done)
    }

    /// The same of receipts that never came.
    pub(crate) fn sweep_sms_receipts(
        &mut self,
        context: &mut Context<impl Store>,
        now: Time,
        most: usize,
    ) -> Result<Done, StoreError> {
        let date = context.expiry_date(now);
        let (records, done) =
            context.next_of_round(KeySpace::SmsReceipts, &mut self.receipts, now, most)?;
        for (at, value) in records {
            let record: Option<SmsReceiptRecord> =
                context.view.sound(KeySpace::SmsReceipts, &at, value);
            if record.is_some_and(|record| date.since(Time(record.made_at_ms)) >= KEPT) {
                context.view.delete(KeySpace::SmsReceipts, key(&[&at]));
            }
        }
        Ok(done)
    }
}

struct SmsDevice {
    device: DeviceId,
    mailbox: MailboxId,
    key: bytes::Bytes,
}

fn phone(text: &str) -> Result<Address, Refused> {
    let address = Address::parse(text).map_err(|error| Refused::malformed(&error.to_string()))?;
    match address.kind() {
        AddressKind::Phone => Ok(address),
        AddressKind::Email => Err(Refused::malformed("an SMS goes between phone numbers")),
    }
}

/// In how many segments it goes, if that is not too many.
fn segments(send: &pb::SendSms) -> Result<u32, Refused> {
    let too_long = || Refused::new(ErrorCode::SmsTooLong, "the text takes too many segments");
    if send.text.is_empty() || send.text.len() > limits::SMS_TEXT_BYTES {
        return Err(too_long());
    }
    let cost = concatenation::cost(&send.text).map_err(|_| too_long())?;
    let segments = u32::try_from(cost.segments).map_err(|_| too_long())?;
    if segments > limits::SMS_SEGMENTS || segments > send.segments {
        return Err(too_long());
    }
    Ok(segments)
}

fn nowhere(detail: &str) -> Refused {
    Refused::new(ErrorCode::SmsRefused, detail)
}

fn nobody() -> Refused {
    Refused::new(ErrorCode::AddressUnknown, "nobody here takes texts there")
}

fn submission_key(id: SmsId) -> Key {
    key(&[id.account.as_bytes(), &id.id])
}

/// What a SMSC calls a segment may be of any length.
fn receipt_key(segment: &str) -> Key {
    key(&[Sha256::digest(segment.as_bytes()).as_slice()])
}
