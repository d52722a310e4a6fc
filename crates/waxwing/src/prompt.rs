//! Asks the person a question.
//!
//! **Always.** On a terminal the question goes to standard error, apart from the result.
//! Elsewhere the answer is a line from standard input, so that scripts can answer. The size of
//! an answer in memory is bounded.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

/// Longer than every answer.
const ANSWER_BYTES: u64 = 4096;

/// One line; `None` where there is none any more.
pub async fn ask(question: &str) -> io::Result<Option<Zeroizing<String>>> {
    if io::stdin().is_terminal() {
        // The question may be asked where nobody reads it.
        let _ = write!(io::stderr(), "{question} ").and_then(|()| io::stderr().flush());
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(String::new());
        let length = io::stdin().lock().take(ANSWER_BYTES).read_line(&mut line)?;
        Ok((length > 0).then_some(line))
    });
    read.await.map_err(io::Error::other)?
}

/// Whether the person says yes. No answer is none.
pub async fn agrees(question: &str) -> io::Result<bool> {
    let answer = ask(&format!("{question} [y/N]")).await?.unwrap_or_default();
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
