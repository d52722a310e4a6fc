//! Amendments: reactions, edits, unsending, and what other types of content say of a message.
//!
//! Each is a separate message that names another. All are kept, by their ids, and a message
//! shows the result: of two by the same account the later one counts, and at the same time the
//! one with the greater id. An amendment that arrives before its message waits here.
//!
//! **Always**: an edit counts only if it is by the message's own account; so does unsending,
//! which overrides everything else and removes the whole text.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{ids::AccountId, time::Time};

use crate::{
    api::{ConversationId, MessageId},
    archive::ArchiveSection,
    message::{
        deleted,
        proof::Proof,
        reaction::{is_reaction, same_form},
    },
    outbox,
    store::StoreError,
    tables::{Table, merge_rows},
    turn::{Fault, Turn},
};

/// `first_text` is what an edited message said at first.
pub(crate) const SCHEMA: &str = "
CREATE TABLE amendment (
    conversation BLOB NOT NULL,
    id BLOB NOT NULL,
    target BLOB NOT NULL,
    kind INTEGER NOT NULL,       -- 1 reaction, 2 edit, 3 taken back
    account_id BLOB NOT NULL,
    address TEXT NOT NULL,       -- display form
    own INTEGER NOT NULL,        -- by this account
    sent_at INTEGER NOT NULL,    -- as the sender's device says
    text TEXT,                   -- the emoji; the new text
    PRIMARY KEY (conversation, id)
) WITHOUT ROWID;
CREATE INDEX amendment_target ON amendment (conversation, target, kind);
ALTER TABLE entry ADD COLUMN amended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entry ADD COLUMN first_text TEXT;
ALTER TABLE entry ADD COLUMN edited_at INTEGER;
ALTER TABLE entry ADD COLUMN taken_back_at INTEGER;
";

/// Kinds from this number on belong to other types of content, which say what their texts mean.
pub(crate) const OTHERS: u8 = 16;

/// Amendments in one conversation whose messages are not here, at most.
const WAITING_MAX: i64 = 4_096;

/// Amendments of one account to one message, at most; of more, the newest count.
const PER_ACCOUNT: i64 = 64;

/// The amendments of all messages.
pub(crate) struct Amendments;

impl Table for Amendments {
    fn archived(&self) -> Option<&dyn ArchiveSection> {
        Some(self)
    }

    fn merge_conversations(
        &self,
        tx: &Transaction<'_>,
        from: ConversationId,
        into: ConversationId,
    ) -> Result<(), StoreError> {
        merge_rows(tx, "amendment", from, into)
    }

    fn delete_message(
        &self,
        turn: &mut Turn<'_>,
        conversation: ConversationId,
        message: MessageId,
    ) -> Result<(), Fault> {
        erase_copies(turn.tx, conversation, message)?;
        turn.tx
            .prepare_cached("DELETE FROM amendment WHERE conversation = ?1 AND target = ?2")?
            .execute((conversation.as_bytes(), message.as_bytes()))?;
        Ok(())
    }
}

/// What an amendment does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Amends {
    /// Reacts with an emoji, or with none any more.
    Reaction(Option<String>),
    /// Says something else.
    Edit(String),
    /// Takes it back.
    TakenBack,
    /// Says something of a kind that another type of content knows ([`OTHERS`]).
    Other(u8, String),
}

impl Amends {
    const fn kind(&self) -> u8 {
        match self {
            Self::Reaction(_) => REACTION,
            Self::Edit(_) => EDIT,
            Self::TakenBack => TAKEN_BACK,
            Self::Other(kind, _) => *kind,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Reaction(emoji) => emoji.as_deref(),
            Self::Edit(text) | Self::Other(_, text) => Some(text),
            Self::TakenBack => None,
        }
    }
}

const REACTION: u8 = 1;
const EDIT: u8 = 2;
const TAKEN_BACK: u8 = 3;

/// Something that was said of a message.
pub(crate) struct Amendment<'a> {
    pub conversation: ConversationId,
    pub id: MessageId,
    pub target: MessageId,
    pub account: AccountId,
    /// In display form.
    pub address: &'a str,
    /// Whether it is this account's.
    pub own: bool,
    pub sent_at: Time,
    pub amends: Amends,
    /// That its sender said it, where that is another account, and the content.
    pub signed: Option<(&'a Proof, &'a [u8])>,
}

