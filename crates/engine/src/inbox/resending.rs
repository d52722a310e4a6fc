//! Resends what somebody missed, and decides to whom.
//!
//! A device that misses messages from another device asks it for them. They are resent to the
//! whole group, unless somebody has joined since then: in that case a copy goes only to the
//! device that asked, sealed to a key from its request, inside an ordinary message of the
//! group. A device that asks for messages from before its account joined is told that there is
//! nothing for it.
//!
//! In the same way a device gets copies of what it missed in an earlier group of the
//! conversation ([`super::earlier_generations`]).
//!
//! **Elsewhere**: [`super::sender_counters`] finds gaps and decides when to ask for them;
//! [`crate::conversation::join_epochs`] knows since when an account is in a group.
//!
//! **Always**: nobody gets messages from before their account was a member. What one account
//! can have resent in a group is limited per day.

use std::collections::HashMap;

use prost::Message as _;
use rusqlite::{OptionalExtension as _, Transaction};
use sha2::{Digest as _, Sha256};
use waxwing_protocol::{
    ids::{AccountId, DeviceId, Epoch, GroupId},
    pb::{Envelope, ResendRequest, Resent, envelope},
    resent::{self, Context, OpeningKey},
    time::{Span, Time},
};

use super::{
    earlier_generations,
    sender_counters::{self, Sender},
};
use crate::{
    api::ConversationId,
    conversation::{groups::GroupRecord, join_epochs},
    memory::{Memory, Remembered},
    message::proof,
    mls::Member,
    outbox::{self, Missed, SentSince},
    store::StoreError,
    turn::{Fault, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE resend_key (
    id BLOB PRIMARY KEY,        -- of the public half
    seed BLOB NOT NULL,
    made_at INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Messages that one request has sent again, at most.
const AT_ONCE: u64 = 512;

/// Messages that one account has sent again in one group within [`WITHIN`], at most. Whoever was
/// away for long asks for a few thousand, [`AT_ONCE`] at a time.
const FOR_ONE: u64 = 4_096;
const WITHIN: Span = Span::hours(24);

/// Accounts in groups that are counted at a time.
const COUNTED_MAX: usize = 4_096;

/// A key is named in requests for this long...
const KEY_USED_FOR: Span = Span::hours(24);

/// ...and opens answers for this long: the other device may be away.
const KEY_KEPT_FOR: Span = Span::days(30);

/// Requests that are remembered.
const ANSWERED_MAX: usize = 4_096;

/// The requests that were answered lately. A request is a message like others: whoever is
/// asked for everything sends their own requests again too. Two devices that ask each other
/// for everything would go on for ever.
#[derive(Default)]
pub(crate) struct Answered(HashMap<(Sender, [u8; 32]), Time>);

impl Remembered for Answered {
    const OUTLASTS_ERRORS: bool = true;
}

impl Memory {
    pub(crate) fn answered_mut(&mut self) -> &mut Answered {
        self.states.get_mut()
    }
}

impl Answered {
    /// Whether a request is new; it is not from now on.
    fn is_new(&mut self, sender: Sender, request: [u8; 32], now: Time) -> bool {
        if self.0.len() >= ANSWERED_MAX {
            self.0.retain(|_, at| now.since(*at) < WITHIN);
        }
        let known = self.0.get(&(sender, request));
        if known.is_some_and(|at| now.since(*at) < WITHIN) {
            return false;
        }
        if self.0.len() < ANSWERED_MAX {
            self.0.insert((sender, request), now);
        }
        true
    }
}

/// How much was sent again lately, for whom.
#[derive(Default)]
pub(crate) struct Budgets(HashMap<(GroupId, AccountId), (Time, u64)>);

impl Remembered for Budgets {
    const OUTLASTS_ERRORS: bool = true;
}

impl Memory {
    pub(crate) fn resent_mut(&mut self) -> &mut Budgets {
        self.states.get_mut()
    }
}

impl Budgets {
    /// How many messages an account may have again now.
    fn left(&mut self, group: GroupId, account: AccountId, now: Time) -> u64 {
        if self.0.len() >= COUNTED_MAX {
            self.0.retain(|_, (since, _)| now.since(*since) < WITHIN);
        }
        // So many groups and accounts at once are nobody's but an attacker's.
        if self.0.len() >= COUNTED_MAX && !self.0.contains_key(&(group, account)) {
            return 0;
        }
        let (since, spent) = self.0.entry((group, account)).or_insert((now, 0));
        if now.since(*since) >= WITHIN {
            (*since, *spent) = (now, 0);
        }
        FOR_ONE.saturating_sub(*spent).min(AT_ONCE)
    }

    fn spend(&mut self, group: GroupId, account: AccountId, messages: u64) {
        if let Some((_, spent)) = self.0.get_mut(&(group, account)) {
            *spent = spent.saturating_add(messages);
        }
    }
}

/// Somebody misses messages of a device, they said at this time; if it is this one, the
/// messages are sent again.
pub(crate) fn handle_resend_request(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    (request, sent_at): (&ResendRequest, Time),
) -> Result<(), Fault> {
    let own = turn.account()?;
    let (own, own_device) = (own.id(), own.device());
    let Some(conversation) = group.conversation else {
        return Ok(());
    };
    if DeviceId::try_from(&request.device_id).ok() != Some(own_device) {
        return Ok(());
    }
    let sender = Sender {
        group: group.id,
        device: member.device,
    };
    let named = Sha256::new()
        .chain_update(sent_at.0.to_be_bytes())
        .chain_update(request.encode_to_vec());
    let now = turn.now;
    if !turn
        .memory
        .answered_mut()
        .is_new(sender, named.finalize().into(), now)
    {
        return Ok(());
    }
    let is_earlier = !request.group_id.is_empty();
    let of = if is_earlier {
        match earlier_generations::find_earlier_group(turn, group, &request.group_id)? {
            Some(earlier) => earlier,
            None => return Ok(()),
        }
    } else {
        group.clone()
    };
    let Some(mut since) = may_have(turn, &of, member.account, own)? else {
        return Ok(());
    };
    // Nothing goes to a whole group that is over.
    if is_earlier {
        since.group = Epoch(u64::MAX);
    }
    let allowed = turn.memory.resent_mut().left(of.id, member.account, now);
    let mut left = allowed;
    let mut nothing_up_to = 0;
    for range in request
        .missing
        .iter()
        .take(sender_counters::RANGES_PER_REQUEST)
    {
        if left == 0 {
            break;
        }
        let range = (range.from, range.to);
        if !is_earlier {
            let sent = outbox::send_again(turn.tx, of.id, range, since, left)?;
            left = left.saturating_sub(sent as u64);
        }
        if !request.key.is_empty() {
            for one in outbox::resendable_to_device(turn.tx, of.id, range, since, left)? {
                let said = copy(turn, of.id, member, request, &one)?;
                left = left.saturating_sub(1);
                if let Some(said) = said {
                    queue_resent(turn, group, conversation, said)?;
                }
            }
            let last = if is_earlier {
                outbox::last_in(turn.tx, of.id, range)?
            } else {
                outbox::last_before(turn.tx, of.id, range, since)?
            };
            nothing_up_to = nothing_up_to.max(last);
        }
    }
    // There is more: with the last one, whoever asks sees that something is missing before it.
    if is_earlier && left == 0 {
        let range = (nothing_up_to, nothing_up_to);
        for one in outbox::resendable_to_device(turn.tx, of.id, range, since, 1)? {
            if let Some(said) = copy(turn, of.id, member, request, &one)? {
                queue_resent(turn, group, conversation, said)?;
            }
        }
    }
    if nothing_up_to > 0 && left > 0 {
        let nothing = Resent {
            device_id: member.device.to_bytes(),
            nothing_up_to,
            group_id: request.group_id.clone(),
            ..Resent::default()
        };
        queue_resent(turn, group, conversation, nothing)?;
        left = left.saturating_sub(1);
    }
    let spent = allowed.saturating_sub(left);
    turn.memory.resent_mut().spend(of.id, member.account, spent);
    turn.memory.due_mut().conversations.insert(conversation);
    Ok(())
}

/// Since when what was sent may go again to the group, and to an account of it; `None` where
/// it is not a member.
fn may_have(
    turn: &Turn<'_>,
    group: &GroupRecord,
    account: AccountId,
    own: AccountId,
) -> Result<Option<SentSince>, Fault> {
    // Two people's conversation stays between them, and notes are one account's.
    if group.account.is_some() {
        return Ok(Some(SentSince {
            group: Epoch(0),
            asker: Epoch(0),
            unknown: true,
        }));
    }
    let asker = if account == own {
        Epoch(0)
    } else {
        match join_epochs::join_epoch(turn.tx, group.id, account)? {
            Some(epoch) => epoch,
            None => return Ok(None),
        }
    };
    Ok(Some(SentSince {
        group: join_epochs::last(turn.tx, group.id)?,
        asker,
        unknown: false,
    }))
}

/// Whether what was sent in an epoch may go to the whole group again.
pub(crate) fn may_group_have(
    turn: &Turn<'_>,
    group: &GroupRecord,
    sent_in: Epoch,
) -> Result<bool, Fault> {
    Ok(group.account.is_some() || join_epochs::last(turn.tx, group.id)? <= sent_in)
}

/// A message for one device.
fn copy(
    turn: &mut Turn<'_>,
    group: GroupId,
    to: &Member,
    request: &ResendRequest,
    missed: &Missed,
) -> Result<Option<Resent>, Fault> {
    let mut envelope = Envelope::decode(missed.body.as_slice())
        .map_err(|error| Fault::Broken(error.to_string()))?;
    envelope.counter = missed.counter;
    turn.with_mls(|_, leaf| {
        proof::sign(leaf, group, &mut envelope);
        Ok::<_, Fault>(())
    })??;
    let context = Context {
        group,
        from: turn.account()?.device(),
        to: to.device,
    };
    let key = &request.key;
    let sealed = resent::seal(turn.rng, key, context, &envelope.encode_to_vec());
    Ok(sealed.ok().map(|copy| Resent {
        device_id: to.device.to_bytes(),
        key_id: resent::key_id(key).to_vec().into(),
        kem_ciphertext: copy.kem_ciphertext,
        sealed: copy.sealed,
        nothing_up_to: 0,
        group_id: request.group_id.clone(),
    }))
}

fn queue_resent(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    conversation: ConversationId,
    said: Resent,
) -> Result<(), Fault> {
    let envelope = Envelope {
        body: Some(envelope::Body::Resent(said)),
        ..Envelope::default()
    };
    let bytes = envelope.encode_to_vec();
    Ok(outbox::add_once(
        turn.tx,
        turn.now,
        conversation,
        &bytes,
        group.id,
    )?)
}

/// Something came for one device. Gives the message in it, if it is for this one, with the
/// group that it was sent in.
pub(crate) fn handle_resent(
    turn: &mut Turn<'_>,
    group: &GroupRecord,
    member: &Member,
    said: &Resent,
) -> Result<Option<(GroupRecord, Envelope)>, Fault> {
    let own = turn.account()?.device();
    if DeviceId::try_from(&said.device_id).ok() != Some(own) {
        return Ok(None);
    }
    let is_earlier = !said.group_id.is_empty();
    let of = if is_earlier {
        match earlier_generations::find_earlier_group(turn, group, &said.group_id)? {
            Some(earlier) => earlier,
            None => return Ok(None),
        }
    } else {
        group.clone()
    };
    let sender = Sender {
        group: of.id,
        device: member.device,
    };
    if said.nothing_up_to > 0 {
        sender_counters::skip_up_to(turn.tx, sender, said.nothing_up_to)?;
    }
    let Some(key) = key(turn.tx, &said.key_id)? else {
        return Ok(None);
    };
    let context = Context {
        group: of.id,
        from: member.device,
        to: own,
    };
    let Ok(opened) = key.open(context, &said.kem_ciphertext, &said.sealed) else {
        return Ok(None);
    };
    let envelope = Envelope::decode(opened.as_slice()).ok();
    // One in another would have no end.
    let envelope = envelope.filter(|one| !matches!(one.body, Some(envelope::Body::Resent(_))));
    Ok(envelope.map(|mut envelope| {
        // Whatever asks for something is of no use any more: it only has its number.
        if is_earlier && !matches!(envelope.body, Some(envelope::Body::Mimi(_))) {
            envelope.body = None;
        }
        (of, envelope)
    }))
}

/// The key that this device names in its requests.
pub(crate) fn own_key(turn: &mut Turn<'_>) -> Result<bytes::Bytes, Fault> {
    let now = turn.now.0;
    let recent = now.saturating_sub(KEY_USED_FOR.0).cast_signed();
    let seed: Option<[u8; 32]> = turn
        .tx
        .prepare_cached(
            "SELECT seed FROM resend_key WHERE made_at > ?1 ORDER BY made_at DESC LIMIT 1",
        )?
        .query_row([recent], |row| row.get(0))
        .optional()?;
    if let Some(seed) = seed {
        return Ok(OpeningKey::from_bytes(seed).public());
    }
    let old = now.saturating_sub(KEY_KEPT_FOR.0).cast_signed();
    turn.tx
        .execute("DELETE FROM resend_key WHERE made_at < ?1", [old])?;
    let key = OpeningKey::generate(turn.rng);
    let public = key.public();
    turn.tx.execute(
        "INSERT INTO resend_key (id, seed, made_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        (resent::key_id(&public), key.as_bytes(), now.cast_signed()),
    )?;
    Ok(public)
}

fn key(tx: &Transaction<'_>, id: &[u8]) -> Result<Option<OpeningKey>, StoreError> {
    let seed: Option<[u8; 32]> = tx
        .prepare_cached("SELECT seed FROM resend_key WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(seed.map(OpeningKey::from_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_comes_again_is_not_answered_again() {
        let mut answered = Answered::default();
        let sender = Sender {
            group: GroupId([1; 16]),
            device: DeviceId([2; 32]),
        };
        let now = Time(1_000_000);
        assert!(answered.is_new(sender, [1; 32], now));
        assert!(!answered.is_new(sender, [1; 32], now.after(Span::hours(23))));
        assert!(answered.is_new(sender, [2; 32], now));
        assert!(answered.is_new(sender, [1; 32], now.after(WITHIN)));
        for number in 0..=ANSWERED_MAX as u64 {
            let mut request = [3; 32];
            request[..8].copy_from_slice(&number.to_be_bytes());
            assert!(answered.is_new(sender, request, now));
        }
        assert!(answered.0.len() <= ANSWERED_MAX);
    }

    #[test]
    fn an_accounts_resending_is_limited_and_delays_nobody_else() {
        let mut budgets = Budgets::default();
        let group = GroupId([1; 16]);
        let (one, other) = (AccountId([1; 32]), AccountId([2; 32]));
        let begins = Time(1_000_000);
        let mut sent = 0;
        for _ in 0..100 {
            let left = budgets.left(group, one, begins);
            budgets.spend(group, one, left);
            sent += left;
        }
        assert_eq!(sent, FOR_ONE);
        assert_eq!(budgets.left(group, other, begins), AT_ONCE);
        assert_eq!(budgets.left(group, one, begins.after(WITHIN)), AT_ONCE);
    }
}
