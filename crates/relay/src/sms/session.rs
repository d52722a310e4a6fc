//! One session with an SMSC: SMPP 3.4 or 5.0, bound as a transceiver.
//!
//! **Elsewhere**: sessions follow one another in the module above; the frames are rusmpp's, what
//! a message is made of is `waxwing_sms`'s.
//!
//! **Always**: no more submissions are unanswered than the window allows, and no more are made in a
//! second than may be. What was not answered when a session ends is submitted in the next one:
//! it may come twice, and is never lost. What an SMSC says is not logged: it may name a number.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rusmpp::pdus::{BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm, SubmitSmResp};
use rusmpp::tlvs::TlvValue;
use rusmpp::tokio_codec::CommandCodec;
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{
    CongestionState, DataCoding, EsmClass, InterfaceVersion, MessageState, Npi, RegisteredDelivery,
    Ton,
};
use rusmpp::{Command, CommandId, CommandStatus, Pdu};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::codec::Framed;
use waxwing_sms::{UserData, concatenation};

use super::accounts::{Report, Verdict};
use super::{Origin, Outcome, SmsError, Smsc, Text, Version, Work, inbound};

/// Connecting and binding take so long together, at most.
const BIND_LIMIT: Duration = Duration::from_secs(20);
/// A quiet session is asked whether it is there after so long.
const QUIET: Duration = Duration::from_secs(30);
/// What is not answered for so long never will be.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Nothing is submitted for so long when the SMSC asks for less.
const THROTTLED: Duration = Duration::from_secs(2);
/// A message may be put off so often before it is given up.
const TRIES: u32 = 20;
/// Codes whose receipts are waited for.
const RECEIPTS: usize = 4_096;
/// Texts from phones that the core may have before it has answered.
const INBOUND: usize = 256;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    #[error("it cannot be reached")]
    Unreachable,
    #[error("TLS with it failed")]
    Tls,
    #[error("it does not answer")]
    Silent,
    #[error("it refused the user or password (status {0:#x})")]
    Refused(u32),
    #[error("the connection broke")]
    Broken,
    #[error("it ended the session")]
    Unbound,
    #[error("the relay stops")]
    NothingToCome,
}

/// Opens sessions with one SMSC.
pub(super) struct Connector {
    smsc: Smsc,
    source: Source,
    tls: Arc<ClientConfig>,
}

/// Who texts come from, as SMPP writes it.
#[derive(Clone)]
struct Source {
    kind: Ton,
    plan: Npi,
    address: COctetString<1, 21>,
}

/// One message of a text.
pub(super) struct Segment {
    text: Arc<Sending>,
    coding: DataCoding,
    user_data: UserData,
    coding_octet: waxwing_sms::DataCoding,
    tries: u32,
}

/// A text, over all its messages.
struct Sending {
    text: Text,
    left: AtomicUsize,
    given_up: AtomicBool,
}

impl Connector {
    pub(super) fn new(smsc: &Smsc) -> Result<Self, SmsError> {
        let roots = match &smsc.authorities {
            Some(path) => authorities(path)?,
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| SmsError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            source: source(&smsc.from)?,
            smsc: smsc.clone(),
            tls: Arc::new(tls),
        })
    }

    /// One session, until it ends.
    pub(super) async fn run(&self, work: &mut Work) -> Ended {
        let url = &self.smsc.url;
        let place = (url.host.as_str(), url.port);
        let Ok(Ok(socket)) = timeout(BIND_LIMIT, TcpStream::connect(place)).await else {
            return Ended::Unreachable;
        };
        // Small frames that wait for their answers.
        let _ = socket.set_nodelay(true);
        if !url.tls {
            return self.session(socket, work).await;
        }
        let Ok(name) = ServerName::try_from(url.host.clone()) else {
            return Ended::Tls;
        };
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        match timeout(BIND_LIMIT, connector.connect(name, socket)).await {
            Ok(Ok(stream)) => self.session(stream, work).await,
            _ => Ended::Tls,
        }
    }

    async fn session<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        work: &mut Work,
    ) -> Ended {
        let mut session = Session {
            framed: Framed::new(stream, CommandCodec::new()),
            connector: self,
            sequence: 1,
            unanswered: HashMap::new(),
            receipts: VecDeque::new(),
            inbound: HashMap::new(),
            heard_at: Instant::now(),
            asked_at: None,
            not_before: Instant::now(),
        };
        let ended = match timeout(BIND_LIMIT, session.bind()).await {
            Ok(Ok(())) => {
                work.outcome.connected(true);
                tracing::info!("there is a session with the SMSC");
                session.work(work).await
            }
            Ok(Err(ended)) => ended,
            Err(_) => Ended::Silent,
        };
        // In the order in which they were submitted, before all others.
        let mut back: Vec<(u32, Segment)> = session
            .unanswered
            .drain()
            .map(|(sequence, (segment, _))| (sequence, segment))
            .collect();
        back.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        for (_, segment) in back {
            work.put_back(segment);
        }
        ended
    }
}

