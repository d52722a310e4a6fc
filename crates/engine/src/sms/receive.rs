//! Handles what the relay has sealed to this device: a text that arrived, one that another
//! device wrote, what happened to one.
//!
//! **Elsewhere**: parts of long texts are in [`super::parts`].
//!
//! **Always**: what does not open or decode is dropped, because nobody could send it again.

use prost::Message as _;
use waxwing_protocol::{
    address::{Address, AddressKind},
    limits,
    pb::{SealedSms, SmsCame, SmsFate, SmsTaken, sms_fate::Fate, sms_record::Record},
    time::Time,
};
use waxwing_sms::{
    Body, Deliver, Direction, Tpdu, TypeOfNumber,
    findings::{self, Contact, Known, Message},
};

use super::{add, conversation, incoming_id, outgoing_id, parts};
use crate::{
    api::{self, EventKind, MessageChanged, MessageId, MessageState, Notice, Problem, SmsFinding},
    contact::{self, profile},
    conversation::{
        Conversation,
        history::{self, NewText},
        pages, sms_names,
    },
    inbox::held_posts::ReceivedPost,
    message::{
        read_marks,
        text_details::{self, TextDetails},
    },
    synced_settings::{self, SettingKind},
    turn::{Fault, Turn},
};

/// People who may be imitated, at most: more are not looked through for each text.
const KNOWN_MAX: usize = 2_000;

/// A post of the relay's own came.
pub(super) fn handle_relay_post(turn: &mut Turn<'_>, post: &ReceivedPost) -> Result<(), Fault> {
    let device = turn.account()?.device();
    let Ok(sealed) = SealedSms::decode(post.body.as_slice()) else {
        return Ok(());
    };
    let Ok(record) = super::key(turn)?.open(device, &sealed) else {
        return Ok(());
    };
    match record.record {
        Some(Record::Came(came)) => self::handle_incoming_text(turn, &came, &post.id.0),
        Some(Record::Taken(taken)) => self::taken(turn, &taken),
        Some(Record::Fate(fate)) => self::handle_outcome(turn, &fate),
        None => Ok(()),
    }
}

/// Somebody has written from a phone, or has it look so.
fn handle_incoming_text(turn: &mut Turn<'_>, came: &SmsCame, post: &[u8; 16]) -> Result<(), Fault> {
    if came.tpdu.len() > limits::SMS_TPDU_BYTES {
        return Ok(());
    }
    let Ok(Tpdu::Deliver(deliver)) = Tpdu::decode(Direction::ToPhone, &came.tpdu) else {
        return Ok(());
    };
    let id = incoming_id(post);
    let known = sms_names::find_sms(turn.tx, &sender(&deliver))?.is_some();
    let conversation = conversation(turn, &sender(&deliver))?;
    let from = deliver.originator.to_string();
    if !known && Address::parse(&from).is_ok_and(|from| from.kind() == AddressKind::Phone) {
        // They may be on Waxwing: the person is told.
        turn.memory.lookups_mut().request_look_up(&from);
    }
    if deliver
        .user_data
        .header
        .part()
        .is_some_and(|part| part.of > 1)
    {
        return parts::handle_part(turn, &conversation, id, &deliver, &came.tpdu);
    }
    show(turn, &conversation, id, &Message::from(&deliver))
}

/// The conversation with the sender that it claims.
fn sender(deliver: &Deliver) -> String {
    let from = &deliver.originator;
    sms_names::sms_name(&from.to_string(), from.kind != TypeOfNumber::Alphanumeric)
}

/// A number is on Waxwing. Where there is a conversation with it by text messages, that is said
/// in it, once.
pub(crate) fn number_is_here(turn: &mut Turn<'_>, number: &str) -> Result<(), Fault> {
    let Some(conversation) = sms_names::find_sms(turn.tx, &sms_names::sms_name(number, true))?
    else {
        return Ok(());
    };
    let kind = EventKind::OnWaxwing;
    if !history::has_event(turn.tx, conversation.id, kind)? {
        let event = history::add_event(turn.tx, turn.now, conversation.id, kind, number)?;
        turn.notify(Notice::Event(event));
    }
    Ok(())
}

/// Shows a text, or shows it again when more of it is here.
pub(super) fn show(
    turn: &mut Turn<'_>,
    conversation: &Conversation,
    id: MessageId,
    message: &Message<'_>,
) -> Result<(), Fault> {
    let deliver = message.deliver;
    let found = findings::of(message, &known(turn)?);
    let details = TextDetails {
        segments: None,
        asks_reply_to: deliver.asks_reply_to().map(ToString::to_string),
        findings: found.iter().filter_map(shown_finding).collect(),
    };
    let text = match &deliver.user_data.body {
        Body::Text(text) => text.clone(),
        Body::Octets(octets) | Body::Compressed(octets) => {
            format!("[{} bytes that are not text]", octets.len())
        }
    };
    let sent_at = deliver
        .timestamp
        .unix_seconds()
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(turn.now, |seconds| Time(seconds.saturating_mul(1_000)))
        .min(turn.now);
    let from = deliver.originator.to_string();
    let new = NewText {
        id,
        conversation: conversation.id,
        from: &from,
        direction: api::Direction::In,
        text: &text,
        sent_at,
    };
    if !add(turn, &new, &details)? {
        // The same post may come again.
        if !history::set_text(turn.tx, conversation.id, id, &text)? {
            return Ok(());
        }
        text_details::store(turn.tx, (conversation.id, id), &details)?;
        return crate::message::commands::tell_changed(turn, conversation.id, id);
    }
    read_marks::apply_to_new_message(turn, conversation, id)?;
    if let Some(message) = pages::message(turn.reader(), conversation.id, id)? {
        turn.notify(Notice::Message(message));
    }
    Ok(())
}

