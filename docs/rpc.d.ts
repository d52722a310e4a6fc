// The types of Waxwing's JSON-RPC API, which docs/rpc.md describes.
// Written by `cargo xtask rpc-docs` from crates/api.

/** This account. */
export interface Account {
  /** How far the registration is. */
  registration: RegistrationStage;
  /** In display form. */
  address?: string | null;
  /** Hex. */
  account_id?: string | null;
  /** Hex. */
  device_id?: string | null;
  /** The relay's URL. */
  relay?: string | null;
  /** The relay's pin, as given or first seen. */
  pin?: string | null;
  /** Until `forget_recovery_words`: the recovery words, to write down and keep offline. */
  recovery_words?: string | null;
  /** The same words as the text of a QR code. */
  recovery_qr?: string | null;
}

/** What is wrong with a text that is not an address. */
export type AddressFlaw =
  /** It is empty, or longer than an address can be. */
  | "length"
  /** It has no `@`, and does not start with `+`. */
  | "kind"
  /** The part before the `@`. */
  | "local_part"
  /** The part after the `@`. */
  | "domain"
  /** No phone has this number. */
  | "number";

/** A warning that stays until the person dismisses it or its cause is resolved. */
export type Alarm = Problem & {
  /** What happened, in one sentence for programs and logs. */
  sentence: string;
} & {
  /** When it was raised. */
  first_at: Timestamp;
  /** When it was last raised. */
  last_at: Timestamp;
};

/** Parameters of `approve_device`. */
export interface ApproveDevice {
  /** The code that the new device shows, typed or scanned. */
  code: string;
}

/** Parameters of `profile`. */
export interface AskProfile {
  /** An address or a conversation's id; without it, this account. */
  of?: string | null;
}

/** A file that a message carries. */
export interface Attachment {
  /** Its place among the message's attachments, from 0. */
  number: number;
  /** The name that the sender chose. Do not trust it: check it before you use it. */
  name: string;
  /** Its media type, as the sender states it. */
  media_type: string;
  /** Bytes. */
  size: number;
  /** How far it is. */
  state: AttachmentState;
  /** How much of the transfer is done. */
  percent: number;
  /** A preview, as the sender states it. */
  preview?: Preview | null;
  /** Why the file is not here, if it cannot be fetched from the relay. */
  missing?: MissingFile | null;
}

/** An attachment of a message. */
export interface AttachmentOf {
  /** The message. */
  message: MessageId;
  /** Its place among the message's, from 0. */
  number?: number;
}

/** The state of an attachment. */
export type AttachmentState =
  /** At the relay; it can be fetched. */
  | "offered"
  /** Being uploaded to the relay; the message is sent after it. */
  | "sending"
  /** Being fetched. */
  | "fetching"
  /** On this device. */
  | "here"
  /** No longer available. */
  | "gone"
  /** Deleted by this person (`delete_attachment`). */
  | "deleted";

/** An auditor that the person chose. */
export interface Auditor {
  /** `waxwing-auditor-…`. */
  id: string;
  /** The name that the person gave them. */
  name: string;
  /** The number of the newest head that this device knows they co-signed; 0 for none. */
  head: number;
  /** When they did, by their clock. */
  at?: Timestamp | null;
}

/** The auditors that the person chose. */
export interface Auditors {
  /** By name. */
  auditors: Auditor[];
  /** How many must have co-signed. */
  required: number;
}

/** The notice `backup`. */
export interface BackupChanged {
  /** When the relay accepted the last complete backup. */
  saved_at?: Timestamp | null;
  /** Why the newest attempt failed, if it did. */
  problem?: ProblemReport | null;
  /** Once it is complete: the files that are not in the backup. */
  left_out?: FilesLeftOut | null;
}

/** A part of a backup, from `read_backup`. */
export interface BackupPart {
  /** In base64. The file is all parts, one after another. */
  part: string;
  /** Whether there are more. */
  more: boolean;
  /** With the last part: the files that are not in the backup. */
  left_out?: FilesLeftOut | null;
}

/** Parameters of `block`. */
export interface Block {
  /** The contact's address. */
  address: string;
  /** `false` undoes it. */
  blocked: boolean;
}

/** Parameters of `cancel_scheduled`. */
export interface CancelScheduled {
  /** Its number. */
  id: number;
}

/** Parameters of `change_group`. A field that is absent changes nothing. */
export interface ChangeGroup {
  /** The group's id, or its name. */
  group: string;
  /** Addresses of people to add. */
  add?: string[];
  /** Addresses of members to remove. */
  remove?: string[];
  /** Addresses of members to make admins. */
  promote?: string[];
  /** Addresses of admins to make plain members. */
  demote?: string[];
  /** The new name. */
  name?: string | null;
  /** The new picture: base64 of a PNG, JPEG or WebP of at most 24 KiB; empty for none. */
  picture?: string | null;
  /** Whether members who are not admins may add others. */
  everybody_adds?: boolean | null;
  /** How many seconds after reading a message is deleted; 0 for never. */
  expires_after_s?: number | null;
}

/** Parameters of `change_scheduled`. A field that is absent changes nothing. */
export interface ChangeScheduled {
  /** Its number. */
  id: number;
  /** The new text. */
  text?: string | null;
  /** The new time. */
  at?: Timestamp | null;
}

/** How a message travelled. */
export type Channel =
  /** End-to-end encrypted. */
  | "waxwing"
  /** The phone network's text messages. */
  | "sms";

/** One check. */
export interface Check {
  /**
   * A stable name: `home`, `store`, `store_key`, `account`, `proxy`, `relay`, `pin`, `tls`,
   * `clock`, `login`, `key_log`, `key_packages`, `outbox`, `conversations`, `alarms`. Each
   * alarm is a check of its own.
   */
  check: string;
  /** How it ended. */
  result: CheckResult;
  /** What was found, in a sentence that names no command. */
  sentence: string;
  /** The problem, if one was found for which there is a code. */
  problem?: ProblemReport | null;
  /** What the check saw, if the problem does not say it. */
  detail?: string | null;
}

/** Parameters of `check_report`. */
export interface CheckReport {
  /** The result of `report`. */
  report: Report;
}

/** How a check ended. */
export type CheckResult =
  /** Everything is fine. */
  | "ok"
  /** It works, but the person should know. */
  | "warning"
  /** It does not work. */
  | "failed"
  /** It could not be looked at, because of another check. */
  | "skipped";

/** A report in which every signature is valid. */
export interface CheckedReport {
  /** When it was made, as the report states. */
  made_at: Timestamp;
  /** The reporter's comment, which nothing proves. */
  note: string;
  /** The messages, as they were shown. */
  said: ProvenMessage[];
}

/** Parameters of `confirm_device`. */
export interface ConfirmDevice {
  /** Whether to admit the device that asks. */
  accept: boolean;
}

/** Whether this device is connected to the relay. */
export type Connection =
  /** The mailbox link is logged in. */
  | "online"
  /** It is not logged in. */
  | "offline";

/** The notice `connection`. */
export interface ConnectionChanged {
  /** The state now. */
  connection: Connection;
  /** Why, if known. */
  problem?: ProblemReport | null;
}

/** Somebody that this account knows. */
export interface Contact {
  /** In display form. */
  address: string;
  /** Whether a look-up proves that the address belongs to this account. */
  verified: boolean;
  /** The name in their profile. */
  name?: string | null;
  /** The name that the person gave them. */
  nickname?: string | null;
  /** Whether they are blocked. */
  blocked: boolean;
  /** Whether the safety number was compared in person, and was the same. */
  compared?: boolean;
  /** Hex. */
  account_id: string;
  /** To compare in person. */
  safety_number: string;
}

/** The people that this account knows. */
export interface Contacts {
  /** By address. */
  contacts: Contact[];
}

/** One conversation. */
export interface Conversation {
  /** The id on this device; a group's id is the same for all members. */
  id: ConversationId;
  /** Who takes part. */
  kind: ConversationKind;
  /** The other person's address, in display form; of a group, its name. */
  with: string;
  /** Whether a look-up proves that the address belongs to them. */
  verified: boolean;
  /** Messages that this account has not read. */
  unread: number;
  /** Whether it is a message request that the person has not accepted yet. */
  request?: boolean;
  /** Whether it is pinned to the top of the list. */
  pinned?: boolean;
  /** Whether it is archived. It returns to the list when somebody writes, unless it is muted. */
  archived?: boolean;
  /** Until when it is muted. */
  muted_until?: Timestamp | null;
  /** A draft, from any device of the account. */
  draft?: string | null;
  /** The name in their profile; anybody can choose any name. */
  name?: string | null;
  /** The name that the person gave them; only the address identifies them. */
  nickname?: string | null;
  /** The newest entry; absent for a message request. */
  last?: Entry | null;
}

/** Something happened to a conversation that its members should see. */
export interface ConversationEvent {
  /** Where. */
  conversation: ConversationId;
  /** What. */
  event: EventKind;
  /** Whom it concerns, in display form. */
  address: string;
  /** Who did it, if it was somebody else. */
  by?: string | null;
  /**
   * With `renamed`: the name; with `timer_changed`: seconds, 0 for none; with
   * `adding_changed`: `everybody` or `admins`.
   */
  detail?: string | null;
  /** When it was noticed. */
  at: Timestamp;
}

/** A conversation, as this device knows it. */
export type ConversationId = string;

/** Who takes part in a conversation. */
export type ConversationKind =
  /** Two people. */
  | "direct"
  /** A group of many. */
  | "group"
  /** This account's devices. */
  | "notes"
  /** A phone, by text messages: not encrypted, and nothing about it is verified. */
  | "sms";

/** The conversations on this device. */
export interface Conversations {
  /** The one with the newest entry first. */
  conversations: Conversation[];
}

/** Parameters of `create_group`. */
export interface CreateGroup {
  /** 1 to 256 bytes. */
  name: string;
  /** Addresses, as typed: at most 999. */
  members?: string[];
}

/** Parameters of `decide_join`. */
export interface DecideJoin {
  /** The group's id, or its name. */
  group: string;
  /** Who asks. */
  address: string;
  /** Whether they may join. */
  accept: boolean;
}

/** A person's decision about a safety number. */
export type Decision =
  /** It is the same: they are verified, and waiting messages are sent. */
  | "accept"
  /** The person did not compare it, but waiting messages are sent. */
  | "continue"
  /** It is different: they are not verified, and nothing is sent. */
  | "reject";

/** Parameters of `decline_request`. */
export interface Decline {
  /** An address, a conversation's id, or a group's name that no other group has. */
  of: string;
  /** Whether to block them as well. */
  block?: boolean;
}

/** Parameters of `delete_account`. */
export interface DeleteAccount {
  /** The account's own address, typed by the person. */
  address: string;
}

/** Parameters of `delete_messages`. */
export interface DeleteMessages {
  /** At most 1,000. */
  messages: MessageId[];
}

/** A device of this account. */
export interface Device {
  /** Hex. */
  id: string;
  /** The first digits of the id, in groups, as both devices show them while linking. */
  short: string;
  /** Its name, if this device knows it. */
  name?: string | null;
  /** Whether it is the device that answers. */
  this: boolean;
  /** When it was admitted, by the clock of the device that admitted it. */
  added_at: Timestamp;
  /** The id of the device that admitted it; `recovery_key`; absent for the first. */
  added_by?: string | null;
}

/** The devices of this account. */
export interface Devices {
  /** In the order in which they were admitted. */
  devices: Device[];
}

/** The notice `devices`. */
export interface DevicesChanged {
  /** All devices now. */
  devices: Device[];
  /** Why a change failed, if one did. */
  problem?: ProblemReport | null;
}

/** Who wrote a message. */
export type Direction =
  /** Somebody else. */
  | "in"
  /** This account. */
  | "out";

/** All checks, in the order in which a person would look. */
export interface DoctorReport {
  /** Whether no check failed. */
  healthy: boolean;
  /** The checks. */
  checks: Check[];
}

/** The result of methods that return nothing. */
export type Done = Record<string, unknown>;

/** Parameters of `edit`. */
export interface Edit {
  /** A message of this account. */
  message: MessageId;
  /** Its new text. */
  text: string;
}

/** One thing in a conversation's history. */
export type Entry =
  /** What somebody wrote. */
  | Message & {
    type: "message";
  }
  /** What happened to the conversation. */
  | ConversationEvent & {
    type: "event";
  }
  /** Messages that are known to be missing. */
  | Gap & {
    type: "gap";
  };

