//! Requests that change nothing.

use crate::{
    account,
    api::{self, Account, Contact, Problem, ProblemReport, RegistrationStage, Response, Status},
    contact::{self, profile},
    containment,
    conversation::{
        self, Kind, acquaintance, group_commands,
        group_state::StateKind,
        groups, history, invitations, join_requests, members,
        pages::{self, PageRange},
        pending_changes,
        search::{self, Wanted},
        target::{self, Target},
    },
    devices::{lock, recovery, registration, transfer},
    inbox::sender_counters,
    link::{LinkPhase, tokens},
    message::deleted,
    outbox,
    settings::{self, Setting},
    synced_settings::{self, SettingKind},
    trust::{alarm, auditors, log, safety_number},
    turn::{EventError, Turn},
};
use waxwing_protocol::time::Time;

/// The suite of all groups, as people read it.
const SUITE: &str = "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519 (0x004D)";

pub(crate) fn history(turn: &Turn<'_>, asked: &api::History) -> Result<Response, EventError> {
    let tx = turn.tx;
    let found = match target::find(tx, &asked.of)? {
        Target::Conversation(conversation) => conversation,
        Target::Address(address) => {
            let name = address.display().to_owned();
            return Err(EventError::Refused(Problem::ConversationUnknown { name }));
        }
    };
    let limit = asked.limit.unwrap_or(history::ENTRIES_MAX);
    let limit = limit.clamp(1, history::ENTRIES_MAX);
    if let Some(text) = &asked.search {
        let wanted = Wanted {
            text,
            conversation: Some(found.id),
            before: match &asked.until {
                Some(until) => Some(until.parse().map_err(|_| cursor_invalid())?),
                None => None,
            },
            ..Wanted::default()
        };
        let (mut messages, next) = search::search(turn.reader(), &wanted, limit)?;
        messages.reverse();
        return Ok(Response::History(api::HistoryPage {
            entries: messages.into_iter().map(api::Entry::Message).collect(),
            more: next.is_some(),
            newer: asked.until.is_some(),
            next: None,
            previous: next.map(|next| next.to_string()),
        }));
    }
    if let Some(from) = &asked.from {
        let from = match from.as_str() {
            "" => None,
            from => Some(position(from)?),
        };
        let (entries, end) = pages::forward(turn.reader(), found.id, from, limit)?;
        return Ok(Response::History(api::HistoryPage {
            entries,
            more: from.is_some(),
            newer: end.is_some(),
            next: end.map(cursor),
            previous: None,
        }));
    }
    let part = match (asked.before, asked.after, asked.around, &asked.until) {
        (Some(id), _, _, _) => PageRange::Before(id),
        (_, Some(id), _, _) => PageRange::After(id),
        (_, _, Some(id), _) => PageRange::Around(id),
        (_, _, _, Some(until)) => PageRange::Until(position(until)?),
        (None, None, None, None) => PageRange::Newest,
    };
    if let PageRange::Before(id) | PageRange::After(id) | PageRange::Around(id) = part
        && !history::has_message(tx, found.id, id)?
    {
        return Err(EventError::Refused(Problem::MessageUnknown));
    }
    let page = pages::page(turn.reader(), found.id, part, limit)?;
    Ok(Response::History(api::HistoryPage {
        entries: page.entries,
        more: page.older.is_some(),
        newer: page.newer,
        next: None,
        previous: page.older.map(cursor),
    }))
}

/// Where a page ended, as programs hold it.
fn cursor((place, row): pages::EntryPosition) -> String {
    format!("{place}.{row}")
}

/// What a program holds of an earlier page.
fn position(cursor: &str) -> Result<pages::EntryPosition, EventError> {
    let (place, row) = cursor.split_once('.').ok_or_else(cursor_invalid)?;
    let number = |text: &str| text.parse().map_err(|_| cursor_invalid());
    Ok((number(place)?, number(row)?))
}

const fn cursor_invalid() -> EventError {
    EventError::Refused(Problem::CursorInvalid)
}

