//! The command line's words for everything that can go wrong.
//!
//! **Elsewhere**: codes and facts are `waxwing_api`'s [`Problem`], which has words only for programs
//! and logs. What happened to conversations is told in `output.rs`.
//!
//! **Always**: at most two sentences, which say what happened, what it means for the person, and
//! what they can do. A test holds each of them to that, and to the commands that there are.

use crate::text::day;
use waxwing_client::rpc::RpcError;
use waxwing_engine::api::{
    AddressFlaw, Alarm, ImportFlaw, KeyMissing, MissingFile, MissingReason, Problem, ProblemReport,
    RecoveryWordsFlaw, RelayMisdeed, ReportFlaw,
};

use crate::text::{duration, size, sizes};

/// Says what happened, what it means, and what to do.
pub fn of_report(report: &ProblemReport) -> String {
    known(report.problem(), &report.sentence)
}

/// Says why a call failed.
pub fn of_error(error: &RpcError) -> String {
    error
        .data
        .as_ref()
        .map_or_else(|| error.message.clone(), |report| of_report(report))
}

/// Says what an alarm is about.
pub fn of_alarm(alarm: &Alarm) -> String {
    known(alarm.problem(), &alarm.sentence)
}

/// The words for a problem; its own, if another version with other codes or facts reported it.
fn known(problem: Option<Problem>, own_words: &str) -> String {
    problem.map_or_else(|| own_words.to_owned(), |problem| of(&problem))
}