/** What can happen to a conversation. */
export type EventKind =
  /** The address belongs to another account than before. */
  | "identity_reset"
  /**
   * Somebody uses an address that, as the relay says, belongs to somebody else (earlier
   * versions).
   */
  | "address_not_theirs"
  /** The safety number was compared in person. */
  | "verified"
  /** The address looks like a contact's. */
  | "looks_like_another"
  /** This device had lost its place and has rejoined. */
  | "rejoined"
  /** `address` was added; `by` names who did it, if it was somebody else. */
  | "member_added"
  /** `address` was removed; `by` names who did it, if it was somebody else. */
  | "member_removed"
  /** `address` left. */
  | "member_left"
  /** `address` became an admin; `by` names who did it, if it was somebody else. */
  | "admin_added"
  /** `address` is no longer an admin; `by` names who did it, if it was somebody else. */
  | "admin_removed"
  /** `address` renamed the group; the new name is in `detail`. */
  | "renamed"
  /** `address` changed the picture of the group, or removed it. */
  | "picture_changed"
  /** Messages disappear `detail` seconds after they are read; 0 for never. */
  | "timer_changed"
  /** `detail` says who may add members: `everybody` or `admins`. */
  | "adding_changed"
  /** `address` could not be added. */
  | "not_added"
  /** The group was set up again, because somebody broke its rules or the relay lost it. */
  | "made_anew"
  /**
   * A device of `address` broke the group's rules: an admin's device sets the group up again
   * without that device.
   */
  | "rules_broken"
  /**
   * A member, or the relay, made a change of the group that no device can read: the group is
   * set up again with everybody in it.
   */
  | "disturbed"
  /**
   * A stranger has written more than is kept before the person accepts (200 messages); the
   * rest was not kept.
   */
  | "held_back"
  /** `address` has an invitation link and asks to join. */
  | "asks_to_join"
  /** This account cannot join the group of a link: `detail` is `declined` or `over`. */
  | "not_taken_in"
  /** The number of this conversation by text messages is on Waxwing now. */
  | "on_waxwing"
  /**
   * An error in the program stopped this conversation on this device; the device tries to
   * rejoin automatically.
   */
  | "quarantined"
  /** `address` has deleted their account, says the relay's key log. */
  | "account_deleted";

/** A proof that the relay lied, which anybody can check. */
export interface Evidence {
  /** When it was found. */
  found_at: Timestamp;
  /** The file for `waxwing audit verify`, in base64. */
  file: string;
}

/** Proofs that the relay lied. */
export interface EvidenceFiles {
  /** The oldest first. */
  evidence: Evidence[];
}

/** Parameters of `feed_backup`. */
export interface FeedBackup {
  /** The next bytes of the file, at most 512 KiB, in base64. */
  part: string;
  /** Whether these are the last bytes. */
  last?: boolean;
}

/** Files of messages that a backup does not have. They stay on the devices that have them. */
export interface FilesLeftOut {
  /** How many. */
  files: number;
  /** Their size together. */
  bytes: number;
}

/** Parameters of `find_message`. */
export interface FindMessage {
  /**
   * At least six hexadecimal digits: the start of the id, with or without the first two digits,
   * which all ids share.
   */
  prefix: string;
}

/** Parameters of `forward`. */
export interface Forward {
  /** The message. */
  message: MessageId;
  /** To whom: an address, a conversation's id, or a group's name that no other group has. */
  to: string;
  /**
   * All its attachments that were not deleted, in their order, as `copy_attachment` returns
   * them for this recipient.
   */
  attachments?: SealedFile[];
}

/** Messages that were searched for. */
export interface Found {
  /** Newest first; for a thread, oldest first. */
  found: Message[];
  /** Where to continue, if there may be more. */
  next?: number | null;
}

/** Messages of one sender that did not arrive. This device has asked for them again. */
export interface Gap {
  /** Where. */
  conversation: ConversationId;
  /** Whose messages, in display form. */
  from: string;
  /** How many. */
  missing: number;
  /** When it was noticed. */
  at: Timestamp;
}

/** A group of many. */
export interface Group {
  /** Its id, the same for all members. */
  conversation: ConversationId;
  /** Its name. */
  name: string;
  /** An image in base64, if it has one. */
  picture?: string | null;
  /** Sorted by address. */
  members: GroupMember[];
  /** Whether members who are not admins may add others. */
  everybody_adds: boolean;
  /** How many seconds after reading a message is deleted; 0 for never. */
  expires_after_s: number;
  /** Whether this account has left or was removed. */
  gone: boolean;
  /** Addresses of people who are being added. */
  coming: string[];
  /** Open invitations. */
  invitations?: GroupInvitation[];
  /** Addresses of people who wait for this account's decision. */
  asking?: string[];
  /** Whether changes by this device wait for the relay. */
  changing: boolean;
}

/** A group was created. */
export interface GroupCreated {
  /** Its id, the same for all members. */
  conversation: ConversationId;
}

/** An open invitation. */
export interface GroupInvitation {
  /** Its id: 8 hex digits. */
  id: string;
  /** Whether an admin has to approve each person who asks. */
  needs_approval: boolean;
  /** When it expires. */
  expires_at?: Timestamp | null;
  /** The link, if this device made it. */
  link?: string | null;
}

/** A member of a group. */
export interface GroupMember {
  /** In display form. */
  address: string;
  /** Hex. */
  account_id: string;
  /** Whether they are an admin. */
  admin: boolean;
  /** Whether it is this account. */
  own: boolean;
  /** Whether a look-up proves that the address belongs to this account. */
  verified: boolean;
  /** Whether the safety number was compared in person, and was the same. */
  compared: boolean;
}

/**
 * Parameters of `history`. At most one of `before`, `after`, `around`, `until`, `from` and
 * `search` may be given, except that `until` goes with `search`.
 */
export interface History {
  /** An address, or a conversation's id. */
  of: string;
  /** How many of the newest entries; at most 1,000, which is the default. */
  limit?: number | null;
  /** Only entries before this message. */
  before?: MessageId | null;
  /** Only entries after this message: the oldest `limit` of them. */
  after?: MessageId | null;
  /** This message, with entries before and after it. */
  around?: MessageId | null;
  /** Only entries before those of an earlier result: its `previous`. Also with `search`. */
  until?: string | null;
  /** From the oldest entry (`""`), or from the `next` of an earlier result. */
  from?: string | null;
  /** Only messages with these words: as in `search`. */
  search?: string | null;
}

/** A part of a conversation's history. */
export interface HistoryPage {
  /** Oldest first. */
  entries: Entry[];
  /** Whether there are older ones. */
  more: boolean;
  /** Whether there are newer ones. */
  newer?: boolean;
  /** For a request with `from`: where to continue, if there are newer entries. */
  next?: string | null;
  /** Where to continue back (`until`), if there are older entries; absent with `from`. */
  previous?: string | null;
}

/** The notice `home_erased`. */
export type HomeErased = Record<string, unknown>;

/** Parameters of `import_entries`. */
export interface ImportEntries {
  /**
   * The conversation to import into: an address, a conversation's id, or a group's name that no
   * other group has.
   */
  into: string;
  /** The oldest first, at most 1,000. */
  messages: ImportedMessage[];
}

/** What is wrong with messages to import. */
export type ImportFlaw =
  /** There are too many messages at once. */
  | "too_many_messages"
  /** A message is too long. */
  | "message_too_long"
  /** A sender is not a valid address. */
  | "sender_malformed"
  /** The id of a message is malformed. */
  | "id_malformed";

/** The result of an import. */
export interface Imported {
  /** How many messages were added. */
  added: number;
  /** How many were here already. */
  known: number;
}

/** A message from a file. */
export interface ImportedMessage {
  /** As `history` returns it. Its reactions, receipts and attachments are ignored. */
  message: Message;
  /** Its attachments, sealed in the home. */
  files?: SealedFile[];
}

/** Parameters of `invite`. */
export interface Invite {
  /** The group's id, or its name. */
  group: string;
  /** Whether an admin has to approve each person who asks. */
  needs_approval?: boolean;
  /** When the link expires. */
  expires_at?: Timestamp | null;
}

/** A link with which people ask to join a group. */
export interface Invited {
  /** The invitation's id: 8 hex digits. */
  id: string;
  /** The link to give to people who should join. */
  link: string;
}

/** Parameters of `join`. */
export interface Join {
  /** `waxwing:invite/1/…` */
  link: string;
}

/** Parameters of `keep_conversation`. A field that is absent changes nothing. */
export interface KeepConversation {
  /** An address, a conversation's id, or a group's name that no other group has. */
  of: string;
  /** Whether it is pinned to the top of the list. */
  pinned?: boolean | null;
  /** Whether it is archived. */
  archived?: boolean | null;
  /** Whether it is muted: for ever, unless `muted_until` is given. */
  muted?: boolean | null;
  /** Until when it is muted. */
  muted_until?: Timestamp | null;
  /** A draft of at most 8 KiB; empty for none. */
  draft?: string | null;
  /** A nickname for the contact, at most 128 bytes; empty for none. Nobody else learns it. */
  nickname?: string | null;
}

/** Why the key of the home's store is not available. */
export type KeyMissing =
  /** It needs a passphrase, and none was given. */
  | "passphrase"
  /** A new home has nowhere to keep it: there is no keyring, and no passphrase was given. */
  | "place"
  /** The passphrase could not be read from the terminal. */
  | "terminal"
  /** The keyring has it, and does not release it. */
  | "keyring";

/** Parameters of `leave_group`. */
export interface LeaveGroup {
  /** The group's id, or its name. */
  of: string;
  /** The address of a member who becomes an admin in this account's place. */
  successor?: string | null;
}

/** Parameters of `link_device`. */
export interface LinkDevice {
  /** The URL of the account's relay, `https://host[:port]`, optionally with `/#` and its pin. */
  relay: string;
  /** The relay's SPKI pin, `sha256/…`, if it is not in the URL. */
  pin?: string | null;
  /** This device's name in the account's list of devices: 1 to 64 bytes. */
  name: string;
}

/** What a link leads to, as the sender's device states it. */
export interface LinkPreview {
  /** The link, as written in the text. */
  url: string;
  /** The page's title; at most 300 characters. */
  title: string;
  /** The page's description, or empty; at most 600 characters. */
  description?: string;
  /** A JPEG in base64, or empty. Decode it with care: the sender may be hostile. */
  thumbnail?: string;
}

/** The notice `lock`. */
export interface LockChanged {
  /** Whether the address is locked. */
  locked: boolean;
  /** Why it was not changed, if it was not. */
  problem?: ProblemReport | null;
}

/** The relay's key log, as far as this device has checked it. */
export interface LogStatus {
  /** Hex. */
  id: string;
  /** The number of the newest head that this device has seen; 0 for none. */
  head: number;
  /** When the relay made it. */
  made_at?: Timestamp | null;
}

/** Parameters of `report`. */
export interface MakeReport {
  /** Messages of others. */
  messages: MessageId[];
  /** The person's comment, at most 4,096 bytes. */
  note?: string;
}

/** Parameters of `mark_read`. */
export interface MarkRead {
  /** The conversation. */
  conversation: ConversationId;
  /** The last message that was read; without it, all messages. */
  up_to?: MessageId | null;
}

/** A message, in or out. */
export interface Message {
  /** The same for everyone who has it. */
  id: MessageId;
  /** The conversation. */
  conversation: ConversationId;
  /** The group's name, if it is in a group. */
  group?: string | null;
  /** The sender's address, in display form. */
  from: string;
  /**
   * Whether the relay's verified address list, and the signed roster, say that
   * this address and the sender's device belong to the same account.
   */
  from_verified: boolean;
  /** What was written. */
  text: string;
  /** The whole text with its formatting, in order, if it is Markdown. */
  formatted?: Span[];
  /** The addresses it mentions (`@bob@example.org`), in canonical form. */
  mentions?: string[];
  /** By the sender's clock. */
  sent_at: Timestamp;
  /** How it travelled. */
  channel: Channel;
  /** Whether this account wrote it. */
  direction: Direction;
  /** The state of a message of this account; absent for messages from others. */
  state?: MessageState | null;
  /** Why it failed, if it did. */
  problem?: ProblemReport | null;
  /** The message it replies to. */
  reply_to?: MessageId | null;
  /** Whether this account has read it (its own are). */
  read: boolean;
  /** Each emoji with the people who reacted with it, the most frequent first. */
  reactions?: Reaction[];
  /** When it was last edited, by the sender's clock. */
  edited_at?: Timestamp | null;
  /** Whether its sender has unsent it; its text is then empty. */
  taken_back?: boolean;
  /** How many seconds after reading it disappears. */
  expires_after_s?: number | null;
  /** When it disappears from this device, once it was read. */
  expires_at?: Timestamp | null;
  /** In a group: how many recipients have this account's message. */
  receipts?: ReceiptCount | null;
  /** Whether this account has starred it. */
  starred?: boolean;
  /** Its attachments. */
  attachments?: Attachment[];
  /** A preview of a link in the text, as the sender claims it. */
  link_preview?: LinkPreview | null;
  /** What it asks, if it is a poll, and how people voted. */
  poll?: Poll | null;
  /** Whether it can be viewed once (`open_once`): its text is empty, and its files have no names. */
  view_once?: boolean;
  /** Whether its sender says that it is forwarded; not by whom it was first. */
  forwarded?: boolean;
  /** If this device sent it later on request (`schedule`): the time for which it was meant. */
  scheduled_for?: Timestamp | null;
  /** Whether it was imported from a file: nothing proves who wrote it. */
  imported?: boolean;
  /** For a text message: how many segments it has. */
  segments?: number | null;
  /**
   * For a text message: the address to which it asks people to reply instead of to its sender.
   * Nothing is sent there automatically.
   */
  asks_reply_to?: string | null;
  /** For a text message: tricks and possible tricks in it, the worst first. */
  findings?: SmsFinding[];
  /** In notices: whether it is a message request from a stranger. */
  request?: boolean;
  /**
   * In notices: whether the same person sent too many at once; do not alert the user to this
   * one.
   */
  quiet?: boolean;
}

