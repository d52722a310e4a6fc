use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use rusmpp::pdus::SubmitSm;
use rusmpp::types::OctetString;
use rusmpp::values::{DataCoding, EsmClass, MessageState, Ton};

use super::*;
use crate::link::LinkId;
use crate::mail::LetterRequest;
use crate::sms::{SmscUrl, Text, TextCounts, TextOutcome};

/// The other side: an SMSC of a few lines.
struct Center {
    framed: Framed<DuplexStream, CommandCodec>,
}

impl Center {
    async fn receive(&mut self) -> Command {
        self.framed.next().await.unwrap().unwrap()
    }

    async fn answer(&mut self, to: &Command, status: CommandStatus, pdu: impl Into<Pdu>) {
        let command = Command::new(status, to.sequence_number(), pdu);
        self.framed.send(command).await.unwrap();
    }

    async fn bound(&mut self) {
        let bind = self.receive().await;
        let Some(Pdu::BindTransceiver(asked)) = bind.pdu() else {
            panic!("no bind");
        };
        assert_eq!(asked.system_id.to_string(), "waxwing");
        assert_eq!(asked.password.to_string(), "secret");
        let pdu = rusmpp::pdus::BindTransceiverResp::default();
        self.answer(&bind, CommandStatus::EsmeRok, pdu).await;
    }

    async fn submission(&mut self) -> (Command, SubmitSm) {
        let command = self.receive().await;
        match command.pdu() {
            Some(Pdu::SubmitSm(submission)) => (command.clone(), submission.clone()),
            other => panic!("{:?}", other.map(Pdu::command_id)),
        }
    }

    async fn take(&mut self, of: &Command, id: &str) {
        let answer = rusmpp::pdus::SubmitSmResp::builder()
            .message_id(c_string(id).unwrap())
            .build();
        self.answer(of, CommandStatus::EsmeRok, answer).await;
    }

    /// With an octet for each septet, which are those of ASCII for letters and digits.
    async fn takes_next(&mut self, id: &str) -> String {
        let (command, submission) = self.submission().await;
        self.take(&command, id).await;
        String::from_utf8_lossy(submission.short_message().as_ref()).into_owned()
    }

    async fn receipt(&mut self, text: &str) -> Command {
        let deliver = DeliverSm::builder()
            .esm_class(EsmClass::from(0x04))
            .short_message(OctetString::from_slice(text.as_bytes()).unwrap())
            .build();
        self.deliver(deliver).await
    }

    async fn deliver(&mut self, deliver: DeliverSm) -> Command {
        let command = Command::new(CommandStatus::EsmeRok, 77, deliver);
        self.framed.send(command).await.unwrap();
        self.receive().await
    }
}

/// What is sent, over all sessions of a test.
struct Side {
    texts: mpsc::Sender<Text>,
    failures: mpsc::Receiver<LetterRequest>,
    reports: mpsc::UnboundedReceiver<SmsReport>,
    verdicts: mpsc::UnboundedSender<(u64, Verdict)>,
    counts: Arc<TextCounts>,
    connector: Arc<Connector>,
    work: Option<SmscQueue>,
}

impl Side {
    fn new(change: fn(&mut Smsc)) -> Self {
        let url = SmscUrl::parse("smpp://waxwing:secret@localhost").unwrap();
        let mut smsc = Smsc::new(url, "Waxwing");
        change(&mut smsc);
        let (texts, queue) = mpsc::channel(100);
        let (sender, failures) = mpsc::channel(100);
        let counts = Arc::new(TextCounts::default());
        let (reports, reported) = mpsc::unbounded_channel();
        let (verdicts, said) = mpsc::unbounded_channel();
        let outcome = TextOutcome {
            counts: Arc::clone(&counts),
            failures: sender,
            reports,
        };
        Self {
            texts,
            failures,
            counts,
            connector: Arc::new(Connector::new(&smsc).unwrap()),
            work: Some(SmscQueue {
                queue,
                ready: VecDeque::new(),
                verdicts: said,
                tickets: 0,
                outcome,
            }),
            reports: reported,
            verdicts,
        }
    }

