use std::path::Path;

use proptest::prelude::*;
use waxwing_protocol::ids::AccountId;

use super::*;
use crate::{store::Store, tables::Table as _};

const ASKER: AccountId = AccountId([1; 32]);
const HERE: ConversationId = ConversationId::from_bytes([3; 16]);
const MESSAGE: MessageId = MessageId::from_bytes([4; 32]);
const SALT: [u8; 16] = [5; 16];

fn poll(options: &[&str]) -> Poll {
    Poll {
        question: "Where do we eat?".into(),
        options: options.iter().map(|one| (*one).to_owned()).collect(),
        several: false,
        anonymous: false,
    }
}

fn target() -> content::MessageId {
    let mut bytes = [6; 32];
    bytes[0] = 1;
    content::MessageId::from_bytes(&bytes).unwrap()
}

fn vote_content(options: &[u32]) -> Content {
    let options = options.to_vec();
    answer(SALT, target(), VOTE_TYPE, Vote { options }.encode_to_vec())
}

fn closing_content() -> Content {
    answer(SALT, target(), CLOSING_TYPE, Vec::new())
}

fn frozen() -> [(&'static str, Content); 4] {
    let several = Poll {
        several: true,
        anonymous: true,
        ..poll(&["Thai", "Pizza"])
    };
    [
        ("poll", poll_content(SALT, &several)),
        ("poll-vote", vote_content(&[0, 1])),
        ("poll-vote-withdrawn", vote_content(&[])),
        ("poll-closing", closing_content()),
    ]
}

/// What was sent once must be read for ever.
#[test]
fn frozen_polls_are_read_and_written_as_ever() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/content");
    for (name, content) in frozen() {
        let bytes = std::fs::read(folder.join(format!("{name}.cbor"))).unwrap();
        let read = content::decode(&bytes).unwrap();
        assert!(PollContent::of_content(&read).is_some(), "{name}");
        assert_eq!(
            PollContent::of_content(&read),
            PollContent::of_content(&content)
        );
        assert_eq!(content.encode(), bytes, "{name}");
    }
}

/// `shown` is all that versions before polls know.
#[test]
fn older_versions_show_a_poll_and_nothing_of_votes() {
    use content::VisibleContent;
    for (name, content) in frozen() {
        let expected = if name == "poll" {
            VisibleContent::NeedsNewer
        } else {
            VisibleContent::Statuses(Vec::new())
        };
        assert!(content.shown() == expected, "{name}");
    }
}

#[test]
fn a_poll_beyond_a_limit_needs_a_newer_version() {
    let valid = poll(&["Thai", "Pizza"]);
    assert!(valid.is_valid());
    let many: Vec<String> = (0..13).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(101);
    for options in [
        &["Thai"][..],
        &["Thai", ""],
        &["Thai", "Thai "],
        &["Thai", "two\nlines"],
        &["Thai", &long],
        &many,
    ] {
        let content = poll_content(SALT, &poll(options));
        assert_eq!(PollContent::of_content(&content), None, "{options:?}");
    }
    for question in ["", " ", "two\nlines", &"x".repeat(501)] {
        let asked = Poll {
            question: question.into(),
            ..valid.clone()
        };
        assert_eq!(PollContent::of_content(&poll_content(SALT, &asked)), None);
    }
    let largest = Poll {
        question: "x".repeat(500),
        options: (10..22)
            .map(|one| format!("{one}{}", "x".repeat(98)))
            .collect(),
        several: true,
        anonymous: true,
    };
    let content = poll_content(SALT, &largest);
    assert_eq!(
        PollContent::of_content(&content),
        Some(PollContent::Poll(largest))
    );
}

#[test]
fn an_edit_is_not_a_poll_and_a_vote_names_each_option_once() {
    let mut edit = poll_content(SALT, &poll(&["Thai", "Pizza"]));
    edit.replaces = Some(target());
    assert_eq!(PollContent::of_content(&edit), None);
    for options in [&[1, 1][..], &[1, 0], &(0..13).collect::<Vec<_>>()] {
        assert_eq!(PollContent::of_content(&vote_content(options)), None);
    }
    let mut of_nothing = vote_content(&[0]);
    of_nothing.in_reply_to = None;
    assert_eq!(PollContent::of_content(&of_nothing), None);
}

