//! Writing to a phone: what it costs, and giving the text to the relay once.
//!
//! A text waits here until the relay's gateway has it, and is submitted again after each
//! login: the relay knows its id, and never sends a text twice. Before that the number is
//! looked up in the key log: if it is on Waxwing by now, nothing is sent, and the person is
//! asked.
//!
//! **Elsewhere**: what happened to a text arrives as a post: [`super::receive`].
//!
//! **Always**: a text that may have been sent is never sent again automatically.

use prost::Message as _;
use rusqlite::OptionalExtension as _;
use waxwing_protocol::{
    address::{Address, AddressKind},
    limits,
    pb::{Error, ErrorCode, SendSms, SmsTerms, client_frame::Body},
};
use waxwing_sms::{DataCoding, concatenation};

use super::{add, conversation, outgoing_id, receive};
use crate::{
    api::{self, MessageState, Problem, Response, Sent, SmsEncoding, SmsQuote},
    conversation::{
        self, Kind,
        history::{self, NewText},
        pages, sms_names,
        target::{self, Target},
    },
    event::LinkKind,
    link::{self, Job, problem_of},
    message::text_details::TextDetails,
    settings::{self, Setting},
    trust::lookups::LookUpOutcome,
    turn::{EventError, Fault, Postponed, Turn},
};

/// Texts that may wait.
const WAITING_MAX: i64 = 200;

/// The relay has this device's key, and says what it asks.
pub(crate) fn handle_terms(turn: &mut Turn<'_>, terms: &SmsTerms) -> Result<(), Fault> {
    turn.memory.sms_mut().relay_has_key = true;
    let fits = |price: &&waxwing_protocol::pb::SmsPrice| {
        price.price.len() <= limits::SMS_PRICE_BYTES && price.prefix.len() <= 16
    };
    let kept = SmsTerms {
        offered: terms.offered,
        prices: terms
            .prices
            .iter()
            .take(limits::SMS_PRICES)
            .filter(fits)
            .cloned()
            .collect(),
    };
    settings::write(turn.tx, Setting::SmsTerms, kept.encode_to_vec())?;
    Ok(())
}

/// The relay does not want the key: one of before there were texts.
pub(crate) fn handle_key_refused(turn: &mut Turn<'_>, error: &Error) -> Result<(), Fault> {
    // Not asked again before the next login.
    turn.memory.sms_mut().relay_has_key = true;
    if error.code() == ErrorCode::Unsupported {
        settings::forget(turn.tx, Setting::SmsTerms)?;
    }
    Ok(())
}

/// What the relay asks, once it has said so.
fn terms(turn: &Turn<'_>) -> Result<Option<SmsTerms>, Fault> {
    let kept: Option<Vec<u8>> = settings::read(turn.tx, Setting::SmsTerms)?;
    Ok(kept.and_then(|kept| SmsTerms::decode(kept.as_slice()).ok()))
}

/// Whom a text is for.
fn recipient(turn: &Turn<'_>, to: &str) -> Result<Address, EventError> {
    let to = to.trim();
    let number = if to.parse::<api::ConversationId>().is_ok() {
        match target::find(turn.tx, to)? {
            Target::Conversation(found) if found.kind == Kind::Sms => found.display,
            _ => return Err(EventError::Refused(Problem::SmsNeedsNumber)),
        }
    } else {
        to.to_owned()
    };
    let number = number.strip_prefix("sms:").unwrap_or(&number);
    match Address::parse(number) {
        Ok(address) if address.kind() == AddressKind::Phone => Ok(address),
        Ok(_) => Err(EventError::Refused(Problem::SmsNeedsNumber)),
        Err(_) => Err(EventError::Refused(Problem::SmsCannotBeAnswered {
            sender: number.to_owned(),
        })),
    }
}

/// What a text would cost.
pub(crate) fn quote(turn: &Turn<'_>, asked: &api::QuoteSms) -> Result<Response, EventError> {
    let to = recipient(turn, &asked.to)?;
    Ok(Response::SmsQuote(quoted(turn, &to, &asked.text)?))
}

