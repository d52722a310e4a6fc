//! `waxwing sms send`.
//!
//! **Always.** The price of a text is shown before the text is sent, and the person accepts
//! once that text messages are not encrypted.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    time::Duration,
};

use clap::Args;
use waxwing_client::Session;
use waxwing_engine::api::{Problem, QuoteSms, Request, SendSms, Sent, SmsEncoding, SmsQuote};

use crate::{
    cli::{arguments, send},
    outcome::{Failure, Outcome},
    output::{Output, WARN, styled},
    sentence,
    text::one_line,
};

/// Longer than every answer.
const ANSWER_BYTES: u64 = 64;

/// `waxwing sms send`.
#[derive(Debug, Args)]
pub struct Send {
    /// A phone number with its country code, or a conversation such as sms:+358401234567
    #[arg(value_name = "NUMBER")]
    to: String,

    /// The text; without it, or with -, standard input is read
    #[arg(allow_hyphen_values = true, value_parser = arguments::text)]
    text: Option<String>,

    /// Send without asking; you accept that it is not encrypted
    #[arg(long, short)]
    yes: bool,

    /// Show what it would cost, and send nothing
    #[arg(long, conflicts_with = "yes")]
    cost: bool,

    /// Send at most this many text messages
    #[arg(long, value_name = "MESSAGES")]
    segments: Option<u32>,

    /// Send a text message even if the number is on Waxwing
    #[arg(long)]
    even_so: bool,

    /// How long to wait for the phone network to accept it
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    wait: u64,
}

impl Send {
    /// The text, from the command line or from standard input.
    pub fn message(&self) -> Result<String, Failure> {
        send::typed_or_read(self.text.as_deref())
    }

    pub async fn run(
        self,
        text: String,
        session: &mut Session,
        output: &Output,
    ) -> Result<Outcome, Failure> {
        session.subscribe().await?;
        let asked = QuoteSms {
            to: self.to.clone(),
            text: text.clone(),
        };
        let quote: SmsQuote = session.ask(&Request::QuoteSms(asked)).await?;
        show(&quote, output);
        if self.cost {
            output.object(&serde_json::json!({ "type": "sms_quote", "quote": quote }));
            return Ok(Outcome::Shown);
        }
        let may_ask = io::stdin().is_terminal() && self.text.is_some() && !output.is_json();
        let agreed = if self.yes {
            true
        } else if may_ask {
            if output.is_lost() {
                return Err(Failure::NotPrinted("the price was not shown".to_owned()));
            }
            if !agrees(&quote)? {
                return Ok(Outcome::Failed);
            }
            true
        } else {
            // Where nobody can be asked, having agreed once is enough.
            quote.understood
        };
        let request = Request::SendSms(SendSms {
            to: self.to,
            text,
            understood: agreed,
            segments: self.segments,
            even_so: self.even_so,
        });
        let sent: Sent = session.ask(&request).await?;
        let limit = send::Limit::InAll(Duration::from_secs(self.wait));
        send::see_through(session, output, sent, Some(limit)).await
    }
}

/// What it costs.
fn show(quote: &SmsQuote, output: &Output) {
    let messages = match quote.segments {
        1 => "1 text message".to_owned(),
        more => format!("{more} text messages"),
    };
    let price = match (&quote.total, &quote.price) {
        (Some(total), _) => one_line(total),
        (None, Some(price)) => format!("{} each", one_line(price)),
        (None, None) => "at a price that the relay does not state".to_owned(),
    };
    let room = match quote.encoding {
        SmsEncoding::Gsm7 => String::new(),
        SmsEncoding::Utf16 => {
            " (some of its characters leave room for only 70 in each, not 160)".to_owned()
        }
    };
    output.line(format!(
        "To {}: {messages}, {price}; {} more characters fit{room}.",
        one_line(&quote.to),
        quote.characters_left
    ));
}

/// Whether the person wants it so.
fn agrees(quote: &SmsQuote) -> Result<bool, Failure> {
    let mut out = anstream::stderr();
    if !quote.understood {
        let warning = sentence::of(&Problem::SmsNotUnderstood);
        writeln!(out, "{}", styled(WARN, warning))?;
    }
    write!(out, "Send it? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .take(ANSWER_BYTES)
        .read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