/** The notice `message_state`. */
export interface MessageChanged {
  /** The message. */
  id: MessageId;
  /** Where it stands. */
  conversation: ConversationId;
  /** Its new state. */
  state: MessageState;
  /** With `failed`: why. With `queued`: what it waits for, if known. */
  problem?: ProblemReport | null;
}

/** The notice `message_deleted`. */
export interface MessageDeleted {
  /** The message. */
  id: MessageId;
  /** Where it stood. */
  conversation: ConversationId;
}

/** A message's MIMI id: the same on every device that has the message. */
export type MessageId = string;

/** A closer look at a message. */
export interface MessageInfo {
  /** The message. */
  message: Message;
  /** For a message of this account: each member who should get it. */
  receipts: Receipt[];
  /** All its versions, the first one first; empty if it was unsent. */
  versions: Version[];
}

/** A message. */
export interface MessageOf {
  /** Its id. */
  message: MessageId;
}

/** The state of a message of this account. It only moves forward, except to `failed`. */
export type MessageState =
  /** In the outbox. */
  | "queued"
  /** It will not be sent: see the problem. */
  | "failed"
  /** The relay holds it, durably. */
  | "accepted"
  /** A device of the recipient has it. */
  | "delivered"
  /** The recipient has read it. */
  | "read";

/** Why a file is not here. */
export interface MissingFile {
  /** Why. */
  reason: MissingReason;
  /** How many other devices of this account were asked for it. */
  devices_asked: number;
  /** How many of them have said that they do not have it. */
  devices_without: number;
}

/** Why a file is not here. */
export type MissingReason =
  /** The relay does not have it any more, or never had it, and there is no other device to ask. */
  | "relay_does_not_have_it"
  /** This account's other devices were asked for it; those that are offline answer later. */
  | "devices_asked"
  /** Another device of this account is uploading it. */
  | "device_uploads"
  /** The relay does not have it any more, and neither does any device of this account. */
  | "no_device_has_it"
  /** What the relay gave is not what the sender sealed. */
  | "damaged";

/** Parameters of `move_relay`. */
export interface MoveRelay {
  /** Where the relay is now: `https://host:port`, with or without its pin. */
  url: string;
}

/** An auditor, as the person names them. */
export interface NamedAuditor {
  /** `waxwing-auditor-…`, as the auditor publishes it. */
  id: string;
  /** The name that the person gives them. */
  name: string;
}

/** Something happened. As JSON, an object whose `type` says what. */
export type Notice =
  /**
   * Somebody wrote. `from_verified` is whether the relay's verified addresses and the signed
   * roster say that this address is the sender's.
   *
   * A text message of the phone network has `channel` `sms`, and its `from_verified` is never
   * true. `from` is the sender that it claims, `asks_reply_to` the address to which it asks
   * people to reply, `segments` how many segments it had, and `findings` the tricks in it, the
   * worst first, each with `severity` (`note`, `caution`, `danger`), `kind`, a `sentence` for
   * people, and more fields that depend on its kind.
   *
   * A message from a stranger has `request`. If one person sends too many messages at once, they
   * have `quiet`: do not alert the user to them.
   */
  | Message & {
    type: "message";
  }
  /**
   * The state of a message of this account changed. `problem` says why it failed, or what it
   * waits for while it is queued.
   */
  | MessageChanged & {
    type: "message_state";
  }
  /** A message changed: it was edited, reacted to or unsent, or more members have it. */
  | Message & {
    type: "message_changed";
  }
  /** A message has disappeared, because its time was up. */
  | MessageDeleted & {
    type: "message_deleted";
  }
  /** A scheduled message was sent, late if `late_ms` is present; or, with a `problem`, it was not. */
  | ScheduledChanged & {
    type: "scheduled";
  }
  /**
   * Another device of this account changed a synced setting, of `conversation` if it belongs to
   * one.
   */
  | Synced & {
    type: "synced";
  }
  /** Somebody is typing, or has stopped. It is valid for ten seconds. */
  | Typing & {
    type: "typing";
  }
  /** Something happened to a conversation, as in `history`. */
  | ConversationEvent & {
    type: "event";
  }
  /**
   * Messages from one sender are missing, and this device has asked for them again. With
   * `missing` 0, all have arrived.
   */
  | Gap & {
    type: "gap";
  }
  /** The registration moved to another stage. With a `problem`, it returned to `stage`. */
  | RegistrationChanged & {
    type: "registration";
  }
  /** The connection to the relay was made (`online`) or lost (`offline`). */
  | ConnectionChanged & {
    type: "connection";
  }
  /** The relay is at another place from now on (`move_relay`); its key is the same. */
  | RelayMoved & {
    type: "relay_moved";
  }
  /** The account was deleted, and this device deletes its home: the process that answers ends. */
  | HomeErased & {
    type: "home_erased";
  }
  /**
   * Linking a device moved to another stage. Stages: `meeting`, `code` (on the new device),
   * `agreed` (on the new device: the other one asks its person), `confirm` (on the old device:
   * call `confirm_device` next), `admitting`, `admitted` (the history is being transferred),
   * `done`, `refused`, `failed`. `device` is the new device's short id, the same on both.
   */
  | PairingChanged & {
    type: "pairing";
  }
  /** The list of devices changed, or with a `problem`, a change failed. */
  | DevicesChanged & {
    type: "devices";
  }
  /**
   * A long transfer made progress: `history` (between devices), `backup` (to the relay) or
   * `restore`.
   */
  | TransferProgress & {
    type: "transfer";
  }
  /** The relay has a new backup, or with a `problem`, making one failed. */
  | BackupChanged & {
    type: "backup";
  }
  /**
   * A recovery moved to another stage. Stages: `looking_up`, `admitting`, `restoring`, `done`
   * (with a problem such as `backup_none` if not everything could be restored), `failed`.
   */
  | RecoveryChanged & {
    type: "recovery";
  }
  /** The state of the registration lock; with a `problem`, it was not changed. */
  | LockChanged & {
    type: "lock";
  }
  /** Something is wrong that the person should know. */
  | Warning & {
    type: "warning";
  };

/** Somebody, or a conversation. */
export interface Of {
  /** An address, a conversation's id, or a group's name that no other group has. */
  of: string;
}

/** What opens an attachment. */
export interface OpenAttachment {
  /** The file in the home's `blobs/`: 32 bytes, hex. */
  blob: string;
  /** 32 bytes, base64. */
  key: string;
  /** What the sender calls it. */
  name: string;
  /** Its media type, as the sender states it. */
  media_type: string;
  /** Bytes. */
  size: number;
  /** How far it is. */
  state: AttachmentState;
  /** How much of the transfer is done. */
  percent: number;
  /** Why the file is not here, if it cannot be fetched from the relay. */
  missing?: MissingFile | null;
}

/** The notice `pairing`. */
export interface PairingChanged {
  /** How far it is. */
  stage: PairingStage;
  /** With `code`: the code to read aloud and type. */
  code?: string | null;
  /** With `code`: the text of the QR code to scan. */
  qr?: string | null;
  /** The new device: its short id, the same on both. */
  device?: string | null;
  /** The new device's name, as that device states it. */
  name?: string | null;
  /** On the new device, from `admitting` onwards: the account's address. */
  address?: string | null;
  /** With `failed`. */
  problem?: ProblemReport | null;
}

/** How far linking a device is. */
export type PairingStage =
  /** This device is asking the relay for a rendezvous. */
  | "meeting"
  /** On the new device: the person types `code` on the other device, or scans `qr`. */
  | "code"
  /** Both devices know the code. On the new device: the other device asks its person. */
  | "agreed"
  /** On the old device: the person checks `device`, then the program calls `confirm_device`. */
  | "confirm"
  /** The device is being added to the account's roster. */
  | "admitting"
  /** The device is admitted, and its history is being transferred. */
  | "admitted"
  /** Everything has arrived. */
  | "done"
  /** The person said no. */
  | "refused"
  /** It failed: see the problem. The code no longer works; ask for a new one. */
  | "failed";

/**
 * A question with options, and how people voted. The text of its message holds the question and
 * the options.
 */
export interface Poll {
  /** The question: 1 to 500 bytes. */
  question: string;
  /** 2 to 12 options. */
  options: PollOption[];
  /** Whether a person can vote for several options. */
  several?: boolean;
  /** Whether apps do not show who voted for what. It is not secret from a modified app. */
  anonymous?: boolean;
  /** How many people voted. */
  voters: number;
  /** When the asker closed it, by the asker's clock. Votes with a later time do not count. */
  closed_at?: Timestamp | null;
}

/** An option of a poll. Votes name it by its place, from 0. */
export interface PollOption {
  /** 1 to 100 bytes. */
  text: string;
  /** How many people voted for it. */
  votes: number;
  /** Whether this account did. */
  own?: boolean;
  /** Their addresses, in display form; empty if the poll is anonymous. */
  by?: string[];
}

/** A preview of a file that is not here yet, as its sender states it. */
export interface Preview {
  /** In pixels; 0 if it has none. */
  width?: number;
  /** In pixels; 0 if it has none. */
  height?: number;
  /** <https://blurha.sh>, or empty. */
  blurhash?: string;
  /** A JPEG in base64, or empty. Decode it with care: the sender may be hostile. */
  thumbnail?: string;
  /** How long it plays; 0 if it does not play. */
  duration_ms?: number;
  /** Levels from 0 to 255, at equal distances. */
  waveform?: number[];
}

/** Parameters of `preview_link`. */
export interface PreviewLink {
  /** `https://…` */
  url: string;
}

