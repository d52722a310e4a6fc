//! What people and programs ask for, carried out.
//!
//! **Elsewhere**: the types are in [`crate::api`].
//!
//! **Always**: a command is checked whole before it changes anything.

use prost::Message as _;
use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    limits,
    pb::{Envelope, envelope},
};

use crate::{
    account,
    api::{
        self, ConversationId, Direction, MessageId, MessageState, Problem, ProblemReport,
        RegistrationStage, Request, Response, Sent,
    },
    contact,
    content::{self, Content, status::Status},
    conversation::{
        self, Conversation,
        history::{self, NewMessage},
    },
    engine::Stop,
    inbox::messages,
    link::registration,
    outbox::{self, receipts},
    queries,
    settings::{self, Setting},
    turn::{Fault, Turn},
};

/// Carries out a command.
pub(crate) fn carry_out(
    turn: &mut Turn<'_>,
    request: Request,
    link_problem: Option<ProblemReport>,
) -> Result<Response, Stop> {
    match request {
        Request::Register(register) => self::register(turn, &register),
        Request::SubmitCode(submit) => submit_code(turn, &submit.code),
        Request::ForgetRecoveryWords => {
            account::forget_recovery_words(turn.tx)?;
            Ok(Response::Done {})
        }
        Request::Send(send) => self::send(turn, &send),
        Request::MarkRead(mark) => mark_read(turn, &mark),
        Request::Block(block) => {
            let address = parse(&block.address)?;
            if contact::block(turn.tx, address.canonical(), block.blocked)? == 0 {
                return Err(Stop::Refused(Problem::ConversationUnknown {
                    name: block.address,
                }));
            }
            Ok(Response::Done {})
        }
        Request::SetReceipts(set) => {
            settings::write(turn.tx, Setting::TellDelivered, set.delivered)?;
            settings::write(turn.tx, Setting::TellRead, set.read)?;
            Ok(Response::Done {})
        }
        Request::History(history) => queries::history(turn.tx, &history),
        Request::Contacts => queries::contacts(turn),
        Request::Conversations => queries::conversations(turn.tx),
        Request::Account => queries::account(turn),
        Request::Status => queries::status(turn, link_problem),
    }
}

fn register(turn: &mut Turn<'_>, register: &api::Register) -> Result<Response, Stop> {
    let address = parse(&register.address)?;
    let stage = registration::read(turn.tx)?.map(|registration| registration.stage);
    if stage == Some(RegistrationStage::Registered) {
        return Err(Stop::Refused(Problem::AlreadyRegistered));
    }
    let url = register.relay.trim();
    let is_url = ["wss://", "https://", "waxwing://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    if !is_url {
        return Err(Stop::Refused(Problem::RelayUrlMalformed));
    }
    if register.pin.as_ref().is_some_and(|pin| !is_pin(pin)) {
        return Err(Stop::Refused(Problem::PinMalformed));
    }
    let before = settings::relay(turn.tx)?;
    settings::write(turn.tx, Setting::RelayUrl, url)?;
    settings::write(turn.tx, Setting::RelayPin, &register.pin)?;
    registration::begin(turn, &address)?;
    let after = settings::relay(turn.tx)?;
    if before.is_some() && before != after {
        // Another relay, or another pin: the link to the old one is of no use.
        turn.close_links();
    }
    Ok(Response::Done {})
}

/// `sha256/` and the base64 of 32 bytes.
fn is_pin(pin: &str) -> bool {
    pin.strip_prefix("sha256/").is_some_and(|hash| {
        hash.len() == 44
            && hash.ends_with('=')
            && hash
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
    })
}

fn submit_code(turn: &mut Turn<'_>, code: &str) -> Result<Response, Stop> {
    match registration::read(turn.tx)?.map(|registration| registration.stage) {
        Some(RegistrationStage::CodeSent) => {
            registration::take_code(turn, code)?;
            Ok(Response::Done {})
        }
        Some(RegistrationStage::Registered) => Err(Stop::Refused(Problem::AlreadyRegistered)),
        _ => Err(Stop::Refused(Problem::NoCodeAsked)),
    }
}

