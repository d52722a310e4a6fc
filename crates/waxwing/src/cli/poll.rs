//! `waxwing poll`.

use clap::{Args, Subcommand};
use waxwing_client::Session;
use waxwing_engine::api::{self, MessageOf, Problem, Request};

use super::{
    arguments::text,
    messages::{Which, done},
};
use crate::{
    outcome::{Failure, Outcome},
    output::Output,
};

/// `waxwing poll`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Poll {
    #[command(subcommand)]
    what: Option<What>,
    /// An address, the name of a group, or the id of a conversation
    #[arg(value_name = "ADDRESS|GROUP|CONVERSATION", required = true)]
    whose: Option<String>,
    /// The question: at most 500 bytes
    #[arg(value_name = "QUESTION", required = true, allow_hyphen_values = true, value_parser = text)]
    question: Option<String>,
    /// The options: 2 to 12, of at most 100 bytes each
    #[arg(value_name = "OPTION", required = true, num_args = 2..=12)]
    options: Vec<String>,
    /// Allow people to vote for several options
    #[arg(long)]
    several: bool,
    /// Do not show who voted for what; this is not secret from a modified app
    #[arg(long)]
    anonymous: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Vote in a poll; a new vote replaces yours
    Vote {
        #[command(flatten)]
        which: Which,
        /// Options, as they are written or by their numbers
        #[arg(value_name = "OPTION", required_unless_present = "withdraw")]
        options: Vec<String>,
        /// Withdraw your vote
        #[arg(long, conflicts_with = "options")]
        withdraw: bool,
    },
    /// Close a poll that you started, for good
    Close(Which),
}

impl Poll {
    /// Asks, votes or closes.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        match self.what {
            Some(What::Vote { which, options, .. }) => {
                let message = which.find(session).await?;
                let poll = message.poll.ok_or(Problem::NotAPoll)?;
                let options = options.iter().map(|option| place(&poll, option));
                let options = options.collect::<Option<Vec<u32>>>();
                let request = Request::Vote(api::Vote {
                    message: message.id,
                    options: options.ok_or(Problem::VoteInvalid)?,
                });
                done(session, output, &request, "voted").await
            }
            Some(What::Close(which)) => {
                let message = which.find(session).await?.id;
                let request = Request::ClosePoll(MessageOf { message });
                done(session, output, &request, "poll_closed").await
            }
            None => {
                // Both are there where there is no subcommand.
                let (Some(to), Some(question)) = (self.whose, self.question) else {
                    return Err(Problem::PollInvalid.into());
                };
                let request = Request::SendPoll(api::SendPoll {
                    to,
                    question,
                    options: self.options,
                    several: self.several,
                    anonymous: self.anonymous,
                });
                done(session, output, &request, "poll_sent").await
            }
        }
    }
}

/// Where an option stands: by what it says or, if none says that, by its number from 1.
fn place(poll: &api::Poll, option: &str) -> Option<u32> {
    let says = |one: &api::PollOption| one.text.eq_ignore_ascii_case(option.trim());
    let by_text = poll.options.iter().position(says);
    let by_number = || {
        let number = option.trim().parse::<usize>().ok()?.checked_sub(1)?;
        (number < poll.options.len()).then_some(number)
    };
    u32::try_from(by_text.or_else(by_number)?).ok()
}