/** Something that went wrong. As JSON: its code and its facts. */
export type Problem =
  /** The text is not an e-mail address or a phone number. */
  | {
    code: "address_malformed";
    /** As typed. */
    address: string;
    /** What is wrong with it. */
    reason: AddressFlaw;
  }
  /** The text is not an address or a conversation on this device. */
  | {
    code: "conversation_unknown";
    /** As typed. */
    name: string;
  }
  /** No message has this id. */
  | {
    code: "message_unknown";
  }
  /** Several messages have ids that begin like this. */
  | {
    code: "message_ambiguous";
  }
  /** Somebody else wrote the message. */
  | {
    code: "message_not_own";
  }
  /** The message was unsent. */
  | {
    code: "message_taken_back";
  }
  /** The message cannot be forwarded: this version does not know everything in it. */
  | {
    code: "message_not_forwardable";
  }
  /**
   * A message that can be viewed once allows nothing else: it is not edited, forwarded, saved or
   * sent again, and nobody sends one to themselves.
   */
  | {
    code: "view_once";
  }
  /**
   * The message cannot be viewed once: it is another, or this account sent it, or it came with
   * the archive of another device.
   */
  | {
    code: "not_view_once";
  }
  /** No message is scheduled under this number. */
  | {
    code: "scheduled_unknown";
  }
  /** The time is not in the future. */
  | {
    code: "time_passed";
  }
  /** The message is still in the outbox, or failed. */
  | {
    code: "message_not_sent";
  }
  /** The person deleted the attachment. */
  | {
    code: "attachment_deleted";
  }
  /** The account has too many settings and deleted messages to tell its other devices of more. */
  | {
    code: "deletions_too_many";
  }
  /** The place in the history is not one that an earlier answer gave. */
  | {
    code: "cursor_invalid";
  }
  /** The message did not fail, so it is not sent again. */
  | {
    code: "message_not_failed";
  }
  /** The message is the account's own or imported, so this device has no proof of who wrote it. */
  | {
    code: "message_not_proven";
  }
  /** The file to check is not a report, or something in it is false. */
  | {
    code: "report_invalid";
    /** What. */
    reason: ReportFlaw;
  }
  /** The file to import is not a valid export. */
  | {
    code: "import_invalid";
    /** What. */
    reason: ImportFlaw;
  }
  /** The reaction is empty, too long, or has spaces. */
  | {
    code: "reaction_invalid";
  }
  /** An attachment is malformed or too large, or there are too many. */
  | {
    code: "attachment_invalid";
  }
  /**
   * A poll must have a question of 1 to 500 bytes and 2 to 12 different options of 1 to 100
   * bytes, without line breaks.
   */
  | {
    code: "poll_invalid";
  }
  /** The poll does not have that option, or allows only one. */
  | {
    code: "vote_invalid";
  }
  /** The poll is closed. */
  | {
    code: "poll_closed";
  }
  /** A poll cannot be edited, because people have voted on what it says. */
  | {
    code: "poll_not_editable";
  }
  /** The message is not a poll. */
  | {
    code: "not_a_poll";
  }
  /** The preview is too large, or its link is not in the text. */
  | {
    code: "link_preview_invalid";
  }
  /** The link leads to nothing that can be shown. */
  | {
    code: "no_link_preview";
    /** Why. */
    reason: string;
  }
  /** The message has no such attachment. */
  | {
    code: "attachment_unknown";
  }
  /** The attachment is not on this device yet; `fetch_attachment` fetches it. */
  | {
    code: "attachment_not_here";
  }
  /** A file cannot be read or written. */
  | {
    code: "file_unusable";
    /** Which, and why. */
    detail: string;
  }
  /** The text is not an invitation link. */
  | {
    code: "invitation_malformed";
  }
  /** The group is at another relay. */
  | {
    code: "invitation_elsewhere";
  }
  /** The group has no such invitation. */
  | {
    code: "invitation_unknown";
  }
  /** The group has as many open invitations as it can. */
  | {
    code: "invitations_too_many";
    /** How many that is. */
    limit: number;
  }
  /** The name is longer than 128 bytes. */
  | {
    code: "profile_name_invalid";
  }
  /** The conversation is not a message request. */
  | {
    code: "not_a_request";
  }
  /** A file could not be uploaded to the relay, so its message was not sent. */
  | {
    code: "attachment_lost";
  }
  /** The text is empty. */
  | {
    code: "message_empty";
  }
  /** The text is longer than a message can be. */
  | {
    code: "message_too_large";
    /** Its length. */
    bytes: number;
    /** The longest there can be. */
    limit: number;
  }
  /** The relay's URL is not valid. */
  | {
    code: "relay_url_malformed";
  }
  /** The pin is not valid, or contradicts the URL's. */
  | {
    code: "pin_malformed";
  }
  /** There is no account here yet. */
  | {
    code: "not_registered";
  }
  /** There is an account here already. */
  | {
    code: "already_registered";
  }
  /** The address is the account's own. */
  | {
    code: "recipient_is_self";
  }
  /** The contact is blocked. */
  | {
    code: "recipient_blocked";
  }
  /** Text messages need a phone number as the account's address. */
  | {
    code: "sms_needs_own_number";
  }
  /** A text message can go only to a phone number. */
  | {
    code: "sms_needs_number";
  }
  /** The sender is a name, which no reply reaches. */
  | {
    code: "sms_cannot_be_answered";
    /** The name. */
    sender: string;
  }
  /** The relay does not send texts to phones. */
  | {
    code: "sms_not_offered";
  }
  /** The person has not accepted yet that text messages are not encrypted. */
  | {
    code: "sms_not_understood";
  }
  /** The text would take too many segments. */
  | {
    code: "sms_too_long";
    /** How many. */
    segments: number;
    /** How many are allowed. */
    limit: number;
  }
  /** The number is on Waxwing: nothing was sent. */
  | {
    code: "sms_recipient_here";
    /** The number. */
    address: string;
  }
  /** The relay does not send texts to that number. */
  | {
    code: "sms_not_sent_there";
  }
  /** The phone network did not accept the text. */
  | {
    code: "sms_not_taken";
  }
  /** The phone network says that the text did not arrive. */
  | {
    code: "sms_not_delivered";
  }
  /** Nobody knows whether the text was sent. */
  | {
    code: "sms_uncertain";
  }
  /** Text messages do not support this. */
  | {
    code: "sms_conversation";
  }
  /** The outbox is full. */
  | {
    code: "outbox_full";
    /** How many that is. */
    limit: number;
  }
  /** No group of this device has this id or name. */
  | {
    code: "group_unknown";
    /** As typed. */
    name: string;
  }
  /** Several groups have this name. */
  | {
    code: "group_name_ambiguous";
    /** As typed. */
    name: string;
  }
  /** Several conversations have this name or nickname. */
  | {
    code: "name_ambiguous";
    /** The name. */
    name: string;
  }
  /** Only group admins can do this. */
  | {
    code: "group_not_admin";
  }
  /** This account is no longer a member of the group. */
  | {
    code: "group_not_member";
  }
  /** This device has lost its place in a group, and no device of the group has re-added it. */
  | {
    code: "group_lost";
    /** The group's name. */
    name: string;
  }
  /**
   * A device joined a conversation, and the relay has not proved whose device it is; new
   * messages there wait.
   */
  | {
    code: "group_waits";
    /** The conversation's name. */
    name: string;
  }
  /** The last admin of a group cannot stop being one. */
  | {
    code: "group_needs_admin";
  }
  /** The name is empty, too long, or has control characters. */
  | {
    code: "group_name_invalid";
  }
  /** The group has as many members as it can have. */
  | {
    code: "group_full";
    /** How many that is. */
    limit: number;
  }
  /** No member of the group has this address. */
  | {
    code: "member_unknown";
    /** In display form. */
    address: string;
  }
  /** The address is the account's own. */
  | {
    code: "member_is_self";
  }
  /** The picture is not an image in base64, or is too large. */
  | {
    code: "picture_invalid";
    /** How many bytes it may have. */
    limit: number;
  }
  /** `submit_code` was called before `register`. */
  | {
    code: "no_code_asked";
  }
  /** The registration needs a code, and none was given (commands only). */
  | {
    code: "no_code_given";
  }
  /** The code is wrong. */
  | {
    code: "code_wrong";
    /** How many tries are left. */
    tries_left: number;
  }
  /** The code has expired. */
  | {
    code: "code_expired";
  }
  /** Too many wrong codes: the code no longer works. */
  | {
    code: "code_used_up";
  }
  /** The code could not be delivered to the address. */
  | {
    code: "address_unreachable";
    /** In display form. */
    address: string;
  }
  /** No account has this address. */
  | {
    code: "recipient_unknown";
    /** In display form. */
    address: string;
  }
  /** The recipient's mailbox is full until they come back online. */
  | {
    code: "recipient_full";
  }
  /** The recipient's devices are not properly signed. */
  | {
    code: "recipient_not_proven";
  }
  /** A contact who was verified in person has new keys: nothing is sent until the person decides. */
  | {
    code: "contact_changed";
    /** In display form. */
    address: string;
  }
  /** The safety number that was scanned or typed is different. */
  | {
    code: "safety_number_differs";
    /** In display form. */
    address: string;
  }
  /** What was scanned or typed is not a safety number. */
  | {
    code: "safety_number_malformed";
  }
  /** Too few of the required auditors have co-signed what the relay shows. */
  | {
    code: "auditors_missing";
    /** How many have. */
    present: number;
    /** How many must have. */
    required: number;
  }
  /** An auditor's id is malformed, there are too many, or more are required than were named. */
  | {
    code: "auditors_malformed";
  }
  /** A device was added to the account. */
  | {
    code: "device_added";
    /** The start of its id. */
    device: string;
  }
  /** A device was removed from the account. */
  | {
    code: "device_removed";
    /** The start of its id. */
    device: string;
  }
  /** This device was removed from the account. */
  | {
    code: "device_revoked";
  }
  /** The account has another recovery key. */
  | {
    code: "recovery_key_changed";
  }
  /** The address belongs to another account now. */
  | {
    code: "address_taken";
  }
  /** Somebody else proved the locked address, and gets it unless a device objects. */
  | {
    code: "address_contested";
    /** When they get it. */
    until: Timestamp;
  }
  /** The account was deleted by another of its devices; this device erases what it has. */
  | {
    code: "account_deleted";
    /** When it does so, unless the person decides to keep it. */
    until: Timestamp;
  }
  /** The address is not this account's. */
  | {
    code: "address_not_own";
    /** As typed. */
    address: string;
  }
  /** The account was not deleted, so nothing is going to be erased. */
  | {
    code: "nothing_erased";
  }
  /** The registration lock was changed, but not by this device. */
  | {
    code: "lock_changed";
    /** Whether the address is locked now. */
    locked: boolean;
  }
  /** The address belongs to another account and is locked. */
  | {
    code: "address_locked";
    /** How long nobody can register it without the recovery key, in milliseconds, if known. */
    wait_ms?: number | null;
  }
  /** The address looks like a registered one. */
  | {
    code: "address_confusable";
    /** As typed. */
    address: string;
  }
  /**
   * The relay sent no new code to the address, because it got many recently; the newest one
   * works.
   */
  | {
    code: "code_sent_before";
    /** As typed. */
    address: string;
  }
  /** The address is registered, but looks like another registered one. */
  | {
    code: "address_looks_like_another";
    /** As typed. */
    address: string;
  }
  /** The relay cannot be reached. */
  | {
    code: "relay_down";
    /** What the network said. */
    detail: string;
  }
  /** The server that answered does not have the relay's pinned key. */
  | {
    code: "wrong_pin";
  }
  /** The relay's certificate is self-signed, and no pin was given. */
  | {
    code: "relay_not_pinned";
    /** The pin of the server that answered. */
    presented: string;
  }
  /** The server at the new place has another key than the relay, so the relay was not moved. */
  | {
    code: "relay_key_differs";
    /** The pin of the server that answered. */
    presented: string;
  }
  /** The text does not name a SOCKS5 proxy. */
  | {
    code: "proxy_malformed";
  }
  /** The proxy cannot be used, and no connection is made without it. */
  | {
    code: "proxy_failed";
    /** What the network or the proxy said. */
    detail: string;
  }
  /** The relay has had too many requests and accepts no more for now. */
  | {
    code: "rate_limited";
    /** How long to wait before the next attempt, if the relay said so. */
    retry_after_ms?: number | null;
  }
  /** The relay does not answer a request. */
  | {
    code: "relay_unavailable";
  }
  /** The relay answers, but cannot store anything now: its disk may be full. */
  | {
    code: "relay_stores_nothing";
  }
  /** The relay does not let this device log in. */
  | {
    code: "login_refused";
  }
  /** The relay and this program have no version of the protocol in common. */
  | {
    code: "relay_too_different";
  }
  /** The relay did something that no honest relay does. */
  | {
    code: "relay_misbehaves";
    /** What that was. */
    what: RelayMisdeed;
  }
  /** The relay refused a request that should have been valid. */
  | {
    code: "relay_refused";
    /** What it said. */
    detail: string;
  }
  /** The relay's key log has stopped growing. */
  | {
    code: "log_stale";
    /** How old the newest head is. */
    age_ms: number;
  }
  /** The relay's key log is from the future. */
  | {
    code: "log_ahead";
    /** How far. */
    ahead_ms: number;
  }
  /** A contact's device says that the relay shows it another key log. */
  | {
    code: "contact_sees_another_log";
    /** In display form. */
    address: string;
  }
  /**
   * For more than 24 hours of use the relay has not proved what its key log says about this
   * account.
   */
  | {
    code: "own_history_not_proved";
  }
  /**
   * For more than 24 hours of use the relay has not proved that the keys of some contacts are
   * still theirs.
   */
  | {
    code: "contacts_not_proved";
    /** Some of them, in display form. */
    addresses: string[];
    /** How many more there are. */
    others: number;
  }
  /**
   * For more than 24 hours of use this device could not compare its key log with the one that
   * some contacts see.
   */
  | {
    code: "heads_not_compared";
    /** Some of them, in display form. */
    addresses: string[];
    /** How many more there are. */
    others: number;
  }
  /** This device's clock and the relay's are far apart. */
  | {
    code: "clock_wrong";
    /** The relay's clock minus this device's. */
    skew_ms: number;
  }
  /** The name of the device is empty, or longer than 64 bytes. */
  | {
    code: "device_name_malformed";
  }
  /** No device of the account, or more than one, has this id. */
  | {
    code: "device_unknown";
    /** As typed. */
    device: string;
  }
  /** A device cannot revoke itself. */
  | {
    code: "device_is_this";
  }
  /** The account has as many devices as it can have. */
  | {
    code: "devices_too_many";
    /** How many there can be. */
    limit: number;
  }
  /** The text is not a code for linking a device. */
  | {
    code: "pairing_code_malformed";
  }
  /** A character of the code is wrong; it was not tried. */
  | {
    code: "pairing_code_mistyped";
  }
  /** The new device uses another relay than the account. */
  | {
    code: "pairing_other_relay";
  }
  /** No device is waiting with this code. */
  | {
    code: "pairing_code_dead";
  }
  /** The code was not the same on both devices, or somebody tried to get between them. */
  | {
    code: "pairing_not_agreed";
  }
  /** The connection between the devices broke before the new one was admitted. */
  | {
    code: "pairing_broken";
  }
  /** The other device did not admit this one. */
  | {
    code: "pairing_refused";
  }
  /** No device is asking to be admitted. */
  | {
    code: "pairing_not_asked";
  }
  /** Another device is being linked. */
  | {
    code: "pairing_busy";
  }
  /** The other device did not send the rest of the history. */
  | {
    code: "transfer_ended";
  }
  /** The relay did not accept a change to the list of devices. */
  | {
    code: "roster_not_changed";
    /** What the relay said. */
    detail: string;
  }
  /** Another device changed the list of devices at the same moment. */
  | {
    code: "roster_changed_meanwhile";
  }
  /** The words are not a recovery key. */
  | {
    code: "recovery_words_malformed";
    /** What is wrong with them. */
    detail: RecoveryWordsFlaw;
    /** How many words there are, or which of them is unknown, from 1. */
    number?: number | null;
  }
  /** The words are another account's recovery key, or an old one. */
  | {
    code: "recovery_words_others";
  }
  /** Nobody has registered the address. */
  | {
    code: "recovery_address_unknown";
    /** As typed. */
    address: string;
  }
  /** No recovery is waiting for a backup file. */
  | {
    code: "recovery_not_begun";
  }
  /** The relay has no backup. */
  | {
    code: "backup_none";
  }
  /** The backup does not open, or is incomplete. */
  | {
    code: "backup_damaged";
  }
  /** A device that does not belong to the account made the backup. */
  | {
    code: "backup_not_ours";
  }
  /** The account has no backup key. */
  | {
    code: "backup_key_missing";
  }
  /** The backup is larger than the relay allows. */
  | {
    code: "backup_too_large";
  }
  /** The disk is full. */
  | {
    code: "disk_full";
  }
  /** The store is damaged. */
  | {
    code: "store_corrupted";
  }
  /** The store does not open with this key. */
  | {
    code: "store_key_wrong";
  }
  /** The key of the home's store is not available. */
  | {
    code: "store_key_unavailable";
    /** What is missing. */
    missing: KeyMissing;
    /** What the system said, if it said something. */
    detail?: string;
  }
  /** A newer version of the program wrote the store. */
  | {
    code: "store_too_new";
  }
  /** The process that was using the home folder ended before it answered. */
  | {
    code: "server_gone";
  }
  /**
   * The home folder, or a file in it, belongs to another user, or its permissions cannot be
   * tightened.
   */
  | {
    code: "home_not_private";
    /** The folder, or the file in it. */
    path: string;
    /** Why. */
    detail: string;
  }
  /** The home folder cannot be written. */
  | {
    code: "home_unwritable";
    /** Where it is. */
    path: string;
    /** What the system said. */
    detail: string;
  }
  /** Another process is using the home folder and does not answer. */
  | {
    code: "home_busy";
  }
  /** The store could not be read or written. */
  | {
    code: "store_failed";
    /** What it said. */
    detail: string;
  }
  /** This device was restored from an old copy and is catching up. */
  | {
    code: "set_back";
  }
  /** An error in this program stopped the request. */
  | {
    code: "internal";
    /** For a report. */
    detail: string;
  }
  /**
   * Because of an error in this program, one thing could not be processed and was undone;
   * everything else continues.
   */
  | {
    code: "work_undone";
    /** For a report. */
    detail: string;
  };

