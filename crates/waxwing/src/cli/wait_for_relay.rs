//! Waits until the relay has what a command asked for. A process that ended at once would
//! leave that to the next command.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use waxwing_client::Session;
use waxwing_engine::api::{Request, Status};

use crate::{
    outcome::{Failure, Outcome},
    output::Output,
};

/// For so long it is waited.
const LIMIT: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(50);

/// Waits until nothing is on its way to the relay; says so if that takes too long.
pub async fn settled(session: &mut Session, output: &Output) -> Result<Outcome, Failure> {
    let waited = timeout(LIMIT, async {
        loop {
            let status: Status = session.ask(&Request::Status).await?;
            if status.outbox == 0 && status.changing_members == 0 {
                return Ok::<_, Failure>(());
            }
            sleep(AGAIN).await;
        }
    });
    if let Ok(settled) = waited.await {
        return settled.map(|()| Outcome::Done);
    }
    output.aside(
        "The relay does not have it yet. The next waxwing command that reaches the relay sends it.",
    );
    Ok(Outcome::Queued)
}