/// The certificates of a file.
fn authorities(path: &Path) -> Result<RootCertStore, SmsError> {
    let wrong = |reason: String| SmsError::Authorities {
        path: path.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is none in it".to_owned()));
    }
    Ok(roots)
}

/// As SMPP writes who a text is from.
fn source(from: &str) -> Result<Source, SmsError> {
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
    Ok(Source {
        kind,
        plan,
        address: c_string(address).ok_or_else(wrong)?,
    })
}

fn c_string<const MIN: usize, const MAX: usize>(text: &str) -> Option<COctetString<MIN, MAX>> {
    COctetString::from_vec([text.as_bytes(), &[0]].concat()).ok()
}

/// What there is to do besides listening.
enum Next {
    /// The core has said what becomes of a text that came.
    Verdict(u64, Verdict),
    /// A message is to be submitted.
    Segment(Box<Segment>),
    /// The relay stops.
    Nothing,
}

impl Work {
    /// The next thing to do: a message only where one may be submitted.
    async fn next(&mut self, may_submit: bool) -> Next {
        loop {
            if let Ok((ticket, verdict)) = self.verdicts.try_recv() {
                return Next::Verdict(ticket, verdict);
            }
            if may_submit && let Some(segment) = self.ready.pop_front() {
                if segment.is_of_use(&self.outcome) {
                    return Next::Segment(Box::new(segment));
                }
                continue;
            }
            tokio::select! {
                biased;
                said = self.verdicts.recv() => return match said {
                    Some((ticket, verdict)) => Next::Verdict(ticket, verdict),
                    None => Next::Nothing,
                },
                text = self.queue.recv(), if may_submit => match text {
                    Some(text) => self.split(text),
                    None => return Next::Nothing,
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
        });
        self.ready
            .extend(parts.into_iter().map(|user_data| Segment {
                text: Arc::clone(&sending),
                coding: DataCoding::from(coding.0),
                user_data,
                coding_octet: coding,
                tries: 0,
            }));
    }

    fn put_back(&mut self, segment: Segment) {
        if segment.is_of_use(&self.outcome) {
            self.ready.push_front(segment);
        }
    }
}

impl Segment {
    /// Whether it is to be sent still; what is too late is given up.
    fn is_of_use(&self, outcome: &Outcome) -> bool {
        if Instant::now() >= self.text.text.until || self.tries >= TRIES {
            self.give_up(outcome);
        }
        !self.text.given_up.load(Ordering::Relaxed)
    }

    /// Once for all messages of a text.
    fn give_up(&self, outcome: &Outcome) {
        if !self.text.given_up.swap(true, Ordering::Relaxed) {
            outcome.failed(&self.text.text.origin);
        }
    }

    fn taken(&self, outcome: &Outcome, id: &str) {
        outcome.taken(&self.text.text.origin, id);
        if self.text.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            outcome.sent();
        }
    }