/** A problem with a sentence. */
export type ProblemReport = Problem & {
  /** What happened, in one sentence for programs and logs. */
  sentence: string;
};

/** An account's profile: its name and picture. */
export interface Profile {
  /** Empty for none. Anybody can choose any name. */
  profile_name: string;
  /** An image in base64; empty for none. */
  picture: string;
}

/** The result of `version`. */
export interface ProgramVersion {
  /** The version of the process that answers. */
  version: string;
}

/** A message that somebody certainly wrote. */
export interface ProvenMessage {
  /** The id of the message, or of the edit. */
  id: MessageId;
  /** Their address, as the report states. */
  address: string;
  /** Their account, which certainly wrote this. */
  account_id: string;
  /**
   * Whether the address belongs to that account, as far as this device knows from the key log;
   * absent if it does not know.
   */
  address_known?: boolean | null;
  /**
   * Whether the account claims the key that signed this without proof, as devices do that an
   * older version added. It could be another account's key, and another person's words.
   */
  key_unproven?: boolean;
  /** When, by the sender's clock. */
  sent_at: Timestamp;
  /**
   * When the account revoked the key that signed this, by the clock of the device that revoked
   * it: it revoked the device, or gave it another key. Anybody who has had the old key since
   * then can have written this, and given it any time. Absent if neither the report nor this
   * device knows of a revocation.
   */
  key_revoked_at?: Timestamp | null;
  /** The words. */
  text: string;
  /** The message that this edits, if it is an edit. */
  replaces?: MessageId | null;
  /** Its attachments. */
  files?: ReportedFile[];
}

/** Parameters of `quote_sms`. */
export interface QuoteSms {
  /** A phone number, or the name or id of a conversation with one. */
  to: string;
  /** The text to send. */
  text: string;
}

/** Parameters of `react`. */
export interface React {
  /** The message. */
  message: MessageId;
  /**
   * An emoji: at most 64 bytes without spaces. It replaces an earlier reaction; without an
   * emoji, the reaction is removed.
   */
  emoji?: string | null;
}

/** An emoji, and who reacted with it. */
export interface Reaction {
  /** The emoji. */
  emoji: string;
  /** Their addresses, in display form. */
  by: string[];
  /** Whether this account is among them. */
  own: boolean;
}

/** Parameters of `read_backup`. */
export interface ReadBackup {
  /** 0 starts a new backup; each later call adds 1. */
  index: number;
}

/** What happened to a message at one member. */
export interface Receipt {
  /** In display form. */
  address: string;
  /** When this device learned that one of their devices has it. */
  delivered_at?: Timestamp | null;
  /** When this device learned that they have read it. */
  read_at?: Timestamp | null;
}

/** How many members have a message. */
export interface ReceiptCount {
  /** How many members have it on some device. */
  delivered: number;
  /** How many have read it. */
  read: number;
  /** How many should get it. */
  of: number;
}

/** What this account tells others. */
export interface ReceiptSettings {
  /** Whether others learn that their messages arrived. */
  delivered: boolean;
  /** Whether others learn that their messages were read. */
  read: boolean;
  /** Whether others learn that this person is typing. */
  typing: boolean;
}

/** Parameters of `recover`. */
export interface Recover {
  /** An address of the account. */
  address: string;
  /** The relay that the account is on. */
  relay: string;
  /** The relay's SPKI pin. */
  pin?: string | null;
  /** The 24 words of the recovery key, or the text of its QR code. */
  words: string;
  /** This device's name: 1 to 64 bytes. */
  name: string;
  /** Whether the backup comes from a file, through `feed_backup`, instead of from the relay. */
  from_file?: boolean;
  /** Whether to revoke all other devices of the account as well. */
  revoke_others?: boolean;
}

/** The notice `recovery`. */
export interface RecoveryChanged {
  /** How far it is. */
  stage: RecoveryStage;
  /** What went wrong, if something did. */
  problem?: ProblemReport | null;
}

/** How far a recovery is. */
export type RecoveryStage =
  /** The account is being looked up. */
  | "looking_up"
  /**
   * The backup file is being checked: all of it comes through `feed_backup`. Nothing has
   * changed yet.
   */
  | "checking"
  /** This device is being added to the account's roster. */
  | "admitting"
  /**
   * This device is admitted; the backup is being fetched, or comes through `feed_backup`
   * once more from its first byte.
   */
  | "restoring"
  /** Done; with a problem such as `backup_none` if there was no backup. */
  | "done"
  /** It failed: see the problem. */
  | "failed";

/** What is wrong with the words of a recovery key. */
export type RecoveryWordsFlaw =
  /** There are not 24 words. */
  | "count"
  /** A word is not in the list of words. */
  | "unknown_word"
  /** A word is wrong, or two words are swapped. */
  | "checksum";

/** Parameters of `register`. */
export interface Register {
  /** E-mail address or phone number, as typed. */
  address: string;
  /** The relay's URL, `https://host[:port]`, optionally with `/#` and its pin. */
  relay: string;
  /** The relay's SPKI pin, `sha256/…`, if it is not in the URL. */
  pin?: string | null;
  /** The name that others see. */
  name?: string | null;
  /**
   * This device's name in the account's list of devices: 1 to 64 bytes. Only the account's own
   * devices learn it.
   */
  device?: string | null;
}

/** The notice `registration`. */
export interface RegistrationChanged {
  /** Its new state. */
  stage: RegistrationStage;
  /** In display form. */
  address: string;
  /** With `code_sent`: until when the code works. */
  expires_at?: Timestamp | null;
  /** With `registered`: the recovery words, to write down and keep offline. */
  recovery_words?: string | null;
  /** The same words as the text of a QR code. */
  recovery_qr?: string | null;
  /** With `registered`: hex. */
  account_id?: string | null;
  /**
   * What went wrong, if something did; the stage is then the one to which the registration
   * returned.
   */
  problem?: ProblemReport | null;
}

/** How far a registration is. */
export type RegistrationStage =
  /** There is no account on this device. */
  | "none"
  /** The relay has not been asked for a code yet. */
  | "asking_for_code"
  /** A code was sent; `submit_code` is next. */
  | "code_sent"
  /** The code is being checked. */
  | "checking_code"
  /** Done. */
  | "registered";

/** The result of `relay`. */
export interface RelayInfo {
  /** Where the relay is, once somebody said so. */
  url?: string | null;
  /** The only key that is accepted there, once it is known. */
  pin?: string | null;
  /** The proxy that all connections go through, without its password. */
  proxy?: string | null;
  /** Whether this device is logged in. */
  online: boolean;
}

/** Something a relay did that no honest relay does. */
export type RelayMisdeed =
  /**
   * It uses different token keys for different links, with which it could track the users of
   * tokens.
   */
  | "token_keys_differ"
  /** Its proof for the tokens is false. */
  | "token_proof_false"
  /** A roster is not correctly signed. */
  | "roster_false"
  /** Somebody was added to a conversation without a right to be there. */
  | "member_not_entitled"
  /** A roster is shorter than before, or different. */
  | "roster_rolled_back"
  /** Its key log does not prove what it claims. */
  | "log_false"
  /** It shows an older key log than before. */
  | "log_rolled_back"
  /** It has rewritten its key log. */
  | "log_rewritten"
  /** It has another key log than before. */
  | "log_replaced"
  /** It shows different key logs to different people. */
  | "log_split"
  /** It hides a part of its key log that somebody else was shown. */
  | "log_hidden"
  /** Its key log has an entry for this account that this account did not make. */
  | "own_entry_false"
  /** Its key log has no entry for this account. */
  | "own_entry_missing"
  /** It treated this account as the owner of somebody else's address. */
  | "anothers_welcome"
  /** It sent something that is not a valid message of the protocol. */
  | "malformed";

/** The notice `relay_moved`. */
export interface RelayMoved {
  /** Where it is. */
  url: string;
}

/**
 * Messages that a person discloses, with proof of who wrote them (docs/conversations.md,
 * "Safety").
 */
export interface Report {
  /** `waxwing-report`. */
  format: string;
  /** 1. */
  version: number;
  /** When it was made, by the reporter's clock. */
  made_at: Timestamp;
  /** The reporter's comment. */
  note?: string;
  /** Who wrote the messages. */
  people: ReportedPerson[];
  /** In the order in which the reporter named them; a message's edits follow it. */
  messages: ReportedMessage[];
}

/** What is wrong with a report. */
export type ReportFlaw =
  /** It has a format that this version does not know. */
  | "format"
  /** It has no messages, or too many. */
  | "message_count"
  /** Its note is too long. */
  | "note_too_long"
  /** A roster in it is not correctly signed. */
  | "roster_invalid"
  /** A roster in it belongs to another account. */
  | "roster_of_another"
  /** It lacks the roster of an account that wrote a message. */
  | "roster_missing"
  /** A message in it is malformed. */
  | "message_malformed"
  /** A message in it was not written by the account that it names. */
  | "another_author";

/** A file of a reported message. */
export interface ReportedFile {
  /** The name that its sender chose. */
  name: string;
  /** Its size. */
  bytes: number;
}

/** A reported message or edit, as its device signed it. */
export interface ReportedMessage {
  /** Whose. */
  account: string;
  /** The device's id in hex. */
  device: string;
  /**
   * The MLS group in which it was sent, in hex. It shows only which messages were sent in the
   * same group.
   */
  group: string;
  /** When, in milliseconds since 1970, by the sender's clock. */
  sent_at_ms: number;
  /** MIMI content in base64. */
  content: string;
  /** Ed25519, in base64 (content.proto, `Envelope.signature`). */
  signature: string;
  /**
   * When the account revoked the key that signed this, in milliseconds since 1970 by the clock
   * of the device that revoked it, as far as the reporter knows. The roster says so too; this
   * field is for readers who cannot check the roster.
   */
  key_revoked_at_ms?: number | null;
}

