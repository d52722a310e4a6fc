//! One session with an SMSC: SMPP 3.4 or 5.0, bound as a transceiver.
//!
//! **Elsewhere**: the module above starts one session after another; [`queue`](super::queue)
//! has what is submitted, [`receipt`](super::receipt) reads receipts; rusmpp has the frames.
//!
//! **Always**: there are never more unanswered submissions than the window allows, nor more in
//! a second than configured. A code that was not answered when a session ends is submitted
//! again in the next one: it may arrive twice, but is never lost. What people write is never
//! sent twice. What an SMSC says is not logged, because it may name a number.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rusmpp::pdus::{BindTransceiver, DeliverSm, DeliverSmResp, SubmitSmResp};
use rusmpp::tlvs::TlvValue;
use rusmpp::tokio_codec::CommandCodec;
use rusmpp::values::{CongestionState, InterfaceVersion};
use rusmpp::{Command, CommandId, CommandStatus, Pdu};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::codec::Framed;

use super::queue::{QueueStep, Sending, TextSegment, TextSender, c_string, source};
use super::receipt::{Fate, receipt};
use super::{Origin, SmsError, Smsc, SmscQueue, Version, inbound};
use crate::effect::Verdict;
use crate::texts::SmsReport;

/// Connecting and binding take so long together, at most.
const BIND_LIMIT: Duration = Duration::from_secs(20);
/// A quiet session is asked whether it is there after so long.
const QUIET: Duration = Duration::from_secs(30);
/// What is not answered for so long never will be.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Nothing is submitted for so long when the SMSC asks for less.
const THROTTLED: Duration = Duration::from_secs(2);
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
    source: TextSender,
    tls: Arc<ClientConfig>,
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
    pub(super) async fn run(&self, work: &mut SmscQueue) -> Ended {
        let url = &self.smsc.url;
        let Ok(socket) = waxwing_dial::connect(&url.host, url.port).await else {
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
        work: &mut SmscQueue,
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
        let mut back: Vec<(u32, TextSegment)> = session
            .unanswered
            .drain()
            .map(|(sequence, (segment, _))| (sequence, segment))
            .collect();
        back.sort_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
        for (_, segment) in back {
            segment.unanswered(work);
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

/// A session that is open.
struct Session<'a, S> {
    framed: Framed<S, CommandCodec>,
    connector: &'a Connector,
    sequence: u32,
    unanswered: HashMap<u32, (TextSegment, Instant)>,
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

    async fn work(&mut self, work: &mut SmscQueue) -> Ended {
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
                    Some(Ok(command)) => self.handle_command(command, work).await,
                    _ => Err(Ended::Broken),
                },
                next = work.next(may_submit) => match next {
                    QueueStep::Verdict(ticket, verdict) => self.answer(ticket, verdict, work).await,
                    QueueStep::Segment(segment) => self.submit(*segment, work).await,
                    QueueStep::Nothing => Err(Ended::NothingToCome),
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

    async fn submit(
        &mut self,
        mut segment: TextSegment,
        work: &mut SmscQueue,
    ) -> Result<(), Ended> {
        let Some(submission) = segment.submission(&self.connector.source) else {
            segment.give_up(&work.outcome);
            return Ok(());
        };
        let sequence = self.next_sequence();
        let now = Instant::now();
        let gap = Duration::from_secs(1) / self.connector.smsc.per_second.max(1);
        self.not_before = self.not_before.max(now) + gap;
        segment.submitted();
        self.unanswered.insert(sequence, (segment, now));
        self.send(CommandStatus::EsmeRok, sequence, submission)
            .await
    }

    async fn handle_command(
        &mut self,
        command: Command,
        work: &mut SmscQueue,
    ) -> Result<(), Ended> {
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
    fn answered(
        &mut self,
        segment: TextSegment,
        status: CommandStatus,
        id: String,
        work: &mut SmscQueue,
    ) {
        segment.answered();
        let text = Arc::clone(&segment.text);
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
        // Another message of it may have been refused before.
        text.conclude(&work.outcome);
    }

    /// A receipt is noted; a text from a phone is handed to the core, and answered later: none is
    /// given then.
    fn delivered(
        &mut self,
        deliver: &DeliverSm,
        sequence: u32,
        work: &mut SmscQueue,
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
                        text.given_up.store(true, Ordering::Relaxed);
                        text.conclude(&work.outcome);
                        counts.undelivered.fetch_add(1, Ordering::Relaxed)
                    }
                };
            } else {
                work.outcome.report(SmsReport::Became {
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
        work: &mut SmscQueue,
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
        work.outcome.report(SmsReport::Came {
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
        work: &mut SmscQueue,
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

/// The answer to an SMSC (section 5.1.3): done, never will be, or try again.
const fn status_of(verdict: Verdict) -> CommandStatus {
    match verdict {
        Verdict::Taken => CommandStatus::EsmeRok,
        Verdict::Nobody => CommandStatus::EsmeRxPAppn,
        Verdict::Later => CommandStatus::EsmeRxTAppn,
    }
}

/// The SMSC's time of a text that comes now.
fn unix_seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests;
