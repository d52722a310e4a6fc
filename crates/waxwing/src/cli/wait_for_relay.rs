//! Waits until the relay has what a command asked for. A process that ended at once would
//! leave that to the next command.

use std::time::Duration;

use waxwing_client::{Session, rpc::RpcError};
use waxwing_engine::api::{Request, Status};

use super::waiting::Wait;
use crate::{
    outcome::{Failure, Outcome},
    output::Output,
};

/// For so long it is waited.
const LIMIT: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(50);

/// Waits until nothing is on its way to the relay; says what is in the way if that takes too long.
pub async fn settled(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let mut wait = Wait::new(output, "the relay", LIMIT);
    loop {
        let status: Status = session.ask(&Request::Status).await?;
        if status.outbox == 0 && status.changing_members == 0 {
            return Ok(Outcome::Done);
        }
        if let Err(ended) = wait.pause(session, AGAIN).await {
            output.aside(
                "The relay does not have it yet. The next waxwing command that reaches the relay \
                 sends it.",
            );
            if let Failure::Rpc(RpcError {
                data: Some(report), ..
            }) = &ended
            {
                output.problem(report);
            }
            return Ok(Outcome::Queued);
        }
    }
}
