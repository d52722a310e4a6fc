//! Every method of the API: its name, parameters, result, access, documentation and examples.
//!
//! This list is the only place that names a method, besides what carries it out. The requests, the
//! names, `docs/rpc.md`, `docs/rpc.schema.json` and `docs/rpc.d.ts` are made from it; write the
//! files again with `cargo xtask rpc-docs`.
//!
//! **Elsewhere**: the macro explains an entry, in [`crate::method`]. Parameters are in `request` or
//! beside what they are about, results in `response`. The engine carries out a [`Request`] in its
//! `commands.rs`, the client a [`ClientRequest`] in its `rpc/service.rs`.
//!
//! **Always**: an entry is only ever added. Its examples are what its types read and write.

#[allow(
    clippy::wildcard_imports,
    reason = "the list names nearly all types of this crate"
)]
use crate::{method::methods, *};

methods! {
    /// A call that the engine answers. As JSON: `{"method": "send", "params": {…}}`.
    pub enum Request;

    /// Creates an account. The relay sends a code to the address; the stages arrive as
    /// `registration` notices. Only `address` and `relay` are required. The pin can be in the URL
    /// (`https://host:port/#sha256/…`) or in `pin`; a relay whose certificate browsers trust needs
    /// none. `device` is this device's name in the account's list of devices.
    register = Register(Register) -> Done: changes {
        params: r#"{"address": "alice@example.org", "relay": "https://relay.example.org:4433", "pin": "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "name": "Alice", "device": "Alice's phone"}"#,
        result: "{}",
    }

    /// Submits the code that the relay sent; spaces and hyphens in it do not matter. The outcome is
    /// a `registration` notice, with `registered` or with a problem such as `code_wrong`.
    submit_code = SubmitCode(SubmitCode) -> Done: changes {
        params: r#"{"code": "1234 5678"}"#,
        result: "{}",
    }

    /// Makes this device forget the recovery words, once the person has written them down.
    forget_recovery_words = ForgetRecoveryWords -> Done: changes {
        result: "{}",
    }

    /// Sends a message to an address, a conversation or a group. It works offline: the message is
    /// in the outbox when the call returns, and `message_state` notices tell what happens to it.
    ///
    /// `attachments` are files that are sealed in the home's folder `blobs/`, under their ids
    /// (`docs/protocol.md` says how; `waxwing send --attach` does it). The message is sent once the
    /// relay has them. With attachments, the text may be empty.
    ///
    /// States: `queued` (in the outbox), `accepted` (the relay holds it, durably), `delivered` (a
    /// device of the recipient has it), `read`, and `failed`.
    send = Send(SendText) -> Sent: changes, admitted {
        params: r#"{"to": "bob@example.org", "text": "Hello Bob", "reply_to": "4f2a6c1e9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3", "attachments": [{"blob": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "sha256": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "size": 1843200, "name": "beach.jpg", "media_type": "image/jpeg"}]}"#,
        result: r#"{"id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Returns what a text message to a phone would cost. `to` is a number with its country code,
    /// or the name (`sms:+358401234567`) or id of a conversation with one. `price` and `total` are
    /// present if the relay's operator states a price, and `offered` once the relay has said
    /// whether it sends text messages. `encoding` is `gsm7` (160 characters in one message) or
    /// `utf16` (70).
    quote_sms = QuoteSms(QuoteSms) -> SmsQuote: reads {
        params: r#"{"to": "+358401234567", "text": "On my way"}"#,
        result: r#"{"to": "+358401234567", "segments": 1, "encoding": "gsm7", "characters_left": 151, "price": "0.07 EUR", "total": "0.07 EUR", "offered": true, "understood": false}"#,
    }

    /// Sends a text message to a phone that is not on Waxwing. **It is not encrypted**: the relay,
    /// the phone networks and anybody who taps them can read it. `understood` says that the person
    /// accepts that; without it the first text message is refused with `sms_not_understood`.
    /// `segments` is the most segments that it may take. The number is looked up first: if it is on
    /// Waxwing, nothing is sent and the message fails with `sms_recipient_here`, unless `even_so`
    /// is set. The account's address must be a phone number.
    ///
    /// `message_state` notices tell what happens to it: `accepted` (the phone network has all of
    /// it), `delivered` (the network says that the phone has it), `failed` with `sms_not_taken`,
    /// `sms_not_delivered`, `sms_not_sent_there` or `sms_uncertain`.
    send_sms = SendSms(SendSms) -> Sent: changes, admitted {
        params: r#"{"to": "+358401234567", "text": "On my way", "understood": true, "segments": 1}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "1f2e3d4c5b6a79788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Reacts to a message. An account has one reaction to each message: a new one replaces it, and
    /// a call without `emoji` removes it. The changed message arrives as a `message_changed`
    /// notice, here and on the others' devices.
    react = React(React) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "emoji": "👍"}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Edits a message of this account. Everybody in the conversation can see its earlier versions
    /// (`message_info`).
    edit = Edit(Edit) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "text": "At eight"}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Unsends a message of this account: its text is deleted here, and the others' devices are
    /// asked to delete it. Nobody can force them.
    take_back = TakeBack(MessageOf) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Sends a poll: a question with 2 to 12 options. The message has `poll`, and its text holds the
    /// question and the options. Older versions show that it needs a newer version.
    ///
    /// In an `anonymous` poll, apps do not show who voted for what. It is not secret from a
    /// modified app: the devices of all members receive the votes.
    send_poll = SendPoll(SendPoll) -> Sent: changes, admitted {
        params: r#"{"to": "Family", "question": "Where do we eat?", "options": ["Thai", "Pizza"], "several": true}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Votes in a poll, by the places of options, from 0. An account has one vote in each poll: a
    /// new one replaces it, and a call without `options` withdraws it. The changed message arrives
    /// as a `message_changed` notice, here and on the others' devices.
    vote = Vote(Vote) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "options": [1]}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Closes a poll of this account, for good. Votes with a later time, by the voters' clocks, do
    /// not count; a modified app can state an earlier time.
    close_poll = ClosePoll(MessageOf) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Sends a message of anybody to another conversation, as a new message of this account. It has
    /// `forwarded`, and does not say who wrote it first. Poll questions are asked again, without the
    /// votes. Its files are sealed again for each recipient (`copy_attachment`).
    forward = Forward(Forward) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "to": "carol@example.org"}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Opens a message that can be viewed once (`view_once`), and deletes it on all devices of the
    /// account: nobody can open it again. Ask the person first. Its files must be `here`; what opens
    /// them is in the result, and they are deleted five minutes later. The sender learns that it was
    /// opened (`read`) if read receipts are on. Nobody can force the recipients: a modified app can
    /// keep the message.
    open_once = OpenOnce(MessageOf) -> ViewedOnce: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"}"#,
        result: r#"{"text": "The code is 1234"}"#,
    }

    /// Keeps a message and sends it at a time: `send`, later. Only this device knows of it until
    /// then. If this device is off at that time, or no program runs the account, it is sent late,
    /// when it can be; the message then has `scheduled_for`, the time for which it was meant. A
    /// `scheduled` notice says when it was sent, or why not. At most 1,000.
    schedule = Schedule(Schedule) -> ScheduledMessage: changes, admitted {
        params: r#"{"to": "bob@example.org", "text": "Happy birthday!", "at": "2026-12-24T07:00:00.000Z"}"#,
        result: r#"{"id": 7, "to": "bob@example.org", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "text": "Happy birthday!", "at": "2026-12-24T07:00:00.000Z"}"#,
    }

    /// Returns the messages that this device sends later, the next one first.
    scheduled = Scheduled -> ScheduledMessages: reads {
        result: r#"{"scheduled": [{"id": 7, "to": "bob@example.org", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "text": "Happy birthday!", "at": "2026-12-24T07:00:00.000Z"}]}"#,
    }

    /// Changes the text or the time of a message that was not sent yet. One that was refused
    /// (`problem`) is tried again then.
    change_scheduled = ChangeScheduled(ChangeScheduled) -> ScheduledMessage: repeats, admitted {
        params: r#"{"id": 7, "at": "2026-12-24T08:00:00.000Z"}"#,
        result: r#"{"id": 7, "to": "bob@example.org", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "text": "Happy birthday!", "at": "2026-12-24T08:00:00.000Z"}"#,
    }

    /// Cancels a message that was not sent yet.
    cancel_scheduled = CancelScheduled(CancelScheduled) -> Done: changes, admitted {
        params: r#"{"id": 7}"#,
        result: "{}",
    }

    /// Deletes messages for this person only, at most 1,000 at once, on all devices of the account;
    /// nobody else learns of it. A message that is still in the outbox is not sent. A device that
    /// is away does the same when it comes, and neither a backup nor an import restores them.
    delete_messages = DeleteMessages(DeleteMessages) -> Done: repeats, admitted {
        params: r#"{"messages": ["019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"]}"#,
        result: "{}",
    }

    /// Deletes a file of a message for this person only, on all devices of the account. The message
    /// stays, and shows the file as `deleted`. After that the message cannot be reported any more
    /// (`message_not_proven`), because what proves it holds the file's key.
    delete_attachment = DeleteAttachment(AttachmentOf) -> Done: repeats, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "number": 0}"#,
        result: "{}",
    }

    /// Deletes everything in a conversation for this person only, on all devices of the account,
    /// with its draft and its pin. It leaves the list until somebody writes in it again. A group is
    /// not left. Messages that no device of the account had received yet stay.
    delete_conversation = DeleteConversation(Of) -> Done: repeats, admitted {
        params: r#"{"of": "bob@example.org"}"#,
        result: "{}",
    }

    /// Sends a message of this account that failed. It is a new message at the end of the
    /// conversation, with what the failed one says now, its files and its link preview; the failed
    /// one is deleted (`message_deleted`), so that nobody gets it twice. Other messages are refused
    /// with `message_not_failed`.
    resend = Resend(MessageOf) -> Sent: changes, admitted {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"}"#,
        result: r#"{"id": "01b4c34f2a6c1e9d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "state": "queued"}"#,
    }

    /// Makes new messages of a conversation disappear this many seconds after they are read; 0 for
    /// never. Either side can set it, in a group only admins; it arrives as a `timer_changed`
    /// event. When a message disappears, a `message_deleted` notice says so.
    set_timer = SetTimer(SetTimer) -> Done: changes, admitted {
        params: r#"{"of": "bob@example.org", "seconds": 86400}"#,
        result: "{}",
    }

    /// Returns who has received and read a message of this account, as far as they tell; and all
    /// versions of a message, the first one first.
    message_info = MessageInfo(MessageOf) -> MessageInfo: reads {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"}"#,
        result: r#"{"message": {"id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "alice@example.org", "from_verified": true, "text": "At eight", "sent_at": "2026-11-24T20:15:03.250Z", "channel": "waxwing", "direction": "out", "state": "read", "read": true, "reactions": [{"emoji": "👍", "by": ["bob@example.org"], "own": false}], "edited_at": "2026-11-24T20:16:00.000Z"}, "receipts": [{"address": "bob@example.org", "delivered_at": "2026-11-24T20:15:04.000Z", "read_at": "2026-11-24T20:15:09.000Z"}], "versions": [{"text": "At seven", "at": "2026-11-24T20:15:03.250Z"}, {"text": "At eight", "at": "2026-11-24T20:16:00.000Z"}]}"#,
    }

    /// Returns the message whose id begins with these digits, with or without the first two, which
    /// all ids share. At least six digits are required.
    find_message = FindMessage(FindMessage) -> Message: reads {
        params: r#"{"prefix": "9d8f3a5c"}"#,
        result: r#"{"id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "alice@example.org", "from_verified": true, "text": "At eight", "sent_at": "2026-11-24T20:15:03.250Z", "channel": "waxwing", "direction": "out", "state": "read", "read": true, "reactions": [{"emoji": "👍", "by": ["bob@example.org"], "own": false}], "edited_at": "2026-11-24T20:16:00.000Z"}"#,
    }

    /// Creates a group, with this account as its admin. It works offline. The members are added
    /// once the relay can be reached, and each causes an `event` notice: `member_added`, or
    /// `not_added` if no account has the address.
    create_group = CreateGroup(CreateGroup) -> GroupCreated: changes, admitted {
        params: r#"{"name": "Family", "members": ["bob@example.org", "carol@example.org"]}"#,
        result: r#"{"conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a"}"#,
    }

    /// Changes a group, given by its id or its name; fields that are absent change nothing. It
    /// works offline and is done once the relay can be reached. `add` takes addresses; `remove`,
    /// `promote` and `demote` take addresses of members. `picture` is base64 of a PNG, JPEG or WebP
    /// of at most 24 KiB, or empty for none. Only admins can do this, except `add` while
    /// `everybody_adds` is set.
    change_group = ChangeGroup(ChangeGroup) -> Done: changes, admitted {
        params: r#"{"group": "Family", "add": ["dora@example.org"], "remove": ["carol@example.org"], "promote": ["bob@example.org"], "demote": ["alice@example.org"], "name": "The family", "picture": "iVBORw0KGgo=", "everybody_adds": true, "expires_after_s": 604800}"#,
        result: "{}",
    }

    /// Leaves a group. An admin can name a member in `successor`, who becomes an admin first. If
    /// the last admin names nobody, the device chooses a member.
    leave_group = LeaveGroup(LeaveGroup) -> Done: changes, admitted {
        params: r#"{"of": "Family", "successor": "bob@example.org"}"#,
        result: "{}",
    }

    /// Returns a group's name, members and settings. `coming` are people who are being added.
    group = Group(Of) -> Group: reads {
        params: r#"{"of": "5b4c3d2e1f00f1e2d3c4b5a69788796a"}"#,
        result: r#"{"conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a", "name": "Family", "members": [{"address": "alice@example.org", "account_id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b", "admin": true, "own": true, "verified": true, "compared": false}, {"address": "bob@example.org", "account_id": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "admin": false, "own": false, "verified": true, "compared": true}], "everybody_adds": false, "expires_after_s": 0, "gone": false, "coming": ["dora@example.org"], "changing": true}"#,
    }

    /// Creates a link with which others can ask to join a group; only admins can. A person with the
    /// link asks this account's devices, which add them, or with `needs_approval` wait for
    /// `decide_join`.
    invite = Invite(Invite) -> Invited: changes, admitted {
        params: r#"{"group": "Family", "needs_approval": true, "expires_at": "2026-12-24T00:00:00.000Z"}"#,
        result: r#"{"id": "0f1e2d3c", "link": "waxwing:invite/1/W0w9Lh8A8eLTxLWml4h5agECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g/alice@example.org#https://relay.example.org/#sha256/abc"}"#,
    }

    /// Revokes an invitation link.
    revoke_invitation = RevokeInvitation(RevokeInvitation) -> Done: changes, admitted {
        params: r#"{"group": "Family", "invitation": "0f1e2d3c"}"#,
        result: "{}",
    }

    /// Asks to join the group of a link. The group appears once the devices of the person who made
    /// the link add the account; if they do not, a `not_taken_in` event says so.
    join = Join(Join) -> GroupCreated: changes, admitted {
        params: r#"{"link": "waxwing:invite/1/W0w9Lh8A8eLTxLWml4h5agECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g/alice@example.org#https://relay.example.org/#sha256/abc"}"#,
        result: r#"{"conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a"}"#,
    }

    /// Accepts or refuses somebody who asked to join; `group` lists them as `asking`.
    decide_join = DecideJoin(DecideJoin) -> Done: changes, admitted {
        params: r#"{"group": "Family", "address": "dora@example.org", "accept": true}"#,
        result: "{}",
    }

    /// Sets the name and picture that contacts see. They are sent, end-to-end encrypted, to the
    /// people to whom the account has written. Fields that are absent change nothing.
    set_profile = SetProfile(SetProfile) -> Done: changes, admitted {
        params: r#"{"name": "Alice B.", "picture": "iVBORw0KGgo="}"#,
        result: "{}",
    }

    /// Returns the name and picture of this account, or with `of` those of a contact. Anybody can
    /// choose any name.
    profile = Profile(AskProfile) -> Profile: reads {
        params: r#"{"of": "bob@example.org"}"#,
        result: r#"{"profile_name": "Bob", "picture": "iVBORw0KGgo="}"#,
    }

    /// Marks everything in a conversation as read, up to a message or all of it.
    mark_read = MarkRead(MarkRead) -> Done: repeats {
        params: r#"{"conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "up_to": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"}"#,
        result: "{}",
    }

    /// Fetches an attachment from the relay. Where the relay does not have it any more, this
    /// account's other devices are asked, and one that has it uploads it again; `missing` then says
    /// what they answered. Small files from people to whom the account has written are fetched
    /// automatically. Progress arrives as `message_changed` notices.
    fetch_attachment = FetchAttachment(AttachmentOf) -> Done: changes {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "number": 0}"#,
        result: "{}",
    }

    /// Returns what is needed to open a file that is `here`: `blob` is its name in the home's
    /// folder `blobs/`, where it is sealed (STREAM with ChaCha20-Poly1305, `docs/protocol.md`).
    /// `waxwing save` does the rest.
    attachment = Attachment(AttachmentOf) -> OpenAttachment: reads {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "number": 0}"#,
        result: r#"{"blob": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "name": "beach.jpg", "media_type": "image/jpeg", "size": 1843200, "state": "here", "percent": 100}"#,
    }

    /// Blocks a contact, or with `false`, unblocks them.
    block = Block(Block) -> Done: repeats {
        params: r#"{"address": "mallory@example.org", "blocked": true}"#,
        result: "{}",
    }

    /// Accepts a message request, on all devices of the account. `conversations` shows message
    /// requests with `request`. Writing to somebody also accepts them.
    accept_request = AcceptRequest(Of) -> Done: changes, admitted {
        params: r#"{"of": "mallory@example.org"}"#,
        result: "{}",
    }

    /// Declines a message request: deletes the stranger's messages from all devices of the account,
    /// or leaves the group. If they write again, that is a new request, unless you block them here.
    decline_request = DeclineRequest(Decline) -> Done: changes, admitted {
        params: r#"{"of": "mallory@example.org", "block": true}"#,
        result: "{}",
    }

    /// Tells others that this person is typing in a conversation, or has stopped. Members who are
    /// online, except strangers, get a `typing` notice. It is valid for ten seconds, so call this
    /// again every few seconds while the person types. Nobody stores it.
    set_typing = SetTyping(SetTyping) -> Done: changes, admitted {
        params: r#"{"of": "bob@example.org", "typing": true}"#,
        result: "{}",
    }

    /// Returns messages from others, and their edits, with proof of who wrote them, to write to a
    /// file and give to people of one's choice. Nothing is sent. The account's own and imported
    /// messages are refused with `message_not_proven`.
    report = Report(MakeReport) -> Report: reads {
        params: r#"{"messages": ["019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e"], "note": "He keeps writing this"}"#,
        result: r#"{"format": "waxwing-report", "version": 1, "made_at": "2026-11-24T21:00:00.000Z", "note": "He keeps writing this", "people": [{"account": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "address": "bob@example.org", "verified": true, "roster": ["CgIIAQ=="]}], "messages": [{"account": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "device": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b", "group": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "sent_at_ms": 1795637703250, "content": "h1AA", "signature": "AAAA"}]}"#,
    }

    /// Checks what a report proves: every message in it was signed by a device of `account_id`, or
    /// the call fails with `report_invalid`. `address_known` says whether the address belongs to
    /// that account, as far as this device knows from the key log; it is absent if this device does
    /// not know. `key_revoked_at` is present if the account revoked the key that signed a message,
    /// because its device was removed or has another key: somebody who had the device by then may
    /// have written the message, no matter what time it states. A report may hold an old list of
    /// devices, so this is certain only if this device knows the account. `key_unproven` is
    /// present, and true, if the account claims the key that signed without proof, as with devices
    /// that an older version added; another account could then have written the message. Nothing
    /// proves `note`.
    check_report = CheckReport(Box<CheckReport>) -> ReportChecked(CheckedReport): reads {
        params: r#"{"report": {"format": "waxwing-report", "version": 1, "made_at": "2026-11-24T21:00:00.000Z", "note": "He keeps writing this", "people": [{"account": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "address": "bob@example.org", "verified": true, "roster": ["CgIIAQ=="]}], "messages": [{"account": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "device": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b", "group": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "sent_at_ms": 1795637703250, "content": "h1AA", "signature": "AAAA"}]}}"#,
        result: r#"{"made_at": "2026-11-24T21:00:00.000Z", "note": "He keeps writing this", "said": [{"id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "address": "bob@example.org", "account_id": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "address_known": true, "sent_at": "2026-11-24T20:15:03.250Z", "key_revoked_at": "2026-11-24T20:30:00.000Z", "text": "something unkind", "files": [{"name": "threat.jpg", "bytes": 48213}]}]}"#,
    }

    /// Imports messages from a file, at most 1,000 at once, the oldest first
    /// ([export.md](export.md)). Nothing is sent. Imported messages have `imported`; messages that
    /// are already here stay unchanged.
    import_entries = ImportEntries(Box<ImportEntries>) -> Imported: changes {
        params: r#"{"into": "bob@example.org", "messages": [{"message": {"id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "alice@example.org", "from_verified": true, "text": "At eight", "sent_at": "2026-11-24T20:15:03.250Z", "channel": "waxwing", "direction": "out", "state": "read", "read": true}}]}"#,
        result: r#"{"added": 1, "known": 0}"#,
    }

    /// Chooses whether others learn that their messages arrived, that they were read, and that this
    /// person is typing (unchanged if `typing` is absent). People to whom this account has not
    /// written, and whom it has not verified in person, never learn any of this.
    set_receipts = SetReceipts(SetReceipts) -> Done: repeats {
        params: r#"{"delivered": true, "read": false, "typing": false}"#,
        result: "{}",
    }

    /// Returns what this account tells others, as `set_receipts` set it.
    receipts = Receipts -> Receipts(ReceiptSettings): reads {
        result: r#"{"delivered": true, "read": false, "typing": true}"#,
    }

    /// Records the person's decision about a contact's safety number: `accept` (it is the same),
    /// `continue` (continue without comparing, after the contact's keys have changed) or `reject`
    /// (it is different: nothing is sent). With `accept`, `scanned` can hold the QR text or the
    /// digits from the other device. This device then compares them, and refuses a different number
    /// with `safety_number_differs`. The result is the same as of `safety_number`.
    verify = Verify(Verify) -> SafetyNumber: changes {
        params: r#"{"of": "bob@example.org", "decision": "accept", "scanned": "waxwing:safety/1/0f…/5a…"}"#,
        result: r#"{"address": "bob@example.org", "account_id": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "safety_number": "12345 67890 12345 67890 12345 67890 12345 67890 12345 67890 12345 67890", "qr_text": "waxwing:safety/1/0f…/5a…", "compared": true, "stopped": false}"#,
    }

    /// Chooses the auditors of the relay's key log, all of them at once, and how many must have
    /// co-signed what the relay shows before a key is used. With `required` 0, none has to.
    set_auditors = SetAuditors(SetAuditors) -> Done: changes {
        params: r#"{"auditors": [{"id": "waxwing-auditor-5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "name": "Eva"}], "required": 1}"#,
        result: "{}",
    }

    /// Dismisses the alarms of `status`, once the person has seen them.
    dismiss_alarms = DismissAlarms -> Done: changes {
        result: "{}",
    }

    /// Returns the safety number with a contact: 60 digits, the same on all devices of both people,
    /// and the same number as a text for a QR code. `compared` says that it was compared in person,
    /// `stopped` that nothing is sent until the person decides.
    safety_number = SafetyNumber(Of) -> SafetyNumber: reads {
        params: r#"{"of": "bob@example.org"}"#,
        result: r#"{"address": "bob@example.org", "account_id": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "safety_number": "12345 67890 12345 67890 12345 67890 12345 67890 12345 67890 12345 67890", "qr_text": "waxwing:safety/1/0f…/5a…", "compared": false, "stopped": false}"#,
    }

    /// Returns the chosen auditors, and what this device knows they have co-signed.
    auditors = Auditors -> Auditors: reads {
        result: r#"{"auditors": [{"id": "waxwing-auditor-5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "name": "Eva", "head": 4711, "at": "2026-11-24T20:15:07.000Z"}], "required": 1}"#,
    }

    /// Returns proofs that the relay lied: files in base64, which anybody can check with `waxwing
    /// audit verify`.
    evidence = Evidence -> Evidence(EvidenceFiles): reads {
        result: r#"{"evidence": [{"found_at": "2026-11-24T20:15:07.000Z", "file": "CAE="}]}"#,
    }

    /// Links this device to an account that another device has. The stages arrive as `pairing`
    /// notices; the one with `code` holds the code to type there (`code`) or to scan (`qr`). A code
    /// works for half an hour and for one attempt.
    link_device = LinkDevice(LinkDevice) -> Done: changes {
        params: r#"{"relay": "https://relay.example.org:4433", "pin": "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "name": "Kitchen tablet"}"#,
        result: "{}",
    }

    /// Takes the code that a new device shows, typed or scanned. The next `pairing` notice, with
    /// `confirm`, says which device asks.
    approve_device = ApproveDevice(ApproveDevice) -> Done: changes, admitted {
        params: r#"{"code": "482193-7K3MQ-9TXPA"}"#,
        result: "{}",
    }

    /// Admits or refuses the device that asks, once the person has seen which one it is.
    confirm_device = ConfirmDevice(ConfirmDevice) -> Done: changes, admitted {
        params: r#"{"accept": true}"#,
        result: "{}",
    }

    /// Stops linking a device; works on both devices. A device that was already admitted stays
    /// admitted.
    stop_linking = StopLinking -> Done: changes {
        result: "{}",
    }

    /// Returns the devices of this account, in the order in which they were added. `added_by` is
    /// the id of the device that admitted it, or `recovery_key`.
    devices = Devices -> Devices: reads {
        result: r#"{"devices": [{"id": "3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b", "short": "3a4f 5e6d 7c8b 9a0f", "name": "Kitchen tablet", "this": false, "added_at": "2026-11-24T20:15:07.000Z", "added_by": "recovery_key"}]}"#,
    }

    /// Revokes a device, given by its id or at least the first eight digits of it. The new list
    /// arrives as a `devices` notice; the device is removed from the conversations right after
    /// that.
    revoke_device = RevokeDevice(RevokeDevice) -> Done: changes, admitted {
        params: r#"{"device": "3a4f5e6d"}"#,
        result: "{}",
    }

    /// Recovers an account on this device with its recovery key: its 24 words, or the text of its
    /// QR code. Contacts and history come from the backup on the relay, or with `from_file` through
    /// `feed_backup`: then all of the file is checked before anything changes. `revoke_others` also
    /// revokes all other devices. Progress arrives as `recovery` and `transfer` notices.
    recover = Recover(Recover) -> Done: changes {
        params: r#"{"address": "alice@example.org", "relay": "https://relay.example.org:4433", "pin": "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "words": "wax wing seal …", "name": "New phone", "from_file": true, "revoke_others": true}"#,
        result: "{}",
    }

    /// Adds what a backup has to an account that this device belongs to: contacts, conversations and
    /// messages that are not here. The backup comes from the relay, or with `from_file` through
    /// `feed_backup`. Progress arrives as `recovery` and `transfer` notices.
    restore = Restore(Restore) -> Done: changes, admitted {
        params: r#"{"words": "wax wing seal …", "from_file": true}"#,
        result: "{}",
    }

    /// Takes the next bytes of a backup file, at most 512 KiB, in base64. Feed the whole file once a
    /// `recovery` notice says `checking`, and once more when one says `restoring`. A file that is
    /// damaged or another account's ends it with `failed`; nothing has changed then.
    feed_backup = FeedBackup(FeedBackup) -> Done: changes {
        params: r#"{"part": "V1hC", "last": true}"#,
        result: "{}",
    }

    /// Makes a new backup on the relay now; one is made daily anyway if there is something new.
    /// Only the recovery key can open it. The outcome arrives as a `backup` notice.
    backup = Backup -> Done: changes, admitted {
        result: "{}",
    }

    /// Returns a part of a new backup, to write to a file. Call it with `index` 0, and then with 1,
    /// 2, … as long as `more` is true; the file is all parts, one after another.
    read_backup = ReadBackup(ReadBackup) -> BackupPart: changes {
        params: r#"{"index": 0}"#,
        result: r#"{"part": "V1hC", "more": false}"#,
    }

    /// Locks or unlocks this account's address. Others can register a locked address only with the
    /// recovery key, or after a week in which no device objects. The outcome arrives as a `lock`
    /// notice.
    set_lock = SetLock(SetLock) -> Done: changes, admitted {
        params: r#"{"locked": true}"#,
        result: "{}",
    }

    /// Objects to the account that contests the locked address (the alarm `address_contested`).
    /// Once the relay knows, a `lock` notice arrives.
    keep_address = KeepAddress -> Done: changes, admitted {
        result: "{}",
    }

    /// Deletes the account. `address` must be its own, as the person types it. This device tells the
    /// account's other devices, leaves all groups, revokes the other devices and at last itself, so
    /// that the relay's key log says that the account is gone; the relay deletes mailboxes, key
    /// packages and the backup. Then a `home_erased` notice arrives, and this device deletes its
    /// home. It goes on after a restart.
    ///
    /// The other devices show the alarm `account_deleted`, and erase their homes after seven days
    /// (`keep_home`). Contacts get the event `account_deleted`.
    delete_account = DeleteAccount(DeleteAccount) -> Done: changes, admitted {
        params: r#"{"address": "alice@example.org"}"#,
        result: "{}",
    }

    /// Keeps what is on this device, although another device has deleted the account.
    keep_home = KeepHome -> Done: repeats {
        result: "{}",
    }

    /// Returns a conversation, oldest entry first: messages, events and gaps. Only `of` (an
    /// address, a conversation's id, or a group's name) is required. `limit` is at most 1,000. Give
    /// at most one of `before`, `after`, `around` and `search`: `before` pages back, `after`
    /// forward, `around` shows a message with the entries on both sides, and `search` finds words,
    /// like the method of that name. `more` says whether there are older entries, `newer` whether
    /// there are newer ones. To read everything from the newest entry back, call it with the
    /// `previous` of each result as `until` (also with `search`); from the oldest one, with `from`
    /// `""` and then with the `next` of each result. Such a place stays valid when entries are
    /// added or deleted.
    ///
    /// Messages in a group have its name in `group`. This account's own messages have `receipts`,
    /// which say how many members have received and read them (in groups of up to 32). A message
    /// may have `reactions`, `poll`, `edited_at`, `taken_back` (its text is then empty), `expires_after_s`
    /// and, once it was read, `expires_at`. Its files are in `attachments`, each with `number`,
    /// `name`, `media_type`, `size` (bytes), `percent`, and a `state`: `offered`, `sending`,
    /// `fetching`, `here`, `gone` or `deleted`; `missing` says why one is not to be had from the
    /// relay. Pictures and voice messages have a `preview`, as their sender
    /// states it: `width`, `height`, `blurhash` and a `thumbnail` (JPEG, base64); `duration_ms` and
    /// `waveform` (levels from 0 to 255).
    history = History(History) -> History(HistoryPage): reads {
        params: r#"{"of": "bob@example.org", "limit": 50, "before": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "search": "hello"}"#,
        result: r#"{
              "entries": [
                {"type": "message", "id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "alice@example.org", "from_verified": true, "text": "Hello Bob", "sent_at": "2026-11-24T20:15:03.250Z", "channel": "waxwing", "direction": "out", "state": "read", "read": true},
                {"type": "gap", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "bob@example.org", "missing": 2, "at": "2026-11-24T20:16:00.000Z"},
                {"type": "event", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "event": "identity_reset", "address": "bob@example.org", "at": "2026-11-24T20:17:00.000Z"}
              ],
              "more": false,
              "newer": false
            }"#,
    }

    /// Changes how this account keeps a conversation, on all its devices: `pinned`, `archived`
    /// (until somebody writes, unless it is muted), `muted` (for ever, or until `muted_until`), a
    /// `draft` (at most 8 KiB; empty for none), and the `nickname` of a contact (empty for none),
    /// which nobody else learns. Fields that are absent change nothing.
    keep_conversation = KeepConversation(KeepConversation) -> Done: changes {
        params: r#"{"of": "bob@example.org", "pinned": true, "archived": false, "muted": true, "muted_until": "2026-12-24T00:00:00.000Z", "draft": "Dear Bob", "nickname": "Bobby"}"#,
        result: "{}",
    }

    /// Stars or unstars a message, on all devices of the account.
    star = Star(Star) -> Done: changes {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "starred": true}"#,
        result: "{}",
    }

    /// Returns the thread that a message belongs to: the messages it replies to, as far as they are
    /// known here, and all replies to any of them; oldest first, at most 1,000 messages. A
    /// formatted text (`markdown` in `send`) has its spans in `formatted`, in order; `mentions` are
    /// the addresses that follow an `@` in the text.
    thread = Thread(MessageOf) -> Found: reads {
        params: r#"{"message": "4f2a6c1e9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3"}"#,
        result: r#"{"found": [{"id": "4f2a6c1e9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3", "conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a", "group": "Family", "from": "bob@example.org", "from_verified": true, "text": "**Tickets**, @alice@example.org?", "formatted": [{"text": "Tickets", "strong": true}, {"text": ", @alice@example.org?"}], "mentions": ["alice@example.org"], "sent_at": "2026-11-04T20:15:03.250Z", "channel": "waxwing", "direction": "in", "read": true}]}"#,
    }

    /// Returns the starred messages on this device, the latest first; at most 1,000.
    starred = Starred -> Found: reads {
        result: r#"{"found": [{"id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a", "group": "Family", "from": "bob@example.org", "from_verified": true, "text": "I have the train tickets", "sent_at": "2026-11-04T20:15:03.250Z", "channel": "waxwing", "direction": "in", "read": true, "starred": true}]}"#,
    }

    /// Returns messages that contain all of the words in `text`, newest first. Capitals and accents
    /// do not matter, and the last word may be the beginning of a word. All params are optional:
    /// without `text`, only `of`, `from`, `since` and `until` select messages. `limit` is 100 by
    /// default. If there may be more messages, `next` is the value for the next call.
    search = Search(Search) -> Found: reads {
        params: r#"{"text": "train tick", "of": "Family", "from": "bob@example.org", "since": "2026-11-01T00:00:00.000Z", "until": "2026-11-08T00:00:00.000Z", "limit": 20, "next": 4711}"#,
        result: r#"{"found": [{"id": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "5b4c3d2e1f00f1e2d3c4b5a69788796a", "group": "Family", "from": "bob@example.org", "from_verified": true, "text": "I have the train tickets", "sent_at": "2026-11-04T20:15:03.250Z", "channel": "waxwing", "direction": "in", "read": true}], "next": 4242}"#,
    }

    /// Returns the people that this account knows.
    contacts = Contacts -> Contacts: reads {
        result: r#"{"contacts": [{"address": "bob@example.org", "verified": true, "blocked": false, "compared": false, "account_id": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "safety_number": "12345 67890 12345 67890 12345 67890"}]}"#,
    }

    /// Returns the conversations, the one with the newest entry first. `kind` is `direct`, `group`
    /// (then `with` is its name), `notes` (this account's own) or `sms` (a phone, by text messages:
    /// `with` is `sms:` and its number or the name it gives itself).
    conversations = Conversations -> Conversations: reads {
        result: r#"{"conversations": [{"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "kind": "direct", "with": "bob@example.org", "verified": true, "unread": 1, "pinned": true, "muted_until": "2026-12-24T00:00:00.000Z", "draft": "Dear Bob", "nickname": "Bobby", "last": {"type": "message", "id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "conversation": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "from": "bob@example.org", "from_verified": true, "text": "Hello Alice", "sent_at": "2026-11-24T20:15:07.000Z", "channel": "waxwing", "direction": "in", "read": false}}]}"#,
    }

    /// Returns one conversation: by its id, by the other person's address in any form, or by the
    /// name of a group.
    conversation = Conversation(Of) -> Conversation: reads {
        params: r#"{"of": "Bob@Example.ORG"}"#,
        result: r#"{"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "kind": "direct", "with": "bob@example.org", "verified": true, "unread": 0}"#,
    }

    /// Returns this account. `registration` is `none`, `asking_for_code`, `code_sent`,
    /// `checking_code` or `registered`; fields that are not known yet are absent. `recovery_words`
    /// are present until `forget_recovery_words`.
    account = Account -> Account: reads {
        result: r#"{"registration": "registered", "address": "alice@example.org", "account_id": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b", "device_id": "3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b", "relay": "https://relay.example.org:4433", "pin": "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "recovery_words": "wax wing seal …"}"#,
    }

    /// Returns the state of this device. `log` is the relay's key log, as far as this device has
    /// checked it; `alarms` are the alarms, until `dismiss_alarms`. `changing_members` counts
    /// conversations that are adding or removing devices; `transferring` says that history is being
    /// transferred between devices or from a backup; `locked` that the address is locked
    /// (`set_lock`).
    status = Status -> Status: reads {
        result: r#"{"registration": "registered", "online": true, "clock_skew_ms": -12, "outbox": 0, "receipts": 0, "changing_members": 0, "transferring": false, "locked": true, "tokens": 30, "key_packages": 50, "rejoining": 0, "welcomes_held": 0, "missing": 0, "suite": "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519", "log": {"id": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0", "head": 4711, "made_at": "2026-11-24T20:15:07.000Z"}, "alarms": [{"code": "device_added", "sentence": "A device was added to the account.", "device": "5a697887", "first_at": "2026-11-24T20:15:07.000Z", "last_at": "2026-11-24T20:15:07.000Z"}], "problems": []}"#,
    }
}