/// Keeps an amendment, and lets its message be as it says. Gives whether the message is here
/// and has changed.
pub(crate) fn add(tx: &Transaction<'_>, amendment: &Amendment<'_>) -> Result<bool, StoreError> {
    let conversation = amendment.conversation.as_bytes();
    let target = amendment.target.as_bytes();
    let here = is_here(tx, amendment.conversation, amendment.target)?;
    if !here
        && (deleted::is_deleted(tx, amendment.target)?
            || waiting(tx, amendment.conversation)? >= WAITING_MAX)
    {
        return Ok(false);
    }
    // Only edits are reported.
    let is_edit = matches!(amendment.amends, Amends::Edit(_));
    let edit = amendment.signed.filter(|_| is_edit);
    let added = tx
        .prepare_cached(
            "INSERT INTO amendment
                 (conversation, id, target, kind, account_id, address, sent_at, text, own,
                  proof, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
        )?
        .execute((
            conversation,
            amendment.id.as_bytes(),
            target,
            amendment.amends.kind(),
            amendment.account.0,
            amendment.address,
            signed(amendment.sent_at),
            amendment.amends.text(),
            amendment.own,
            edit.map(|(proof, _)| proof.to_bytes()),
            edit.map(|(_, content)| content),
        ))?;
    if added == 0 {
        return Ok(false);
    }
    // Which of too many go does not depend on the order in which they came.
    tx.prepare_cached(
        "DELETE FROM amendment WHERE conversation = ?1 AND id IN (
             SELECT id FROM amendment
             WHERE conversation = ?1 AND target = ?2 AND kind = ?3 AND account_id = ?4
             ORDER BY sent_at DESC, id DESC LIMIT -1 OFFSET ?5)",
    )?
    .execute((
        conversation,
        target,
        amendment.amends.kind(),
        amendment.account.0,
        PER_ACCOUNT,
    ))?;
    if here {
        apply(tx, amendment.conversation, amendment.target)?;
    }
    Ok(here)
}

/// A message has come: it is as the amendments say that came before it. Gives whether there
/// were any.
pub(crate) fn apply(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    let key = (conversation.as_bytes(), message.as_bytes());
    let any: i64 = tx
        .prepare_cached("SELECT count(*) FROM amendment WHERE conversation = ?1 AND target = ?2")?
        .query_row(key, |row| row.get(0))?;
    if any == 0 {
        return Ok(false);
    }
    let taken_back: Option<i64> = tx
        .prepare_cached(
            "SELECT min(a.sent_at) FROM amendment a JOIN entry e
                 ON e.conversation = a.conversation AND e.message = a.target
                 AND e.account_id = a.account_id
             WHERE a.conversation = ?1 AND a.target = ?2 AND a.kind = 3",
        )?
        .query_row(key, |row| row.get(0))?;
    if let Some(at) = taken_back {
        tx.prepare_cached(
            "UPDATE entry SET amended = 1, text = '', first_text = NULL, content = NULL,
                 proof = NULL, edited_at = NULL, problem = NULL, taken_back_at = ?3
             WHERE conversation = ?1 AND message = ?2",
        )?
        .execute((key.0, key.1, at))?;
        erase_copies(tx, conversation, message)?;
        tx.prepare_cached(
            "DELETE FROM amendment WHERE conversation = ?1 AND target = ?2 AND kind != 3",
        )?
        .execute(key)?;
        return Ok(true);
    }
    tx.prepare_cached(
        "UPDATE entry SET amended = 1 WHERE conversation = ?1 AND message = ?2 AND NOT amended",
    )?
    .execute(key)?;
    let edit: Option<(String, i64)> = tx
        .prepare_cached(
            "SELECT a.text, a.sent_at FROM amendment a JOIN entry e
                 ON e.conversation = a.conversation AND e.message = a.target
                 AND e.account_id = a.account_id
             WHERE a.conversation = ?1 AND a.target = ?2 AND a.kind = 2
             ORDER BY a.sent_at DESC, a.id DESC LIMIT 1",
        )?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((text, at)) = edit {
        tx.prepare_cached(
            "UPDATE entry SET first_text = coalesce(first_text, text), text = ?3, edited_at = ?4
             WHERE conversation = ?1 AND message = ?2",
        )?
        .execute((key.0, key.1, text, at))?;
    }
    Ok(true)
}