/// Says what happened, what it means, and what to do.
pub fn of(problem: &Problem) -> String {
    match problem {
        Problem::AddressMalformed { address, reason } => address_malformed(address, *reason),
        Problem::ConversationUnknown { name } => format!(
            "There is no conversation with \"{name}\" on this device; `waxwing conversations` \
             lists all of them."
        ),
        Problem::MessageUnknown => {
            "This device has no message with this id; `waxwing history --ids` shows the ids.".into()
        }
        Problem::MessageAmbiguous => {
            "Several messages have ids that begin like this. Give more of the id; `waxwing history \
             --ids` shows ids."
                .into()
        }
        Problem::MessageNotOwn => {
            "Somebody else wrote this message, so only they can edit or unsend it.".into()
        }
        Problem::MessageTakenBack => {
            "This message was deleted by its sender, so it can no longer be changed.".into()
        }
        Problem::MessageNotForwardable => {
            "That message has something that this version does not know, so it was not forwarded. \
             Update Waxwing and try again."
                .into()
        }
        Problem::ViewOnce => {
            "That does not work with a message that can be viewed once. Open one that you received \
             with `waxwing open MESSAGE`."
                .into()
        }
        Problem::NotViewOnce => {
            "That message cannot be opened here: it is not one to view once, or you sent it, or it \
             arrived at another of your devices. `waxwing history` shows other messages."
                .into()
        }
        Problem::ScheduledUnknown => {
            "No message with that number is scheduled on this device; it may have been sent. \
             `waxwing scheduled` lists those that wait."
                .into()
        }
        Problem::TimePassed => {
            "That time is not in the future, so nothing was scheduled. Name a later time.".into()
        }
        Problem::MessageNotSent => {
            "That message was not sent yet, so its files stay. Delete the whole message with \
             `waxwing delete MESSAGE` to stop it."
                .into()
        }
        Problem::AttachmentDeleted => {
            "You deleted that file on one of your devices. Ask its sender to send it again.".into()
        }
        Problem::DeletionsTooMany => {
            "You have deleted so many single messages that your other devices cannot be told of \
             more, so nothing was deleted. Delete whole conversations instead."
                .into()
        }
        Problem::CursorInvalid => {
            "That is not a place in the history that an earlier answer gave. Start again without it."
                .into()
        }
        Problem::MessageNotFailed => {
            "That message did not fail, so it was not sent again; `waxwing info MESSAGE` shows how \
             far it is."
                .into()
        }
        Problem::MessageNotProven => {
            "This message cannot be reported: you can report only messages from others that this \
             account received itself."
                .into()
        }
        Problem::ImportInvalid { reason } => {
            format!(
                "This file cannot be imported: {}. You can import only files that `waxwing \
                 export` wrote.",
                match reason {
                    ImportFlaw::TooManyMessages => "it has too many messages at once",
                    ImportFlaw::MessageTooLong => "a message in it is too long",
                    ImportFlaw::SenderMalformed => "a sender in it is not a valid address",
                    ImportFlaw::IdMalformed => "a message in it has a malformed id",
                }
            )
        }
        Problem::ReportInvalid { reason } => {
            format!(
                "This report proves nothing: {}. Ask the person who made it for a new one.",
                match reason {
                    ReportFlaw::Format => "this version does not know its format",
                    ReportFlaw::MessageCount => "it has no messages, or too many",
                    ReportFlaw::NoteTooLong => "its note is too long",
                    ReportFlaw::RosterInvalid => {
                        "a list of devices in it is not correctly signed"
                    }
                    ReportFlaw::RosterOfAnother => "a list of devices in it is another account's",
                    ReportFlaw::RosterMissing => {
                        "it lacks the list of devices of somebody who wrote a message"
                    }
                    ReportFlaw::MessageMalformed => "a message in it is malformed",
                    ReportFlaw::AnotherAuthor => {
                        "somebody else wrote a message than the person it names"
                    }
                }
            )
        }
        Problem::ReactionInvalid => {
            "This is not a reaction. Use an emoji, or a few letters without spaces.".into()
        }
        Problem::AttachmentNotHere => {
            "This file is not on this device yet; `waxwing save` fetches it.".into()
        }
        Problem::FileUnusable { detail } => format!("A file cannot be used: {detail}."),
        Problem::AttachmentInvalid => {
            "The files cannot be sent: a message can have at most 32 files of at most 4 GiB each."
                .into()
        }
        Problem::PollInvalid => {
            "This is not a poll. Write a question of at most 500 bytes and 2 to 12 different options \
             of at most 100 bytes each."
                .into()
        }
        Problem::VoteInvalid => {
            "You cannot vote like this: the poll does not have that option, or allows only one."
                .into()
        }
        Problem::PollClosed => "This poll is closed.".into(),
        Problem::PollNotEditable => {
            "You cannot edit a poll, because people vote on what it says. Unsend it and start a new one."
                .into()
        }
        Problem::NotAPoll => "This message is not a poll.".into(),
        Problem::NoLinkPreview { reason } => {
            format!("This link has no preview: {reason}. You can send the message without one.")
        }
        Problem::LinkPreviewInvalid => {
            "The preview cannot be sent: it must belong to a link in the text, have a title or a \
             description, and be at most 16 KiB in size."
                .into()
        }
        Problem::AttachmentUnknown => {
            "The message has no attachment with this number; `waxwing info` lists its attachments."
                .into()
        }
        Problem::InvitationMalformed => {
            "This is not an invitation link. A link begins with waxwing:invite/1/; copy all of it."
                .into()
        }
        Problem::InvitationElsewhere => {
            "You cannot join this group: it is on another relay than your account.".into()
        }
        Problem::InvitationUnknown => {
            "The group has no invitation with this id; `waxwing group show` lists the open ones."
                .into()
        }
        Problem::InvitationsTooMany { limit } => format!(
            "A group can have at most {limit} open invitations. Revoke one with `waxwing group \
             revoke` first."
        ),
        Problem::ProfileNameInvalid => {
            "The name is longer than 128 bytes. Choose a shorter one.".into()
        }
        Problem::NotARequest => {
            "This is not a message request: you know each other already. `waxwing requests` lists \
             your message requests."
                .into()
        }
        Problem::AttachmentLost => {
            "A file of this message could not be uploaded to the relay, so the message was not \
             sent. Send it again."
                .into()
        }
        Problem::MessageEmpty => "The message is empty, so nothing was sent. Write a text.".into(),
        Problem::MessageTooLarge { bytes, limit } => {
            let (bytes, limit) = sizes(*bytes, *limit);
            format!(
                "The message was not sent: it has {bytes}, and a message can have at most {limit}. \
                 Shorten it, or send it in parts."
            )
        }
        Problem::RelayUrlMalformed => {
            "That is not a valid relay URL. It looks like https://relay.example.org; the relay \
             prints it when it starts."
                .into()
        }
        Problem::PinMalformed => {
            "That is not a valid pin. Copy all of what the relay printed: sha256/ and 44 \
             characters."
                .into()
        }
        Problem::NotRegistered => {
            "There is no account on this device yet. Create one with `waxwing register ADDRESS \
             --relay URL`."
                .into()
        }
        Problem::AlreadyRegistered => {
            "This home folder already has an account, so nothing was changed. To create a second \
             account, name another folder with --home."
                .into()
        }
        Problem::RecipientIsSelf => "This is your own address. Give somebody else's.".into(),
        Problem::GroupUnknown { name } => format!(
            "There is no group \"{name}\" on this device; `waxwing group` lists your groups."
        ),
        Problem::GroupNameAmbiguous { name } => format!(
            "Several groups are called \"{name}\". Give the id of the one you mean; `waxwing \
             group` shows ids."
        ),
        Problem::NameAmbiguous { name } => format!(
            "Several conversations are called \"{name}\". Give the address, or the id that \
             `waxwing conversations --json` shows."
        ),
        Problem::GroupNotAdmin => "Only group admins can do this. Ask one of them.".into(),
        Problem::GroupNotMember => {
            "You are no longer a member of this group, so you cannot write to it or change it. You \
             can still read its history."
                .into()
        }
        Problem::GroupLost { name } => format!(
            "This device can no longer read \"{name}\", and no other device has re-added it. Ask a \
             group admin to remove you and add you again."
        ),
        Problem::GroupWaits { name } => format!(
            "A device joined \"{name}\", and the relay has not proved whose device it is. New \
             messages in that conversation wait until the relay proves it; other conversations are \
             not affected."
        ),
        Problem::GroupNeedsAdmin => {
            "This is the group's last admin, and a group needs one. Make somebody else an admin \
             first."
                .into()
        }
        Problem::GroupNameInvalid => {
            "This is not a valid group name. A name has 1 to 256 bytes and no control characters."
                .into()
        }
        Problem::GroupFull { limit } => format!(
            "A group can have at most {limit} members, so nobody was added. Remove somebody first."
        ),
        Problem::MemberUnknown { address } => {
            format!(
                "{address} is not a member of this group; `waxwing group show` lists the members."
            )
        }
        Problem::MemberIsSelf => {
            "This is your own address, and you are already in the group. To leave it, use `waxwing \
             group leave`."
                .into()
        }
        Problem::PictureInvalid { limit } => format!(
            "This picture cannot be used: it must be a PNG, JPEG or WebP image of at most {}.",
            size(*limit)
        ),
        Problem::RecipientBlocked => {
            "You have blocked this contact, so nothing was sent. Unblock them first.".into()
        }
        Problem::SmsNeedsOwnNumber => {
            "Text messages are sent from your own number, so your account's address must be a \
             phone number. Register it with `waxwing register NUMBER`."
                .into()
        }
        Problem::SmsNeedsNumber => {
            "A text message needs a phone number with its country code, such as +358401234567. To \
             write to an e-mail address, use `waxwing send`."
                .into()
        }
        Problem::SmsCannotBeAnswered { sender } => {
            format!("You cannot reply to {sender}: it is a name, not a phone number.")
        }
        Problem::SmsNotOffered => {
            "This relay does not send text messages to phones, so nothing was sent. Ask its \
             operator."
                .into()
        }
        Problem::SmsNotUnderstood => {
            "A text message is not encrypted: the relay, the phone networks and anybody who taps \
             them can read it, anybody can forge its sender, and it costs money. If you accept \
             that, confirm it once with --yes."
                .into()
        }
        Problem::SmsTooLong { segments, limit } => {
            if *segments == u32::MAX {
                format!("The text is far too long for {limit} text messages. Shorten it.")
            } else {
                format!(
                    "The text needs {segments} text messages, but you allowed {limit}. Shorten it."
                )
            }
        }
        Problem::SmsRecipientHere { address } => format!(
            "{address} is on Waxwing now, so no text message was sent. `waxwing send {address}` is \
             encrypted and free; --even-so sends a text message anyway."
        ),
        Problem::SmsNotSentThere => {
            "This relay does not send text messages to that number, so nothing was sent. Ask its \
             operator."
                .into()
        }
        Problem::SmsNotTaken => {
            "The phone network did not accept the text message, so nothing was sent. Check the \
             number, and try again later."
                .into()
        }
        Problem::SmsNotDelivered => {
            "The phone network could not deliver the text message: the phone has been off for a \
             long time, or nobody has this number."
                .into()
        }
        Problem::SmsUncertain => {
            "The relay stopped while it was sending the text message, so nobody knows whether all \
             of it was sent. Ask the recipient, or send it again."
                .into()
        }
        Problem::SmsConversation => {
            "Text messages do not support this. To write in this conversation, use `waxwing sms \
             send`."
                .into()
        }
        Problem::OutboxFull { limit } => format!(
            "The outbox is full with {limit} messages, so this one was not sent. Check the \
             connection with `waxwing doctor`, and try again once the others are sent."
        ),
        Problem::NoCodeAsked => {
            "You have not asked for a code yet. Start with `waxwing register ADDRESS --relay URL`."
                .into()
        }
        Problem::NoCodeGiven => {
            "You gave no code, so the address is not verified yet. Once the code arrives, run the \
             same command again with --code."
                .into()
        }
        Problem::CodeWrong { tries_left } => format!(
            "The code is wrong, so the address is not verified yet. Check the newest message and \
             try again ({} left).",
            match tries_left {
                1 => "1 try is".to_owned(),
                n => format!("{n} tries are"),
            }
        ),
        Problem::CodeExpired => {
            "The code has expired, so the address is not verified. Register again to get a new one."
                .into()
        }
        Problem::CodeUsedUp => {
            "Too many wrong codes: this code no longer works. Register again to get a new one."
                .into()
        }
        Problem::AddressUnreachable { address } if address.starts_with('+') => format!(
            "The code could not be sent to {address}, so the number is not verified. Check the \
             number, or ask the relay's operator whether the relay sends text messages there."
        ),
        Problem::AddressUnreachable { address } => format!(
            "The code could not be delivered to {address}, so the address is not verified. Check \
             the address, or ask the relay's operator whether the relay's mail works."
        ),
        Problem::RecipientUnknown { address } => format!(
            "Nobody has registered {address} on this relay, so the message was not sent. Check the \
             address, or invite them."
        ),
        Problem::RecipientFull => {
            "The recipient's mailbox is full, so the message waits in your outbox. It is sent \
             automatically once they have been online."
                .into()
        }
        Problem::RecipientNotProven => {
            "The relay could not prove which devices belong to the recipient, so nothing was sent. \
             Do not trust this relay until its operator has explained that."
                .into()
        }
        Problem::ContactChanged { address } => format!(
            "{address}, whom you verified in person, has new keys: either they created a new \
             account, or somebody else has their address, so nothing is sent until you decide. \
             Compare the safety number again with `waxwing verify {address}`; then use --accept, \
             --reject, or --continue to go on without comparing."
        ),
        Problem::SafetyNumberDiffers { address } => format!(
            "This is not your safety number with {address}, so they are not marked as verified: \
             somebody may be between you. Check that both of you show the number for each other, \
             and write nothing important until the numbers match."
        ),
        Problem::SafetyNumberMalformed => {
            "This is not a safety number, so nothing was compared. Scan the QR code that `waxwing \
             verify` shows on their device, or type its 60 digits."
                .into()
        }
        Problem::AuditorsMissing { present, required } => format!(
            "You require co-signatures from {required} auditors, and {present} have co-signed what \
             the relay shows, so your messages wait. If this lasts, ask the auditors or the \
             relay's operator, or change the number with `waxwing audit require`."
        ),
        Problem::AuditorsMalformed => {
            "These auditors cannot be required, so nothing was changed. You can name at most 16 \
             auditors; `waxwing audit id` prints an auditor's id, which begins with \
             waxwing-auditor-."
                .into()
        }
        Problem::DeviceAdded { device } => format!(
            "A device ({device}…) was added to your account. If you did not do that, somebody can \
             read all your new messages: remove the device with `waxwing devices revoke {device}`, \
             and tell your contacts."
        ),
        Problem::DeviceRemoved { device } => format!(
            "A device ({device}…) was removed from your account. If you did not do that, somebody \
             has another of your devices or your recovery words: tell your contacts by other \
             means."
        ),
        Problem::DeviceRevoked => {
            "Another device, or the recovery key, removed this device from the account, so it gets \
             no new messages. You can still read the messages that are on it."
                .into()
        }
        Problem::RecoveryKeyChanged => {
            "The recovery key of your account was changed. If you did not do that, somebody has \
             one of your devices or your recovery words: tell your contacts by other means."
                .into()
        }
        Problem::AddressTaken => {
            "Your address now belongs to another account, which you or somebody who can read your \
             mail registered: new contacts reach that account, and contacts who verified you are \
             warned. If it was not you, secure your mail, and then register the address again with \
             another --home."
                .into()
        }
        Problem::LogStale { age_ms } => format!(
            "The relay's newest proof about its key log is {} old, so the relay may be hiding \
             changes, and you cannot write to new people. Correct this device's clock if it is \
             wrong, or ask the relay's operator.",
            duration(*age_ms)
        ),
        Problem::LogAhead { ahead_ms } => format!(
            "The relay's key log is {} in the future, so this device does not trust it. Correct \
             this device's clock if it is wrong, or ask the relay's operator.",
            duration(*ahead_ms)
        ),
        Problem::ContactSeesAnotherLog { address } => format!(
            "The relay shows {address}'s device another key log than yours, so it is lying to one \
             of you. Compare the safety number in person (`waxwing verify {address}`), and ask the \
             relay's operator."
        ),
        Problem::OwnHistoryNotProved => {
            "For more than 24 hours of use the relay has not proved what its key log says about \
             your account, so somebody could have added a device or taken your address without \
             this device noticing. Ask the relay's operator why; until then, compare safety \
             numbers (`waxwing verify ADDRESS`) before you write anything important."
                .into()
        }
        Problem::ContactsNotProved { addresses, others } => format!(
            "For more than 24 hours of use the relay has not proved that the keys of {} are still \
             theirs, so this device may not notice that they removed a device, or that an address \
             has a new owner. Compare safety numbers in person (`waxwing verify ADDRESS`), and ask \
             the relay's operator why.",
            people(addresses, *others)
        ),
        Problem::HeadsNotCompared { addresses, others } => format!(
            "For more than 24 hours of use this device could not compare its view of the key log \
             with that of {}, so the relay may be showing you wrong keys for each other. Compare \
             safety numbers in person (`waxwing verify ADDRESS`), and ask the relay's operator \
             why; an old or modified program on their side can also be the reason.",
            people(addresses, *others)
        ),
        Problem::RelayDown { detail } => format!(
            "The relay cannot be reached ({detail}), so nothing is sent or received. Messages wait \
             in the outbox, and are sent automatically when it is back."
        ),
        Problem::WrongPin => {
            "The server that answered does not have the relay's pinned key: somebody may be \
             between you and the relay, so nothing was sent. Check the pin with the relay's \
             operator before you change it."
                .into()
        }
        Problem::RelayNotPinned { presented } => format!(
            "The relay's certificate is self-signed and you gave no pin, so this device cannot \
             tell whether it is the right relay, and nothing was sent. It has the pin {presented}: \
             if the relay's operator confirms this pin, give it with --pin."
        ),
        Problem::RelayKeyDiffers { presented } => format!(
            "The server there has another key ({presented}) than your relay, so this device stays \
             with the relay's old place. Ask the relay's operator where it is; a relay with \
             another key is another relay."
        ),
        Problem::ProxyMalformed => {
            "That is not a SOCKS5 proxy, so nothing was sent. Write it like socks5://127.0.0.1:9050 \
             (in --proxy, WAXWING_PROXY or ALL_PROXY), or connect without one (--proxy none)."
                .into()
        }
        Problem::ProxyFailed { detail } => format!(
            "The proxy cannot be used ({detail}), so nothing is sent or received: Waxwing never \
             connects without it. Start the proxy, or choose another one with --proxy."
        ),
        Problem::RateLimited { retry_after_ms } => format!(
            "The relay has had too many requests and accepts no more for now; {}.",
            match retry_after_ms {
                Some(ms) => format!("try again in {}", duration(*ms)),
                None => "try again in a few minutes".into(),
            }
        ),
        Problem::RelayUnavailable => {
            "The relay does not answer, so messages wait in your outbox until it does. Tell its \
             operator if this lasts."
                .into()
        }
        Problem::RelayStoresNothing => {
            "The relay answers, but cannot store anything now (its disk may be full), so messages \
             wait in your outbox until it can. Tell its operator if this lasts."
                .into()
        }
        Problem::LoginRefused => {
            "The relay does not let this device log in: it does not know the device, or the device \
             was revoked. Messages wait in your outbox; look at `waxwing devices` on another of \
             your devices, or ask the relay's operator."
                .into()
        }
        Problem::RelayTooDifferent => {
            "The relay uses another version of the protocol, so nothing can be sent. Update this \
             program, or ask the relay's operator to update the relay."
                .into()
        }
        Problem::RelayMisbehaves { what } => format!(
            "The relay did something that no honest relay does ({}), so this device did not trust \
             it. Your messages stay encrypted; ask the relay's operator, or use another relay.",
            misdeed(*what)
        ),
        Problem::RelayRefused { detail } => format!(
            "The relay refused this program's request ({detail}), so nothing was done. Update \
             both, and report it if it happens again."
        ),
        Problem::ClockWrong { skew_ms } => format!(
            "This device's clock is {} {} the relay's, so messages will have wrong times. Set the \
             clock.",
            duration(skew_ms.unsigned_abs()),
            if *skew_ms > 0 { "behind" } else { "ahead of" }
        ),
        Problem::AddressContested { until } => format!(
            "Somebody else has proved that they can read what is sent to your address, and gets \
             the address at {until} unless you object. If it is not you, run `waxwing lock keep` \
             now, and change the password of your mailbox."
        ),
        Problem::AccountDeleted { until } => format!(
            "Another of your devices deleted this account, so this device erases everything it has \
             on {}. Export what you want to keep; if it was not you, `waxwing account keep` keeps \
             it, and `waxwing recover` restores the account.",
            day(*until)
        ),
        Problem::AddressNotOwn { address } => format!(
            "\"{address}\" is not the address of this account, so nothing was deleted. `waxwing \
             account` shows the right one."
        ),
        Problem::NothingErased => {
            "This account was not deleted, so nothing here is going to be erased.".into()
        }
        Problem::LockChanged { locked: true } => {
            "Another of your devices locked your address. If you did not do that, the relay is \
             lying: tell its operator."
                .into()
        }
        Problem::LockChanged { locked: false } => {
            "Your address is no longer locked. If you did not unlock it, the relay did, and \
             somebody who reads your mail could register the address: lock it again with `waxwing \
             lock on`."
                .into()
        }
        Problem::AddressLocked { wait_ms } => {
            let wait = wait_ms.map_or_else(|| "up to 7 days".into(), duration);
            format!(
                "This address is locked: with its recovery words you can get it at once, with \
                 `waxwing recover`. Without them, register again in {wait}; you get the address if \
                 none of its devices has objected by then."
            )
        }
        Problem::AddressConfusable { address } => format!(
            "{address} looks too much like an address that is already registered, so it was not \
             registered. Use an address that looks different."
        ),
        Problem::CodeSentBefore { address } => format!(
            "{address} was sent many codes recently, so no new one was sent. Use the newest code \
             that arrived."
        ),
        Problem::AddressLooksLikeAnother { address } => format!(
            "{address} is yours now, but it looks like another address on this relay. Tell people \
             which one is yours."
        ),
        Problem::DeviceNameMalformed => {
            "This is not a valid device name, so nothing was done. Give a name of 1 to 64 bytes \
             without line breaks, such as \"Kitchen tablet\"."
                .into()
        }
        Problem::DeviceUnknown { device } => format!(
            "No device of this account, or more than one, has the id \"{device}\". `waxwing \
             devices` lists the ids; the first eight digits are enough."
        ),
        Problem::DeviceIsThis => {
            "A device cannot revoke itself. Revoke it from another of your devices.".into()
        }
        Problem::DevicesTooMany { limit } => format!(
            "This account already has {limit} devices, the most it can have, so no other was \
             admitted. Revoke one with `waxwing devices revoke ID` first."
        ),
        Problem::PairingCodeMalformed => {
            "That is not a code for linking a device. Type it as the new device shows it, like \
             482193-7K3MQ-9TXPA, or scan its QR code."
                .into()
        }
        Problem::PairingCodeMistyped => {
            "You mistyped the code; it was not tried, so it still works. Compare it with what the \
             new device shows."
                .into()
        }
        Problem::PairingOtherRelay => {
            "The new device uses another relay than this account, so the two cannot connect. Start \
             again on the new device with this account's relay, which `waxwing doctor` shows."
                .into()
        }
        Problem::PairingCodeDead => {
            "This code no longer works: it was used, is more than half an hour old, or the relay \
             has restarted. Get a new code with `waxwing devices link` on the new device."
                .into()
        }
        Problem::PairingNotAgreed => {
            "The code was not the same on both devices, or somebody tried to get between them, so \
             nothing was shared and the code no longer works. Get a new code; if this happens \
             again, do not trust the relay."
                .into()
        }
        Problem::PairingBroken => {
            "The connection between the two devices broke before the new one was admitted, so \
             nothing has changed. Check that both are online, and start again with a new code."
                .into()
        }
        Problem::PairingRefused => {
            "The other device did not admit this one, so nothing has changed. Start again if that \
             was a mistake."
                .into()
        }
        Problem::PairingNotAsked => {
            "No device is asking to be admitted, so there is nothing to confirm. First enter the \
             code that the new device shows, with `waxwing devices approve CODE`."
                .into()
        }
        Problem::PairingBusy => {
            "Another device is being linked, so this one was not started. Wait until the other is \
             linked, or stop it first."
                .into()
        }
        Problem::TransferEnded => {
            "The other device did not send the rest of the history, so older messages are missing \
             here. New messages still arrive; link this device again to get the rest."
                .into()
        }
        Problem::RosterNotChanged { detail } => format!(
            "The relay did not accept the change to your list of devices ({detail}), so nothing \
             has changed. Try again, and ask its operator if this lasts."
        ),
        Problem::RosterChangedMeanwhile => {
            "Another device changed your list of devices at the same moment, so nothing was \
             changed here. Try again."
                .into()
        }
        Problem::RecoveryWordsMalformed { detail, number } => format!(
            "These are not the words of a recovery key: {}. Compare them with what you wrote down.",
            match (detail, number) {
                (RecoveryWordsFlaw::Count, Some(words)) => {
                    format!("a recovery key has 24 words, and these are {words}")
                }
                (RecoveryWordsFlaw::Count, None) => "a recovery key has 24 words".into(),
                (RecoveryWordsFlaw::UnknownWord, Some(place)) => {
                    format!("word {place} is not a word of a recovery key")
                }
                (RecoveryWordsFlaw::UnknownWord, None) => {
                    "one is not a word of a recovery key".into()
                }
                (RecoveryWordsFlaw::Checksum, _) => "a word is wrong, or two are swapped".into(),
            }
        ),
        Problem::RecoveryWordsOthers => {
            "These words are a recovery key, but not this account's, so nothing was changed. Check \
             the address, and whether you have newer words."
                .into()
        }
        Problem::RecoveryAddressUnknown { address } => format!(
            "Nobody has registered {address} on this relay, so there is nothing to recover. Check \
             the address and the relay."
        ),
        Problem::RecoveryNotBegun => {
            "No recovery is waiting for a backup file, so the file was not read. Start with \
             `waxwing recover ADDRESS --from FILE` or `waxwing restore --from FILE`."
                .into()
        }
        Problem::BackupNone => {
            "There is no backup of this account on the relay, so older messages could not be \
             restored. If you have a backup in a file, `waxwing restore --from FILE` adds what it has."
                .into()
        }
        Problem::BackupDamaged => {
            "The backup is incomplete or does not open with this recovery key, so it was not used. \
             Try another copy if you have one: `waxwing restore --from FILE` adds what it has later."
                .into()
        }
        Problem::BackupNotOurs => {
            "A device that does not belong to this account made the backup, so it was not used. \
             Use another copy if you have one."
                .into()
        }
        Problem::BackupKeyMissing => {
            "This account has no backup key, because it is older than backups are, so no backup \
             was made. Recover the account once with its recovery words to get a key."
                .into()
        }
        Problem::BackupTooLarge => {
            "The backup is larger than the relay allows, so the relay keeps the previous one. \
             Write the backup to a file with `waxwing backup --file FILE`."
                .into()
        }
        Problem::DiskFull => {
            "The disk is full, so nothing was changed; messages that you received are not lost. \
             Free some space and try again."
                .into()
        }
        Problem::StoreCorrupted => {
            "The message store on this device is damaged, so it was not opened, to avoid more \
             damage. Check the disk, and restore the home folder from a copy; missed messages are \
             fetched again."
                .into()
        }
        Problem::StoreKeyWrong => {
            "The message store does not open with this key. Give the passphrase that you chose for \
             it, or the home folder's own key file."
                .into()
        }
        Problem::StoreKeyUnavailable { missing, detail } => key_missing(*missing, detail),
        Problem::StoreTooNew => {
            "The message store was written by a newer version of this program, so it was not \
             opened. Update this program."
                .into()
        }
        Problem::HomeNotPrivate { path, detail } => format!(
            "Other users could read or change what is in {path} ({detail}), so nothing was opened. \
             Make sure that you own the home folder and its files and that only you have access, \
             or name another folder with --home."
        ),
        Problem::HomeUnwritable { path, detail } => format!(
            "The home folder {path} cannot be written ({detail}), so nothing was done. Change its \
             permissions, or name another folder with --home."
        ),
        Problem::HomeBusy => {
            "Another process is using this home folder and does not answer, so nothing was done. \
             Stop that process, or name another folder with --home."
                .into()
        }
        Problem::ServerGone => {
            "The process that was doing this ended before it answered, so it may or may not be \
             done. Check with `waxwing history` before you do it again."
                .into()
        }
        Problem::StoreFailed { detail } => format!(
            "The message store could not be read or written ({detail}), so nothing was changed. \
             Check the disk and try again."
        ),
        Problem::SetBack => {
            "This device was restored from an old copy, so it is rejoining its conversations and \
             fetching the messages it missed. It sends your messages once that is done; you do not \
             have to do anything."
                .into()
        }
        Problem::WorkUndone { detail } => format!(
            "Something could not be processed because of an error in this program ({detail}). \
             Everything else continues; please report the error."
        ),
        Problem::Internal { detail } => {
            format!("An error in this program ({detail}) stopped the request. Please report it.")
        }
    }
}

