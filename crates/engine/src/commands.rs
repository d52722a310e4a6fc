//! Carries out what people and programs ask for.
//!
//! **Elsewhere**: the types are in [`crate::api`].
//!
//! **Always**: a command is checked completely before it changes anything.

use waxwing_transparency::cosignature::AuditorId;

use crate::{
    account,
    api::{self, ConversationId, Problem, ProblemReport, RegistrationStage, Request, Response},
    contact::{self, profile},
    containment::ErrorOwner,
    content::{self, Content, status::DeliveryStatus},
    conversation::{
        self, acceptance, acquaintance, group_commands, history, imports, invitations, requests,
        target::{self, Target},
    },
    devices::{backup, changes, closing, lock, names, pairing, recovery, registration},
    link,
    message::{self, deleting, expiry, report, scheduled, sending, typing},
    outbox::{self, receipts},
    queries,
    settings::{self, Setting},
    sms,
    synced_settings::{self, SettingKind},
    trust::{alarm, auditors, safety_number},
    turn::{EventError, Fault, Turn},
};

/// Carries out a command.
pub(crate) fn carry_out(
    turn: &mut Turn<'_>,
    request: Request,
    link_problem: Option<ProblemReport>,
) -> Result<Response, EventError> {
    if turn.memory.is_revoked() && request.needs_admission() {
        return Err(EventError::Refused(Problem::DeviceRevoked));
    }
    let returns = request.returns();
    let response = dispatch(turn, request, link_problem)?;
    debug_assert_eq!(response.kind(), returns, "the list of methods says so");
    Ok(response)
}