/// Who reacted with what: each emoji with those who did, most first.
pub(crate) fn reactions(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Vec<(String, Vec<Kept>)>, StoreError> {
    let mut latest: BTreeMap<[u8; 32], Kept> = BTreeMap::new();
    for kept in of_kind(tx, conversation, message, REACTION)? {
        latest.insert(kept.account.0, kept);
    }
    // Of forms that are the same, the longest is shown: it says how it is to look.
    let mut by_form: BTreeMap<String, (String, Vec<Kept>)> = BTreeMap::new();
    for mut kept in latest.into_values() {
        // Earlier versions kept what nobody sees.
        if let Some(emoji) = kept.text.take().filter(|text| is_reaction(text)) {
            let (shown, who) = by_form.entry(same_form(&emoji)).or_default();
            if (emoji.len(), &emoji) > (shown.len(), &*shown) {
                *shown = emoji;
            }
            who.push(kept);
        }
    }
    let mut reactions: Vec<_> = by_form.into_values().collect();
    reactions.sort_by_key(|(_, who)| std::cmp::Reverse(who.len()));
    Ok(reactions)
}

/// An amendment, as it is kept.
pub(crate) struct Kept {
    pub account: AccountId,
    /// In display form.
    pub address: String,
    /// Whether it is this account's.
    pub own: bool,
    pub sent_at: Time,
    pub text: Option<String>,
}

/// The amendments of one kind to a message, the one that counts last at the end.
pub(crate) fn of_kind(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    kind: u8,
) -> Result<Vec<Kept>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT account_id, address, own, sent_at, text FROM amendment
         WHERE conversation = ?1 AND target = ?2 AND kind = ?3 ORDER BY sent_at, id",
    )?;
    let key = (conversation.as_bytes(), message.as_bytes(), kind);
    let rows = statement.query_map(key, |row| {
        Ok(Kept {
            account: AccountId(row.get(0)?),
            address: row.get(1)?,
            own: row.get(2)?,
            sent_at: Time(row.get::<_, i64>(3)?.cast_unsigned()),
            text: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The mark of messages that can be viewed once.
pub(crate) const VIEW_ONCE: u8 = OTHERS + 5;

/// Whether a message can be viewed once.
pub(crate) fn is_view_once(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    Ok(mark(tx, conversation, message, VIEW_ONCE)?.is_some())
}

/// The id of a mark: an amendment that a message has of itself, once of a kind.
pub(crate) fn mark_id(message: MessageId, kind: u8) -> MessageId {
    let id = Sha256::new()
        .chain_update(b"waxwing mark")
        .chain_update([kind])
        .chain_update(message.as_bytes());
    MessageId::from_bytes(id.finalize().into())
}

/// What a mark of a message says; `None` where it has none.
pub(crate) fn mark(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    kind: u8,
) -> Result<Option<String>, StoreError> {
    let key = (
        conversation.as_bytes(),
        mark_id(message, kind).as_bytes().to_owned(),
        message.as_bytes(),
        kind,
    );
    let text: Option<Option<String>> = tx
        .prepare_cached(
            "SELECT text FROM amendment
             WHERE conversation = ?1 AND id = ?2 AND target = ?3 AND kind = ?4",
        )?
        .query_row(key, |row| row.get(0))
        .optional()?;
    Ok(text.map(Option::unwrap_or_default))
}

/// What a message has said: each version with when it was written, the first first.
pub(crate) fn versions(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Vec<(String, Time)>, StoreError> {
    let key = (conversation.as_bytes(), message.as_bytes());
    let first: Option<(String, i64)> = tx
        .prepare_cached(
            "SELECT coalesce(first_text, text), sent_at FROM entry
             WHERE conversation = ?1 AND message = ?2 AND taken_back_at IS NULL",
        )?
        .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let mut versions: Vec<(String, i64)> = first.into_iter().collect();
    let mut statement = tx.prepare_cached(
        "SELECT a.text, a.sent_at FROM amendment a JOIN entry e
             ON e.conversation = a.conversation AND e.message = a.target
             AND e.account_id = a.account_id
         WHERE a.conversation = ?1 AND a.target = ?2 AND a.kind = 2
         ORDER BY a.sent_at, a.id",
    )?;
    let rows = statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for row in rows {
        versions.push(row?);
    }
    let time = |at: i64| Time(at.cast_unsigned());
    Ok(versions
        .into_iter()
        .map(|(text, at)| (text, time(at)))
        .collect())
}

/// The edits of a message that its author has proven, with what was signed; the oldest first.
pub(crate) fn proven_edits(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
    author: AccountId,
) -> Result<Vec<(Proof, Vec<u8>)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT proof, content FROM amendment
         WHERE conversation = ?1 AND target = ?2 AND account_id = ?3 AND kind = 2
         ORDER BY sent_at, id",
    )?;
    let key = (conversation.as_bytes(), message.as_bytes(), author.0);
    let rows = statement.query_map(key, |row| {
        Ok((
            row.get::<_, Option<Vec<u8>>>(0)?,
            row.get::<_, Option<Vec<u8>>>(1)?,
        ))
    })?;
    let mut edits = Vec::new();
    for row in rows {
        let (proof, content) = row?;
        let proof = proof.as_deref().and_then(Proof::from_bytes);
        edits.extend(proof.zip(content));
    }
    Ok(edits)
}

/// The copies of edits that are kept for sending them again say nothing any more.
fn erase_copies(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id FROM amendment WHERE conversation = ?1 AND target = ?2 AND kind = 2",
    )?;
    let rows = statement.query_map((conversation.as_bytes(), message.as_bytes()), |row| {
        row.get(0).map(MessageId::from_bytes)
    })?;
    for id in rows {
        outbox::forget_content(tx, id?)?;
    }
    outbox::forget_content(tx, message)
}

fn is_here(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    crate::conversation::history::has_message(tx, conversation, message)
}

/// How many wait for their messages.
fn waiting(tx: &Transaction<'_>, conversation: ConversationId) -> Result<i64, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT count(*) FROM amendment a WHERE conversation = ?1 AND NOT EXISTS (
                 SELECT 1 FROM entry e WHERE e.conversation = ?1 AND e.message = a.target)",
        )?
        .query_row([conversation.as_bytes()], |row| row.get(0))?)
}

