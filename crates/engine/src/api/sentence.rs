//! The sentences that people read when something went wrong.
//!
//! **Always**: what happened, what it means for them, what they can do.

use super::{Problem, problem::RelayMisdeed};

/// What happened, what it means, and what to do.
pub fn sentence(problem: &Problem) -> String {
    match problem {
        Problem::AddressMalformed { address } => format!(
            "\"{address}\" is neither an e-mail address nor a phone number; write it like \
             alice@example.org or +15551234567."
        ),
        Problem::ConversationUnknown { name } => format!(
            "There is no conversation with \"{name}\" on this device; `waxwing contacts` lists \
             the ones there are."
        ),
        Problem::MessageUnknown => {
            "No message with this id is on this device; `waxwing history --json` shows the ids."
                .into()
        }
        Problem::MessageAmbiguous => {
            "Several messages have ids that begin so; give more of it. `waxwing history --ids` \
             shows the ids."
                .into()
        }
        Problem::MessageNotOwn => {
            "Somebody else wrote this message, so only they can change it or take it back.".into()
        }
        Problem::MessageTakenBack => {
            "This message was taken back, so there is nothing left to change.".into()
        }
        Problem::MessageNotProven => {
            "Only messages of others can be reported, and only those that this account received \
             itself; name another."
                .into()
        }
        Problem::ImportInvalid { reason } => {
            format!("This cannot be imported: {reason}. Only what `waxwing export` wrote can be.")
        }
        Problem::ReportInvalid { reason } => {
            format!("This report proves nothing: {reason}. Ask whoever made it for another.")
        }
        Problem::ReactionInvalid => {
            "A reaction is an emoji, or a few letters without blanks; give another.".into()
        }
        Problem::AttachmentNotHere => {
            "This file is not on this device yet; fetch_attachment brings it.".into()
        }
        Problem::FileUnusable { detail } => detail.clone(),
        Problem::AttachmentInvalid => {
            "The files cannot be sent: a message has at most 32, and each at most 4 GiB.".into()
        }
        Problem::NoLinkPreview { reason } => {
            format!("There is no preview of this link: {reason}. It can be sent without one.")
        }
        Problem::LinkPreviewInvalid => {
            "The preview cannot be sent: it must be of a link that stands in the text, with a \
             title or description, and 16 KiB at most."
                .into()
        }
        Problem::AttachmentUnknown => {
            "The message has no such attachment; `waxwing info` shows what it has.".into()
        }
        Problem::InvitationMalformed => {
            "This is no invitation; a link begins with waxwing:invite/1/, and all of it is needed."
                .into()
        }
        Problem::InvitationElsewhere => {
            "This group is at another relay than your account; its members have to be at the \
             same one."
                .into()
        }
        Problem::InvitationUnknown => {
            "The group has no such invitation; `waxwing group show` lists those that are open."
                .into()
        }
        Problem::InvitationsTooMany { limit } => format!(
            "A group has at most {limit} open invitations; take one back with `waxwing group \
             revoke` first."
        ),
        Problem::ProfileNameInvalid => {
            "The name is too long: at most 128 bytes. Give a shorter one.".into()
        }
        Problem::NotARequest => {
            "This is no request: you know each other already. `waxwing requests` lists those who \
             wait for your answer."
                .into()
        }
        Problem::AttachmentLost => {
            "A file of this message could not be brought to the relay, so the message was not \
             sent; send it again."
                .into()
        }
        Problem::MessageEmpty => "The message is empty, so nothing was sent; write a text.".into(),
        Problem::MessageTooLarge { bytes, limit } => format!(
            "The message has {} and the longest that can be sent has {}, so it was not sent; \
             shorten it or send it in parts.",
            size(*bytes),
            size(*limit)
        ),
        Problem::RelayUrlMalformed => {
            "The relay's URL is not one; it looks like https://relay.example.org and is printed by \
             the relay when it starts."
                .into()
        }
        Problem::PinMalformed => {
            "The pin is not one; copy it whole from what the relay printed: sha256/ and 44 \
             characters."
                .into()
        }
        Problem::NotRegistered => {
            "There is no account on this device yet; make one with `waxwing register ADDRESS \
             --relay URL`."
                .into()
        }
        Problem::AlreadyRegistered => {
            "This home has an account already, which stays as it is; give --home another folder \
             to make a second one."
                .into()
        }
        Problem::RecipientIsSelf => {
            "This is your own address, so there is nobody to send to; give someone else's.".into()
        }
        Problem::GroupUnknown { name } => format!(
            "There is no group \"{name}\" on this device; `waxwing group` lists the ones there are."
        ),
        Problem::GroupNameAmbiguous { name } => format!(
            "Several groups are called \"{name}\"; give the id of the one you mean, which \
             `waxwing group` shows."
        ),
        Problem::GroupNotAdmin => {
            "Only the group's admins may do this, and you are none; ask one of them.".into()
        }
        Problem::GroupNotMember => {
            "You are no member of this group any more, so nothing can be sent to it or changed; \
             what was said before is still in its history."
                .into()
        }
        Problem::GroupLost { name } => format!(
            "This device cannot read \"{name}\" any more, and no device of the group has added \
             it again. Ask one of the group's admins to remove you and add you again."
        ),
        Problem::GroupWaits { name } => format!(
            "A device joined \"{name}\", and the relay does not prove whose device it is. New \
             messages there wait until it does; other conversations go on."
        ),
        Problem::GroupNeedsAdmin => {
            "A group needs an admin, and this is the last one; make somebody else an admin first."
                .into()
        }
        Problem::GroupNameInvalid => {
            "A group's name has 1 to 256 bytes and no control characters; give another.".into()
        }
        Problem::GroupFull { limit } => format!(
            "A group has at most {limit} members, so nobody was added; take somebody out first."
        ),
        Problem::MemberUnknown { address } => {
            format!("{address} is no member of this group; `waxwing group show` lists them.")
        }
        Problem::MemberIsSelf => {
            "This is your own address: you are in the group already, and `waxwing group leave` \
             takes you out."
                .into()
        }
        Problem::PictureInvalid { limit } => format!(
            "The picture is not an image of at most {}; make it smaller.",
            size(*limit)
        ),
        Problem::RecipientBlocked => {
            "You have blocked this contact, so nothing was sent; unblock them first.".into()
        }
        Problem::SmsNeedsOwnNumber => {
            "Only an account whose address is a phone number can write text messages: they are \
             from that number. Register it with `waxwing register NUMBER`."
                .into()
        }
        Problem::SmsNeedsNumber => {
            "A text message goes to a phone number with its country's code, such as +358401234567; \
             to anybody else write with `waxwing send`."
                .into()
        }
        Problem::SmsCannotBeAnswered { sender } => format!(
            "{sender} is no phone number, so no text message can reach it; whoever wrote under \
             that name cannot be answered."
        ),
        Problem::SmsNotOffered => {
            "This relay takes no text messages to phones, so nothing was sent; ask its operator."
                .into()
        }
        Problem::SmsNotUnderstood => {
            "A text message is not encrypted: the relay, the phone networks and whoever taps them \
             read it, anybody can forge its sender, and it costs money. If you want that, say so \
             once with --yes."
                .into()
        }
        Problem::SmsTooLong { segments, limit } => {
            if *segments == u32::MAX {
                format!("The text is far too long for {limit} text messages; write less.")
            } else {
                format!(
                    "The text would take {segments} text messages, and {limit} were allowed; \
                     write less."
                )
            }
        }
        Problem::SmsRecipientHere { address } => format!(
            "{address} is on Waxwing now, so no text message was sent: `waxwing send {address}` \
             is encrypted and free. (--even-so sends a text message all the same.)"
        ),
        Problem::SmsNotSentThere => {
            "This relay sends no text messages to that number, so nothing was sent; ask its \
             operator."
                .into()
        }
        Problem::SmsNotTaken => {
            "The phone network did not take the text message, so nothing was sent; check the \
             number, and try again later."
                .into()
        }
        Problem::SmsNotDelivered => {
            "The phone network says that the phone does not get the text message: it is off for \
             long, or the number is nobody's."
                .into()
        }
        Problem::SmsUncertain => {
            "The relay was stopped while it handed the text message over, so nobody knows whether \
             all of it was sent; ask them, or send it again."
                .into()
        }
        Problem::SmsConversation => {
            "This is a conversation by text messages, which have no such thing; `waxwing sms send` \
             writes in it."
                .into()
        }
        Problem::OutboxFull { limit } => format!(
            "{limit} messages are waiting to be sent already, so this one was not taken; check \
             the connection with `waxwing doctor`, and try again when they have left."
        ),
        Problem::NoCodeAsked => {
            "No code has been asked for, so there is none to check; start with `waxwing register \
             ADDRESS --relay URL`."
                .into()
        }
        Problem::NoCodeGiven => {
            "No code was given, so the address is not verified yet; when it has come, run the same \
             command again with --code."
                .into()
        }
        Problem::CodeWrong { tries_left } => format!(
            "The code is not the one that was sent, so the address is not verified yet; look at \
             the newest message and try again ({} left).",
            match tries_left {
                1 => "1 try is".to_owned(),
                n => format!("{n} tries are"),
            }
        ),
        Problem::CodeExpired => {
            "The code is too old, so the address is not verified; register again to get a new one."
                .into()
        }
        Problem::CodeUsedUp => {
            "A wrong code was given too often, so this one is good for nothing any more; register \
             again to get a new one."
                .into()
        }
        Problem::AddressUnreachable { address } if address.starts_with('+') => format!(
            "The code could not be texted to {address}, so it cannot be verified; check the \
             number, or ask the relay's operator whether it sends text messages there."
        ),
        Problem::AddressUnreachable { address } => format!(
            "The code could not be delivered to {address}, so it cannot be verified; check the \
             address, or ask the relay's operator whether its mail works."
        ),
        Problem::RecipientUnknown { address } => format!(
            "Nobody has registered {address} on this relay, so the message was not sent; check \
             the address, or invite them."
        ),
        Problem::RecipientFull => {
            "The recipient's mailbox is full, so the message waits in your outbox; it is sent by \
             itself when they have been online."
                .into()
        }
        Problem::RecipientNotProven => {
            "The relay could not prove whose devices the recipient's are, so nothing was sent to \
             them; do not trust this relay until its operator has explained that."
                .into()
        }
        Problem::ContactChanged { address } => format!(
            "{address}, whom you had verified in person, has other keys now: they started over, \
             or somebody else has their address. Nothing is sent until you decide; compare the \
             safety number with them again (`waxwing verify {address}`), then --accept, \
             --continue without comparing, or --reject."
        ),
        Problem::SafetyNumberDiffers { address } => format!(
            "This is not the safety number that you have with {address}: somebody may be between \
             you, so they are not marked as verified. Make sure that both of you look at the \
             number for each other, and do not write anything that matters until it is the same."
        ),
        Problem::SafetyNumberMalformed => {
            "This is no safety number, so nothing was compared; scan the QR code of `waxwing \
             verify` on the other's device, or type its 60 digits."
                .into()
        }
        Problem::AuditorsMissing { present, required } => format!(
            "Of the auditors that you named, {present} have co-signed what the relay shows, and \
             you require {required}; what you wrote waits until they have. If this lasts, ask \
             them or the relay's operator, or change what you require with `waxwing audit require`."
        ),
        Problem::AuditorsMalformed => {
            "These auditors cannot be required, so nothing was changed; an auditor's id is printed \
             by `waxwing audit id` and begins with waxwing-auditor-, and at most 16 can be named."
                .into()
        }
        Problem::DeviceAdded { device } => format!(
            "A device ({device}…) was added to your account. If that was not you, whoever has it \
             reads what you are sent from now on: take it out with `waxwing devices revoke \
             {device}`, and tell your contacts."
        ),
        Problem::DeviceRemoved { device } => format!(
            "A device ({device}…) was removed from your account. If that was not you, somebody has \
             another of your devices, or your recovery words: tell your contacts on another \
             way."
        ),
        Problem::DeviceRevoked => {
            "This device was removed from its account by another of its devices or the recovery \
             key, so it gets nothing any more; what it has stays readable here."
                .into()
        }
        Problem::RecoveryKeyChanged => {
            "Your account has another recovery key than before. If that was not you, somebody has \
             one of your devices, or your recovery words: tell your contacts on another way."
                .into()
        }
        Problem::AddressTaken => {
            "Your address belongs to another account now: somebody who can read your mail \
             registered it anew, or you did. New contacts reach that account; contacts who \
             verified you are warned. Secure your mail first, then register the address anew with \
             another --home."
                .into()
        }
        Problem::LogStale { age_ms } => format!(
            "The relay's newest proof about its key log is {} old, so it may be hiding what came \
             since, and nobody new is written to; set this device's clock if it is wrong, or ask \
             the relay's operator.",
            duration(*age_ms)
        ),
        Problem::LogAhead { ahead_ms } => format!(
            "The relay's key log is {} in the future, so it is not believed; set this device's \
             clock if it is wrong, or ask the relay's operator.",
            duration(*ahead_ms)
        ),
        Problem::ContactSeesAnotherLog { address } => format!(
            "{address}'s device says that the relay shows it another key log than yours. One of \
             you is being lied to: compare the safety number in person (`waxwing verify \
             {address}`), and ask the relay's operator."
        ),
        Problem::OwnHistoryNotProved => {
            "For more than 24 hours of use the relay has not proved what its key log says of \
             your account, so somebody could have added a device to it, or taken your address, \
             and this device would not see it. Ask the relay's operator why; until then, compare \
             safety numbers before you write what matters (`waxwing verify ADDRESS`)."
                .into()
        }
        Problem::ContactsNotProved { addresses, others } => format!(
            "For more than 24 hours of use the relay has not proved that the keys of {} are \
             still theirs, so a device that they removed, or a new owner of an address, may not show \
             here. Compare safety numbers in person (`waxwing verify ADDRESS`), and ask the \
             relay's operator why.",
            people(addresses, *others)
        ),
        Problem::HeadsNotCompared { addresses, others } => format!(
            "For more than 24 hours of use this device could not compare the key log that it is \
             shown with the one of {}, so the relay may be showing you different keys for each \
             other. Compare safety numbers in person (`waxwing verify ADDRESS`), and ask the \
             relay's operator why; a program of theirs that is old or altered can be the reason, \
             too.",
            people(addresses, *others)
        ),
        Problem::RelayDown { detail } => format!(
            "The relay cannot be reached ({detail}), so nothing is sent or received now; messages \
             wait in the outbox and leave by themselves when it is back."
        ),
        Problem::WrongPin => {
            "What answers is not the relay that was pinned: somebody may be between you and it, \
             so nothing was sent. Check the pin with the relay's operator before you change it."
                .into()
        }
        Problem::RelayNotPinned { presented } => format!(
            "The relay made its certificate itself and no pin was given, so there is no telling \
             whether it is the right one and nothing was sent; what answered has the pin \
             {presented}: if the relay's operator names the same, give it with --pin."
        ),
        Problem::RateLimited { retry_after_ms } => format!(
            "The relay has had too many requests and takes no more for now; {}.",
            match retry_after_ms {
                Some(ms) => format!("try again in {}", duration(*ms)),
                None => "try again in a few minutes".into(),
            }
        ),
        Problem::RelayUnavailable => {
            "The relay does not answer, or cannot store anything now (its disk may be full), so \
             messages wait in your outbox and are sent when it can; tell its operator if this \
             lasts."
                .into()
        }
        Problem::RelayTooDifferent => {
            "The relay speaks another version of the protocol, so nothing can be sent; update \
             this program, or ask the relay's operator to update it."
                .into()
        }
        Problem::RelayMisbehaves { what } => format!(
            "The relay did something that no honest relay does ({}), so it was not believed; your \
             messages stay encrypted, but ask its operator, or use another relay.",
            match what {
                RelayMisdeed::TokenKeysDiffer =>
                    "it uses a token key of its own for you, by which it could follow you",
                RelayMisdeed::TokenProofFalse => "its tokens are not what they should be",
                RelayMisdeed::RosterFalse => "it showed devices that their owner did not sign",
                RelayMisdeed::MemberNotEntitled =>
                    "a stranger was put into a conversation, and was refused",
                RelayMisdeed::RosterRolledBack =>
                    "it showed fewer or other devices than it had shown before",
                RelayMisdeed::LogFalse => "its key log does not prove what it says",
                RelayMisdeed::LogRolledBack => "it shows an older key log than before",
                RelayMisdeed::LogRewritten =>
                    "it has rewritten its key log; `waxwing audit evidence` has the proof",
                RelayMisdeed::LogReplaced =>
                    "it has another key log than before; `waxwing audit evidence` has the proof",
                RelayMisdeed::LogSplit =>
                    "it shows different key logs to you and to somebody you talk to; `waxwing \
                     audit evidence` has the proof",
                RelayMisdeed::LogHidden =>
                    "it hides a part of its key log that somebody you talk to was shown",
                RelayMisdeed::OwnEntryFalse =>
                    "its key log has an entry for your account that none of your devices made",
                RelayMisdeed::OwnEntryMissing => "its key log has lost your account",
                RelayMisdeed::AnothersWelcome =>
                    "a conversation meant for somebody else's address came here, and was refused",
                RelayMisdeed::Malformed => "it sent what is no message of the protocol",
            }
        ),
        Problem::RelayRefused { detail } => format!(
            "The relay refused what this program asked ({detail}), so it was not done; update \
             both, and report it if it happens again."
        ),
        Problem::ClockWrong { skew_ms } => format!(
            "This device's clock is {} {} the relay's, so the times of messages will be wrong; \
             set the clock.",
            duration(skew_ms.unsigned_abs()),
            if *skew_ms > 0 { "behind" } else { "ahead of" }
        ),
        Problem::AddressContested { until } => format!(
            "Somebody else has proved that they read what is sent to your address, and asks \
             for it; they get it at {until} unless you object. If it is not you, with all your \
             devices lost, say `waxwing lock keep` now, and change the password of your \
             mailbox."
        ),
        Problem::LockChanged { locked: true } => {
            "Your address is locked now, by another of your devices; if none of you did that, \
             the relay lies: tell its operator."
                .into()
        }
        Problem::LockChanged { locked: false } => {
            "Your address is not locked any more. If that was none of your devices, the relay \
             did it: whoever reads your mail could register it anew. `waxwing lock on` locks it \
             again."
                .into()
        }
        Problem::AddressLocked { wait_ms } => {
            let wait = wait_ms.map_or_else(|| "up to 7 days".into(), duration);
            format!(
                "This address is locked, so that only its recovery key opens it at once: \
                 `waxwing recover` takes its words. Without them, its devices are told that \
                 somebody asks; if none of them objects within {wait}, register again then."
            )
        }
        Problem::AddressConfusable { address } => format!(
            "{address} can be mistaken for an address that is registered already, so it was \
             not taken; use one that looks different."
        ),
        Problem::CodeSentBefore { address } => format!(
            "{address} was sent many codes lately, so no new one was sent; give the newest one \
             that came."
        ),
        Problem::AddressLooksLikeAnother { address } => format!(
            "{address} is yours now, but it can be mistaken for another address on this relay; \
             tell people which one is you."
        ),
        Problem::DeviceNameMalformed => {
            "The device needs a name that you will know it by, of 1 to 64 bytes and without \
             line breaks, so nothing was done; give one like \"Kitchen tablet\"."
                .into()
        }
        Problem::DeviceUnknown { device } => format!(
            "No single device of this account has the id \"{device}\"; `waxwing devices` \
             lists them, and its first eight digits are enough."
        ),
        Problem::DeviceIsThis => {
            "This device cannot revoke itself, so that an account is never without any; do \
             it from another of your devices."
                .into()
        }
        Problem::DevicesTooMany { limit } => format!(
            "This account has {limit} devices, as many as it can have, so no other was \
             admitted; revoke one with `waxwing devices revoke ID` first."
        ),
        Problem::PairingCodeMalformed => {
            "That is not a code for linking a device; type it as the new device shows it, like \
             482193-7K3MQ-9TXPA, or scan its QR code."
                .into()
        }
        Problem::PairingCodeMistyped => {
            "A character of the code is wrong, so it was not tried and still works; compare \
             it with what the new device shows."
                .into()
        }
        Problem::PairingOtherRelay => {
            "The new device waits on another relay than the one that this account is on, so \
             they cannot meet; start again there with this account's relay, which `waxwing \
             doctor` shows."
                .into()
        }
        Problem::PairingCodeDead => {
            "Nobody waits with this code: it was used, or is more than half an hour old, or \
             the relay has started again; make a new one with `waxwing devices link` on the \
             new device."
                .into()
        }
        Problem::PairingNotAgreed => {
            "The code was not the same on both devices, or somebody tried to get in \
             between, so nothing was said and this code is dead; make a new one, and if \
             this happens again, do not trust the relay."
                .into()
        }
        Problem::PairingBroken => {
            "The two devices lost each other before the new one was admitted, so nothing \
             has changed and the code is dead; check that both are online and start again \
             with a new code."
                .into()
        }
        Problem::PairingRefused => {
            "The other device did not admit this one, so nothing has changed; start again \
             if that was a mistake."
                .into()
        }
        Problem::PairingNotAsked => {
            "No device asks to be admitted now, so there is nothing to confirm; give the \
             code that the new device shows with `waxwing devices approve CODE` first."
                .into()
        }
        Problem::PairingBusy => {
            "Another device is being linked just now, so this was not begun; wait for it, \
             or stop it first."
                .into()
        }
        Problem::TransferEnded => {
            "The other device did not hand over the rest of the history, so older messages \
             are missing here; what is written from now on arrives, and linking this device \
             again brings the rest."
                .into()
        }
        Problem::RosterNotChanged { detail } => format!(
            "The relay did not take the change of your list of devices ({detail}), so it is \
             as it was; try again, and ask its operator if this lasts."
        ),
        Problem::RecoveryWordsMalformed { detail } => format!(
            "These are not the words of a recovery key: {detail}; compare them with what \
             you wrote down."
        ),
        Problem::RecoveryWordsOthers => {
            "These words are a recovery key, but not the one of this account, so nothing \
             was changed; check the address, and whether you made newer words since."
                .into()
        }
        Problem::RecoveryAddressUnknown { address } => format!(
            "Nobody has registered {address} on this relay, so there is nothing to recover; \
             check the address and the relay."
        ),
        Problem::RecoveryNotBegun => {
            "No recovery waits for a backup file now, so it was not read; start with \
             `waxwing recover ADDRESS --from FILE`."
                .into()
        }
        Problem::BackupNone => {
            "There is no backup of this account on the relay, so older messages are gone \
             from here; your contacts can still write to you, and what is written from now \
             on arrives."
                .into()
        }
        Problem::BackupDamaged => {
            "The backup does not open with this key or is not whole, so what could not be \
             checked was left out; try another copy if you have one."
                .into()
        }
        Problem::BackupNotOurs => {
            "The backup was made by a device that this account does not have, so it was not \
             used; if you have another copy, use that."
                .into()
        }
        Problem::BackupKeyMissing => {
            "This account has no key for backups yet, because it was made before there were \
             any, so none was made; recover it once with its words to have one."
                .into()
        }
        Problem::BackupTooLarge => {
            "The backup is larger than the relay takes, so the one before was kept there; \
             write it to a file with `waxwing backup --file FILE`."
                .into()
        }
        Problem::DiskFull => {
            "The disk is full, so nothing was changed; free some space and try again: nothing \
             that was received is lost."
                .into()
        }
        Problem::StoreCorrupted => {
            "The message store on this device is damaged and was not opened, so that nothing gets \
             worse; restore the home folder from a copy (missed messages are fetched again), and \
             check the disk."
                .into()
        }
        Problem::StoreKeyWrong => {
            "The message store does not open with this key; give the passphrase it was made with, \
             or the home folder's own key file."
                .into()
        }
        Problem::StoreKeyUnavailable { sentence } => sentence.clone(),
        Problem::StoreTooNew => {
            "The message store was written by a newer version of this program, so it was left \
             alone; update this program."
                .into()
        }
        Problem::HomeNotPrivate { path, detail } => format!(
            "Others could read or change what is kept in {path} ({detail}), so nothing was opened; \
             make the home folder and its files your own, or give another with --home."
        ),
        Problem::HomeUnwritable { path, detail } => format!(
            "The home folder {path} cannot be written ({detail}), so nothing was done; change its \
             permissions, or give another with --home."
        ),
        Problem::HomeBusy => {
            "Another process uses this home folder and does not answer, so nothing was done; end \
             it, or give another folder with --home."
                .into()
        }
        Problem::ServerGone => {
            "The process that was working on this home ended before it answered, so it may or may \
             not have been done; look with `waxwing history` before you do it again."
                .into()
        }
        Problem::StoreFailed { detail } => format!(
            "The message store could not be read or written ({detail}), so nothing was changed; \
             check the disk and try again."
        ),
        Problem::SetBack => {
            "This device was restored from an old copy; it is rejoining its conversations and \
             asking for what it missed, and sends when that is done: there is nothing to do."
                .into()
        }
        Problem::WorkUndone { detail } => format!(
            "Something could not be processed because of a mistake in this program ({detail}). \
             Everything else goes on; please report it."
        ),
        Problem::Internal { detail } => format!(
            "This program made a mistake ({detail}), so the request was not carried out; please \
             report it."
        ),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

fn duration(ms: u64) -> String {
    let (amount, unit) = match ms.div_ceil(1_000) {
        seconds @ 0..120 => (seconds, "second"),
        seconds @ 120..7_200 => (seconds.div_ceil(60), "minute"),
        seconds @ 7_200..172_800 => (seconds.div_ceil(3_600), "hour"),
        seconds => (seconds.div_ceil(86_400), "day"),
    };
    format!("{amount} {unit}{}", if amount == 1 { "" } else { "s" })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_it_was_given() {
        let too_large = Problem::MessageTooLarge {
            bytes: 10_485_760,
            limit: 65_536,
        };
        assert!(sentence(&too_large).contains("10 MiB"));
        assert!(sentence(&too_large).contains("64 KiB"));
        assert!(sentence(&Problem::CodeWrong { tries_left: 1 }).contains("1 try is left"));
        assert!(sentence(&Problem::CodeWrong { tries_left: 4 }).contains("4 tries are left"));
        assert!(
            sentence(&Problem::RateLimited {
                retry_after_ms: Some(90_000)
            })
            .contains("90 seconds")
        );
        assert!(
            sentence(&Problem::ClockWrong {
                skew_ms: -7_200_000
            })
            .contains("2 hours ahead")
        );
    }

    #[test]
    fn a_problem_as_debug_does_not_show_the_address() {
        let problem = Problem::RecipientUnknown {
            address: "alice@example.org".into(),
        };
        assert!(!format!("{problem:?}").contains("alice"));
        assert!(!format!("{:?}", problem.report()).contains("alice"));
    }
}
