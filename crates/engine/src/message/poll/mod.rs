//! Polls: a question with options, the votes, and the end of voting.
//!
//! A poll is a message whose content has the media type [`POLL_TYPE`]. Votes and closings are
//! amendments of that message ([`super::amendments`] keeps them): they may come before it and in
//! any order, and of many by one account to one poll the newest 64 are kept. Older versions show
//! that a poll needs a newer version, and nothing of votes and closings: of each, they choose the
//! empty report that stands beside what they do not know.
//!
//! The latest vote of an account counts, as of reactions: by the sender's time, then by id. After
//! the asker's first closing, by the same time, no vote counts. So all devices agree, in whatever
//! order things arrive. The price: a modified app can date a vote back, and vote after the end.
//!
//! **Elsewhere**: `docs/conversations.md` has the encodings for other programs.
//!
//! **Always**: nobody closes another's poll, and a vote that the poll does not allow changes
//! nothing. Who voted for what in an anonymous poll does not leave the engine; members' devices
//! know it.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use waxwing_protocol::time::Time;

use super::{
    amending,
    amendments::{self, Amendment, Amends, Kept},
    commands,
    content_hook::{ContentHook, ContentOutcome, SaidContent},
    sending::{self, NewContent},
};
use crate::{
    api::{self, ConversationId, MessageId, Problem, Response},
    content::{self, Content, Disposition, Part, PartBody, Semantics},
    conversation::reader::MessageHook,
    store::StoreError,
    turn::{EventError, Fault, Turn},
};

#[cfg(test)]
mod tests;

const POLL_TYPE: &str = "application/vnd.waxwing.poll";
const VOTE_TYPE: &str = "application/vnd.waxwing.poll-vote";
const CLOSING_TYPE: &str = "application/vnd.waxwing.poll-closing";

/// The amendments of polls: the poll itself, which is its message's own, votes and closings.
const POLL: u8 = amendments::OTHERS;
const VOTE: u8 = amendments::OTHERS + 1;
const CLOSING: u8 = amendments::OTHERS + 2;

/// Bytes of a question, at most.
const QUESTION_BYTES: usize = 500;
/// Bytes of an option, at most.
const OPTION_BYTES: usize = 100;
const OPTIONS_MIN: usize = 2;
const OPTIONS_MAX: usize = 12;
/// Bytes of a poll as it is sent, at most: all of the above, with what protobuf adds.
const POLL_BYTES: usize = 2_048;
/// Bytes of a vote as it is sent, at most.
const VOTE_BYTES: usize = 64;

/// What is asked, as it is sent and kept.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
struct Poll {
    #[prost(string, tag = "1")]
    question: String,
    #[prost(string, repeated, tag = "2")]
    options: Vec<String>,
    /// Whether a vote may be for several options.
    #[prost(bool, tag = "3")]
    several: bool,
    /// Whether apps do not show who voted.
    #[prost(bool, tag = "4")]
    anonymous: bool,
}

/// A vote, as it is sent and kept: the numbers of options, from 0. None: the vote is withdrawn.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
struct Vote {
    #[prost(uint32, repeated, tag = "1")]
    options: Vec<u32>,
}

/// What content says of polls.
#[derive(Debug, PartialEq)]
enum PollContent {
    Poll(Poll),
    Vote(MessageId, Vote),
    Closing(MessageId),
}

impl Poll {
    /// Whether it is within the limits, and no option stands in it twice.
    fn is_valid(&self) -> bool {
        let fits = |text: &str, bytes| {
            !text.trim().is_empty() && text.len() <= bytes && !text.contains(char::is_control)
        };
        let each: BTreeSet<&str> = self.options.iter().map(|one| one.trim()).collect();
        fits(&self.question, QUESTION_BYTES)
            && (OPTIONS_MIN..=OPTIONS_MAX).contains(&self.options.len())
            && self.options.iter().all(|one| fits(one, OPTION_BYTES))
            && each.len() == self.options.len()
    }