fn send(turn: &mut Turn<'_>, send: &api::SendText) -> Result<Response, Stop> {
    let Some(own) = &turn.live.account else {
        return Err(Stop::Refused(Problem::NotRegistered));
    };
    let (account, own_address) = (own.id(), own.address().clone());
    let bytes = send.text.len();
    if bytes > limits::TEXT_BYTES {
        return Err(Stop::Refused(Problem::MessageTooLarge {
            bytes: bytes as u64,
            limit: limits::TEXT_BYTES as u64,
        }));
    }
    if send.text.trim().is_empty() {
        return Err(Stop::Refused(Problem::MessageEmpty));
    }
    if outbox::waiting(turn.tx)? >= outbox::WAITING_MAX {
        return Err(Stop::Refused(Problem::OutboxFull {
            limit: outbox::WAITING_MAX,
        }));
    }
    let target = target(turn.tx, &send.to)?;
    match &target {
        Target::Address(address) if *address == own_address => {
            return Err(Stop::Refused(Problem::RecipientIsSelf));
        }
        Target::Conversation(conversation) => {
            if let Some(account) = conversation.account
                && contact::of_account(turn.tx, account)?.is_some_and(|contact| contact.blocked)
            {
                return Err(Stop::Refused(Problem::RecipientBlocked));
            }
        }
        Target::Address(_) => {}
    }
    let in_reply_to = match send.reply_to {
        None => None,
        Some(id) => Some(
            content::MessageId::from_bytes(id.as_bytes())
                .ok_or(Stop::Refused(Problem::MessageUnknown))?,
        ),
    };
    let conversation = match target {
        Target::Conversation(conversation) => conversation,
        Target::Address(address) => {
            conversation::start(turn.tx, turn.now, turn.rng, &address, None)?
        }
    };
    let salt = turn.random();
    let encoded = Content::text(salt, &send.text, in_reply_to).encode();
    let id = messages::id_of(account, &encoded, &salt);
    history::add_message(
        turn.tx,
        turn.now,
        &NewMessage {
            id,
            conversation: conversation.id,
            account,
            address: own_address.display(),
            verified: true,
            direction: Direction::Out,
            text: &send.text,
            content: None,
            reply_to: send.reply_to,
            sent_at: turn.now,
            fills: None,
        },
    )?;
    queue(turn, conversation.id, Some(id), encoded)?;
    if !conversation.written_to {
        conversation::set_written_to(turn.tx, conversation.id)?;
    }
    Ok(Response::Sent(Sent {
        id,
        conversation: conversation.id,
        state: MessageState::Queued,
    }))
}

/// Puts content into the outbox.
fn queue(
    turn: &mut Turn<'_>,
    conversation: ConversationId,
    message: Option<MessageId>,
    encoded: Vec<u8>,
) -> Result<(), Fault> {
    let envelope = Envelope {
        sent_at_ms: turn.now.0,
        body: Some(envelope::Body::Mimi(encoded.into())),
        ..Envelope::default()
    };
    outbox::add(
        turn.tx,
        turn.now,
        conversation,
        message,
        &envelope.encode_to_vec(),
        None,
    )?;
    turn.live.due_conversations.insert(conversation);
    Ok(())
}

fn mark_read(turn: &mut Turn<'_>, mark: &api::MarkRead) -> Result<Response, Stop> {
    let Some(found) = conversation::find(turn.tx, mark.conversation)? else {
        let name = mark.conversation.to_string();
        return Err(Stop::Refused(Problem::ConversationUnknown { name }));
    };
    if let Some(id) = mark.up_to
        && !history::has_message(turn.tx, mark.conversation, id)?
    {
        return Err(Stop::Refused(Problem::MessageUnknown));
    }
    let read = history::mark_read(turn.tx, mark.conversation, mark.up_to)?;
    let verified = match found.account {
        Some(account) => {
            contact::of_account(turn.tx, account)?.is_some_and(|contact| contact.verified)
        }
        None => false,
    };
    let tells = settings::read(turn.tx, Setting::TellRead)?.unwrap_or(true);
    if tells && messages::may_tell(turn, mark.conversation, verified)? {
        for id in read {
            receipts::owe(turn.tx, turn.now, mark.conversation, id, true)?;
        }
    }
    Ok(Response::Done {})
}

/// Puts receipts that were gathered for long enough into the outbox.
pub(crate) fn send_due_receipts(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for conversation in receipts::due_conversations(turn.tx, turn.now)? {
        let due: Vec<(content::MessageId, Status)> = receipts::take(turn.tx, conversation)?
            .into_iter()
            .filter_map(|(id, read)| {
                let status = if read {
                    Status::Read
                } else {
                    Status::Delivered
                };
                Some((content::MessageId::from_bytes(id.as_bytes())?, status))
            })
            .collect();
        for part in due.chunks(receipts::PER_MESSAGE) {
            let salt = turn.random();
            let encoded = Content::statuses(salt, part).encode();
            queue(turn, conversation, None, encoded)?;
        }
    }
    Ok(())
}

/// What a name means.
pub(crate) enum Target {
    Conversation(Conversation),
    /// An address that nobody here has written to or heard from.
    Address(Address),
}

/// Finds what is meant by an address or a conversation's id.
pub(crate) fn target(tx: &Transaction<'_>, name: &str) -> Result<Target, Stop> {
    if let Ok(id) = name.trim().parse::<ConversationId>() {
        return match conversation::find(tx, id)? {
            Some(conversation) => Ok(Target::Conversation(conversation)),
            None => Err(Stop::Refused(Problem::ConversationUnknown {
                name: name.trim().to_owned(),
            })),
        };
    }
    let address = parse(name)?;
    Ok(match conversation::with_address(tx, address.canonical())? {
        Some(conversation) => Target::Conversation(conversation),
        None => Target::Address(address),
    })
}

fn parse(address: &str) -> Result<Address, Stop> {
    Address::parse(address).map_err(|_| {
        Stop::Refused(Problem::AddressMalformed {
            address: address.trim().to_owned(),
        })
    })
}
