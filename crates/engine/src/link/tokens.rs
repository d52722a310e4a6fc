//! Tokens for first contacts: obtained on the mailbox link, spent on the posting link.
//!
//! **Elsewhere**: the cryptography is `waxwing_protocol::token`.
//!
//! **Always**: a token is used only if the key that it was issued under is the one
//! that the relay shows on links that are not logged in: otherwise a relay could
//! follow it. A token leaves the stock in the transaction that spends it.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    limits,
    pb::{Token, TokensIssued, client_frame::Body},
    time::Span,
    token,
};

use super::Job;
use crate::{
    api::RelayMisdeed,
    event::LinkKind,
    settings::{self, Setting},
    store::StoreError,
    turn::{Fault, Turn, Waiting},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE token (input BLOB PRIMARY KEY, output BLOB NOT NULL) WITHOUT ROWID;
";

/// Tokens in stock when it is full, unless a large file needs more.
const STOCK: usize = 20;

/// With fewer, the stock is filled.
const LOW: usize = 10;

/// When the relay gave none, it is asked again after this long.
const AGAIN: Span = Span::minutes(10);

/// However long the relay wants it to wait, it is asked again after this long.
const AGAIN_MAX: Span = Span::hours(1);

/// Asks for tokens when few are left.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let stock = usize::try_from(count(turn.tx)?).unwrap_or(usize::MAX);
    let wanted = turn.live.links.tokens_wanted;
    if stock >= LOW.max(wanted)
        || turn.live.links.mailbox.awaits(&Job::IssueTokens)
        || turn.waits(&Waiting::Tokens)
    {
        return Ok(());
    }
    let lacking = STOCK.max(wanted).saturating_sub(stock);
    let (pending, request) = token::request(turn.rng, lacking.min(limits::TOKENS_PER_REQUEST))
        .map_err(|error| Fault::Broken(error.to_string()))?;
    turn.live.links.blinded = pending;
    turn.ask(
        LinkKind::Mailbox,
        Job::IssueTokens,
        Body::IssueTokens(request),
    );
    Ok(())
}

/// The relay issued them.
pub(crate) fn issued(turn: &mut Turn<'_>, issued: &TokensIssued) -> Result<(), Fault> {
    let pending = std::mem::take(&mut turn.live.links.blinded);
    let Some(key) = turn.live.links.mailbox.token_key else {
        return Ok(());
    };
    let Ok(tokens) = token::finish(&pending, issued, &key) else {
        turn.wait(Waiting::Tokens, AGAIN);
        turn.warn_misdeed(RelayMisdeed::TokenProofFalse);
        return Ok(());
    };
    if settings::read::<[u8; 32]>(turn.tx, Setting::TokenKey)? != Some(key) {
        forget(turn.tx)?;
        settings::write(turn.tx, Setting::TokenKey, key)?;
    }
    for token in tokens {
        turn.tx
            .prepare_cached("INSERT INTO token (input, output) VALUES (?1, ?2)")?
            .execute((token.input.as_ref(), token.output.as_ref()))?;
    }
    Ok(())
}

/// The relay issued none.
pub(crate) fn not_issued(turn: &mut Turn<'_>, retry_after_ms: u64) {
    turn.live.links.blinded.clear();
    let span = if retry_after_ms == 0 {
        AGAIN
    } else {
        Span(retry_after_ms).min(AGAIN_MAX)
    };
    turn.wait(Waiting::Tokens, span);
}

/// Takes so many tokens, or none.
pub(crate) fn take_many(turn: &mut Turn<'_>, wanted: usize) -> Result<Option<Vec<Token>>, Fault> {
    if usize::try_from(count(turn.tx)?).unwrap_or(0) < wanted {
        let links = &mut turn.live.links;
        links.tokens_wanted = links.tokens_wanted.max(wanted);
        return Ok(None);
    }
    turn.live.links.tokens_wanted = 0;
    let mut tokens = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let Some(token) = take(turn)? else {
            return Ok(None);
        };
        tokens.push(token);
    }
    Ok(Some(tokens))
}

/// Takes a token out of the stock, to be spent on the posting link; `None` where
/// there is none that can be spent there.
pub(crate) fn take(turn: &mut Turn<'_>) -> Result<Option<Token>, Fault> {
    let stock_key = settings::read::<[u8; 32]>(turn.tx, Setting::TokenKey)?;
    let shown = turn.live.links.posting.token_key;
    if stock_key.is_none() || shown.is_none() {
        return Ok(None);
    }
    if stock_key != shown {
        // Either the relay has a new key for everybody, and the next tokens are issued
        // under it; or it uses one for us alone, and shows it on the mailbox link only.
        forget(turn.tx)?;
        if turn
            .live
            .links
            .mailbox
            .token_key
            .is_some_and(|key| Some(key) != shown)
        {
            turn.wait(Waiting::Tokens, AGAIN);
            turn.warn_misdeed(RelayMisdeed::TokenKeysDiffer);
        }
        return Ok(None);
    }
    let token = turn
        .tx
        .prepare_cached(
            "DELETE FROM token WHERE input = (SELECT input FROM token LIMIT 1)
             RETURNING input, output",
        )?
        .query_row([], |row| {
            let (input, output): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok(Token {
                input: input.into(),
                output: output.into(),
            })
        })
        .optional()?;
    Ok(token)
}

/// Empties the stock.
pub(crate) fn forget(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM token", [])?;
    Ok(())
}

/// How many are in stock.
pub(crate) fn count(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM token")?
        .query_row([], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}