/** Who wrote a reported message. */
export interface ReportedPerson {
  /** The account's id: the hash of its first statement, in hex. */
  account: string;
  /** Their address, in display form, as the reporter knows it. */
  address: string;
  /** Whether the key log proved that to the reporter. */
  verified: boolean;
  /** The account's statements (`SignedStatement`), in base64. */
  roster: string[];
}

/** Parameters of `restore`. */
export interface Restore {
  /** The 24 words of the recovery key, or the text of its QR code. */
  words: string;
  /** Whether the backup comes from a file, through `feed_backup`, instead of from the relay. */
  from_file?: boolean;
}

/** Parameters of `revoke_device`. */
export interface RevokeDevice {
  /** Its id as `devices` gives it: all of it, or at least its first eight digits. */
  device: string;
}

/** Parameters of `revoke_invitation`. */
export interface RevokeInvitation {
  /** The group's id, or its name. */
  group: string;
  /** The invitation's id: 8 hex digits. */
  invitation: string;
}

/** What two people compare to verify each other. */
export interface SafetyNumber {
  /** The contact's address, in display form. */
  address: string;
  /** Their account's id; hex. */
  account_id: string;
  /** 60 digits in groups of five; the same on all devices of both. */
  safety_number: string;
  /** The same as a text for a QR code. */
  qr_text: string;
  /** Whether it was compared in person, and was the same. */
  compared: boolean;
  /** Whether sending to them is stopped until the person decides. */
  stopped: boolean;
}

/** Parameters of `save_attachment`. */
export interface SaveAttachment {
  /** The message. */
  message: MessageId;
  /** The attachment's place among the message's, from 0. */
  number?: number;
  /** The whole path of a new file or of a folder, starting with `/`. */
  to: string;
}

/** The result of `save_attachment`. */
export interface SavedAttachment {
  /** The file that was written. */
  path: string;
}

/** Parameters of `schedule`. */
export interface Schedule {
  /** An address, a conversation's id, or a group's name that no other group has. */
  to: string;
  /** At most `limits::TEXT_BYTES` bytes of UTF-8. */
  text: string;
  /** The message to reply to. */
  reply_to?: MessageId | null;
  /** Whether the text is Markdown: others see it formatted. */
  markdown?: boolean;
  /** At most 32 files that are sealed in the home's `blobs/`. With them, the text may be empty. */
  attachments?: SealedFile[];
  /** A preview of a link in the text, as this device saw it. */
  link_preview?: LinkPreview | null;
  /** Whether the recipients' devices are asked to show it once only (`open_once`). */
  view_once?: boolean;
  /** When to send it. */
  at: Timestamp;
}

/** The notice `scheduled`. */
export interface ScheduledChanged {
  /** Its number. */
  id: number;
  /** The message that it is now. */
  message?: MessageId | null;
  /** Where that stands. */
  conversation?: ConversationId | null;
  /** How late it was sent, if by more than a minute: this device was off. */
  late_ms?: number | null;
  /** Why it was not sent. */
  problem?: ProblemReport | null;
}

/** A file of a message that is sent later. */
export interface ScheduledFile {
  /** Its name. */
  name: string;
  /** Its media type. */
  media_type: string;
  /** Bytes. */
  size: number;
}

/** A message that is sent later. */
export interface ScheduledMessage {
  /** Its number on this device. */
  id: number;
  /** To whom, in display form; of a group, its name. */
  to: string;
  /** The conversation, if there is one already. */
  conversation?: ConversationId | null;
  /** The text. */
  text: string;
  /** Whether the text is Markdown. */
  markdown?: boolean;
  /** The message it replies to. */
  reply_to?: MessageId | null;
  /** Its files. */
  attachments?: ScheduledFile[];
  /** When to send it. */
  at: Timestamp;
  /** Why it was not sent then. It stays until it is changed or cancelled. */
  problem?: ProblemReport | null;
}

/** The messages that are sent later. */
export interface ScheduledMessages {
  /** The next one first. */
  scheduled: ScheduledMessage[];
}

/** Parameters of `seal_file`. */
export interface SealFile {
  /** The whole path, starting with `/`. */
  path: string;
  /** Whether a picture keeps what the camera stored in it, such as the place. */
  keep_metadata?: boolean;
}

/** A file that was sealed into the home's `blobs/`, under its id. */
export interface SealedFile {
  /** 32 bytes, hex. */
  blob: string;
  /** 32 bytes, base64. */
  key: string;
  /** SHA-256 of the sealed bytes, hex. */
  sha256: string;
  /** Bytes of the file. */
  size: number;
  /** Its name; others see it. */
  name: string;
  /** Its media type. */
  media_type: string;
  /** Its preview. */
  preview?: Preview | null;
}

/** Parameters of `search`. */
export interface Search {
  /**
   * Words, all of which the message must contain, also inside of longer words. Capitals,
   * accents, vowel points and full width do not matter; emoji and signs find themselves. Empty
   * for all messages.
   */
  text?: string;
  /** Only in this conversation: an address, an id, or the name of a group. */
  of?: string | null;
  /** Only messages from this address. */
  from?: string | null;
  /** Only messages written then or later, by the sender's clock. */
  since?: Timestamp | null;
  /** Only messages written before then. */
  until?: Timestamp | null;
  /** How many messages; at most 1,000, by default 100. */
  limit?: number | null;
  /** The `next` of the previous answer. */
  next?: number | null;
}

/** Parameters of `send_poll`. */
export interface SendPoll {
  /** An address, a conversation's id, or a group's name that no other group has. */
  to: string;
  /** 1 to 500 bytes, without line breaks. */
  question: string;
  /** 2 to 12 different options of 1 to 100 bytes, without line breaks. */
  options: string[];
  /** Whether a person can vote for several options. */
  several?: boolean;
  /** Whether apps do not show who voted for what. It is not secret from a modified app. */
  anonymous?: boolean;
}

/** Parameters of `send_sms`. */
export interface SendSms {
  /** A phone number, or the name or id of a conversation with one. */
  to: string;
  /** The text to send. */
  text: string;
  /** The person knows that a text message is not encrypted and proves nothing. Needed once. */
  understood?: boolean;
  /** The most segments that the text may take. */
  segments?: number | null;
  /** Send a text message even if the number is on Waxwing. */
  even_so?: boolean;
}

/** Parameters of `send`. */
export interface SendText {
  /** An address, a conversation's id, or a group's name that no other group has. */
  to: string;
  /** At most `limits::TEXT_BYTES` bytes of UTF-8. */
  text: string;
  /** The message to reply to. */
  reply_to?: MessageId | null;
  /** Whether the text is Markdown: others see it formatted. */
  markdown?: boolean;
  /** At most 32 files that are sealed in the home's `blobs/`. With them, the text may be empty. */
  attachments?: SealedFile[];
  /** A preview of a link in the text, as this device saw it. */
  link_preview?: LinkPreview | null;
  /** Whether the recipients' devices are asked to show it once only (`open_once`). */
  view_once?: boolean;
}

/** A message is in the outbox. */
export interface Sent {
  /** The new message. */
  id: MessageId;
  /** Its conversation. */
  conversation: ConversationId;
  /** Its state. */
  state: MessageState;
}

/** Parameters of `set_auditors`. */
export interface SetAuditors {
  /** All auditors from now on. */
  auditors: NamedAuditor[];
  /** How many of them must have co-signed; 0 to require none. */
  required: number;
}

/** Parameters of `set_lock`. */
export interface SetLock {
  /** Whether to lock the address. */
  locked: boolean;
}

/** Parameters of `set_profile`. A field that is absent changes nothing. */
export interface SetProfile {
  /** At most 128 bytes; empty for none. */
  name?: string | null;
  /** Base64 of a PNG, JPEG or WebP of at most 24 KiB; empty for none. */
  picture?: string | null;
}

/** Parameters of `set_proxy`. */
export interface SetProxy {
  /** `socks5://host:port`, `socks5://user:password@host:port`, or `none` to connect directly. */
  proxy: string;
}

/** Parameters of `set_receipts`. */
export interface SetReceipts {
  /** Whether to tell that a message has arrived. */
  delivered: boolean;
  /** Whether to tell that a message was read. */
  read: boolean;
  /** Whether to tell that the person is typing; unchanged if absent. */
  typing?: boolean | null;
}

/** Parameters of `set_timer`. */
export interface SetTimer {
  /** An address, a conversation's id, or a group's name that no other group has. */
  of: string;
  /** Seconds after reading; 0 for never. */
  seconds: number;
}

/** Parameters of `set_typing`. */
export interface SetTyping {
  /** An address, a conversation's id, or a group's name that no other group has. */
  of: string;
  /** `false` when they have stopped. */
  typing: boolean;
}

/** The encoding of a text message. */
export type SmsEncoding =
  /** The phone network's own alphabet: 160 characters in a message. */
  | "gsm7"
  /** UTF-16, for everything else: 70. */
  | "utf16";

/** Something that the reader of a text message should know about it. */
export interface SmsFinding {
  /** How much it matters. */
  severity: SmsSeverity;
  /** What it is: `replies_elsewhere`, `imitates_contact`, `link_punycode`, … */
  kind: string;
  /** What it means, for people. */
  sentence: string;
  [more: string]: unknown;
}

/** What a text message would cost. */
export interface SmsQuote {
  /** The number, in E.164. */
  to: string;
  /** How many text messages it takes, each of which costs money. */
  segments: number;
  /** Its encoding. */
  encoding: SmsEncoding;
  /** How many more characters fit into the last of them. */
  characters_left: number;
  /** The price of one of them, if the relay's operator states it. */
  price?: string | null;
  /** The price of all of them. */
  total?: string | null;
  /** Whether the relay sends texts to phones at all, if it has said so. */
  offered?: boolean | null;
  /** Whether the person has accepted that text messages are not encrypted. */
  understood: boolean;
}

/** How much a finding matters. */
export type SmsSeverity =
  /** Worth knowing. */
  | "note"
  /** Often a trick. */
  | "caution"
  /** A trick, or something that only tricks use. */
  | "danger";

/** A piece of formatted text. */
export interface Span {
  /** The characters. */
  text: string;
  /** Bold. */
  strong?: boolean;
  /** Italic. */
  emphasis?: boolean;
  /** Struck out. */
  struck?: boolean;
  /** Somebody else's words. */
  quoted?: boolean;
  /** In a monospaced font. */
  code?: boolean;
  /** Where it leads; show this before anybody follows it. */
  link?: string | null;
}

/** Parameters of `star`. */
export interface Star {
  /** The message. */
  message: MessageId;
  /** Whether to star or unstar it. */
  starred: boolean;
}

/** The state of this device. */
export interface Status {
  /** How far the registration is. */
  registration: RegistrationStage;
  /** Whether the mailbox link is logged in. */
  online: boolean;
  /** The relay's clock minus this device's, in milliseconds, if known. */
  clock_skew_ms?: number | null;
  /** Messages that the relay has not accepted yet. */
  outbox: number;
  /** What one of them waits for, if it is known. */
  outbox_problem?: ProblemReport | null;
  /** Receipts and similar automatic messages that the relay has not accepted yet. */
  receipts?: number;
  /** How many new contacts this device can write to without asking the relay for tokens. */
  tokens: number;
  /** Key packages that the relay still has for others, if known. */
  key_packages?: number | null;
  /** Conversations that this device is rejoining. */
  rejoining: number;
  /** Invitations whose senders are being looked up. */
  welcomes_held: number;
  /** Messages known to be missing. */
  missing: number;
  /** Conversations whose devices are being changed. */
  changing_members?: number;
  /** Whether history is being transferred: to or from another device, or from a backup. */
  transferring?: boolean;
  /** Whether this account's address is locked, so that nobody else can register it at once. */
  locked?: boolean;
  /** The encryption suite. */
  suite: string;
  /** The relay's key log, once it is known. */
  log?: LogStatus | null;
  /** The alarms, until the person dismisses them. */
  alarms?: Alarm[];
  /** What is wrong now. */
  problems: ProblemReport[];
}

/** Parameters of `submit_code`. */
export interface SubmitCode {
  /** As typed; spaces and hyphens do not matter. */
  code: string;
}

/** The notice `synced`. */
export interface Synced {
  /** The conversation, if the setting belongs to one. */
  conversation?: ConversationId | null;
}

/** A time in UTC, such as `2026-11-24T20:15:03.250Z`. */
export type Timestamp = string;

/** What is transferred in many parts. */
export type TransferOf =
  /** History, from one device to another. */
  | "history"
  /** A backup, to the relay. */
  | "backup"
  /** A backup, from the relay or a file. */
  | "restore";

/** The notice `transfer`. */
export interface TransferProgress {
  /** What. */
  what: TransferOf;
  /** How much is done… */
  done: number;
  /** …of how much. */
  total: number;
}

