//! `waxwing verify`.

use clap::{ArgGroup, Args};
use waxwing_client::Session;
use waxwing_engine::api::{Decision, Of, Request, SafetyNumber, Verify as Decided};

use crate::{
    outcome::{Failure, Outcome},
    output::{BOLD, FAINT, GOOD, Output, WARN, styled},
    qr,
    text::one_line,
};

/// `waxwing verify`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("decision").args(["accept", "proceed", "reject"]))]
pub struct Verify {
    #[command(flatten)]
    whose: super::arguments::Whose,

    /// The numbers are the same: mark this contact as verified
    #[arg(long)]
    accept: bool,

    /// Keep writing without comparing, after their keys have changed
    #[arg(long = "continue")]
    proceed: bool,

    /// The numbers differ: send them nothing
    #[arg(long)]
    reject: bool,

    /// With --accept: the QR code's text or the digits on their device, to compare
    #[arg(long, value_name = "TEXT", requires = "accept")]
    scanned: Option<String>,
}

impl Verify {
    /// Shows the safety number, or takes what the person makes of it.
    pub async fn run(self, session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
        let decision = match (self.accept, self.proceed, self.reject) {
            (true, _, _) => Some(Decision::Accept),
            (_, true, _) => Some(Decision::Continue),
            (_, _, true) => Some(Decision::Reject),
            _ => None,
        };
        let of = self.whose.whose;
        let request = match decision {
            Some(decision) => Request::Verify(Decided {
                of,
                decision,
                scanned: self.scanned,
            }),
            None => Request::SafetyNumber(Of { of }),
        };
        let number: SafetyNumber = session.ask(&request).await?;
        output.object(&serde_json::json!({
            "type": "safety_number",
            "address": number.address,
            "account_id": number.account_id,
            "safety_number": number.safety_number,
            "qr_text": number.qr_text,
            "compared": number.compared,
            "stopped": number.awaiting_decision,
        }));
        if decision.is_none() {
            compare(&number, output);
        }
        output.line(state(&number));
        Ok(match decision {
            None => Outcome::Shown,
            Some(_) => Outcome::Done,
        })
    }
}

fn compare(number: &SafetyNumber, output: &Output) {
    let address = one_line(&number.address);
    output.line(format!(
        "Your safety number with {}:\n",
        styled(BOLD, &address)
    ));
    let groups: Vec<&str> = number.safety_number.split(' ').collect();
    for row in groups.chunks(4) {
        output.line(format!("    {}", styled(BOLD, row.join("  "))));
    }
    output.line("");
    for line in qr::lines(&number.qr_text).unwrap_or_default() {
        output.line(format!("  {line}"));
    }
    output.line(styled(FAINT, format!("  {}\n", number.qr_text)));
    output.line(format!(
        "Compare it with what `waxwing verify` shows on their device, side by side or in a call. \
         If it is the same:\n  waxwing verify {address} --accept\nIf it differs:\n  waxwing verify \
         {address} --reject\n"
    ));
}

fn state(number: &SafetyNumber) -> String {
    let address = one_line(&number.address);
    match (number.compared, number.awaiting_decision) {
        (_, true) => styled(
            WARN,
            format!("Nothing is sent to {address} until you decide otherwise."),
        ),
        (true, false) => styled(GOOD, format!("✓ You have verified {address} in person.")),
        (false, false) => styled(FAINT, format!("You have not verified {address} in person.")),
    }
}