methods! {
    /// A call that the client answers itself, because it concerns files, the network or the
    /// connection.
    pub enum ClientRequest;

    /// Fetches the title, a description and a picture from the site that a link leads to, so that
    /// `send` can carry them in its `link_preview`. Only `https` sites on the public internet are
    /// contacted; the site sees this device's IP address. The recipients of the message contact
    /// nobody.
    preview_link = PreviewLink(PreviewLink) -> LinkPreview: reads {
        params: r#"{"url": "https://example.org/waxwings"}"#,
        result: r#"{"url": "https://example.org/waxwings", "title": "Waxwings", "description": "They eat berries.", "thumbnail": "/9j/4AA="}"#,
    }

    /// Seals a file, given by its absolute path, into the home, so that `send` can attach it: put
    /// the result into its `attachments`. Pictures and voice messages get their `preview`. The
    /// sealed file is deleted if no message attaches it within a day.
    ///
    /// What a camera or a program stored in a JPEG, PNG, WebP, HEIC or AVIF picture (places, times,
    /// names) is removed, so that `size` and `sha256` may differ from the file's. Which side is up,
    /// and the colours, stay. `keep_metadata` seals the file as it is. A damaged picture is refused
    /// without it.
    seal_file = SealFile(SealFile) -> SealedFile: changes {
        params: r#"{"path": "/home/alice/beach.jpg"}"#,
        result: r#"{"blob": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "sha256": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b", "size": 48213, "name": "beach.jpg", "media_type": "image/jpeg", "preview": {"width": 4000, "height": 3000, "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj", "thumbnail": "/9j/4AA="}}"#,
    }

    /// Seals an attachment that is `here` again, under another key, so that `forward` can send it.
    /// Call it once for each recipient. The sealed file is deleted if no message attaches it within
    /// a day.
    copy_attachment = CopyAttachment(AttachmentOf) -> SealedFile: changes {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "number": 0}"#,
        result: r#"{"blob": "5a69788796a5b4c3d2e1f00f1e2d3c4b9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f", "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "sha256": "9b8d7f3a5c0e1d2b3a4f5e6d7c8b9a0f5a69788796a5b4c3d2e1f00f1e2d3c4b", "size": 48213, "name": "beach.jpg", "media_type": "image/jpeg"}"#,
    }

    /// Opens an attachment that is `here` (`fetch_attachment` fetches it), and writes it to an
    /// absolute path: a new file, or a folder. Nothing is overwritten.
    save_attachment = SaveAttachment(SaveAttachment) -> SavedAttachment: changes {
        params: r#"{"message": "019d8f3a5c0e1d2b3a4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c34f2a6c1e", "number": 0, "to": "/home/alice/holiday/"}"#,
        result: r#"{"path": "/home/alice/holiday/beach.jpg"}"#,
    }

    /// Returns where the relay is, its pin, and the proxy that connections go through, if there is
    /// one.
    relay = Relay -> RelayInfo: reads {
        result: r#"{"url": "https://relay.example.org:4433", "pin": "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "proxy": "socks5h://127.0.0.1:9050", "online": true}"#,
    }

    /// Follows the relay to another host or port. The client connects there first: only the server
    /// that has the relay's pinned key is followed, and another one is refused with
    /// `relay_key_differs`. If nothing answers there, nothing changes either. Then the links go
    /// there, and a `relay_moved` notice says so. Each device of the account is told separately.
    move_relay = MoveRelay(MoveRelay) -> Done: changes {
        params: r#"{"url": "https://relay.example.net:4433"}"#,
        result: "{}",
    }

    /// Makes all connections of this home go through a SOCKS5 proxy from now on, such as Tor, or
    /// through none. The proxy looks up all names. If it fails, nothing is sent: the problem is
    /// `proxy_failed`, and no connection is ever made without it.
    set_proxy = SetProxy(SetProxy) -> Done: repeats {
        params: r#"{"proxy": "socks5h://127.0.0.1:9050"}"#,
        result: "{}",
    }

    /// Makes this connection receive `notice` notifications (below) from now on.
    subscribe = Subscribe -> Done: repeats {
        result: "{}",
    }

    /// Stops the notices.
    unsubscribe = Unsubscribe -> Done: repeats {
        result: "{}",
    }

    /// Checks every part, makes a new connection to the relay for this, and says in sentences what
    /// it found. `result` is `ok`, `warning`, `failed` or `skipped`.
    ///
    /// Checks: `home`, `store`, `store_key`, `account`, `proxy` (if one is set), `relay`, `pin`,
    /// `tls`, `clock`, `login`, `key_log`, `key_packages`, `outbox`, `conversations`, `alarms` (one
    /// for each alarm).
    doctor = Doctor -> DoctorReport: reads {
        result: r#"{"healthy": true, "checks": [{"check": "tls", "result": "ok", "sentence": "TLS 1.3 with X25519MLKEM768 (post-quantum)."}]}"#,
    }

    /// Returns the version of the process that answers.
    version = Version -> ProgramVersion: reads {
        result: r#"{"version": "0.1.0"}"#,
    }
}