/// Messages with some words.
pub(crate) fn search(turn: &Turn<'_>, asked: &api::Search) -> Result<Response, EventError> {
    let tx = turn.tx;
    let conversation = match &asked.of {
        None => None,
        Some(of) => match target::find(tx, of)? {
            Target::Conversation(conversation) => Some(conversation.id),
            Target::Address(address) => {
                let name = address.display().to_owned();
                return Err(EventError::Refused(Problem::ConversationUnknown { name }));
            }
        },
    };
    let from = asked
        .from
        .as_deref()
        .map(|from| target::person_meant(tx, from))
        .transpose()?;
    let wanted = Wanted {
        text: &asked.text,
        conversation,
        from: from.as_ref(),
        since: asked.since.map(|at| at.0),
        until: asked.until.map(|at| at.0),
        before: asked.next,
    };
    let limit = asked.limit.unwrap_or(100).min(history::ENTRIES_MAX);
    let (found, next) = search::search(turn.reader(), &wanted, limit)?;
    Ok(Response::Found(api::Found { found, next }))
}

pub(crate) fn contacts(turn: &Turn<'_>) -> Result<Response, EventError> {
    let own = turn
        .memory
        .account
        .as_ref()
        .map(crate::account::Account::id);
    let mut contacts = Vec::new();
    for contact in contact::all(turn.tx)? {
        let nickname = synced_settings::value(turn.tx, SettingKind::Nickname, &contact.account.0)?;
        contacts.push(Contact {
            name: profile::name_of(turn.tx, contact.account)?,
            nickname: String::from_utf8(nickname)
                .ok()
                .filter(|name| !name.is_empty()),
            address: contact.display,
            verified: contact.verified,
            blocked: contact.blocked,
            compared: contact.compared,
            account_id: contact.account.to_string(),
            safety_number: own.map_or_else(String::new, |own| {
                safety_number::digits(own, contact.account)
            }),
        });
    }
    Ok(Response::Contacts(api::Contacts { contacts }))
}

pub(crate) fn conversations(turn: &Turn<'_>) -> Result<Response, EventError> {
    let mut conversations = Vec::new();
    for found in pages::conversations(turn.tx)? {
        // Without an entry it was declined, or deleted.
        let is_empty = pages::page(turn.reader(), found.id, PageRange::Newest, 1)?
            .entries
            .is_empty();
        let is_gone =
            is_empty && (!found.written_to || deleted::is_conversation_deleted(turn.tx, found.id)?);
        if !is_gone {
            conversations.push(shown_conversation(turn, found)?);
        }
    }
    // Pinned first; the order of all stays.
    conversations.sort_by_key(|one| !one.pinned);
    Ok(Response::Conversations(api::Conversations {
        conversations,
    }))
}

/// One conversation, by any of its names.
pub(crate) fn conversation(turn: &Turn<'_>, name: &str) -> Result<Response, EventError> {
    match target::find(turn.tx, name)? {
        Target::Conversation(found) => Ok(Response::Conversation(Box::new(shown_conversation(
            turn, found,
        )?))),
        Target::Address(address) => {
            let name = address.display().to_owned();
            Err(EventError::Refused(Problem::ConversationUnknown { name }))
        }
    }
}

fn shown_conversation(
    turn: &Turn<'_>,
    found: conversation::Conversation,
) -> Result<api::Conversation, EventError> {
    let tx = turn.tx;
    let verified = match found.account {
        Some(account) => contact::of_account(tx, account)?.is_some_and(|contact| contact.verified),
        None => false,
    } || found.kind == Kind::Notes;
    let request = acquaintance::is_request(tx, &found)?;
    // What a stranger wrote is not shown in a list.
    let last = if request {
        None
    } else {
        pages::page(turn.reader(), found.id, PageRange::Newest, 1)?
            .entries
            .pop()
    };
    let kept = synced_settings::commands::conversation_settings(tx, &found)?;
    let unread = history::unread(tx, found.id)?;
    let muted = kept.muted_until > turn.now.0;
    Ok(api::Conversation {
        name: match found.account {
            Some(account) if !request => profile::name_of(tx, account)?,
            _ => None,
        },
        request,
        pinned: kept.pinned,
        archived: kept.archived && (unread == 0 || muted),
        muted_until: muted.then(|| Time(kept.muted_until).into()),
        draft: kept.draft,
        nickname: kept.nickname,
        id: found.id,
        kind: match found.kind {
            Kind::Direct => api::ConversationKind::Direct,
            Kind::Group => api::ConversationKind::Group,
            Kind::Notes => api::ConversationKind::Notes,
            Kind::Sms => api::ConversationKind::Sms,
        },
        with: found.display,
        verified,
        unread,
        last,
    })
}