fn key_missing(missing: KeyMissing, detail: &str) -> String {
    match missing {
        KeyMissing::Passphrase => {
            "The message store needs a passphrase and you gave none, so it was not opened. Set \
             WAXWING_PASSPHRASE, or run this on a terminal to be asked."
                .into()
        }
        KeyMissing::Place => format!(
            "There is no safe place for the message store's key, so no home was created: this \
             system has no working keyring ({detail}), and you gave no passphrase. Set \
             WAXWING_PASSPHRASE, or run this on a terminal to choose a passphrase; if nobody else \
             can read or copy the home folder, you can also keep the key in a file there with \
             --key-store file (WAXWING_KEY_STORE=file)."
        ),
        KeyMissing::Terminal => {
            format!("The passphrase could not be read ({detail}), so nothing was done. Try again.")
        }
        KeyMissing::Keyring => format!(
            "This system's keyring has the message store's key but does not release it \
             ({detail}). Unlock the keyring and try again."
        ),
    }
}

/// What a relay did.
const fn misdeed(what: RelayMisdeed) -> &'static str {
    match what {
        RelayMisdeed::TokenKeysDiffer => {
            "it uses a special token key for you, with which it could track you"
        }
        RelayMisdeed::TokenProofFalse => "it gave out invalid tokens",
        RelayMisdeed::RosterFalse => "it showed devices that their owner did not sign",
        RelayMisdeed::MemberNotEntitled => {
            "a stranger was added to a conversation, and this device refused it"
        }
        RelayMisdeed::RosterRolledBack => "it showed fewer or other devices than before",
        RelayMisdeed::LogFalse => "its key log does not prove what it claims",
        RelayMisdeed::LogRolledBack => "it shows an older key log than before",
        RelayMisdeed::LogRewritten => {
            "it has rewritten its key log; `waxwing audit evidence` has the proof"
        }
        RelayMisdeed::LogReplaced => {
            "it has another key log than before; `waxwing audit evidence` has the proof"
        }
        RelayMisdeed::LogSplit => {
            "it shows different key logs to you and to somebody you talk to; `waxwing audit \
             evidence` has the proof"
        }
        RelayMisdeed::LogHidden => {
            "it hides a part of its key log that somebody you talk to was shown"
        }
        RelayMisdeed::OwnEntryFalse => {
            "its key log has an entry for your account that none of your devices made"
        }
        RelayMisdeed::OwnEntryMissing => "its key log has lost your account",
        RelayMisdeed::AnothersWelcome => {
            "it delivered a conversation that was meant for somebody else's address, and this \
             device refused it"
        }
        RelayMisdeed::Malformed => "it sent something that is not a valid message of the protocol",
    }
}