/// Every method, of the engine and of the client.
pub fn methods() -> impl Iterator<Item = &'static crate::Method> {
    Request::METHODS.iter().chain(ClientRequest::METHODS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{ProblemReport, method::Data};

    /// Whether the example is what its type reads and writes.
    fn holds(of: &str, data: &Data) {
        let example: Value =
            serde_json::from_str(data.example).unwrap_or_else(|error| panic!("{of}: {error}"));
        let again = (data.rewrite)(example.clone());
        assert_eq!(
            again.unwrap_or_else(|error| panic!("{of}: {error}")),
            example,
            "{of}"
        );
        tells_problems_truly(of, &example);
    }

    /// Whether each problem in it is one that there is, in the words that it has.
    fn tells_problems_truly(of: &str, example: &Value) {
        if let Value::Object(fields) = example
            && fields.contains_key("code")
            && fields.contains_key("sentence")
            && !fields.contains_key("first_at")
        {
            let report: ProblemReport = serde_json::from_value(example.clone()).unwrap();
            assert!(
                report.problem().map(|problem| problem.report()) == Some(report),
                "{of}"
            );
        }
        match example {
            Value::Object(fields) => fields
                .values()
                .for_each(|one| tells_problems_truly(of, one)),
            Value::Array(items) => items.iter().for_each(|one| tells_problems_truly(of, one)),
            _ => {}
        }
    }

    #[test]
    fn examples_are_what_the_types_read_and_write() {
        for method in methods() {
            if let Some(params) = &method.params {
                holds(method.name, params);
            }
            holds(method.name, &method.result);
        }
        for notice in Notice::ALL {
            assert!(!notice.examples.is_empty(), "{}", notice.name);
            for example in notice.examples {
                holds(notice.name, example);
                let json: Value = serde_json::from_str(example.example).unwrap();
                assert_eq!(json["type"], notice.name);
            }
        }
    }

    #[test]
    fn a_request_is_read_by_the_name_of_its_method() {
        for method in methods() {
            let mut call = json!({ "method": method.name });
            if let Some(params) = &method.params {
                call["params"] = serde_json::from_str(params.example).unwrap();
            }
            let read = serde_json::from_value::<Request>(call.clone()).map(|read| read.method());
            let client = serde_json::from_value::<ClientRequest>(call).map(|read| read.method());
            assert_eq!(read.or(client).unwrap(), method.name);
        }
    }

    #[test]
    fn a_name_is_of_one_method() {
        let mut names: Vec<_> = methods().map(|method| method.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