    /// What is submitted for it; codes come from this source.
    fn submission(&self, codes: &Source) -> Option<SubmitSm> {
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

/// A session that is open.
struct Session<'a, S> {
    framed: Framed<S, CommandCodec>,
    connector: &'a Connector,
    sequence: u32,
    unanswered: HashMap<u32, (Segment, Instant)>,
    /// What the SMSC calls the texts that it has taken, the oldest first.
    receipts: VecDeque<(String, Arc<Sending>)>,
    /// Texts from phones that the core has, with the numbers under which they are answered.
    inbound: HashMap<u64, u32>,
    heard_at: Instant,
    /// When it was asked whether it is there, and has not answered yet.
    asked_at: Option<Instant>,
    /// The next submission.
    not_before: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    async fn bind(&mut self) -> Result<(), Ended> {
        let url = &self.connector.smsc.url;
        let bind = BindTransceiver::builder()
            .system_id(c_string(&url.system_id).ok_or(Ended::Broken)?)
            .password(c_string(&url.password).ok_or(Ended::Broken)?)
            .interface_version(match self.connector.smsc.version {
                Version::V3_4 => InterfaceVersion::Smpp3_4,
                Version::V5_0 => InterfaceVersion::Smpp5_0,
            })
            .build();
        let sequence = self.next_sequence();
        self.send(CommandStatus::EsmeRok, sequence, bind).await?;
        loop {
            let command = self.receive().await?;
            let is_answer = matches!(
                command.id(),
                CommandId::BindTransceiverResp | CommandId::GenericNack
            );
            if is_answer && command.sequence_number() == sequence {
                return match command.status() {
                    CommandStatus::EsmeRok => Ok(()),
                    status => Err(Ended::Refused(status.into())),
                };
            }
        }
    }

    async fn work(&mut self, work: &mut Work) -> Ended {
        loop {
            let now = Instant::now();
            if let Some(ended) = self.overdue(now) {
                return ended;
            }
            if self.asked_at.is_none() && now >= self.heard_at + QUIET {
                self.asked_at = Some(now);
                let sequence = self.next_sequence();
                let asked = self.send(CommandStatus::EsmeRok, sequence, Pdu::EnquireLink);
                if let Err(ended) = asked.await {
                    return ended;
                }
            }
            let room = self.unanswered.len() < self.connector.smsc.window;
            let may_submit = room && now >= self.not_before;
            let wakes_at = self.wakes_at(room && !may_submit);
            let done = tokio::select! {
                biased;
                command = self.framed.next() => match command {
                    Some(Ok(command)) => self.came(command, work).await,
                    _ => Err(Ended::Broken),
                },
                next = work.next(may_submit) => match next {
                    Next::Verdict(ticket, verdict) => self.answer(ticket, verdict, work).await,
                    Next::Segment(segment) => self.submit(*segment, work).await,
                    Next::Nothing => Err(Ended::NothingToCome),
                },
                () = sleep_until(wakes_at) => Ok(()),
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// When the next thing is to be done without anything coming.
    fn wakes_at(&self, waits_to_submit: bool) -> Instant {
        let oldest = self.unanswered.values().map(|(_, at)| *at).min();
        let asked = self.asked_at.or(oldest).map(|at| at + ANSWER_LIMIT);
        let quiet = self.asked_at.is_none().then(|| self.heard_at + QUIET);
        let submits = waits_to_submit.then_some(self.not_before);
        let times = [asked, oldest.map(|at| at + ANSWER_LIMIT), quiet, submits];
        let next = times.into_iter().flatten().min();
        next.unwrap_or(self.heard_at + QUIET)
    }

    /// Whether something was not answered that should have been.
    fn overdue(&self, now: Instant) -> Option<Ended> {
        let times = self.unanswered.values().map(|(_, at)| *at);
        let oldest = times.chain(self.asked_at).min()?;
        (now >= oldest + ANSWER_LIMIT).then_some(Ended::Silent)
    }

    async fn submit(&mut self, mut segment: Segment, work: &mut Work) -> Result<(), Ended> {
        let Some(submission) = segment.submission(&self.connector.source) else {
            segment.give_up(&work.outcome);
            return Ok(());
        };
        let sequence = self.next_sequence();
        let now = Instant::now();
        let gap = Duration::from_secs(1) / self.connector.smsc.per_second.max(1);
        self.not_before = self.not_before.max(now) + gap;
        segment.tries += 1;
        self.unanswered.insert(sequence, (segment, now));
        self.send(CommandStatus::EsmeRok, sequence, submission)
            .await
    }

    async fn came(&mut self, command: Command, work: &mut Work) -> Result<(), Ended> {
        self.heard_at = Instant::now();
        self.asked_at = None;
        let (sequence, status) = (command.sequence_number(), command.status());
        // The SMSC numbers what it asks as it likes: only an answer is one.
        let is_answer = matches!(
            command.id(),
            CommandId::SubmitSmResp | CommandId::GenericNack
        );
        if is_answer && let Some((segment, _)) = self.unanswered.remove(&sequence) {
            let id = match command.pdu() {
                Some(Pdu::SubmitSmResp(answer)) => {
                    self.heed(answer);
                    answer.message_id().to_string()
                }
                _ => String::new(),
            };
            self.answered(segment, status, id, work);
            return Ok(());
        }
        match command.pdu() {
            Some(Pdu::EnquireLink) => {
                self.send(CommandStatus::EsmeRok, sequence, Pdu::EnquireLinkResp)
                    .await
            }
            Some(Pdu::DeliverSm(deliver)) => {
                match self.delivered(deliver, sequence, work) {
                    Some(status) => self.send(status, sequence, DeliverSmResp::default()).await,
                    // It is answered when it is on the relay's disk.
                    None => Ok(()),
                }
            }
            Some(Pdu::Unbind) => {
                self.send(CommandStatus::EsmeRok, sequence, Pdu::UnbindResp)
                    .await?;
                Err(Ended::Unbound)
            }
            // Answers to nothing, and what is not for us.
            _ => Ok(()),
        }
    }

    /// How busy the SMSC is, where it says so (SMPP 5.0 section 4.8.4.18): close to as much as it
    /// can, or over that, it gets less.
    fn heed(&mut self, answer: &SubmitSmResp) {
        let pause = answer.tlvs().iter().find_map(|tlv| match tlv.value() {
            Some(TlvValue::CongestionState(CongestionState::Congested)) => Some(THROTTLED),
            Some(TlvValue::CongestionState(CongestionState::NearingCongestion(_))) => {
                Some(THROTTLED / 4)
            }
            _ => None,
        });
        if let Some(pause) = pause {
            self.not_before = self.not_before.max(Instant::now() + pause);
        }
    }

    /// The SMSC has taken a message, or not.
    fn answered(&mut self, segment: Segment, status: CommandStatus, id: String, work: &mut Work) {
        match status {
            CommandStatus::EsmeRok => {
                segment.taken(&work.outcome, &id);
                // The core keeps those of people's texts.
                if matches!(segment.text.text.origin, Origin::Code(_)) {
                    if self.receipts.len() >= RECEIPTS {
                        self.receipts.pop_front();
                    }
                    self.receipts.push_back((id, Arc::clone(&segment.text)));
                }
            }
            CommandStatus::EsmeRthrottled | CommandStatus::EsmeRmsgqful => {
                let counts = &work.outcome.counts;
                counts.throttled.fetch_add(1, Ordering::Relaxed);
                self.not_before = Instant::now() + THROTTLED;
                work.put_back(segment);
            }
            _ => {
                let status = u32::from(status);
                tracing::warn!(status, "the SMSC refused a text");
                segment.give_up(&work.outcome);
            }
        }
    }

    /// A receipt is noted; a text from a phone is handed to the core, and answered later: none is
    /// given then.
    fn delivered(
        &mut self,
        deliver: &DeliverSm,
        sequence: u32,
        work: &mut Work,
    ) -> Option<CommandStatus> {
        // Bits 2 to 5 of 1 or more: a receipt or an acknowledgement (section 5.2.12).
        let is_receipt = u8::from(deliver.esm_class) & 0b0011_1100 != 0;
        if !is_receipt {
            return self.hand_over(deliver, sequence, work);
        }
        if let Some((id, fate)) = receipt(deliver) {
            let known = self.receipts.iter().position(|(known, _)| *known == id);
            if let Some((_, text)) = known.and_then(|at| self.receipts.remove(at)) {
                let counts = &work.outcome.counts;
                match fate {
                    Fate::Delivered => counts.delivered.fetch_add(1, Ordering::Relaxed),
                    Fate::Lost => {
                        if !text.given_up.swap(true, Ordering::Relaxed) {
                            work.outcome.failed(&text.text.origin);
                        }
                        counts.undelivered.fetch_add(1, Ordering::Relaxed)
                    }
                };
            } else {
                work.outcome.report(Report::Became {
                    segment: id,
                    delivered: fate == Fate::Delivered,
                });
            }
        }
        Some(CommandStatus::EsmeRok)
    }

    fn hand_over(
        &mut self,
        deliver: &DeliverSm,
        sequence: u32,
        work: &mut Work,
    ) -> Option<CommandStatus> {
        let counts = &work.outcome.counts;
        let refuse = |status| {
            counts.inbound_refused.fetch_add(1, Ordering::Relaxed);
            Some(status)
        };
        if self.inbound.len() >= INBOUND {
            return refuse(status_of(Verdict::Later));
        }
        let Some(inbound) = inbound::read(deliver, unix_seconds()) else {
            return refuse(status_of(Verdict::Nobody));
        };
        work.tickets += 1;
        self.inbound.insert(work.tickets, sequence);
        work.outcome.report(Report::Came {
            ticket: work.tickets,
            to: inbound.to,
            tpdus: inbound.tpdus,
        });
        None
    }

    /// The core has it, or does not want it.
    async fn answer(
        &mut self,
        ticket: u64,
        verdict: Verdict,
        work: &mut Work,
    ) -> Result<(), Ended> {
        // Of a session before this one: the SMSC sends it again.
        let Some(sequence) = self.inbound.remove(&ticket) else {
            return Ok(());
        };
        let counts = &work.outcome.counts;
        let count = match verdict {
            Verdict::Taken => &counts.inbound,
            Verdict::Nobody | Verdict::Later => &counts.inbound_refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.send(status_of(verdict), sequence, DeliverSmResp::default())
            .await
    }

    async fn receive(&mut self) -> Result<Command, Ended> {
        match self.framed.next().await {
            Some(Ok(command)) => Ok(command),
            _ => Err(Ended::Broken),
        }
    }

    async fn send(
        &mut self,
        status: CommandStatus,
        sequence: u32,
        pdu: impl Into<Pdu>,
    ) -> Result<(), Ended> {
        let command = Command::new(status, sequence, pdu);
        let sent = timeout(ANSWER_LIMIT, self.framed.send(command)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Broken),
            Err(_) => Err(Ended::Silent),
        }
    }

    /// From 1 to 0x7fffffff (section 5.1.4).
    fn next_sequence(&mut self) -> u32 {
        let sequence = self.sequence;
        self.sequence = if sequence >= 0x7fff_ffff {
            1
        } else {
            sequence + 1
        };
        sequence
    }
}

/// What an SMSC is told (section 5.1.3): that it is done, never will be, or is to be tried again.
const fn status_of(verdict: Verdict) -> CommandStatus {
    match verdict {
        Verdict::Taken => CommandStatus::EsmeRok,
        Verdict::Nobody => CommandStatus::EsmeRxPAppn,
        Verdict::Later => CommandStatus::EsmeRxTAppn,
    }
}

/// The service centre's time of a text that comes now.
fn unix_seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// What a receipt says, as far as it is the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    Lost,
}

/// Of which text a receipt is, and what it says: by its parameters, or by its text, which is the
/// same everywhere by custom (appendix B).
fn receipt(deliver: &DeliverSm) -> Option<(String, Fate)> {
    let (mut id, mut fate) = (None, None);
    for tlv in deliver.tlvs() {
        match tlv.value() {
            Some(TlvValue::ReceiptedMessageId(named)) => id = Some(named.to_string()),
            Some(TlvValue::MessageState(state)) => {
                fate = match state {
                    MessageState::Delivered => Some(Fate::Delivered),
                    MessageState::Expired
                    | MessageState::Deleted
                    | MessageState::Undeliverable
                    | MessageState::Rejected => Some(Fate::Lost),
                    _ => None,
                };
            }
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(deliver.short_message().as_ref()).into_owned();
    let word = |name: &str| {
        let (_, behind) = text.split_once(name)?;
        behind.split_whitespace().next().map(str::to_owned)
    };
    let id = id.or_else(|| word("id:"))?;
    let fate = fate.or_else(|| match word("stat:")?.as_str() {
        "DELIVRD" => Some(Fate::Delivered),
        "EXPIRED" | "DELETED" | "UNDELIV" | "REJECTD" => Some(Fate::Lost),
        _ => None,
    })?;
    Some((id, fate))
}

#[cfg(test)]
mod tests;