/// Some people by name, and how many more.
fn people(addresses: &[String], others: u64) -> String {
    let mut all = addresses.to_vec();
    match others {
        0 => {}
        1 if all.is_empty() => all.push("somebody you talk to".into()),
        1 => all.push("1 other".into()),
        n if all.is_empty() => all.push(format!("{n} people you talk to")),
        n => all.push(format!("{n} others")),
    }
    match all.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => "the people you talk to".into(),
    }
}

fn address_malformed(address: &str, reason: AddressFlaw) -> String {
    match reason {
        AddressFlaw::Length => {
            "An address has at least 1 byte and at most 320. Write it like alice@example.org or \
             +15551234567."
                .into()
        }
        AddressFlaw::Kind => format!(
            "\"{address}\" is not an e-mail address or a phone number. Write it like \
             alice@example.org or, with the country code, +15551234567."
        ),
        AddressFlaw::LocalPart => format!(
            "\"{address}\" is not an e-mail address: the part before the @ cannot be like that. It \
             may have up to 64 Latin letters, digits and signs, and single dots between them."
        ),
        AddressFlaw::Domain => format!(
            "\"{address}\" is not an e-mail address: what stands after the @ is not the name of a \
             mail domain. Write it like alice@example.org."
        ),
        AddressFlaw::Number => format!(
            "\"{address}\" is not a possible phone number. Write a + and the country code, then the \
             rest of the number with all its digits, and no letters."
        ),
    }
}