/// By whom, when, with which id, and which vote; none: a closing.
type Step = (u8, u64, u8, Option<Vec<u32>>);

fn take(tx: &Transaction<'_>, step: &Step) -> Result<(), StoreError> {
    take_in(tx, HERE, step)
}

fn take_in(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    (by, sent_at, id, vote): &Step,
) -> Result<(), StoreError> {
    let amends = match vote {
        Some(options) => {
            let options = options.clone();
            Amends::Other(VOTE, serde_json::to_string(&Vote { options }).unwrap())
        }
        None => Amends::Other(CLOSING, String::new()),
    };
    add_in(tx, conversation, (*by, *sent_at, *id), amends)
}

fn add(
    tx: &Transaction<'_>,
    by: u8,
    sent_at: u64,
    id: u8,
    amends: Amends,
) -> Result<(), StoreError> {
    add_in(tx, HERE, (by, sent_at, id), amends)
}

fn add_in(
    tx: &Transaction<'_>,
    conversation: ConversationId,
    (by, sent_at, id): (u8, u64, u8),
    amends: Amends,
) -> Result<(), StoreError> {
    let amendment = Amendment {
        conversation,
        id: MessageId::from_bytes([id; 32]),
        target: MESSAGE,
        account: AccountId([by; 32]),
        address: &format!("{by}@example.org"),
        own: by == 9,
        sent_at: Time(sent_at),
        amends,
        signed: None,
    };
    amendments::add(tx, &amendment).map(drop)
}

/// The votes of each option, who voted, and whether it is closed; the poll comes in between.
fn outcome(asked: &Poll, before: &[Step], after: &[Step]) -> (Vec<u64>, u64, bool) {
    let mut store = Store::open_in_memory().unwrap();
    let state = store.transaction(|tx| {
        for step in before {
            take(tx, step)?;
        }
        let kept = serde_json::to_string(asked).unwrap();
        add(tx, ASKER.0[0], 1, 0, Amends::Other(POLL, kept))?;
        for step in after {
            take(tx, step)?;
        }
        state(tx, HERE, MESSAGE)
    });
    let shown = state.unwrap().unwrap().shown();
    let votes = shown.options.iter().map(|option| option.votes).collect();
    (votes, shown.voters, shown.closed_at.is_some())
}

fn vote(by: u8, sent_at: u64, id: u8, options: &[u32]) -> Step {
    (by, sent_at, id, Some(options.to_vec()))
}

#[test]
fn the_latest_vote_counts_and_may_be_none() {
    let asked = poll(&["Thai", "Pizza"]);
    let steps = [
        vote(7, 5, 11, &[0]),
        vote(8, 5, 12, &[0]),
        vote(7, 6, 13, &[1]),
    ];
    assert_eq!(outcome(&asked, &steps, &[]), (vec![1, 1], 2, false));
    let withdrawn = [vote(7, 7, 14, &[])];
    assert_eq!(outcome(&asked, &steps, &withdrawn), (vec![1, 0], 1, false));
}

#[test]
fn a_vote_that_the_poll_does_not_allow_changes_nothing() {
    let one = poll(&["Thai", "Pizza"]);
    let valid = [vote(7, 5, 11, &[0])];
    for wrong in [&[2][..], &[0, 1], &[0, 9]] {
        let wrong = [vote(7, 6, 12, wrong)];
        assert_eq!(outcome(&one, &valid, &wrong), (vec![1, 0], 1, false));
        assert_eq!(outcome(&one, &wrong, &valid), (vec![1, 0], 1, false));
    }
    let several = Poll {
        several: true,
        ..one
    };
    let both = [vote(7, 6, 12, &[0, 1])];
    assert_eq!(outcome(&several, &both, &[]), (vec![1, 1], 1, false));
}