fn quoted(turn: &Turn<'_>, to: &Address, text: &str) -> Result<SmsQuote, EventError> {
    if text.trim().is_empty() {
        return Err(EventError::Refused(Problem::MessageEmpty));
    }
    let too_long = |segments| {
        EventError::Refused(Problem::SmsTooLong {
            segments,
            limit: limits::SMS_SEGMENTS,
        })
    };
    let cost = concatenation::cost(text).map_err(|_| too_long(u32::MAX))?;
    let segments = u32::try_from(cost.segments).unwrap_or(u32::MAX);
    if segments > limits::SMS_SEGMENTS || text.len() > limits::SMS_TEXT_BYTES {
        return Err(too_long(segments));
    }
    let terms = terms(turn)?;
    let prices = terms.iter().flat_map(|terms| &terms.prices);
    let price = prices
        .filter(|one| to.canonical().starts_with(&one.prefix))
        .max_by_key(|one| one.prefix.len())
        .map(|one| one.price.clone());
    Ok(SmsQuote {
        to: to.canonical().to_owned(),
        segments,
        encoding: if cost.coding == DataCoding::UTF16 {
            SmsEncoding::Utf16
        } else {
            SmsEncoding::Gsm7
        },
        characters_left: u32::try_from(cost.left).unwrap_or(u32::MAX),
        total: price.as_deref().and_then(|price| times(price, segments)),
        price,
        offered: terms.as_ref().map(|terms| terms.offered),
        understood: settings::read(turn.tx, Setting::SmsUnderstood)?.unwrap_or(false),
    })
}

/// A price such as `0.07 EUR`, so many times; none where it is not written so.
fn times(price: &str, count: u32) -> Option<String> {
    let (number, currency) = price.split_once(' ').unwrap_or((price, ""));
    let (whole, parts) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{parts}");
    let all_digits = !digits.is_empty() && digits.bytes().all(|one| one.is_ascii_digit());
    if !all_digits || digits.len() > 12 {
        return None;
    }
    let sum = digits.parse::<u64>().ok()?.checked_mul(u64::from(count))?;
    let width = parts.len() + 1;
    let sum = format!("{sum:0>width$}");
    let (whole, parts) = sum.split_at_checked(sum.len() - parts.len())?;
    let point = if parts.is_empty() { "" } else { "." };
    Some(
        format!("{whole}{point}{parts} {currency}")
            .trim_end()
            .to_owned(),
    )
}

/// Writes to a phone.
pub(crate) fn send(turn: &mut Turn<'_>, asked: &api::SendSms) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    let (account, from) = (own.id(), own.address().clone());
    if from.kind() != AddressKind::Phone {
        return Err(EventError::Refused(Problem::SmsNeedsOwnNumber));
    }
    let to = recipient(turn, &asked.to)?;
    let quote = quoted(turn, &to, &asked.text)?;
    if quote.offered == Some(false) {
        return Err(EventError::Refused(Problem::SmsNotOffered));
    }
    if !quote.understood && !asked.understood {
        return Err(EventError::Refused(Problem::SmsNotUnderstood));
    }
    if asked.segments.is_some_and(|most| quote.segments > most) {
        return Err(EventError::Refused(Problem::SmsTooLong {
            segments: quote.segments,
            limit: asked.segments.unwrap_or_default(),
        }));
    }
    let waiting: i64 = turn
        .tx
        .query_row("SELECT count(*) FROM sms_outgoing", [], |row| row.get(0))?;
    if waiting >= WAITING_MAX {
        return Err(EventError::Refused(Problem::OutboxFull {
            limit: WAITING_MAX.unsigned_abs(),
        }));
    }
    settings::write(turn.tx, Setting::SmsUnderstood, true)?;
    let conversation = conversation(turn, &sms_names::sms_name(to.canonical(), true))?;
    let sms_id: [u8; 16] = turn.random();
    let id = outgoing_id(account, &sms_id);
    let new = NewText {
        id,
        conversation: conversation.id,
        from: from.display(),
        direction: api::Direction::Out,
        text: &asked.text,
        sent_at: turn.now,
    };
    let details = TextDetails {
        segments: Some(quote.segments),
        ..TextDetails::default()
    };
    add(turn, &new, &details)?;
    conversation::set_written_to(turn.tx, conversation.id)?;
    turn.tx.execute(
        "INSERT INTO sms_outgoing (sms_id, conversation, number, text, segments, even_so)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            sms_id,
            conversation.id.as_bytes(),
            to.canonical(),
            &asked.text,
            quote.segments,
            asked.even_so,
        ),
    )?;
    Ok(Response::Sent(Sent {
        id,
        conversation: conversation.id,
        state: MessageState::Queued,
    }))
}

/// A text that waits.
struct WaitingText {
    row: i64,
    sms_id: [u8; 16],
    number: String,
    text: String,
    segments: u32,
    even_so: bool,
}

/// The next text that is to be handed over.
fn next(turn: &Turn<'_>) -> Result<Option<WaitingText>, Fault> {
    Ok(turn
        .tx
        .prepare_cached(
            "SELECT id, sms_id, number, text, segments, even_so FROM sms_outgoing
             WHERE NOT handed ORDER BY id LIMIT 1",
        )?
        .query_row([], |row| {
            Ok(WaitingText {
                row: row.get(0)?,
                sms_id: row.get(1)?,
                number: row.get(2)?,
                text: row.get(3)?,
                segments: row.get(4)?,
                even_so: row.get(5)?,
            })
        })
        .optional()?)
}