    fn open(&mut self) -> (Center, JoinHandle<(Ended, SmscQueue)>) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let connector = Arc::clone(&self.connector);
        let mut work = self.work.take().unwrap();
        let session = tokio::spawn(async move {
            let ended = connector.session(ours, &mut work).await;
            (ended, work)
        });
        let framed = Framed::new(theirs, CommandCodec::new());
        (Center { framed }, session)
    }

    fn say(&self, text: &str) {
        let text = Text {
            to: "+358401234567".to_owned(),
            text: text.to_owned(),
            until: Instant::now() + Duration::from_mins(10),
            origin: Origin::Code(LetterRequest {
                link: LinkId(1),
                request: u32::try_from(text.len()).unwrap(),
            }),
        };
        self.texts.try_send(text).unwrap();
    }

    fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_is_submitted_as_what_it_is() {
    let mut side = Side::new(|_| {});
    side.say("Hi 5€");
    let (mut center, _session) = side.open();
    center.bound().await;
    let (command, submission) = center.submission().await;
    assert_eq!(submission.destination_addr.to_string(), "358401234567");
    assert_eq!(submission.dest_addr_ton, Ton::International);
    assert_eq!(submission.source_addr.to_string(), "Waxwing");
    assert_eq!(submission.source_addr_ton, Ton::Alphanumeric);
    assert_eq!(u8::from(submission.esm_class), 0);
    assert_eq!(u8::from(submission.registered_delivery), 1);
    assert_eq!(submission.short_message().as_ref(), b"Hi 5\x1b\x65");
    center.take(&command, "id-1").await;
    center
        .receipt("id:id-1 sub:001 dlvrd:001 stat:DELIVRD err:000 text:Hi")
        .await;
    assert_eq!(side.sent(), 1);
    assert_eq!(side.counts.delivered.load(Ordering::Relaxed), 1);
    assert!(side.failures.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_long_text_is_submitted_in_parts_and_counts_once() {
    let mut side = Side::new(|_| {});
    side.say(&"ő".repeat(150));
    let (mut center, _session) = side.open();
    center.bound().await;
    for number in 1..=3_u8 {
        let (command, submission) = center.submission().await;
        assert_eq!(u8::from(submission.esm_class), 0x40);
        assert_eq!(submission.data_coding, DataCoding::Ucs2);
        let message = submission.short_message().as_ref();
        assert_eq!(message[..3], [6, 8, 4]);
        assert_eq!(message[5..7], [3, number]);
        assert_eq!(side.sent(), 0);
        center.take(&command, "x").await;
    }
    center.receipt("").await;
    assert_eq!(side.sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_unanswered_than_the_window_allows() {
    let mut side = Side::new(|smsc| smsc.window = 2);
    for text in ["one", "two", "three"] {
        side.say(text);
    }
    let (mut center, _session) = side.open();
    center.bound().await;
    let (first, _) = center.submission().await;
    let (_second, _) = center.submission().await;
    let third = timeout(Duration::from_secs(5), center.receive()).await;
    assert!(third.is_err(), "the window is full");
    center.take(&first, "1").await;
    assert_eq!(center.takes_next("3").await, "three");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_made_in_a_second_than_may_be() {
    let mut side = Side::new(|smsc| {
        smsc.window = 100;
        smsc.per_second = 5;
    });
    for _ in 0..50 {
        side.say("x");
    }
    let (mut center, _session) = side.open();
    center.bound().await;
    let began = Instant::now();
    for _ in 0..50 {
        center.takes_next("x").await;
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(9_700), "{took:?}");
    assert!(took <= Duration::from_millis(10_500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_smsc_that_asks_for_less_gets_less_and_all_in_the_end() {
    let mut side = Side::new(|_| {});
    side.say("hello");
    let (mut center, _session) = side.open();
    center.bound().await;
    for status in [CommandStatus::EsmeRthrottled, CommandStatus::EsmeRmsgqful] {
        let (command, _) = center.submission().await;
        let asked = Instant::now();
        let answer = rusmpp::pdus::SubmitSmResp::default();
        center.answer(&command, status, answer).await;
        let (again, _) = center.submission().await;
        assert!(asked.elapsed() >= THROTTLED);
        let answer = rusmpp::pdus::SubmitSmResp::default();
        center.answer(&again, status, answer).await;
    }
    assert_eq!(center.takes_next("1").await, "hello");
    center.receipt("").await;
    assert_eq!(side.sent(), 1);
    assert_eq!(side.counts.throttled.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn an_smsc_that_says_that_it_is_busy_is_left_alone_for_a_while() {
    let mut side = Side::new(|smsc| smsc.version = Version::V5_0);
    side.say("one");
    side.say("two");
    let (mut center, _session) = side.open();
    center.bound().await;
    let (command, _) = center.submission().await;
    let asked = Instant::now();
    let sequence = command.sequence_number().to_be_bytes();
    // submit_sm_resp with message_id "1" and congestion_state 100.
    let mut answer = vec![0, 0, 0, 23, 0x80, 0, 0, 4, 0, 0, 0, 0];
    answer.extend(sequence);
    answer.extend(*b"1\0");
    answer.extend([0x04, 0x28, 0, 1, 100]);
    let socket = center.framed.get_mut();
    tokio::io::AsyncWriteExt::write_all(socket, &answer)
        .await
        .unwrap();
    center.submission().await;
    assert!(asked.elapsed() >= THROTTLED);
}

#[tokio::test(start_paused = true)]
async fn a_text_unanswered_in_a_broken_session_is_sent_in_the_next() {
    let mut side = Side::new(|_| {});
    for text in ["one", "three", "four"] {
        side.say(text);
    }
    let (mut center, session) = side.open();
    center.bound().await;
    assert_eq!(center.takes_next("1").await, "one");
    center.submission().await;
    center.submission().await;
    drop(center);
    let (ended, work) = session.await.unwrap();
    assert_eq!(ended, Ended::Broken);
    side.work = Some(work);
    let (mut center, _session) = side.open();
    center.bound().await;
    assert_eq!(center.takes_next("2").await, "three");
    assert_eq!(center.takes_next("3").await, "four");
    center.receipt("").await;
    assert_eq!(side.sent(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_refused_or_does_not_arrive_is_told() {
    let mut side = Side::new(|_| {});
    side.say("refused");
    side.say("lost");
    let (mut center, _session) = side.open();
    center.bound().await;
    let (command, _) = center.submission().await;
    let answer = rusmpp::pdus::SubmitSmResp::default();
    let status = CommandStatus::EsmeRinvdstadr;
    center.answer(&command, status, answer).await;
    assert_eq!(side.failures.recv().await.unwrap().request, 7);
    center.takes_next("17").await;
    let receipt = DeliverSm::builder()
        .esm_class(EsmClass::from(0x04))
        .push_tlv(
            rusmpp::tlvs::MessageDeliveryRequestTlvValue::ReceiptedMessageId(
                c_string("17").unwrap(),
            ),
        )
        .push_tlv(rusmpp::tlvs::MessageDeliveryRequestTlvValue::MessageState(
            MessageState::Undeliverable,
        ))
        .build();
    let answer = center.deliver(receipt).await;
    assert_eq!(answer.status(), CommandStatus::EsmeRok);
    assert_eq!(side.failures.recv().await.unwrap().request, 4);
    assert_eq!(side.counts.undelivered.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_too_late_is_given_up_and_not_sent() {
    let mut side = Side::new(|_| {});
    side.say("old");
    tokio::time::sleep(Duration::from_mins(11)).await;
    side.say("newer");
    let (mut center, _session) = side.open();
    center.bound().await;
    assert_eq!(center.takes_next("1").await, "newer");
    assert_eq!(side.failures.recv().await.unwrap().request, 3);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told() {
    let mut side = Side::new(|_| {});
    let (mut center, session) = side.open();
    let bind = center.receive().await;
    let pdu = rusmpp::pdus::BindTransceiverResp::default();
    center
        .answer(&bind, CommandStatus::EsmeRbindfail, pdu)
        .await;
    let (ended, _) = session.await.unwrap();
    assert_eq!(ended, Ended::Refused(0x0d));
    assert!(!format!("{ended}").contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_asked_whether_they_are_there() {
    let mut side = Side::new(|_| {});
    let (mut center, session) = side.open();
    center.bound().await;
    // We ask when it is quiet.
    let asked = center.receive().await;
    assert!(matches!(asked.pdu(), Some(Pdu::EnquireLink)));
    center
        .answer(&asked, CommandStatus::EsmeRok, Pdu::EnquireLinkResp)
        .await;
    // And answer.
    let ask = Command::new(CommandStatus::EsmeRok, 5, Pdu::EnquireLink);
    center.framed.send(ask).await.unwrap();
    let answer = center.receive().await;
    assert!(matches!(answer.pdu(), Some(Pdu::EnquireLinkResp)));
    assert_eq!(answer.sequence_number(), 5);
    // Whoever does not is not there.
    center.receive().await;
    let (ended, _) = session.await.unwrap();
    assert_eq!(ended, Ended::Silent);
}

#[tokio::test(start_paused = true)]
async fn a_text_from_a_phone_is_answered_when_it_is_on_disk() {
    let mut side = Side::new(|_| {});
    let (mut center, _session) = side.open();
    center.bound().await;
    assert!(matches!(
        side.reports.recv().await,
        Some(SmsReport::Connected(true))
    ));
    for (verdict, status) in [
        (Verdict::Taken, CommandStatus::EsmeRok),
        (Verdict::Later, CommandStatus::EsmeRxTAppn),
        (Verdict::Nobody, CommandStatus::EsmeRxPAppn),
    ] {
        let command = Command::new(CommandStatus::EsmeRok, 78, from_a_phone("358401234567"));
        center.framed.send(command).await.unwrap();
        let Some(SmsReport::Came { ticket, to, tpdus }) = side.reports.recv().await else {
            panic!("nothing came");
        };
        assert_eq!((to.as_str(), tpdus.len()), ("+358401234567", 1));
        side.verdicts.send((ticket, verdict)).unwrap();
        let answer = center.receive().await;
        assert_eq!((answer.sequence_number(), answer.status()), (78, status));
    }
    assert_eq!(side.counts.inbound.load(Ordering::Relaxed), 1);
    assert_eq!(side.counts.inbound_refused.load(Ordering::Relaxed), 2);
}

fn from_a_phone(to: &str) -> DeliverSm {
    DeliverSm::builder()
        .esm_class(EsmClass::from(0))
        .source_addr(c_string("46708251358").unwrap())
        .dest_addr_ton(Ton::International)
        .destination_addr(c_string(to).unwrap())
        .short_message(OctetString::from_slice(b"hello").unwrap())
        .build()
}

#[tokio::test(start_paused = true)]
async fn a_text_is_not_submitted_again_when_a_session_breaks() {
    let mut side = Side::new(|_| {});
    let id = crate::effect::SmsId::of_a_test();
    let text = Text {
        to: "+46708251358".to_owned(),
        text: "hello".to_owned(),
        until: Instant::now() + Duration::from_mins(10),
        origin: Origin::Account {
            id,
            from: "+358401234567".to_owned(),
        },
    };
    side.texts.try_send(text).unwrap();
    let (mut center, session) = side.open();
    center.bound().await;
    let (_, submission) = center.submission().await;
    assert_eq!(submission.source_addr.to_string(), "358401234567");
    drop(center);
    let (_, work) = session.await.unwrap();
    assert!(matches!(
        side.reports.recv().await,
        Some(SmsReport::Connected(true))
    ));
    assert!(matches!(side.reports.recv().await, Some(SmsReport::Unanswered(one)) if one == id));
    assert!(work.ready.is_empty());
}

/// Somebody's text of three messages.
fn long_text() -> (Text, crate::effect::SmsId) {
    let id = crate::effect::SmsId::of_a_test();
    let text = Text {
        to: "+46708251358".to_owned(),
        text: "ő".repeat(150),
        until: Instant::now() + Duration::from_mins(10),
        origin: Origin::Account {
            id,
            from: "+358401234567".to_owned(),
        },
    };
    (text, id)
}

/// Whether it is said that nothing was sent, which lets people send it again.
async fn told_of_refusal(reports: &mut mpsc::UnboundedReceiver<SmsReport>) -> bool {
    loop {
        match reports.recv().await.unwrap() {
            SmsReport::Refused(_) => return true,
            SmsReport::Unanswered(_) => return false,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_refused_half_way_is_never_called_unsent() {
    let refusal = rusmpp::pdus::SubmitSmResp::default;
    let status = CommandStatus::EsmeRinvdstadr;
    // In whatever order the SMSC answers the three messages that it has: which it refuses.
    for (order, refused) in [
        ([0, 1, 2], vec![0]),
        ([0, 1, 2], vec![2]),
        ([2, 0, 1], vec![2]),
        ([1, 0, 2], vec![1, 0]),
    ] {
        let mut side = Side::new(|smsc| smsc.per_second = 1000);
        let (text, _) = long_text();
        side.texts.try_send(text).unwrap();
        let (mut center, _session) = side.open();
        center.bound().await;
        let mut got = Vec::new();
        for _ in 0..3 {
            got.push(center.submission().await.0);
        }
        for one in order {
            if refused.contains(&one) {
                center.answer(&got[one], status, refusal()).await;
            } else {
                center.take(&got[one], "x").await;
            }
        }
        assert!(
            !told_of_refusal(&mut side.reports).await,
            "{order:?} {refused:?}"
        );
    }
    // If none was taken, that is said, once.
    let mut side = Side::new(|smsc| smsc.per_second = 1000);
    side.texts.try_send(long_text().0).unwrap();
    let (mut center, _session) = side.open();
    center.bound().await;
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(center.submission().await.0);
    }
    for one in &got {
        center.answer(one, status, refusal()).await;
    }
    assert!(told_of_refusal(&mut side.reports).await);
    center.receipt("").await;
    assert!(side.reports.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_and_a_broken_session_are_not_called_unsent() {
    let mut side = Side::new(|smsc| smsc.per_second = 1000);
    side.texts.try_send(long_text().0).unwrap();
    let (mut center, session) = side.open();
    center.bound().await;
    let (first, _) = center.submission().await;
    center.submission().await;
    let answer = rusmpp::pdus::SubmitSmResp::default();
    let status = CommandStatus::EsmeRinvdstadr;
    center.answer(&first, status, answer).await;
    drop(center);
    session.await.unwrap();
    assert!(!told_of_refusal(&mut side.reports).await);
}

#[tokio::test(start_paused = true)]
async fn a_text_to_what_is_no_number_is_refused_at_once() {
    let mut side = Side::new(|_| {});
    let (mut center, _session) = side.open();
    center.bound().await;
    let answer = center.deliver(from_a_phone("waxwing")).await;
    assert_eq!(answer.status(), CommandStatus::EsmeRxPAppn);
    assert_eq!(side.counts.inbound_refused.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_smsc_asks_is_no_answer_whatever_its_number() {
    let mut side = Side::new(|_| {});
    side.say("hello");
    let (mut center, _session) = side.open();
    center.bound().await;
    let (submission, _) = center.submission().await;
    let sequence = submission.sequence_number();
    let ask = Command::new(CommandStatus::EsmeRok, sequence, Pdu::EnquireLink);
    center.framed.send(ask).await.unwrap();
    let answer = center.receive().await;
    assert_eq!(answer.id(), CommandId::EnquireLinkResp);
    assert_eq!(side.sent(), 0);
    center.take(&submission, "1").await;
    center.receipt("").await;
    assert_eq!(side.sent(), 1);
}

#[test]
fn who_texts_come_from_is_a_number_or_a_name() {
    let kind = |from: &str| {
        source(from)
            .map(|one| (one.kind, one.address.to_string()))
            .ok()
    };
    let international = Some((Ton::International, "15551234567".to_owned()));
    assert_eq!(kind("+15551234567"), international);
    assert_eq!(
        kind("16007"),
        Some((Ton::NetworkSpecific, "16007".to_owned()))
    );
    assert_eq!(
        kind("Waxwing"),
        Some((Ton::Alphanumeric, "Waxwing".to_owned()))
    );
    for wrong in [
        "",
        " ",
        "+",
        "+1555x",
        "Twelve_Chars",
        "Wäxwing",
        "1234567890123456",
    ] {
        assert_eq!(kind(wrong), None, "{wrong}");
    }
}