const fn signed(time: Time) -> i64 {
    time.0.cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        api::{Direction, MessageState},
        conversation::{
            history::{self, NewMessage},
            pages,
            reader::Reader,
        },
        hooks::Hooks,
        store::{Store, StoreError},
    };

    const ALICE: AccountId = AccountId([1; 32]);
    const BOB: AccountId = AccountId([2; 32]);
    const HERE: ConversationId = ConversationId::from_bytes([3; 16]);
    const MESSAGE: MessageId = MessageId::from_bytes([4; 32]);

    #[derive(Clone, Debug)]
    enum Step {
        /// Alice's message comes.
        Message,
        /// By whom, when, its id, and what.
        Amendment(AccountId, u64, u8, Amends),
    }

    fn take(tx: &Transaction<'_>, step: &Step) -> Result<(), StoreError> {
        match step {
            Step::Message => {
                history::add_message(
                    tx,
                    Time(1),
                    &NewMessage {
                        id: MESSAGE,
                        conversation: HERE,
                        account: ALICE,
                        address: "alice@example.org",
                        verified: true,
                        direction: Direction::In,
                        text: "first",
                        markdown: false,
                        content: None,
                        proof: None,
                        reply_to: None,
                        sent_at: Time(1),
                        state: MessageState::Accepted,
                        expires_after: None,
                        fills: None,
                    },
                )?;
                apply(tx, HERE, MESSAGE)?;
            }
            Step::Amendment(account, sent_at, id, amends) => {
                add(
                    tx,
                    &Amendment {
                        conversation: HERE,
                        id: MessageId::from_bytes([*id; 32]),
                        target: MESSAGE,
                        account: *account,
                        address: if *account == ALICE { "alice" } else { "bob" },
                        own: *account == BOB,
                        sent_at: Time(*sent_at),
                        amends: amends.clone(),
                        signed: None,
                    },
                )?;
            }
        }
        Ok(())
    }

    /// What the message is after these steps, and what of the texts is in the store.
    fn outcome(steps: &[Step]) -> (String, Vec<String>) {
        let mut store = Store::open_in_memory().unwrap();
        store
            .transaction(|tx| {
                tx.execute_batch("PRAGMA defer_foreign_keys = ON")?;
                for step in steps {
                    take(tx, step)?;
                }
                let hooks = Hooks::default();
                let reader = Reader { tx, hooks: &hooks };
                let message = pages::message(reader, HERE, MESSAGE)?.unwrap();
                let reactions: Vec<String> = message
                    .reactions
                    .iter()
                    .map(|one| format!("{} {:?} {}", one.emoji, one.by, one.own))
                    .collect();
                let versions = versions(tx, HERE, MESSAGE)?;
                let versions: Vec<String> = versions.into_iter().map(|(text, _)| text).collect();
                let shown = format!(
                    "{:?} {:?} {} {reactions:?} {versions:?}",
                    message.text, message.edited_at, message.taken_back
                );
                let mut statement = tx.prepare(
                    "SELECT text FROM amendment WHERE text IS NOT NULL UNION ALL
                     SELECT text FROM entry UNION ALL SELECT coalesce(first_text, '') FROM entry",
                )?;
                let rows = statement.query_map([], |row| row.get(0))?;
                let texts = rows.collect::<Result<Vec<String>, _>>()?;
                // Undone: nothing refers to the conversation.
                tx.execute("DELETE FROM entry", [])?;
                Ok::<_, StoreError>((shown, texts))
            })
            .unwrap()
    }

    fn edit(at: u64, id: u8, text: &str) -> Step {
        Step::Amendment(ALICE, at, id, Amends::Edit(text.into()))
    }

    #[test]
    fn the_latest_edit_is_shown_and_the_earlier_ones_are_kept() {
        let (shown, _) = outcome(&[Step::Message, edit(3, 11, "third"), edit(2, 12, "second")]);
        assert!(shown.starts_with("\"third\""), "{shown}");
        assert!(
            shown.ends_with("[\"first\", \"second\", \"third\"]"),
            "{shown}"
        );
    }

    #[test]
    fn nobody_edits_or_takes_back_what_another_wrote() {
        let by_bob = |amends| Step::Amendment(BOB, 9, 21, amends);
        let (plain, _) = outcome(&[Step::Message]);
        for amends in [Amends::Edit("Bob's".into()), Amends::TakenBack] {
            for steps in [
                [Step::Message, by_bob(amends.clone())],
                [by_bob(amends.clone()), Step::Message],
            ] {
                assert_eq!(outcome(&steps).0, plain);
            }
        }
    }

    #[test]
    fn nothing_is_left_of_what_was_taken_back() {
        let back = Step::Amendment(ALICE, 2, 31, Amends::TakenBack);
        let (shown, texts) = outcome(&[edit(3, 32, "later"), Step::Message, back]);
        assert!(shown.contains("true [] []"), "{shown}");
        assert!(texts.iter().all(String::is_empty), "{texts:?}");
    }

    #[test]
    fn a_person_has_one_reaction_and_may_have_none() {
        let react = |at, id, emoji: Option<&str>| {
            Step::Amendment(BOB, at, id, Amends::Reaction(emoji.map(Into::into)))
        };
        let both = [react(5, 41, Some("👍")), react(6, 42, Some("🎉"))];
        let (shown, _) = outcome(&[Step::Message, both[1].clone(), both[0].clone()]);
        assert!(shown.contains("🎉 [\\\"bob\\\"] true"), "{shown}");
        assert!(!shown.contains('👍'), "{shown}");
        let (shown, _) = outcome(&[react(7, 43, None), Step::Message, both[1].clone()]);
        assert!(!shown.contains('🎉'), "{shown}");
    }

    #[test]
    fn reactions_that_look_alike_are_one_and_unseen_ones_are_none() {
        let react = |account, id, emoji: &str| {
            Step::Amendment(account, 5, id, Amends::Reaction(Some(emoji.into())))
        };
        let carol = AccountId([7; 32]);
        let steps = [
            Step::Message,
            react(ALICE, 44, "❤"),
            react(BOB, 45, "❤\u{fe0f}"),
            react(carol, 46, "\u{200b}"),
        ];
        let (shown, _) = outcome(&steps);
        // One reaction, by both.
        let by = "[\\\"alice\\\", \\\"bob\\\"] true";
        assert!(shown.contains(by), "{shown}");
        assert_eq!(shown.matches("[\\\"").count(), 1, "{shown}");
    }

    fn any_step() -> impl Strategy<Value = (bool, u64, Amends)> {
        let amends = prop_oneof![
            4 => prop_oneof![Just(None), "[a-c]".prop_map(Some)].prop_map(Amends::Reaction),
            4 => "[a-z]{1,4}".prop_map(Amends::Edit),
            1 => Just(Amends::TakenBack),
        ];
        (any::<bool>(), 1..6_u64, amends)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_order_in_which_things_come_does_not_matter(
            steps in prop::collection::vec(any_step(), 0..9),
            shuffled in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut all = vec![Step::Message];
            all.extend(steps.into_iter().enumerate().map(|(at, (alice, sent_at, amends))| {
                let account = if alice { ALICE } else { BOB };
                Step::Amendment(account, sent_at, 50 + u8::try_from(at).unwrap(), amends)
            }));
            let other: Vec<Step> = shuffled
                .iter()
                .filter_map(|at| all.get(*at).cloned())
                .collect();
            prop_assert_eq!(outcome(&all).0, outcome(&other).0);
        }
    }
}