    /// As a text: for searching, and for programs that do not know polls.
    fn text(&self) -> String {
        let mut text = self.question.clone();
        for option in &self.options {
            text.push_str("\n• ");
            text.push_str(option);
        }
        text
    }

    /// Whether it allows a vote: for options that are there, and for not too many.
    fn allows(&self, vote: &Vote) -> bool {
        let exists = |option: &u32| (*option as usize) < self.options.len();
        vote.options.iter().all(exists) && (self.several || vote.options.len() <= 1)
    }
}

impl Vote {
    /// Whether each option is named once, in order. Whether it exists, only the poll says.
    fn is_valid(&self) -> bool {
        self.options.len() <= OPTIONS_MAX && self.options.is_sorted_by(|one, next| one < next)
    }
}

// The encodings.

impl PollContent {
    /// What content says of polls, if it does.
    fn of_content(content: &Content) -> Option<Self> {
        // An edit cannot become a poll.
        if content.replaces.is_some() {
            return None;
        }
        let target = content
            .in_reply_to
            .map(|id| MessageId::from_bytes(*id.as_bytes()));
        match &content.body.body {
            PartBody::Single { .. } => read_poll(&content.body).map(Self::Poll),
            PartBody::Multi {
                semantics: Semantics::ChooseOne,
                parts,
            } => {
                let (kind, bytes) = single(parts.first()?)?;
                match kind {
                    VOTE_TYPE => Some(Self::Vote(target?, read_vote(bytes)?)),
                    CLOSING_TYPE => Some(Self::Closing(target?)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn single(part: &Part) -> Option<(&str, &[u8])> {
    match &part.body {
        PartBody::Single {
            content_type,
            content,
        } => Some((content_type, content)),
        _ => None,
    }
}

fn read_poll(part: &Part) -> Option<Poll> {
    let (kind, bytes) = single(part)?;
    let is_one =
        part.disposition == Disposition::RENDER && kind == POLL_TYPE && bytes.len() <= POLL_BYTES;
    // One beyond the limits needs a newer version.
    let poll = is_one.then(|| Poll::decode(bytes).ok()).flatten()?;
    poll.is_valid().then_some(poll)
}

fn read_vote(bytes: &[u8]) -> Option<Vote> {
    let vote = (bytes.len() <= VOTE_BYTES).then(|| Vote::decode(bytes).ok());
    vote.flatten().filter(Vote::is_valid)
}

fn poll_content(salt: [u8; 16], poll: &Poll) -> Content {
    let mut content = Content::text(salt, "", None);
    content.body.body = PartBody::Single {
        content_type: POLL_TYPE.to_owned(),
        content: poll.encode_to_vec(),
    };
    content
}

/// Content that only versions which know polls make anything of.
fn answer(salt: [u8; 16], poll: content::MessageId, kind: &str, bytes: Vec<u8>) -> Content {
    let mut content = Content::statuses(salt, &[]);
    content.in_reply_to = Some(poll);
    let nothing = content.body.clone();
    let answer = Part {
        body: PartBody::Single {
            content_type: kind.to_owned(),
            content: bytes,
        },
        ..nothing.clone()
    };
    content.body.body = PartBody::Multi {
        semantics: Semantics::ChooseOne,
        parts: vec![answer, nothing],
    };
    content
}

/// What content says of polls, written again as this version writes it: for tools that test
/// parsers ([`crate::parsers`]).
pub(crate) fn written_again(said: &Content) -> Option<Content> {
    let mimi = |id: MessageId| content::MessageId::from_bytes(id.as_bytes());
    Some(match PollContent::of_content(said)? {
        PollContent::Poll(poll) => poll_content(said.salt, &poll),
        PollContent::Vote(poll, vote) => {
            answer(said.salt, mimi(poll)?, VOTE_TYPE, vote.encode_to_vec())
        }
        PollContent::Closing(poll) => answer(said.salt, mimi(poll)?, CLOSING_TYPE, Vec::new()),
    })
}

// What others say, and what is shown.

/// The room's hooks.
pub(crate) struct Polls;

impl ContentHook for Polls {
    fn handle_content(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
    ) -> Result<ContentOutcome, Fault> {
        let (target, amends) = match PollContent::of_content(said.content) {
            None => return Ok(ContentOutcome::NotOfThisType),
            Some(PollContent::Poll(poll)) => return Ok(ContentOutcome::Message(poll.text())),
            Some(PollContent::Vote(target, vote)) => (target, Amends::Other(VOTE, json(&vote)?)),
            Some(PollContent::Closing(target)) => (target, Amends::Other(CLOSING, String::new())),
        };
        amending::add_amendment(turn, said, target, amends)?;
        Ok(ContentOutcome::Done)
    }

    fn handle_own_message(
        &self,
        turn: &mut Turn<'_>,
        (conversation, id): (ConversationId, MessageId),
        content: &Content,
    ) -> Result<(), Fault> {
        if let Some(PollContent::Poll(poll)) = PollContent::of_content(content) {
            let own = turn.account()?;
            let amendment = Amendment {
                conversation,
                id,
                target: id,
                account: own.id(),
                address: own.address().display(),
                own: true,
                sent_at: turn.now,
                amends: Amends::Other(POLL, json(&poll)?),
                signed: None,
            };
            amendments::add(turn.tx, &amendment)?;
        }
        Ok(())
    }

    fn handle_message_added(
        &self,
        turn: &mut Turn<'_>,
        said: &SaidContent<'_>,
        _trusted: bool,
    ) -> Result<(), Fault> {
        if let Some(PollContent::Poll(poll)) = PollContent::of_content(said.content) {
            let amendment = Amendment {
                conversation: said.conversation,
                id: said.id,
                target: said.id,
                account: said.member.account,
                address: said.from,
                own: said.own,
                sent_at: said.proof.sent_at,
                amends: Amends::Other(POLL, json(&poll)?),
                signed: None,
            };
            amendments::add(turn.tx, &amendment)?;
        }
        Ok(())
    }
}

impl MessageHook for Polls {
    fn complete(&self, tx: &Transaction<'_>, message: &mut api::Message) -> Result<(), StoreError> {
        if let Some(state) = state(tx, message.conversation, message.id)? {
            // Nothing takes the place of a question that people have answered.
            message.text = state.poll.text();
            message.edited_at = None;
            message.poll = Some(Box::new(state.shown()));
        }
        Ok(())
    }
}

/// A poll with what was said of it.
struct PollState {
    poll: Poll,
    /// When the asker closed it, by the asker's time.
    closed_at: Option<Time>,
    /// The vote that counts of each account.
    votes: Vec<(Kept, Vote)>,
}

fn state(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<Option<PollState>, StoreError> {
    let of_kind = |kind| amendments::of_kind(tx, conversation, message, kind);
    let Some(asked) = of_kind(POLL)?.pop() else {
        return Ok(None);
    };
    let poll: Option<Poll> = read_json(&asked);
    let Some(poll) = poll.filter(Poll::is_valid) else {
        return Ok(None);
    };
    let closings = of_kind(CLOSING)?.into_iter();
    let mut by_asker = closings.filter(|closing| closing.account == asked.account);
    let closed_at = by_asker.next().map(|closing| closing.sent_at);
    let mut latest = BTreeMap::new();
    for kept in of_kind(VOTE)? {
        let in_time = closed_at.is_none_or(|closed_at| kept.sent_at <= closed_at);
        let vote: Option<Vote> = read_json(&kept);
        if let Some(vote) = vote.filter(|vote| in_time && vote.is_valid() && poll.allows(vote)) {
            latest.insert(kept.account.0, (kept, vote));
        }
    }
    Ok(Some(PollState {
        poll,
        closed_at,
        votes: latest.into_values().collect(),
    }))
}

impl PollState {
    fn shown(self) -> api::Poll {
        let voters = self
            .votes
            .iter()
            .filter(|(_, vote)| !vote.options.is_empty());
        let mut shown = api::Poll {
            question: self.poll.question,
            options: Vec::new(),
            several: self.poll.several,
            anonymous: self.poll.anonymous,
            voters: voters.count() as u64,
            closed_at: self.closed_at.map(Into::into),
        };
        for (number, text) in (0_u32..).zip(self.poll.options) {
            let votes = self.votes.iter();
            let votes = votes.filter(|(_, vote)| vote.options.contains(&number));
            let votes: Vec<&Kept> = votes.map(|(kept, _)| kept).collect();
            shown.options.push(api::PollOption {
                text,
                votes: votes.len() as u64,
                own: votes.iter().any(|kept| kept.own),
                by: if shown.anonymous {
                    Vec::new()
                } else {
                    votes.into_iter().map(|kept| kept.address.clone()).collect()
                },
            });
        }
        shown
    }
}

fn json(kept: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(kept).map_err(|error| Fault::Broken(error.to_string()))
}

fn read_json<T: for<'de> Deserialize<'de>>(kept: &Kept) -> Option<T> {
    serde_json::from_str(kept.text.as_deref()?).ok()
}

// What people ask for.

/// Asks a question.
pub(crate) fn send(turn: &mut Turn<'_>, send: &api::SendPoll) -> Result<Response, EventError> {
    if turn.memory.account.is_none() {
        return Err(EventError::Refused(Problem::NotRegistered));
    }
    let poll = Poll {
        question: send.question.trim().to_owned(),
        options: send
            .options
            .iter()
            .map(|one| one.trim().to_owned())
            .collect(),
        several: send.several,
        anonymous: send.anonymous,
    };
    if !poll.is_valid() {
        return Err(EventError::Refused(Problem::PollInvalid));
    }
    let conversation = sending::conversation(turn, &send.to)?;
    let new = NewContent {
        content: poll_content(turn.random(), &poll),
        text: &poll.text(),
        markdown: false,
        reply_to: None,
        is_kept: true,
    };
    let id = sending::add(turn, &conversation, new)?;
    sending::finish(turn, &conversation, id)
}

/// Votes, votes otherwise, or withdraws the vote.
pub(crate) fn vote(turn: &mut Turn<'_>, vote: &api::Vote) -> Result<Response, EventError> {
    let (conversation, _) = commands::message_meant(turn, vote.message)?;
    let state = open_poll(turn, conversation.id, vote.message)?;
    let options: BTreeSet<u32> = vote.options.iter().copied().collect();
    let cast = Vote {
        options: options.into_iter().collect(),
    };
    if !cast.is_valid() || !state.poll.allows(&cast) {
        return Err(EventError::Refused(Problem::VoteInvalid));
    }
    let target = commands::mimi(vote.message)?;
    let content = answer(turn.random(), target, VOTE_TYPE, cast.encode_to_vec());
    let amends = Amends::Other(VOTE, json(&cast)?);
    commands::amend(turn, &conversation, vote.message, &content, amends)
}

/// Ends the voting in a poll of this account.
pub(crate) fn close(turn: &mut Turn<'_>, of: &api::MessageOf) -> Result<Response, EventError> {
    let (conversation, _) = commands::own_message_meant(turn, of.message)?;
    open_poll(turn, conversation.id, of.message)?;
    let target = commands::mimi(of.message)?;
    let content = answer(turn.random(), target, CLOSING_TYPE, Vec::new());
    let amends = Amends::Other(CLOSING, String::new());
    commands::amend(turn, &conversation, of.message, &content, amends)
}

/// Refuses to edit a poll: people have answered its question.
pub(crate) fn refuse_edit(turn: &Turn<'_>, edit: &api::Edit) -> Result<(), EventError> {
    let (_, message) = commands::message_meant(turn, edit.message)?;
    if message.poll.is_some() {
        return Err(EventError::Refused(Problem::PollNotEditable));
    }
    Ok(())
}

fn open_poll(
    turn: &Turn<'_>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<PollState, EventError> {
    match state(turn.tx, conversation, message)? {
        None => Err(EventError::Refused(Problem::NotAPoll)),
        Some(state) if state.closed_at.is_some() => Err(EventError::Refused(Problem::PollClosed)),
        Some(state) => Ok(state),
    }
}