/** The notice `typing`. */
export interface Typing {
  /** Where. */
  conversation: ConversationId;
  /** Who, in display form. */
  address: string;
  /** `false` when they have stopped. */
  typing: boolean;
}

/** Parameters of `verify`. */
export interface Verify {
  /** The contact's address, or the conversation's id. */
  of: string;
  /** The decision. */
  decision: Decision;
  /**
   * With `accept`: the QR code's text or the digits from the other device, which this device
   * compares. Without it, the person has compared the numbers.
   */
  scanned?: string | null;
}

/** A version of a message. */
export interface Version {
  /** What it said. */
  text: string;
  /** Since when, by the sender's clock. */
  at: Timestamp;
}

/** The result of `open_once`. Nobody can get it again. */
export interface ViewedOnce {
  /** What was written. */
  text: string;
  /** Whether the text is Markdown. */
  markdown?: boolean;
  /** What opens its files; they are deleted five minutes later. */
  attachments?: OpenAttachment[];
}

/** Parameters of `vote`. */
export interface Vote {
  /** The poll. */
  message: MessageId;
  /** The places of options, from 0; none to withdraw the vote. */
  options?: number[];
}

/** The notice `warning`. */
export interface Warning {
  /** What is wrong. */
  problem: ProblemReport;
}