/// A group of many.
pub(crate) fn group(turn: &mut Turn<'_>, name: &str) -> Result<Response, EventError> {
    let found = group_commands::group_meant(turn, name)?;
    let own = turn
        .memory
        .account
        .as_ref()
        .map(crate::account::Account::id);
    let state = match group_commands::known_group_state(turn, &found) {
        Ok((state, _)) => Some(state),
        Err(EventError::Refused(_)) => None,
        Err(fault) => return Err(fault),
    };
    let mut list = Vec::new();
    for member in members::all(turn.tx, found.id)? {
        let contact = contact::of_account(turn.tx, member.account)?;
        let is_own = own == Some(member.account);
        // As this account knows them; what a group claims is shown without a check mark.
        let known = contact.as_ref().map(|contact| contact.display.clone());
        list.push(api::GroupMember {
            address: known.unwrap_or(member.address),
            account_id: member.account.to_string(),
            admin: member.admin,
            own: is_own,
            verified: is_own || contact.as_ref().is_some_and(|contact| contact.verified),
            compared: contact.is_some_and(|contact| contact.compared),
        });
    }
    let wishes = pending_changes::of_conversation(turn.tx, found.id)?;
    let coming = wishes.iter().filter_map(|kept| match &kept.change {
        pending_changes::PendingChange::Add(address, _) => Some(address.display().to_owned()),
        _ => None,
    });
    let picture = state.as_ref().filter(|state| !state.picture.is_empty());
    let open = state.as_ref().map_or(&[][..], |state| &state.invitations);
    let open = invitations::list(turn, found.id, open)?;
    let asking = join_requests::asking(turn.tx, found.id)?;
    let asking = asking.into_iter().map(|(_, address)| address).collect();
    Ok(Response::Group(Box::new(api::Group {
        invitations: open,
        asking,
        conversation: found.id,
        picture: picture.map(|state| data_encoding::BASE64.encode(&state.picture)),
        everybody_adds: state.as_ref().is_some_and(|state| state.everybody_adds),
        expires_after_s: state.map_or(0, |state| state.expires_after_s),
        name: found.display,
        members: list,
        left: found.left,
        coming: coming.collect(),
        changing: !wishes.is_empty(),
    })))
}

pub(crate) fn account(turn: &Turn<'_>) -> Result<Response, EventError> {
    let registration = registration::read(turn.tx)?;
    let relay = settings::relay(turn.tx)?;
    let own = turn.memory.account.as_ref();
    let (stage, address) = registration.map_or((RegistrationStage::None, None), |registration| {
        (registration.stage, Some(registration.address))
    });
    let recovery = match stage {
        RegistrationStage::Registered => account::recovery_key(turn.tx)?,
        _ => None,
    };
    Ok(Response::Account(Box::new(Account {
        registration: stage,
        address,
        account_id: own.map(|own| own.id().to_string()),
        device_id: own.map(|own| own.device().to_string()),
        relay: relay.as_ref().map(|relay| relay.url.clone()),
        pin: relay.and_then(|relay| relay.pin),
        recovery_words: recovery.as_ref().map(account::RecoveryKey::words),
        recovery_qr: recovery.as_ref().map(account::RecoveryKey::qr_text),
    })))
}