/// Each request with its handler.
fn dispatch(
    turn: &mut Turn<'_>,
    request: Request,
    link_problem: Option<ProblemReport>,
) -> Result<Response, EventError> {
    match request {
        Request::Register(register) => self::register(turn, &register),
        Request::SubmitCode(submit) => submit_code(turn, &submit.code),
        Request::ForgetRecoveryWords => {
            account::forget_recovery_words(turn.tx)?;
            Ok(Response::Done {})
        }
        Request::Send(send) => sending::send(turn, &send),
        Request::QuoteSms(quote) => sms::send::quote(turn, &quote),
        Request::SendSms(send) => sms::send::send(turn, &send),
        Request::React(react) => message::commands::react(turn, &react),
        Request::Edit(edit) => {
            message::poll::refuse_edit(turn, &edit)?;
            message::view_once::refuse_edit(turn, &edit)?;
            message::commands::edit(turn, &edit)
        }
        Request::TakeBack(of) => message::commands::take_back(turn, &of),
        Request::SetTimer(set) => message::commands::set_timer(turn, &set),
        Request::SendPoll(send) => message::poll::send(turn, &send),
        Request::Vote(vote) => message::poll::vote(turn, &vote),
        Request::ClosePoll(of) => message::poll::close(turn, &of),
        Request::Forward(forward) => message::again::forward(turn, &forward),
        Request::OpenOnce(of) => message::view_once::open(turn, of.message),
        Request::Schedule(schedule) => scheduled::schedule(turn, &schedule),
        Request::Scheduled => scheduled::list(turn),
        Request::ChangeScheduled(change) => scheduled::change(turn, &change),
        Request::CancelScheduled(cancel) => scheduled::cancel(turn, cancel.id),
        Request::DeleteMessages(asked) => deleting::delete_messages(turn, &asked),
        Request::DeleteAttachment(of) => deleting::delete_attachment(turn, &of),
        Request::DeleteConversation(of) => deleting::delete_conversation(turn, &of),
        Request::Resend(of) => message::again::resend(turn, of.message),
        Request::MessageInfo(of) => message::info::info(turn, of.message),
        Request::FindMessage(find) => message::commands::with_prefix(turn, &find.prefix),
        Request::CreateGroup(create) => group_commands::create(turn, &create),
        Request::ChangeGroup(change) => group_commands::change(turn, &change),
        Request::LeaveGroup(of) => group_commands::leave(turn, &of),
        Request::Invite(invite) => invitations::invite(turn, &invite),
        Request::RevokeInvitation(revoke) => invitations::revoke(turn, &revoke),
        Request::Join(join) => invitations::join(turn, &join),
        Request::DecideJoin(decide) => invitations::decide(turn, &decide),
        Request::SetProfile(set) => profile::set(turn, &set),
        Request::Profile(asked) => profile::show(turn, &asked),
        Request::MarkRead(mark) => mark_read(turn, &mark),
        Request::Block(block) => {
            let address = target::person_meant(turn.tx, &block.address)?;
            if contact::block(turn.tx, address.canonical(), block.blocked)? == 0 {
                return Err(EventError::Refused(Problem::ConversationUnknown {
                    name: block.address,
                }));
            }
            if turn.memory.account.is_some() {
                synced_settings::commands::set_blocked(turn, address.canonical(), block.blocked)?;
                for contact in contact::all(turn.tx)? {
                    if contact.address == address.canonical() {
                        acceptance::opened(turn, contact.account)?;
                    }
                }
            }
            Ok(Response::Done {})
        }
        Request::ImportEntries(asked) => imports::import(turn, &asked),
        Request::Report(asked) => report::report(turn, &asked),
        Request::CheckReport(asked) => report::check(turn.tx, &asked.report),
        Request::SetTyping(set) => typing::set(turn, &set),
        Request::AcceptRequest(of) => requests::accept(turn, &of),
        Request::DeclineRequest(decline) => requests::decline(turn, &decline),
        Request::Thread(of) => message::commands::thread(turn, &of),
        Request::SetReceipts(set) => {
            settings::write(turn.tx, Setting::TellDelivered, set.delivered)?;
            settings::write(turn.tx, Setting::TellRead, set.read)?;
            if let Some(typing) = set.typing {
                settings::write(turn.tx, Setting::TellTyping, typing)?;
            }
            if turn.memory.account.is_some() {
                let word = |on: bool| if on { b"on".as_slice() } else { b"off" };
                synced_settings::set(
                    turn,
                    SettingKind::Receipts,
                    b"delivered",
                    word(set.delivered),
                )?;
                synced_settings::set(turn, SettingKind::Receipts, b"read", word(set.read))?;
                if let Some(typing) = set.typing {
                    synced_settings::set(turn, SettingKind::Receipts, b"typing", word(typing))?;
                }
            }
            Ok(Response::Done {})
        }
        Request::Receipts => queries::receipts(turn),
        Request::Verify(verify) => self::verify(turn, &verify),
        Request::SetAuditors(set) => set_auditors(turn, &set),
        Request::DismissAlarms => {
            alarm::dismiss(turn.tx)?;
            Ok(Response::Done {})
        }
        Request::SafetyNumber(of) => queries::safety_number(turn, &of.of),
        Request::Auditors => queries::auditors(turn),
        Request::Evidence => queries::evidence(turn),
        Request::LinkDevice(link) => pairing::link(turn, &link),
        Request::ApproveDevice(approve) => pairing::approve(turn, &approve),
        Request::ConfirmDevice(confirm) => pairing::confirm(turn, confirm.accept),
        Request::StopLinking => {
            pairing::stop(turn);
            Ok(Response::Done {})
        }
        Request::RevokeDevice(revoke) => revoke_device(turn, &revoke),
        Request::Recover(recover) => recovery::begin(turn, &recover),
        Request::Restore(restore) => recovery::restore(turn, &restore),
        Request::FeedBackup(feed) => recovery::feed(turn, &feed),
        Request::Backup => backup::request_backup(turn),
        Request::ReadBackup(read) => backup::read(turn, read),
        Request::SetLock(set) => lock::set_lock(turn, set.locked),
        Request::KeepAddress => lock::want_to_keep(turn),
        Request::DeleteAccount(asked) => closing::begin(turn, &asked),
        Request::KeepHome => closing::keep(turn),
        Request::History(history) => queries::history(turn, &history),
        Request::FetchAttachment(of) => message::attachments::fetch(turn, &of),
        Request::Attachment(of) => message::attachments::open(turn, &of),
        Request::KeepConversation(keep) => {
            synced_settings::commands::change_conversation_settings(turn, &keep)
        }
        Request::Star(star) => synced_settings::commands::star(turn, &star),
        Request::Starred => synced_settings::commands::list_starred(turn),
        Request::Search(search) => queries::search(turn, &search),
        Request::Contacts => queries::contacts(turn),
        Request::Conversations => queries::conversations(turn),
        Request::Conversation(of) => queries::conversation(turn, &of.of),
        Request::Group(of) => queries::group(turn, &of.of),
        Request::Account => queries::account(turn),
        Request::Devices => {
            let devices = names::list(turn)?;
            Ok(Response::Devices(api::Devices { devices }))
        }
        Request::Status => queries::status(turn, link_problem),
    }
}

