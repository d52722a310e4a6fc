//! Reports: messages from others that a person discloses, so that anybody who gets the report
//! can check them.
//!
//! A report holds the chosen messages as they were signed ([`super::proof`]) and the rosters
//! that admit the signing devices. Checking one shows that a device of this account wrote this
//! at that time (by its own clock), without trusting the reporter or the relay. The key log
//! proves that an address belongs to the account. If the account has revoked the signing key
//! since then (because a device was lost or stolen, for example), the report and the check say
//! so: somebody who has the device may have written the message later, with an earlier date.
//!
//! A report does not and cannot show what was left out: it may quote one line of many.
//!
//! **Always**: only the named messages and their edits are disclosed.

use std::collections::{BTreeMap, btree_map::Entry};

use data_encoding::BASE64;
use prost::Message as _;
use rusqlite::Transaction;
use waxwing_protocol::{
    address::Address,
    ids::{AccountId, DeviceId, GroupId},
    limits,
    pb::{SignedStatement, Statement},
    roster::Roster,
    time::Time,
};

use super::{amendments, proof::Proof};
use crate::{
    account,
    api::{
        self, CheckedReport, MessageId, Problem, ProvenMessage, Report, ReportFlaw, ReportedFile,
        ReportedMessage, ReportedPerson, Response,
    },
    contact::{self, Contact},
    content::{self, VisibleContent},
    conversation::{
        history::{self, Disclosed},
        pages, target,
    },
    inbox::messages,
    store::StoreError,
    turn::{EventError, Turn},
};

const FORMAT: &str = "waxwing-report";
const VERSION: u32 = 1;
/// Messages of one report, at most, edits counted.
const MESSAGES: usize = 1_000;
/// Bytes of what the person says about it, at most.
const NOTE_BYTES: usize = 4_096;

/// Makes a report.
pub(crate) fn report(turn: &mut Turn<'_>, asked: &api::MakeReport) -> Result<Response, EventError> {
    if asked.messages.is_empty() || asked.messages.len() > MESSAGES {
        return Err(invalid(ReportFlaw::MessageCount));
    }
    if asked.note.len() > NOTE_BYTES {
        return Err(invalid(ReportFlaw::NoteTooLong));
    }
    let mut report = Report {
        format: FORMAT.into(),
        version: VERSION,
        made_at: turn.now.into(),
        note: asked.note.clone(),
        people: Vec::new(),
        messages: Vec::new(),
    };
    let mut keys = BTreeMap::new();
    for id in &asked.messages {
        for (account, proof, content) in proven(turn.tx, *id)? {
            add_person(turn.tx, &mut report.people, account)?;
            let keys = match keys.entry(account) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(room) => room.insert(known_keys(turn.tx, account)?),
            };
            let signed_with = keys.as_ref().and_then(|keys| keys.of(&proof, &content));
            let revoked = signed_with.and_then(|key| key.revoked_at);
            report.messages.push(ReportedMessage {
                account: account.to_string(),
                device: proof.device.to_string(),
                group: proof.group.to_string(),
                sent_at_ms: proof.sent_at.0,
                content: BASE64.encode(&content),
                signature: BASE64.encode(&proof.signature),
                key_revoked_at_ms: revoked.map(|at| at.0),
            });
        }
    }
    Ok(Response::Report(Box::new(report)))
}

/// Somebody's message as it was signed.
type Proven = (AccountId, Proof, Vec<u8>);

/// A message and its edits, the oldest first.
fn proven(tx: &Transaction<'_>, id: MessageId) -> Result<Vec<Proven>, EventError> {
    let Some(conversation) = pages::conversation_of(tx, id)? else {
        return Err(EventError::Refused(Problem::MessageUnknown));
    };
    match history::disclosed(tx, conversation, id)? {
        None => Err(EventError::Refused(Problem::MessageUnknown)),
        Some(Disclosed::TakenBack) => Err(EventError::Refused(Problem::MessageTakenBack)),
        Some(Disclosed::Unproven) => Err(EventError::Refused(Problem::MessageNotProven)),
        Some(Disclosed::Proven(account, proof, content)) => {
            let edits = amendments::proven_edits(tx, conversation, id, account)?.into_iter();
            let edits = edits.map(|(proof, content)| (account, proof, content));
            Ok(std::iter::once((account, proof, content))
                .chain(edits)
                .collect())
        }
    }
}