pub(crate) fn status(
    turn: &Turn<'_>,
    link_problem: Option<ProblemReport>,
) -> Result<Response, EventError> {
    let links = &turn.memory.links;
    // Nothing leaves there until the person decides.
    let stopped = conversation::awaiting_decision(turn.tx)?;
    let outbox_problem = match outbox::first_waiting(turn.tx)? {
        Some((conversation, message)) => history::problem(turn.tx, conversation, message)?,
        None => None,
    };
    let in_state = |state| groups::in_state(turn.tx, state).map(|groups| groups.len() as u64);
    Ok(Response::Status(Box::new(Status {
        registration: registration::read(turn.tx)?
            .map_or(RegistrationStage::None, |registration| registration.stage),
        online: links.mailbox.phase == LinkPhase::LoggedIn,
        clock_skew_ms: links.clock_skew_ms,
        outbox: outbox::waiting(turn.tx)?,
        outbox_problem,
        receipts: outbox::waiting_unwritten(turn.tx, &stopped)?
            + outbox::receipts::count_owed(turn.tx, &stopped)?,
        tokens: tokens::count(turn.tx)?,
        key_packages: links.key_packages_left.map(u64::from),
        rejoining: rejoining(turn)?,
        welcomes_held: in_state(StateKind::Checking)?,
        missing: sender_counters::missing_in_all(turn.tx)?,
        changing_members: groups::members_due(turn.tx)?,
        transferring: transfer::under_way(turn.tx)? || recovery::under_way(turn.tx)?,
        locked: lock::is_locked(turn)?,
        suite: SUITE.to_owned(),
        log: turn.memory.log().map(|log| api::LogStatus {
            id: log.identity.id().to_string(),
            head: log.number(),
            made_at: log
                .newest
                .as_ref()
                .map(|newest| newest.head().made_at.into()),
        }),
        alarms: alarm::all(turn.tx)?,
        problems: link_problem
            .into_iter()
            .chain(links.login_problem.as_ref().map(Problem::report))
            .chain(containment::recent(turn.tx, turn.now)?)
            .collect(),
    })))
}

/// Groups that this device has lost and joins again: not those of people whom the person has
/// not accepted, which wait for that.
fn rejoining(turn: &Turn<'_>) -> Result<u64, EventError> {
    let mut count = 0;
    for group in groups::in_state(turn.tx, StateKind::Lost)? {
        count += u64::from(!acquaintance::is_silent_group(turn, &group)?);
    }
    Ok(count)
}

/// The safety number with somebody, and what was made of it.
pub(crate) fn safety_number(turn: &Turn<'_>, name: &str) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    let unknown = || {
        EventError::Refused(Problem::ConversationUnknown {
            name: name.to_owned(),
        })
    };
    let (contact, stopped) = match target::find(turn.tx, name)? {
        Target::Conversation(conversation) => {
            let account = conversation.account.ok_or_else(unknown)?;
            (
                contact::of_account(turn.tx, account)?,
                conversation.awaiting_decision,
            )
        }
        Target::Address(address) => (contact::owner_of(turn.tx, address.canonical())?, false),
    };
    let contact = contact.ok_or_else(unknown)?;
    Ok(Response::SafetyNumber(Box::new(api::SafetyNumber {
        safety_number: safety_number::digits(own.id(), contact.account),
        qr_text: safety_number::qr_text(own.id(), contact.account),
        address: contact.display,
        account_id: contact.account.to_string(),
        compared: contact.compared,
        awaiting_decision: stopped,
    })))
}

/// What this account tells others.
pub(crate) fn receipts(turn: &Turn<'_>) -> Result<Response, EventError> {
    let tells = |setting| settings::read(turn.tx, setting).map(|on| on.unwrap_or(true));
    Ok(Response::Receipts(api::ReceiptSettings {
        delivered: tells(Setting::TellDelivered)?,
        read: tells(Setting::TellRead)?,
        typing: tells(Setting::TellTyping)?,
    }))
}

/// The auditors that the person names.
pub(crate) fn auditors(turn: &Turn<'_>) -> Result<Response, EventError> {
    let (auditors, required) = auditors::all(turn.tx)?;
    Ok(Response::Auditors(api::Auditors { auditors, required }))
}

/// What proves that the relay lied.
pub(crate) fn evidence(turn: &Turn<'_>) -> Result<Response, EventError> {
    let evidence = log::evidence(turn.tx)?
        .into_iter()
        .map(|(found_at, file)| api::Evidence {
            found_at: found_at.into(),
            file: data_encoding::BASE64.encode(&file),
        })
        .collect();
    Ok(Response::Evidence(api::EvidenceFiles { evidence }))
}