/// The person says what they make of a contact's safety number.
fn verify(turn: &mut Turn<'_>, verify: &api::Verify) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    let own = own.id();
    let unknown = || {
        EventError::Refused(Problem::ConversationUnknown {
            name: verify.of.clone(),
        })
    };
    let (account, conversation) = match target::find(turn.tx, &verify.of)? {
        Target::Conversation(conversation) => (
            conversation.account.ok_or_else(unknown)?,
            Some(conversation),
        ),
        Target::Address(address) => (
            contact::owner_of(turn.tx, address.canonical())?
                .ok_or_else(unknown)?
                .account,
            None,
        ),
    };
    let contact = contact::of_account(turn.tx, account)?.ok_or_else(unknown)?;
    if let (api::Decision::Accept, Some(scanned)) = (verify.decision, &verify.scanned) {
        match safety_number::matches(own, account, scanned) {
            Some(true) => {}
            Some(false) => {
                return Err(EventError::Refused(Problem::SafetyNumberDiffers {
                    address: contact.display,
                }));
            }
            None => return Err(EventError::Refused(Problem::SafetyNumberMalformed)),
        }
    }
    let accepted = verify.decision == api::Decision::Accept;
    contact::set_compared(turn.tx, account, accepted)?;
    let value: &[u8] = if accepted { b"1" } else { &[] };
    synced_settings::set(turn, SettingKind::Compared, &account.0, value)?;
    let changed = Problem::ContactChanged {
        address: contact.display.clone(),
    };
    alarm::resolve(turn.tx, &changed)?;
    if accepted {
        acceptance::opened(turn, account)?;
    }
    if let Some(conversation) = conversation {
        let stopped = verify.decision == api::Decision::Reject;
        conversation::set_awaiting_decision(turn.tx, conversation.id, stopped)?;
        turn.memory.due_mut().conversations.insert(conversation.id);
        if accepted && !contact.compared {
            let event = history::add_event(
                turn.tx,
                turn.now,
                conversation.id,
                api::EventKind::Verified,
                &contact.display,
            )?;
            turn.notify(api::Notice::Event(event));
        }
    }
    queries::safety_number(turn, &verify.of)
}

fn set_auditors(turn: &mut Turn<'_>, set: &api::SetAuditors) -> Result<Response, EventError> {
    let malformed = || EventError::Refused(Problem::AuditorsMalformed);
    let named: Vec<(AuditorId, String)> = set
        .auditors
        .iter()
        .map(|one| AuditorId::parse(&one.id).map(|id| (id, one.name.clone())))
        .collect::<Option<_>>()
        .ok_or_else(malformed)?;
    if named.len() > auditors::NAMED_MAX || set.required as usize > named.len() {
        return Err(malformed());
    }
    auditors::set(turn.tx, &named, set.required)?;
    Ok(Response::Done {})
}

fn register(turn: &mut Turn<'_>, register: &api::Register) -> Result<Response, EventError> {
    let address = target::parse_address(&register.address)?;
    let stage = registration::read(turn.tx)?.map(|registration| registration.stage);
    if stage == Some(RegistrationStage::Registered) {
        return Err(EventError::Refused(Problem::AlreadyRegistered));
    }
    let device = register.device.as_deref().map(|name| {
        let malformed = || EventError::Refused(Problem::DeviceNameMalformed);
        names::checked(name).ok_or_else(malformed)
    });
    let device = device.transpose()?;
    link::relay::set(turn, &register.relay, register.pin.as_deref())?;
    registration::begin(turn, &address)?;
    if let (Some(name), Some(id)) = (device, account::pending_device(turn.tx)?) {
        names::set(turn.tx, id, name)?;
    }
    Ok(Response::Done {})
}