fn add_person(
    tx: &Transaction<'_>,
    people: &mut Vec<ReportedPerson>,
    account: AccountId,
) -> Result<(), EventError> {
    let name = account.to_string();
    if people.iter().any(|person| person.account == name) {
        return Ok(());
    }
    let Some(contact) = contact::of_account(tx, account)? else {
        return Err(EventError::Refused(Problem::MessageNotProven));
    };
    let statements = contact.statements().unwrap_or_default();
    people.push(ReportedPerson {
        account: name,
        address: contact.display,
        verified: contact.verified,
        roster: statements
            .iter()
            .map(|statement| BASE64.encode(&statement.encode_to_vec()))
            .collect(),
    });
    Ok(())
}

/// Checks a report, no matter who made it.
pub(crate) fn check(tx: &Transaction<'_>, report: &Report) -> Result<Response, EventError> {
    if report.format != FORMAT || report.version != VERSION {
        return Err(invalid(ReportFlaw::Format));
    }
    if report.messages.is_empty() || report.messages.len() > MESSAGES {
        return Err(invalid(ReportFlaw::MessageCount));
    }
    if report.note.len() > NOTE_BYTES {
        return Err(invalid(ReportFlaw::NoteTooLong));
    }
    let mut said = Vec::new();
    let mut people: Vec<Person<'_>> = Vec::new();
    for message in &report.messages {
        let known = people
            .iter()
            .position(|person| person.said.account == message.account);
        let place = if let Some(place) = known {
            place
        } else {
            let mut found = report.people.iter();
            let found = found.find(|person| person.account == message.account);
            let Some(found) = found else {
                return Err(invalid(ReportFlaw::RosterMissing));
            };
            people.push(Person::read(tx, found)?);
            people.len() - 1
        };
        if let Some(person) = people.get(place) {
            said.push(person.said(message)?);
        }
    }
    Ok(Response::ReportChecked(Box::new(CheckedReport {
        made_at: report.made_at,
        note: report.note.clone(),
        said,
    })))
}

const fn invalid(reason: ReportFlaw) -> EventError {
    EventError::Refused(Problem::ReportInvalid { reason })
}

/// Somebody of a report, with a roster that was checked.
struct Person<'a> {
    said: &'a ReportedPerson,
    account: AccountId,
    keys: LeafKeyHistory,
    /// The keys as this device knows them, where it knows the account: the report may hold
    /// an older roster, so as to hide what was revoked.
    known_keys: Option<LeafKeyHistory>,
    /// Whether this device, too, knows the address as theirs; without, it knows nothing.
    known: Option<bool>,
}

impl<'a> Person<'a> {
    fn read(tx: &Transaction<'_>, said: &'a ReportedPerson) -> Result<Self, EventError> {
        let broken = || invalid(ReportFlaw::RosterInvalid);
        if said.roster.len() > limits::ROSTER_STATEMENTS {
            return Err(broken());
        }
        let mut statements = Vec::new();
        for statement in &said.roster {
            let bytes = BASE64.decode(statement.as_bytes()).map_err(|_| broken())?;
            statements.push(SignedStatement::decode(bytes.as_slice()).map_err(|_| broken())?);
        }
        let (roster, keys) = walk(&statements).ok_or_else(broken)?;
        if roster.account().to_string() != said.account {
            return Err(invalid(ReportFlaw::RosterOfAnother));
        }
        let account = roster.account();
        let known_keys = known_keys(tx, account)?;
        let known = match contact::of_account(tx, account)? {
            Some(Contact {
                verified, display, ..
            }) if Address::same(&display, &said.address) => verified.then_some(true),
            _ => {
                let canonical = target::parse_address(&said.address).ok();
                let owner = canonical.map(|address| contact::owner_of(tx, address.canonical()));
                owner.transpose()?.flatten().map(|_| false)
            }
        };
        Ok(Self {
            said,
            account,
            keys,
            known_keys,
            known,
        })
    }