/// Hands over what waits, one after the other.
pub(super) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    if !turn.memory.links.not_set_back || turn.is_postponed(&Postponed::Sms) {
        return Ok(());
    }
    while let Some(one) = next(turn)? {
        if turn.memory.links.mailbox.awaits(&Job::SendSms(one.row)) {
            return Ok(());
        }
        if !one.even_so {
            match turn.memory.lookups_mut().outcome(&one.number, turn.now) {
                None => {
                    turn.memory.lookups_mut().request_look_up(&one.number);
                    return Ok(());
                }
                Some(LookUpOutcome::Account(_)) => {
                    let address = one.number.clone();
                    give_up(turn, one.row, &Problem::SmsRecipientHere { address })?;
                    continue;
                }
                Some(LookUpOutcome::Nobody) => {}
            }
        }
        let from = turn.account()?.address().canonical().to_owned();
        let body = Body::SendSms(SendSms {
            sms_id: bytes::Bytes::copy_from_slice(&one.sms_id),
            from,
            to: one.number,
            text: one.text,
            segments: one.segments,
        });
        turn.send_request(LinkKind::Mailbox, Job::SendSms(one.row), body);
        return Ok(());
    }
    Ok(())
}

/// The relay has noted it: what becomes of it comes as a post.
pub(crate) fn handle_accepted(turn: &mut Turn<'_>, row: i64) -> Result<(), Fault> {
    turn.tx
        .execute("UPDATE sms_outgoing SET handed = 1 WHERE id = ?1", [row])?;
    Ok(())
}

/// The relay does not take it, or not now.
pub(crate) fn handle_refusal(turn: &mut Turn<'_>, row: i64, error: &Error) -> Result<(), Fault> {
    match error.code() {
        ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::MailboxFull => {
            turn.postpone(Postponed::Sms, link::retry_after(error));
            let problem = match error.code() {
                // Its disk is full, or its service centre does not answer: it does not say which.
                ErrorCode::Unavailable => Problem::RelayUnavailable,
                _ => problem_of(error),
            };
            waits(turn, row, &problem)
        }
        ErrorCode::SmsTooLong => {
            let problem = Problem::SmsTooLong {
                segments: u32::MAX,
                limit: limits::SMS_SEGMENTS,
            };
            give_up(turn, row, &problem)
        }
        ErrorCode::SmsRefused => give_up(turn, row, &Problem::SmsNotSentThere),
        ErrorCode::AddressUnknown | ErrorCode::Unauthorised => {
            give_up(turn, row, &Problem::SmsNeedsOwnNumber)
        }
        _ => give_up(turn, row, &problem_of(error)),
    }
}

/// Says what a text waits for.
fn waits(turn: &mut Turn<'_>, row: i64, problem: &Problem) -> Result<(), Fault> {
    let Some(id) = id_of(turn, row)? else {
        return Ok(());
    };
    if let Some(conversation) = pages::conversation_of(turn.tx, id)? {
        let report = problem.report();
        if history::set_problem(turn.tx, conversation, id, false, &report)? {
            turn.notify(api::Notice::MessageState(api::MessageChanged {
                id,
                conversation,
                state: MessageState::Queued,
                problem: Some(report),
            }));
        }
    }
    Ok(())
}

fn give_up(turn: &mut Turn<'_>, row: i64, problem: &Problem) -> Result<(), Fault> {
    let id = id_of(turn, row)?;
    turn.tx
        .execute("DELETE FROM sms_outgoing WHERE id = ?1", [row])?;
    match id {
        Some(id) => receive::fail(turn, id, problem),
        None => Ok(()),
    }
}

fn id_of(turn: &Turn<'_>, row: i64) -> Result<Option<api::MessageId>, Fault> {
    let sms_id: Option<Vec<u8>> = turn
        .tx
        .query_row(
            "SELECT sms_id FROM sms_outgoing WHERE id = ?1",
            [row],
            |row| row.get(0),
        )
        .optional()?;
    let account = turn.account()?.id();
    Ok(sms_id.map(|sms_id| outgoing_id(account, &sms_id)))
}

#[cfg(test)]
mod tests {
    use super::times;

    #[test]
    fn prices_are_added_as_people_would() {
        assert_eq!(times("0.07 EUR", 3).as_deref(), Some("0.21 EUR"));
        assert_eq!(times("0.075 EUR", 10).as_deref(), Some("0.750 EUR"));
        assert_eq!(times("5 øre", 2).as_deref(), Some("10 øre"));
        assert_eq!(times("12.50", 1).as_deref(), Some("12.50"));
        assert_eq!(times("free", 1), None);
        assert_eq!(times("-1 EUR", 1), None);
        assert_eq!(times("", 1), None);
    }
}