/// Says why a file cannot be had now, and what to do.
pub fn of_missing_file(missing: Option<&MissingFile>) -> String {
    let Some(missing) = missing else {
        return "The file is not available. Ask its sender to send it again.".into();
    };
    let others = match missing.devices_asked {
        1 => "Your other device".to_owned(),
        number => format!("Your {number} other devices"),
    };
    match missing.reason {
        MissingReason::RelayDoesNotHaveIt => {
            "The file is not on this device, and the relay no longer has it: a relay keeps files for \
             the devices that they were sent to, and for a month at most. You have no other device \
             to get it from, so ask its sender to send it again."
                .into()
        }
        MissingReason::DevicesAsked => {
            let were = if missing.devices_asked == 1 { "was" } else { "were" };
            format!(
                "The relay no longer has this file. {others} {were} asked for it, and it arrives once \
                 one that has it is online; run `waxwing save` again then."
            )
        }
        MissingReason::DeviceUploads => {
            "Another device of yours has this file and is uploading it. It arrives when that is done; \
             run `waxwing save` again then."
                .into()
        }
        MissingReason::NoDeviceHasIt => {
            let has = if missing.devices_asked == 1 { "does not have" } else { "do not have" };
            format!(
                "The relay no longer has this file, and {} {has} it. Ask its sender to send it again.",
                others.to_lowercase()
            )
        }
        MissingReason::Damaged => {
            "What arrived is not the file that its sender sealed, so it was deleted. Run `waxwing \
             save` again to get it from another device of yours, or ask its sender to send it again."
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory as _};

    use super::*;
    use crate::cli::Cli;

    /// One of each problem, and those whose words depend on their facts.
    fn problems() -> Vec<Problem> {
        let mut all = Problem::examples();
        let misdeeds = RelayMisdeed::ALL.iter();
        all.extend(misdeeds.map(|&what| Problem::RelayMisbehaves { what }));
        let flaws = ReportFlaw::ALL.iter();
        all.extend(flaws.map(|&reason| Problem::ReportInvalid { reason }));
        let flaws = ImportFlaw::ALL.iter();
        all.extend(flaws.map(|&reason| Problem::ImportInvalid { reason }));
        let flaws = RecoveryWordsFlaw::ALL.iter();
        all.extend(flaws.map(|&detail| Problem::RecoveryWordsMalformed {
            detail,
            number: Some(23),
        }));
        let keys = KeyMissing::ALL.iter();
        all.extend(keys.map(|&missing| Problem::StoreKeyUnavailable {
            missing,
            detail: "no such service".into(),
        }));
        all.extend([
            Problem::LockChanged { locked: false },
            Problem::AddressLocked { wait_ms: None },
            Problem::RateLimited {
                retry_after_ms: None,
            },
            Problem::CodeWrong { tries_left: 1 },
            Problem::AddressUnreachable {
                address: "+15551234567".into(),
            },
            Problem::SmsTooLong {
                segments: u32::MAX,
                limit: 3,
            },
            Problem::ContactsNotProved {
                addresses: Vec::new(),
                others: 2,
            },
        ]);
        all
    }

    #[test]
    fn a_sentence_is_plain_and_not_longer_than_two() {
        const AVOIDED: [&str; 16] = [
            "anew",
            "whoever",
            "whatever",
            "whichever",
            "likewise",
            "thereby",
            "this is no ",
            "that is no ",
            "as it is",
            "taken in",
            "comes to be",
            "is of use",
            "has to do with",
            "bring",
            "good for nothing",
            "of old",
        ];
        for problem in problems() {
            let said = of(&problem);
            let code = problem.code();
            // Dots of addresses, numbers and abbreviations end nothing.
            let sentences = said.split(". ").count();
            assert!(sentences <= 2, "{code} has {sentences} sentences: {said}");
            assert!(said.len() <= 480, "{code} has {} bytes: {said}", said.len());
            assert!(
                said.ends_with('.'),
                "{code} ends without a full stop: {said}"
            );
            let start = said.chars().next().unwrap();
            assert!(
                !start.is_lowercase() || said.starts_with("alice"),
                "{code}: {said}"
            );
            let lower = said.to_lowercase();
            for word in AVOIDED {
                assert!(!lower.contains(word), "{code} says {word:?}: {said}");
            }
        }
    }

    #[test]
    fn a_sentence_names_only_commands_that_there_are() {
        for problem in problems() {
            let said = of(&problem);
            for named in said.split('`').skip(1).step_by(2) {
                let mut words = named.split(' ');
                assert_eq!(words.next(), Some("waxwing"), "{said}");
                let mut command = Cli::command();
                for word in words.take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase())) {
                    if let Some(found) = command.find_subcommand(word).cloned() {
                        command = found;
                        continue;
                    }
                    let mut values = command.get_arguments().flat_map(Arg::get_possible_values);
                    assert!(
                        values.any(|value| value.matches(word, false)),
                        "there is no {word:?}: {said}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_sentence_says_what_it_was_given() {
        let too_large = Problem::MessageTooLarge {
            bytes: 10_485_760,
            limit: 65_536,
        };
        assert!(of(&too_large).contains("10 MiB"));
        assert!(of(&too_large).contains("64 KiB"));
        assert!(of(&Problem::CodeWrong { tries_left: 1 }).contains("1 try is left"));
        assert!(of(&Problem::CodeWrong { tries_left: 4 }).contains("4 tries are left"));
        assert!(
            of(&Problem::RateLimited {
                retry_after_ms: Some(90_000)
            })
            .contains("90 seconds")
        );
        assert!(
            of(&Problem::ClockWrong {
                skew_ms: -7_200_000
            })
            .contains("2 hours ahead")
        );
    }

    #[test]
    fn a_report_of_another_version_is_told_in_its_own_words() {
        let report: ProblemReport =
            serde_json::from_str(r#"{"code": "not_yet_known", "sentence": "It is new."}"#).unwrap();
        assert_eq!(of_report(&report), "It is new.");
    }
}