fn revoke_device(turn: &mut Turn<'_>, revoke: &api::RevokeDevice) -> Result<Response, EventError> {
    let Some(own) = &turn.memory.account else {
        return Err(EventError::Refused(Problem::NotRegistered));
    };
    let this = own.device();
    match names::meant(turn, &revoke.device) {
        None => Err(EventError::Refused(Problem::DeviceUnknown {
            device: revoke.device.trim().to_owned(),
        })),
        Some(device) if device == this => Err(EventError::Refused(Problem::DeviceIsThis)),
        Some(device) => {
            changes::want_revocation(turn.tx, device)?;
            Ok(Response::Done {})
        }
    }
}

fn submit_code(turn: &mut Turn<'_>, code: &str) -> Result<Response, EventError> {
    match registration::read(turn.tx)?.map(|registration| registration.stage) {
        Some(RegistrationStage::CodeSent) => {
            registration::take_code(turn, code)?;
            Ok(Response::Done {})
        }
        Some(RegistrationStage::Registered) => Err(EventError::Refused(Problem::AlreadyRegistered)),
        _ => Err(EventError::Refused(Problem::NoCodeAsked)),
    }
}

fn mark_read(turn: &mut Turn<'_>, mark: &api::MarkRead) -> Result<Response, EventError> {
    let Some(found) = conversation::find(turn.tx, mark.conversation)? else {
        let name = mark.conversation.to_string();
        return Err(EventError::Refused(Problem::ConversationUnknown { name }));
    };
    if let Some(id) = mark.up_to
        && !history::has_message(turn.tx, mark.conversation, id)?
    {
        return Err(EventError::Refused(Problem::MessageUnknown));
    }
    let read = history::mark_read(turn.tx, mark.conversation, mark.up_to)?;
    expiry::start(turn.tx, turn.now, mark.conversation, &read)?;
    if !read.is_empty() {
        let last = match mark.up_to {
            Some(id) => Some(id),
            None => history::newest_of_others(turn.tx, mark.conversation)?,
        };
        synced_settings::commands::set_read_mark(turn, &found, last)?;
    }
    let tells = settings::read(turn.tx, Setting::TellRead)?.unwrap_or(true);
    if tells && acquaintance::may_tell(turn, &found)? {
        for id in read {
            // It is read when it is opened.
            if message::amendments::is_view_once(turn.tx, mark.conversation, id)? {
                continue;
            }
            receipts::add_owed(turn.tx, turn.now, mark.conversation, id, true)?;
        }
    }
    Ok(Response::Done {})
}

/// Puts receipts that were gathered for long enough into the outbox.
pub(crate) fn send_due_receipts(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for conversation in receipts::due_conversations(turn.tx, turn.now)? {
        let sent = turn.run_contained(ErrorOwner::Part("receipts"), |turn| {
            send_receipts(turn, conversation)
        })?;
        if sent.is_none() {
            receipts::take(turn.tx, conversation)?;
        }
    }
    Ok(())
}

fn send_receipts(turn: &mut Turn<'_>, conversation: ConversationId) -> Result<(), Fault> {
    // Blocked since.
    let found = conversation::find(turn.tx, conversation)?;
    let told = match &found {
        Some(found) => acquaintance::may_tell(turn, found)?,
        None => false,
    };
    if !told {
        receipts::take(turn.tx, conversation)?;
        return Ok(());
    }
    let due: Vec<(content::MessageId, DeliveryStatus)> = receipts::take(turn.tx, conversation)?
        .into_iter()
        .filter_map(|(id, read)| {
            let status = if read {
                DeliveryStatus::Read
            } else {
                DeliveryStatus::Delivered
            };
            Some((content::MessageId::from_bytes(id.as_bytes())?, status))
        })
        .collect();
    for part in due.chunks(receipts::PER_MESSAGE) {
        let salt = turn.random();
        let encoded = Content::statuses(salt, part).encode();
        outbox::content::add_content(turn, conversation, None, encoded)?;
    }
    Ok(())
}