    fn said(&self, message: &ReportedMessage) -> Result<ProvenMessage, EventError> {
        let malformed = || invalid(ReportFlaw::MessageMalformed);
        let id = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        let group = id(&message.group).and_then(|bytes| bytes.try_into().ok());
        let device = id(&message.device).and_then(|bytes| bytes.try_into().ok());
        let signature = BASE64.decode(message.signature.as_bytes()).ok();
        let signature = signature.and_then(|bytes| bytes.try_into().ok());
        let (Some(group), Some(device), Some(signature)) = (group, device, signature) else {
            return Err(malformed());
        };
        let content = BASE64
            .decode(message.content.as_bytes())
            .map_err(|_| malformed())?;
        let proof = Proof {
            group: GroupId(group),
            device: DeviceId(device),
            sent_at: Time(message.sent_at_ms),
            signature,
        };
        // Signed before it is read.
        let Some(key) = self.keys.of(&proof, &content) else {
            return Err(invalid(ReportFlaw::AnotherAuthor));
        };
        let known = self.known_keys.as_ref();
        let known = known.and_then(|keys| keys.of(&proof, &content));
        let key_revoked_at = key.revoked_at.or(known.and_then(|key| key.revoked_at));
        let read = content::decode(&content).map_err(|_| malformed())?;
        let (replaces, text) = match read.shown() {
            VisibleContent::Text(text) => (None, text),
            VisibleContent::Edit(of, text) => (Some(MessageId::from_bytes(*of.as_bytes())), text),
            _ => (None, messages::NEEDS_NEWER.to_owned()),
        };
        let files = content::files(&read).into_iter();
        Ok(ProvenMessage {
            id: messages::id_of(self.account, &content, &read.salt),
            address: self.said.address.clone(),
            account_id: self.said.account.clone(),
            address_known: self.known,
            key_unproven: !key.proven,
            sent_at: proof.sent_at.into(),
            key_revoked_at: key_revoked_at.map(Into::into),
            text,
            replaces,
            files: files
                .map(|file| ReportedFile {
                    name: file.name,
                    bytes: file.size,
                })
                .collect(),
        })
    }
}

/// Every leaf key that a chain has given a device at any time.
#[derive(Default)]
struct LeafKeyHistory(Vec<Key>);

/// A leaf key of a device.
#[derive(Clone, Copy)]
struct Key {
    device: DeviceId,
    public: [u8; 32],
    /// Whether its owner has said that it is that device's: an account can name another's key
    /// as its own.
    proven: bool,
    /// When the account took it back, by the clock of the device that did.
    revoked_at: Option<Time>,
}

impl LeafKeyHistory {
    /// The key that signed a message.
    fn of(&self, proof: &Proof, content: &[u8]) -> Option<Key> {
        let keys = self.0.iter().filter(|key| key.device == proof.device);
        let mut good = keys.filter(|key| proof.is_by(&key.public, content));
        good.next().copied()
    }

    /// The chain has come to this, by a statement that was made then.
    fn follow(&mut self, roster: &Roster, made_at: Time) {
        for key in &mut self.0 {
            let is_there = roster
                .device(key.device)
                .is_some_and(|device| device.leaf_key == key.public);
            key.revoked_at = if is_there {
                None
            } else {
                key.revoked_at.or(Some(made_at))
            };
        }
        for device in roster.devices() {
            let is_it = |key: &&mut Key| key.device == device.id && key.public == device.leaf_key;
            match self.0.iter_mut().find(is_it) {
                Some(key) => key.proven |= device.leaf_key_proven,
                None => self.0.push(Key {
                    device: device.id,
                    public: device.leaf_key,
                    proven: device.leaf_key_proven,
                    revoked_at: None,
                }),
            }
        }
    }
}

/// The keys of an account as this device knows them: a contact's, or its own.
fn known_keys(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<LeafKeyHistory>, StoreError> {
    if let Some(contact) = contact::of_account(tx, account)? {
        let statements = contact.statements().unwrap_or_default();
        return Ok(walk(&statements).map(|(_, keys)| keys));
    }
    let own = walk(&account::statements(tx)?);
    Ok(own
        .filter(|(own, _)| own.account() == account)
        .map(|(_, keys)| keys))
}

/// Checks a chain, statement by statement.
fn walk(statements: &[SignedStatement]) -> Option<(Roster, LeafKeyHistory)> {
    let (first, rest) = statements.split_first()?;
    let mut roster = Roster::verify(std::slice::from_ref(first)).ok()?;
    let mut keys = LeafKeyHistory::default();
    keys.follow(&roster, made_at(first)?);
    for statement in rest {
        roster.extend(statement).ok()?;
        keys.follow(&roster, made_at(statement)?);
    }
    Some((roster, keys))
}

fn made_at(signed: &SignedStatement) -> Option<Time> {
    let statement = Statement::decode(signed.statement.clone()).ok()?;
    Some(Time(statement.made_at_ms))
}