/** Each method with its parameters and its result. */
export interface Methods {
  /**
   * Creates an account. The relay sends a code to the address; the stages arrive as
   * `registration` notices. Only `address` and `relay` are required. The pin can be in the URL
   * (`https://host:port/#sha256/…`) or in `pin`; a relay whose certificate browsers trust needs
   * none. `device` is this device's name in the account's list of devices.
   */
  register: { params: Register; result: Done };
  /**
   * Submits the code that the relay sent; spaces and hyphens in it do not matter. The outcome is
   * a `registration` notice, with `registered` or with a problem such as `code_wrong`.
   */
  submit_code: { params: SubmitCode; result: Done };
  /** Makes this device forget the recovery words, once the person has written them down. */
  forget_recovery_words: { params?: Record<string, never>; result: Done };
  /**
   * Sends a message to an address, a conversation or a group. It works offline: the message is
   * in the outbox when the call returns, and `message_state` notices tell what happens to it.
   *
   * `attachments` are files that are sealed in the home's folder `blobs/`, under their ids
   * (`docs/protocol.md` says how; `waxwing send --attach` does it). The message is sent once the
   * relay has them. With attachments, the text may be empty.
   *
   * States: `queued` (in the outbox), `accepted` (the relay holds it, durably), `delivered` (a
   * device of the recipient has it), `read`, and `failed`.
   */
  send: { params: SendText; result: Sent };
  /**
   * Returns what a text message to a phone would cost. `to` is a number with its country code,
   * or the name (`sms:+358401234567`) or id of a conversation with one. `price` and `total` are
   * present if the relay's operator states a price, and `offered` once the relay has said
   * whether it sends text messages. `encoding` is `gsm7` (160 characters in one message) or
   * `utf16` (70).
   */
  quote_sms: { params: QuoteSms; result: SmsQuote };
  /**
   * Sends a text message to a phone that is not on Waxwing. **It is not encrypted**: the relay,
   * the phone networks and anybody who taps them can read it. `understood` says that the person
   * accepts that; without it the first text message is refused with `sms_not_understood`.
   * `segments` is the most segments that it may take. The number is looked up first: if it is on
   * Waxwing, nothing is sent and the message fails with `sms_recipient_here`, unless `even_so`
   * is set. The account's address must be a phone number.
   *
   * `message_state` notices tell what happens to it: `accepted` (the phone network has all of
   * it), `delivered` (the network says that the phone has it), `failed` with `sms_not_taken`,
   * `sms_not_delivered`, `sms_not_sent_there` or `sms_uncertain`.
   */
  send_sms: { params: SendSms; result: Sent };
  /**
   * Reacts to a message. An account has one reaction to each message: a new one replaces it, and
   * a call without `emoji` removes it. The changed message arrives as a `message_changed`
   * notice, here and on the others' devices.
   */
  react: { params: React; result: Sent };
  /**
   * Edits a message of this account. Everybody in the conversation can see its earlier versions
   * (`message_info`).
   */
  edit: { params: Edit; result: Sent };
  /**
   * Unsends a message of this account: its text is deleted here, and the others' devices are
   * asked to delete it. Nobody can force them.
   */
  take_back: { params: MessageOf; result: Sent };
  /**
   * Sends a poll: a question with 2 to 12 options. The message has `poll`, and its text holds the
   * question and the options. Older versions show that it needs a newer version.
   *
   * In an `anonymous` poll, apps do not show who voted for what. It is not secret from a
   * modified app: the devices of all members receive the votes.
   */
  send_poll: { params: SendPoll; result: Sent };
  /**
   * Votes in a poll, by the places of options, from 0. An account has one vote in each poll: a
   * new one replaces it, and a call without `options` withdraws it. The changed message arrives
   * as a `message_changed` notice, here and on the others' devices.
   */
  vote: { params: Vote; result: Sent };
  /**
   * Closes a poll of this account, for good. Votes with a later time, by the voters' clocks, do
   * not count; a modified app can state an earlier time.
   */
  close_poll: { params: MessageOf; result: Sent };
  /**
   * Sends a message of anybody to another conversation, as a new message of this account. It has
   * `forwarded`, and does not say who wrote it first. Poll questions are asked again, without the
   * votes. Its files are sealed again for each recipient (`copy_attachment`).
   */
  forward: { params: Forward; result: Sent };
  /**
   * Opens a message that can be viewed once (`view_once`), and deletes it on all devices of the
   * account: nobody can open it again. Ask the person first. Its files must be `here`; what opens
   * them is in the result, and they are deleted five minutes later. The sender learns that it was
   * opened (`read`) if read receipts are on. Nobody can force the recipients: a modified app can
   * keep the message.
   */
  open_once: { params: MessageOf; result: ViewedOnce };
  /**
   * Keeps a message and sends it at a time: `send`, later. Only this device knows of it until
   * then. If this device is off at that time, or no program runs the account, it is sent late,
   * when it can be; the message then has `scheduled_for`, the time for which it was meant. A
   * `scheduled` notice says when it was sent, or why not. At most 1,000.
   */
  schedule: { params: Schedule; result: ScheduledMessage };
  /** Returns the messages that this device sends later, the next one first. */
  scheduled: { params?: Record<string, never>; result: ScheduledMessages };
  /**
   * Changes the text or the time of a message that was not sent yet. One that was refused
   * (`problem`) is tried again then.
   */
  change_scheduled: { params: ChangeScheduled; result: ScheduledMessage };
  /** Cancels a message that was not sent yet. */
  cancel_scheduled: { params: CancelScheduled; result: Done };
  /**
   * Deletes messages for this person only, at most 1,000 at once, on all devices of the account;
   * nobody else learns of it. A message that is still in the outbox is not sent. A device that
   * is away does the same when it comes, and neither a backup nor an import restores them.
   */
  delete_messages: { params: DeleteMessages; result: Done };
  /**
   * Deletes a file of a message for this person only, on all devices of the account. The message
   * stays, and shows the file as `deleted`. After that the message cannot be reported any more
   * (`message_not_proven`), because what proves it holds the file's key.
   */
  delete_attachment: { params: AttachmentOf; result: Done };
  /**
   * Deletes everything in a conversation for this person only, on all devices of the account,
   * with its draft and its pin. It leaves the list until somebody writes in it again. A group is
   * not left. Messages that no device of the account had received yet stay.
   */
  delete_conversation: { params: Of; result: Done };
  /**
   * Sends a message of this account that failed. It is a new message at the end of the
   * conversation, with what the failed one says now, its files and its link preview; the failed
   * one is deleted (`message_deleted`), so that nobody gets it twice. Other messages are refused
   * with `message_not_failed`.
   */
  resend: { params: MessageOf; result: Sent };
  /**
   * Makes new messages of a conversation disappear this many seconds after they are read; 0 for
   * never. Either side can set it, in a group only admins; it arrives as a `timer_changed`
   * event. When a message disappears, a `message_deleted` notice says so.
   */
  set_timer: { params: SetTimer; result: Done };
  /**
   * Returns who has received and read a message of this account, as far as they tell; and all
   * versions of a message, the first one first.
   */
  message_info: { params: MessageOf; result: MessageInfo };
  /**
   * Returns the message whose id begins with these digits, with or without the first two, which
   * all ids share. At least six digits are required.
   */
  find_message: { params: FindMessage; result: Message };
  /**
   * Creates a group, with this account as its admin. It works offline. The members are added
   * once the relay can be reached, and each causes an `event` notice: `member_added`, or
   * `not_added` if no account has the address.
   */
  create_group: { params: CreateGroup; result: GroupCreated };
  /**
   * Changes a group, given by its id or its name; fields that are absent change nothing. It
   * works offline and is done once the relay can be reached. `add` takes addresses; `remove`,
   * `promote` and `demote` take addresses of members. `picture` is base64 of a PNG, JPEG or WebP
   * of at most 24 KiB, or empty for none. Only admins can do this, except `add` while
   * `everybody_adds` is set.
   */
  change_group: { params: ChangeGroup; result: Done };
  /**
   * Leaves a group. An admin can name a member in `successor`, who becomes an admin first. If
   * the last admin names nobody, the device chooses a member.
   */
  leave_group: { params: LeaveGroup; result: Done };
  /** Returns a group's name, members and settings. `coming` are people who are being added. */
  group: { params: Of; result: Group };
  /**
   * Creates a link with which others can ask to join a group; only admins can. A person with the
   * link asks this account's devices, which add them, or with `needs_approval` wait for
   * `decide_join`.
   */
  invite: { params: Invite; result: Invited };
  /** Revokes an invitation link. */
  revoke_invitation: { params: RevokeInvitation; result: Done };
  /**
   * Asks to join the group of a link. The group appears once the devices of the person who made
   * the link add the account; if they do not, a `not_taken_in` event says so.
   */
  join: { params: Join; result: GroupCreated };
  /** Accepts or refuses somebody who asked to join; `group` lists them as `asking`. */
  decide_join: { params: DecideJoin; result: Done };
  /**
   * Sets the name and picture that contacts see. They are sent, end-to-end encrypted, to the
   * people to whom the account has written. Fields that are absent change nothing.
   */
  set_profile: { params: SetProfile; result: Done };
  /**
   * Returns the name and picture of this account, or with `of` those of a contact. Anybody can
   * choose any name.
   */
  profile: { params: AskProfile; result: Profile };
  /** Marks everything in a conversation as read, up to a message or all of it. */
  mark_read: { params: MarkRead; result: Done };
  /**
   * Fetches an attachment from the relay. Where the relay does not have it any more, this
   * account's other devices are asked, and one that has it uploads it again; `missing` then says
   * what they answered. Small files from people to whom the account has written are fetched
   * automatically. Progress arrives as `message_changed` notices.
   */
  fetch_attachment: { params: AttachmentOf; result: Done };
  /**
   * Returns what is needed to open a file that is `here`: `blob` is its name in the home's
   * folder `blobs/`, where it is sealed (STREAM with ChaCha20-Poly1305, `docs/protocol.md`).
   * `waxwing save` does the rest.
   */
  attachment: { params: AttachmentOf; result: OpenAttachment };
  /** Blocks a contact, or with `false`, unblocks them. */
  block: { params: Block; result: Done };
  /**
   * Accepts a message request, on all devices of the account. `conversations` shows message
   * requests with `request`. Writing to somebody also accepts them.
   */
  accept_request: { params: Of; result: Done };
  /**
   * Declines a message request: deletes the stranger's messages from all devices of the account,
   * or leaves the group. If they write again, that is a new request, unless you block them here.
   */
  decline_request: { params: Decline; result: Done };
  /**
   * Tells others that this person is typing in a conversation, or has stopped. Members who are
   * online, except strangers, get a `typing` notice. It is valid for ten seconds, so call this
   * again every few seconds while the person types. Nobody stores it.
   */
  set_typing: { params: SetTyping; result: Done };
  /**
   * Returns messages from others, and their edits, with proof of who wrote them, to write to a
   * file and give to people of one's choice. Nothing is sent. The account's own and imported
   * messages are refused with `message_not_proven`.
   */
  report: { params: MakeReport; result: Report };
  /**
   * Checks what a report proves: every message in it was signed by a device of `account_id`, or
   * the call fails with `report_invalid`. `address_known` says whether the address belongs to
   * that account, as far as this device knows from the key log; it is absent if this device does
   * not know. `key_revoked_at` is present if the account revoked the key that signed a message,
   * because its device was removed or has another key: somebody who had the device by then may
   * have written the message, no matter what time it states. A report may hold an old list of
   * devices, so this is certain only if this device knows the account. `key_unproven` is
   * present, and true, if the account claims the key that signed without proof, as with devices
   * that an older version added; another account could then have written the message. Nothing
   * proves `note`.
   */
  check_report: { params: CheckReport; result: CheckedReport };
  /**
   * Imports messages from a file, at most 1,000 at once, the oldest first
   * ([export.md](export.md)). Nothing is sent. Imported messages have `imported`; messages that
   * are already here stay unchanged.
   */
  import_entries: { params: ImportEntries; result: Imported };
  /**
   * Chooses whether others learn that their messages arrived, that they were read, and that this
   * person is typing (unchanged if `typing` is absent). People to whom this account has not
   * written, and whom it has not verified in person, never learn any of this.
   */
  set_receipts: { params: SetReceipts; result: Done };
  /** Returns what this account tells others, as `set_receipts` set it. */
  receipts: { params?: Record<string, never>; result: ReceiptSettings };
  /**
   * Records the person's decision about a contact's safety number: `accept` (it is the same),
   * `continue` (continue without comparing, after the contact's keys have changed) or `reject`
   * (it is different: nothing is sent). With `accept`, `scanned` can hold the QR text or the
   * digits from the other device. This device then compares them, and refuses a different number
   * with `safety_number_differs`. The result is the same as of `safety_number`.
   */
  verify: { params: Verify; result: SafetyNumber };
  /**
   * Chooses the auditors of the relay's key log, all of them at once, and how many must have
   * co-signed what the relay shows before a key is used. With `required` 0, none has to.
   */
  set_auditors: { params: SetAuditors; result: Done };
  /** Dismisses the alarms of `status`, once the person has seen them. */
  dismiss_alarms: { params?: Record<string, never>; result: Done };
  /**
   * Returns the safety number with a contact: 60 digits, the same on all devices of both people,
   * and the same number as a text for a QR code. `compared` says that it was compared in person,
   * `stopped` that nothing is sent until the person decides.
   */
  safety_number: { params: Of; result: SafetyNumber };
  /** Returns the chosen auditors, and what this device knows they have co-signed. */
  auditors: { params?: Record<string, never>; result: Auditors };
  /**
   * Returns proofs that the relay lied: files in base64, which anybody can check with `waxwing
   * audit verify`.
   */
  evidence: { params?: Record<string, never>; result: EvidenceFiles };
  /**
   * Links this device to an account that another device has. The stages arrive as `pairing`
   * notices; the one with `code` holds the code to type there (`code`) or to scan (`qr`). A code
   * works for half an hour and for one attempt.
   */
  link_device: { params: LinkDevice; result: Done };
  /**
   * Takes the code that a new device shows, typed or scanned. The next `pairing` notice, with
   * `confirm`, says which device asks.
   */
  approve_device: { params: ApproveDevice; result: Done };
  /** Admits or refuses the device that asks, once the person has seen which one it is. */
  confirm_device: { params: ConfirmDevice; result: Done };
  /**
   * Stops linking a device; works on both devices. A device that was already admitted stays
   * admitted.
   */
  stop_linking: { params?: Record<string, never>; result: Done };
  /**
   * Returns the devices of this account, in the order in which they were added. `added_by` is
   * the id of the device that admitted it, or `recovery_key`.
   */
  devices: { params?: Record<string, never>; result: Devices };
  /**
   * Revokes a device, given by its id or at least the first eight digits of it. The new list
   * arrives as a `devices` notice; the device is removed from the conversations right after
   * that.
   */
  revoke_device: { params: RevokeDevice; result: Done };
  /**
   * Recovers an account on this device with its recovery key: its 24 words, or the text of its
   * QR code. Contacts and history come from the backup on the relay, or with `from_file` through
   * `feed_backup`: then all of the file is checked before anything changes. `revoke_others` also
   * revokes all other devices. Progress arrives as `recovery` and `transfer` notices.
   */
  recover: { params: Recover; result: Done };
  /**
   * Adds what a backup has to an account that this device belongs to: contacts, conversations and
   * messages that are not here. The backup comes from the relay, or with `from_file` through
   * `feed_backup`. Progress arrives as `recovery` and `transfer` notices.
   */
  restore: { params: Restore; result: Done };
  /**
   * Takes the next bytes of a backup file, at most 512 KiB, in base64. Feed the whole file once a
   * `recovery` notice says `checking`, and once more when one says `restoring`. A file that is
   * damaged or another account's ends it with `failed`; nothing has changed then.
   */
  feed_backup: { params: FeedBackup; result: Done };
  /**
   * Makes a new backup on the relay now; one is made daily anyway if there is something new.
   * Only the recovery key can open it. The outcome arrives as a `backup` notice.
   */
  backup: { params?: Record<string, never>; result: Done };
  /**
   * Returns a part of a new backup, to write to a file. Call it with `index` 0, and then with 1,
   * 2, … as long as `more` is true; the file is all parts, one after another.
   */
  read_backup: { params: ReadBackup; result: BackupPart };
  /**
   * Locks or unlocks this account's address. Others can register a locked address only with the
   * recovery key, or after a week in which no device objects. The outcome arrives as a `lock`
   * notice.
   */
  set_lock: { params: SetLock; result: Done };
  /**
   * Objects to the account that contests the locked address (the alarm `address_contested`).
   * Once the relay knows, a `lock` notice arrives.
   */
  keep_address: { params?: Record<string, never>; result: Done };
  /**
   * Deletes the account. `address` must be its own, as the person types it. This device tells the
   * account's other devices, leaves all groups, revokes the other devices and at last itself, so
   * that the relay's key log says that the account is gone; the relay deletes mailboxes, key
   * packages and the backup. Then a `home_erased` notice arrives, and this device deletes its
   * home. It goes on after a restart.
   *
   * The other devices show the alarm `account_deleted`, and erase their homes after seven days
   * (`keep_home`). Contacts get the event `account_deleted`.
   */
  delete_account: { params: DeleteAccount; result: Done };
  /** Keeps what is on this device, although another device has deleted the account. */
  keep_home: { params?: Record<string, never>; result: Done };
  /**
   * Returns a conversation, oldest entry first: messages, events and gaps. Only `of` (an
   * address, a conversation's id, or a group's name) is required. `limit` is at most 1,000. Give
   * at most one of `before`, `after`, `around` and `search`: `before` pages back, `after`
   * forward, `around` shows a message with the entries on both sides, and `search` finds words,
   * like the method of that name. `more` says whether there are older entries, `newer` whether
   * there are newer ones. To read everything from the newest entry back, call it with the
   * `previous` of each result as `until` (also with `search`); from the oldest one, with `from`
   * `""` and then with the `next` of each result. Such a place stays valid when entries are
   * added or deleted.
   *
   * Messages in a group have its name in `group`. This account's own messages have `receipts`,
   * which say how many members have received and read them (in groups of up to 32). A message
   * may have `reactions`, `poll`, `edited_at`, `taken_back` (its text is then empty), `expires_after_s`
   * and, once it was read, `expires_at`. Its files are in `attachments`, each with `number`,
   * `name`, `media_type`, `size` (bytes), `percent`, and a `state`: `offered`, `sending`,
   * `fetching`, `here`, `gone` or `deleted`; `missing` says why one is not to be had from the
   * relay. Pictures and voice messages have a `preview`, as their sender
   * states it: `width`, `height`, `blurhash` and a `thumbnail` (JPEG, base64); `duration_ms` and
   * `waveform` (levels from 0 to 255).
   */
  history: { params: History; result: HistoryPage };
  /**
   * Changes how this account keeps a conversation, on all its devices: `pinned`, `archived`
   * (until somebody writes, unless it is muted), `muted` (for ever, or until `muted_until`), a
   * `draft` (at most 8 KiB; empty for none), and the `nickname` of a contact (empty for none),
   * which nobody else learns. Fields that are absent change nothing.
   */
  keep_conversation: { params: KeepConversation; result: Done };
  /** Stars or unstars a message, on all devices of the account. */
  star: { params: Star; result: Done };
  /**
   * Returns the thread that a message belongs to: the messages it replies to, as far as they are
   * known here, and all replies to any of them; oldest first, at most 1,000 messages. A
   * formatted text (`markdown` in `send`) has its spans in `formatted`, in order; `mentions` are
   * the addresses that follow an `@` in the text.
   */
  thread: { params: MessageOf; result: Found };
  /** Returns the starred messages on this device, the latest first; at most 1,000. */
  starred: { params?: Record<string, never>; result: Found };
  /**
   * Returns messages that contain all of the words in `text`, newest first. Capitals and accents
   * do not matter, and the last word may be the beginning of a word. All params are optional:
   * without `text`, only `of`, `from`, `since` and `until` select messages. `limit` is 100 by
   * default. If there may be more messages, `next` is the value for the next call.
   */
  search: { params: Search; result: Found };
  /** Returns the people that this account knows. */
  contacts: { params?: Record<string, never>; result: Contacts };
  /**
   * Returns the conversations, the one with the newest entry first. `kind` is `direct`, `group`
   * (then `with` is its name), `notes` (this account's own) or `sms` (a phone, by text messages:
   * `with` is `sms:` and its number or the name it gives itself).
   */
  conversations: { params?: Record<string, never>; result: Conversations };
  /**
   * Returns one conversation: by its id, by the other person's address in any form, or by the
   * name of a group.
   */
  conversation: { params: Of; result: Conversation };
  /**
   * Returns this account. `registration` is `none`, `asking_for_code`, `code_sent`,
   * `checking_code` or `registered`; fields that are not known yet are absent. `recovery_words`
   * are present until `forget_recovery_words`.
   */
  account: { params?: Record<string, never>; result: Account };
  /**
   * Returns the state of this device. `log` is the relay's key log, as far as this device has
   * checked it; `alarms` are the alarms, until `dismiss_alarms`. `changing_members` counts
   * conversations that are adding or removing devices; `transferring` says that history is being
   * transferred between devices or from a backup; `locked` that the address is locked
   * (`set_lock`).
   */
  status: { params?: Record<string, never>; result: Status };
  /**
   * Fetches the title, a description and a picture from the site that a link leads to, so that
   * `send` can carry them in its `link_preview`. Only `https` sites on the public internet are
   * contacted; the site sees this device's IP address. The recipients of the message contact
   * nobody.
   */
  preview_link: { params: PreviewLink; result: LinkPreview };
  /**
   * Seals a file, given by its absolute path, into the home, so that `send` can attach it: put
   * the result into its `attachments`. Pictures and voice messages get their `preview`. The
   * sealed file is deleted if no message attaches it within a day.
   *
   * What a camera or a program stored in a JPEG, PNG, WebP, HEIC or AVIF picture (places, times,
   * names) is removed, so that `size` and `sha256` may differ from the file's. Which side is up,
   * and the colours, stay. `keep_metadata` seals the file as it is. A damaged picture is refused
   * without it.
   */
  seal_file: { params: SealFile; result: SealedFile };
  /**
   * Seals an attachment that is `here` again, under another key, so that `forward` can send it.
   * Call it once for each recipient. The sealed file is deleted if no message attaches it within
   * a day.
   */
  copy_attachment: { params: AttachmentOf; result: SealedFile };
  /**
   * Opens an attachment that is `here` (`fetch_attachment` fetches it), and writes it to an
   * absolute path: a new file, or a folder. Nothing is overwritten.
   */
  save_attachment: { params: SaveAttachment; result: SavedAttachment };
  /**
   * Returns where the relay is, its pin, and the proxy that connections go through, if there is
   * one.
   */
  relay: { params?: Record<string, never>; result: RelayInfo };
  /**
   * Follows the relay to another host or port. The client connects there first: only the server
   * that has the relay's pinned key is followed, and another one is refused with
   * `relay_key_differs`. If nothing answers there, nothing changes either. Then the links go
   * there, and a `relay_moved` notice says so. Each device of the account is told separately.
   */
  move_relay: { params: MoveRelay; result: Done };
  /**
   * Makes all connections of this home go through a SOCKS5 proxy from now on, such as Tor, or
   * through none. The proxy looks up all names. If it fails, nothing is sent: the problem is
   * `proxy_failed`, and no connection is ever made without it.
   */
  set_proxy: { params: SetProxy; result: Done };
  /** Makes this connection receive `notice` notifications (below) from now on. */
  subscribe: { params?: Record<string, never>; result: Done };
  /** Stops the notices. */
  unsubscribe: { params?: Record<string, never>; result: Done };
  /**
   * Checks every part, makes a new connection to the relay for this, and says in sentences what
   * it found. `result` is `ok`, `warning`, `failed` or `skipped`.
   *
   * Checks: `home`, `store`, `store_key`, `account`, `proxy` (if one is set), `relay`, `pin`,
   * `tls`, `clock`, `login`, `key_log`, `key_packages`, `outbox`, `conversations`, `alarms` (one
   * for each alarm).
   */
  doctor: { params?: Record<string, never>; result: DoctorReport };
  /** Returns the version of the process that answers. */
  version: { params?: Record<string, never>; result: ProgramVersion };
}