fn shown_finding(finding: &findings::Finding) -> Option<SmsFinding> {
    let mut json = serde_json::to_value(finding).ok()?;
    let fields = json.as_object_mut()?;
    let severity = fields.remove("severity")?;
    let kind = fields.remove("kind")?.as_str()?.to_owned();
    Some(SmsFinding {
        severity: serde_json::from_value(severity).ok()?,
        kind,
        sentence: finding.sentence(),
        details: std::mem::take(fields),
    })
}

/// Whom this account knows: what a trick may imitate.
fn known(turn: &Turn<'_>) -> Result<Known, Fault> {
    let mut contacts = Vec::new();
    for one in contact::all(turn.tx)?.into_iter().take(KNOWN_MAX) {
        let nickname = synced_settings::value(turn.tx, SettingKind::Nickname, &one.account.0)?;
        let name = match String::from_utf8(nickname) {
            Ok(nickname) if !nickname.is_empty() => nickname,
            _ => profile::name_of(turn.tx, one.account)?.unwrap_or_default(),
        };
        let domain = one.address.rsplit_once('@').map(|(_, domain)| domain);
        contacts.push(Contact {
            name: if name.is_empty() {
                one.display.clone()
            } else {
                name
            },
            numbers: if domain.is_none() {
                vec![one.address.clone()]
            } else {
                Vec::new()
            },
            domains: domain.map(str::to_owned).into_iter().collect(),
        });
    }
    Ok(Known {
        contacts,
        short_codes: Vec::new(),
    })
}

/// A device of this account has written to a phone: perhaps this one.
fn taken(turn: &mut Turn<'_>, taken: &SmsTaken) -> Result<(), Fault> {
    let own = turn.account()?;
    let (account, from) = (own.id(), own.address().display().to_owned());
    let id = outgoing_id(account, &taken.sms_id);
    let conversation = conversation(turn, &sms_names::sms_name(&taken.to, true))?;
    let details = TextDetails {
        segments: Some(taken.segments),
        ..TextDetails::default()
    };
    let new = NewText {
        id,
        conversation: conversation.id,
        from: &from,
        direction: api::Direction::Out,
        text: &taken.text,
        sent_at: Time(taken.at_ms).min(turn.now),
    };
    if add(turn, &new, &details)?
        && let Some(message) = pages::message(turn.reader(), conversation.id, id)?
    {
        crate::conversation::set_written_to(turn.tx, conversation.id)?;
        turn.notify(Notice::Message(message));
    }
    Ok(())
}

fn handle_outcome(turn: &mut Turn<'_>, fate: &SmsFate) -> Result<(), Fault> {
    let id = outgoing_id(turn.account()?.id(), &fate.sms_id);
    turn.tx.execute(
        "DELETE FROM sms_outgoing WHERE sms_id = ?1",
        [fate.sms_id.as_ref()],
    )?;
    match fate.fate() {
        Fate::Accepted => raise(turn, id, MessageState::Accepted),
        Fate::Delivered => raise(turn, id, MessageState::Delivered),
        Fate::Refused => fail(turn, id, &Problem::SmsNotTaken),
        Fate::Undelivered => fail(turn, id, &Problem::SmsNotDelivered),
        Fate::Uncertain => fail(turn, id, &Problem::SmsUncertain),
        Fate::Unspecified => Ok(()),
    }
}

fn raise(turn: &mut Turn<'_>, id: MessageId, state: MessageState) -> Result<(), Fault> {
    let Some(conversation) = pages::conversation_of(turn.tx, id)? else {
        return Ok(());
    };
    if history::raise_state(turn.tx, conversation, id, state)? {
        turn.notify(Notice::MessageState(MessageChanged {
            id,
            conversation,
            state,
            problem: None,
        }));
    }
    Ok(())
}

/// It did not go, or did not arrive.
pub(super) fn fail(turn: &mut Turn<'_>, id: MessageId, problem: &Problem) -> Result<(), Fault> {
    let Some(conversation) = pages::conversation_of(turn.tx, id)? else {
        return Ok(());
    };
    let report = problem.report();
    history::fail(turn.tx, conversation, id, &report)?;
    turn.notify(Notice::MessageState(MessageChanged {
        id,
        conversation,
        state: MessageState::Failed,
        problem: Some(report),
    }));
    Ok(())
}
