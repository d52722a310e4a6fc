//! `waxwing sms`: text messages of the phone network, a fallback that is shown as what it is.
//!
//! **Elsewhere.** `waxwing_sms` decodes text messages. The engine keeps conversations by text
//! message, and `waxwing history` and `waxwing listen` show them like all others.
//!
//! **Always.** The sender that a message claims is shown, never the one as which it wants to
//! appear, and beside it that nobody has verified the sender.

mod input;
mod inspect;
mod shown;
mod write;

use clap::Subcommand;
use waxwing_client::Session;

use crate::{
    outcome::{Failure, Outcome},
    output::Output,
};

/// `waxwing sms`.
#[derive(Debug, Subcommand)]
pub enum Sms {
    /// Send a text message to a phone that is not on Waxwing
    #[command(after_help = "\
A text message is not encrypted: the relay, the phone networks and anybody who taps them can
read it. Anybody can forge its sender, and it costs money; you see the price before you send.
If the number is on Waxwing by now, nothing is sent, and the command tells you so.

Needs an account whose address is a phone number. `waxwing history sms:NUMBER` shows the
conversation, and the tricks in the messages that came.

Examples:
  waxwing sms send +358401234567 'On my way'
  waxwing sms send +358401234567 --cost 'Grüße aus Łódź'
  echo 'On my way' | waxwing sms send +358401234567 --yes")]
    Send(write::Send),

    /// Decode a text message and find the tricks in it
    #[command(after_help = "\
HEX is what modems, tools and the logs of phones show: a PDU of 3GPP TS 23.040, with or
without the service centre's number in front. Give several for the parts of one long message.
With -, standard input has one on each line; what a modem prints for AT+CMGL is read too.
A message that is cut off is shown as far as it goes. Needs no account and no network.

Ends with 1 if something could not be read, or was cut off.

Examples:
  waxwing sms inspect 07916407970970F6400B916407281553F80000211171021410400A2208...
  waxwing sms inspect --known Nordbank=nordbank.example --known 'Nordbank=+46 8 765 43 21' 0791...
  waxwing sms inspect - < part1-and-part2.txt")]
    Inspect(inspect::Inspect),
}

impl Sms {
    /// Does what needs no home; gives back what does.
    pub fn without_home(self, output: &Output) -> Result<Result<Outcome, Failure>, Self> {
        match self {
            Self::Inspect(inspect) => Ok(inspect.run(output)),
            needs_home @ Self::Send(_) => Err(needs_home),
        }
    }

    /// The text that is to be sent; read before anything else, as a person types it.
    pub fn message(&self) -> Result<Option<String>, Failure> {
        match self {
            Self::Send(send) => send.message().map(Some),
            Self::Inspect(_) => Ok(None),
        }
    }

    /// Does it.
    pub async fn run(
        self,
        message: String,
        session: &mut Session,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        match self {
            Self::Send(send) => send.run(message, session, output).await,
            Self::Inspect(inspect) => inspect.run(output),
        }
    }
}