#[test]
fn the_askers_first_closing_ends_the_voting() {
    let asked = poll(&["Thai", "Pizza"]);
    let by_other = [(7, 2, 11, None), vote(7, 5, 12, &[0])];
    assert_eq!(outcome(&asked, &by_other, &[]), (vec![1, 0], 1, false));
    let steps = [
        vote(7, 5, 12, &[0]),
        (1, 9, 13, None),
        (1, 6, 14, None),
        vote(7, 7, 15, &[1]),
        vote(8, 7, 16, &[1]),
    ];
    assert_eq!(outcome(&asked, &steps, &[]), (vec![1, 0], 1, true));
    assert_eq!(outcome(&asked, &[], &steps), (vec![1, 0], 1, true));
}

#[test]
fn an_anonymous_poll_names_nobody() {
    let asked = Poll {
        anonymous: true,
        ..poll(&["Thai", "Pizza"])
    };
    let mut store = Store::open_in_memory().unwrap();
    let state = store.transaction(|tx| {
        let kept = serde_json::to_string(&asked).unwrap();
        add(tx, 1, 1, 0, Amends::Other(POLL, kept))?;
        take(tx, &vote(9, 2, 1, &[1]))?;
        state(tx, HERE, MESSAGE)
    });
    let shown = state.unwrap().unwrap().shown();
    assert!(shown.options[1].own && shown.options[1].votes == 1);
    assert!(shown.options.iter().all(|option| option.by.is_empty()));
}

#[test]
fn a_poll_and_its_votes_survive_a_merge_of_conversations() {
    let into = ConversationId::from_bytes([8; 16]);
    let asked = poll(&["Thai", "Pizza"]);
    let mut store = Store::open_in_memory().unwrap();
    let [gone, kept] = store
        .transaction(|tx| {
            let kept = serde_json::to_string(&asked).unwrap();
            add(tx, ASKER.0[0], 1, 0, Amends::Other(POLL, kept))?;
            take(tx, &vote(7, 2, 11, &[0]))?;
            take(tx, &vote(8, 2, 12, &[0]))?;
            // What came to the other conversation, before and after; one of it came to both.
            take_in(tx, into, &vote(8, 3, 13, &[1]))?;
            take_in(tx, into, &vote(7, 2, 11, &[0]))?;
            amendments::Amendments.merge_conversations(tx, HERE, into)?;
            take_in(tx, into, &vote(6, 4, 14, &[1]))?;
            take_in(tx, into, &(ASKER.0[0], 5, 15, None))?;
            Ok::<_, StoreError>([state(tx, HERE, MESSAGE)?, state(tx, into, MESSAGE)?])
        })
        .unwrap();
    assert!(gone.is_none());
    let shown = kept.unwrap().shown();
    let votes: Vec<u64> = shown.options.iter().map(|option| option.votes).collect();
    assert_eq!((votes, shown.voters), (vec![1, 2], 3));
    assert!(shown.closed_at.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_order_in_which_votes_come_does_not_matter(
        steps in prop::collection::vec(
            (1..4_u8, 1..6_u64, prop::option::weighted(0.8, prop::collection::vec(0..3_u32, 0..3))),
            0..12,
        ),
        order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
        between in 0..12_usize,
    ) {
        let asked = poll(&["Thai", "Pizza"]);
        let steps: Vec<Step> = (10..).zip(steps).map(|(id, (by, at, vote))| (by, at, id, vote)).collect();
        let other: Vec<Step> = order.iter().filter_map(|at| steps.get(*at).cloned()).collect();
        let (before, after) = other.split_at(between.min(other.len()));
        prop_assert_eq!(outcome(&asked, &steps, &[]), outcome(&asked, before, after));
    }

    #[test]
    fn bytes_from_others_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for kind in [POLL_TYPE, VOTE_TYPE, CLOSING_TYPE] {
            let mut content = answer(SALT, target(), kind, bytes.clone());
            if let Some(PollContent::Vote(_, vote)) = PollContent::of_content(&content) {
                prop_assert!(vote.is_valid());
            }
            let PartBody::Multi { parts, .. } = &content.body.body else {
                unreachable!();
            };
            content.body = parts[0].clone();
            content.body.disposition = Disposition::RENDER;
            if let Some(PollContent::Poll(poll)) = PollContent::of_content(&content) {
                prop_assert!(poll.is_valid());
            }
        }
    }
}
