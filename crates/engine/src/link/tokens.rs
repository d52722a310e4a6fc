//! Tokens for first contacts: obtained on the mailbox link, spent on the posting link.
//!
//! **Elsewhere**: the cryptography is in `waxwing_protocol::token`.
//!
//! **Always**: a token is used only if it was issued under the key that the relay shows on the
//! posting link, which is not logged in; otherwise a relay could track it. A relay has one key
//! for each period, on every link, and no period begins early. A token leaves the stock in the
//! transaction that spends it.

use rusqlite::{OptionalExtension as _, Transaction};
use waxwing_protocol::{
    limits,
    pb::{Token, TokensIssued, client_frame::Body},
    time::{Span, Time},
    token,
};

use super::{Job, LinkHook};
use crate::{
    api::RelayMisdeed,
    event::LinkKind,
    store::StoreError,
    turn::{Fault, Postponed, Turn},
};

pub(crate) const SCHEMA: &str = "
CREATE TABLE token (input BLOB PRIMARY KEY, output BLOB NOT NULL) WITHOUT ROWID;
";

/// The keys that the relay has shown, of the last two periods, and when each was first seen;
/// and which key a token was issued under. Those that were in stock are asked for again.
pub(crate) const KEYS: &str = "
DROP TABLE token;
CREATE TABLE token (
    input BLOB PRIMARY KEY, output BLOB NOT NULL, key BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE token_key (period INTEGER PRIMARY KEY, key BLOB NOT NULL, seen_at INTEGER NOT NULL);
";

/// Tokens in stock when it is full, unless a large file needs more.
const STOCK: usize = 20;

/// With fewer, the stock is filled.
const LOW: usize = 10;

/// When the relay gave none, it is asked again after this long.
const AGAIN: Span = Span::minutes(10);

/// However long the relay wants it to wait, it is asked again after this long.
const AGAIN_MAX: Span = Span::hours(1);

/// By so much the clocks may disagree on how long a period is.
const EARLY: Span = Span::days(1);

/// The relay has shown its token key on a link.
pub(crate) fn greeted(turn: &mut Turn<'_>, kind: LinkKind) -> Result<(), Fault> {
    let link = turn.memory.links.of(kind);
    let (Some(key), period) = (link.token_key, link.token_period) else {
        return Ok(());
    };
    if !may_be(turn.tx, turn.now, period, key)? {
        // This one counts from now on, so that it is not said for ever of a relay that lost
        // its key; no token of another is spent.
        turn.tx.execute("DELETE FROM token_key", [])?;
        turn.warn_misdeed(RelayMisdeed::TokenKeysDiffer);
    }
    turn.tx
        .prepare_cached(
            "INSERT INTO token_key (period, key, seen_at) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute((period.cast_signed(), key, turn.now.0.cast_signed()))?;
    turn.tx.execute(
        "DELETE FROM token_key WHERE period < (SELECT max(period) FROM token_key) - 1",
        [],
    )?;
    turn.tx.execute(
        "DELETE FROM token WHERE key NOT IN (SELECT key FROM token_key)",
        [],
    )?;
    let (mailbox, posting) = (&turn.memory.links.mailbox, &turn.memory.links.posting);
    if mailbox.token_key == posting.token_key {
        turn.tx
            .execute("DELETE FROM token WHERE key <> ?1", [key])?;
    }
    if kind == LinkKind::Posting && spendable(turn)? > 0 {
        // They could not be spent on the link before.
        tell_of_tokens(turn)?;
    }
    Ok(())
}

/// Whether an honest relay may show this key, after those that were seen.
fn may_be(tx: &Transaction<'_>, now: Time, period: u64, key: [u8; 32]) -> Result<bool, StoreError> {
    let known: Option<[u8; 32]> = tx
        .prepare_cached("SELECT key FROM token_key WHERE period = ?1")?
        .query_row([period.cast_signed()], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known == key);
    }
    let newest: Option<(i64, i64)> = tx
        .prepare_cached("SELECT period, seen_at FROM token_key ORDER BY period DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((newest, seen_at)) = newest else {
        return Ok(true);
    };
    let (newest, seen_at) = (newest.cast_unsigned(), Time(seen_at.cast_unsigned()));
    let Some(ahead) = period.checked_sub(newest) else {
        // Of a greeting that was overtaken by another; but a relay that has periods does not
        // give them up.
        return Ok(period > 0 && period + 1 == newest);
    };
    // The next may begin at any time; the one behind it is a whole period away. A relay that
    // had one key for ever may begin with any number.
    let least = (ahead - 1).saturating_mul(limits::TOKEN_PERIOD.0);
    Ok(newest == 0 || now.since(seen_at).0.saturating_add(EARLY.0) >= least)
}

/// Asks for tokens when few are left.
pub(crate) fn pump(turn: &mut Turn<'_>) -> Result<(), Fault> {
    let Some(key) = turn.memory.links.mailbox.token_key else {
        return Ok(());
    };
    if !is_known(turn.tx, key)? {
        return Ok(());
    }
    let stock = usize::try_from(count_of(turn.tx, key)?).unwrap_or(usize::MAX);
    let wanted = turn.memory.links.tokens_wanted;
    if stock >= LOW.max(wanted)
        || turn.memory.links.mailbox.awaits(&Job::IssueTokens)
        || turn.is_postponed(&Postponed::Tokens)
    {
        return Ok(());
    }
    let lacking = STOCK.max(wanted).saturating_sub(stock);
    let (pending, request) = token::request(turn.rng, lacking.min(limits::TOKENS_PER_REQUEST))
        .map_err(|error| Fault::Broken(error.to_string()))?;
    turn.memory.links.blinded = pending;
    turn.send_request(
        LinkKind::Mailbox,
        Job::IssueTokens,
        Body::IssueTokens(request),
    );
    Ok(())
}

/// The relay issued them.
pub(crate) fn issued(turn: &mut Turn<'_>, issued: &TokensIssued) -> Result<(), Fault> {
    let pending = std::mem::take(&mut turn.memory.links.blinded);
    let Some(key) = turn.memory.links.mailbox.token_key else {
        return Ok(());
    };
    let Ok(tokens) = token::finish(&pending, issued, &key) else {
        turn.postpone(Postponed::Tokens, AGAIN);
        turn.warn_misdeed(RelayMisdeed::TokenProofFalse);
        return Ok(());
    };
    for token in tokens {
        turn.tx
            .prepare_cached("INSERT INTO token (input, output, key) VALUES (?1, ?2, ?3)")?
            .execute((token.input.as_ref(), token.output.as_ref(), key))?;
    }
    tell_of_tokens(turn)
}

fn tell_of_tokens(turn: &mut Turn<'_>) -> Result<(), Fault> {
    for hook in turn.hooks.of::<dyn LinkHook>() {
        hook.handle_tokens(turn)?;
    }
    Ok(())
}

/// The relay issued none.
pub(crate) fn not_issued(turn: &mut Turn<'_>, retry_after_ms: u64) {
    turn.memory.links.blinded.clear();
    let span = if retry_after_ms == 0 {
        AGAIN
    } else {
        Span(retry_after_ms).min(AGAIN_MAX)
    };
    turn.postpone(Postponed::Tokens, span);
}

/// Takes so many tokens, or none.
pub(crate) fn take_many(turn: &mut Turn<'_>, wanted: usize) -> Result<Option<Vec<Token>>, Fault> {
    if usize::try_from(spendable(turn)?).unwrap_or(0) < wanted {
        let links = &mut turn.memory.links;
        links.tokens_wanted = links.tokens_wanted.max(wanted);
        return Ok(None);
    }
    turn.memory.links.tokens_wanted = 0;
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
    let Some(shown) = turn.memory.links.posting.token_key else {
        return Ok(None);
    };
    let token = turn
        .tx
        .prepare_cached(
            "DELETE FROM token WHERE input = (SELECT input FROM token WHERE key = ?1 LIMIT 1)
             RETURNING input, output",
        )?
        .query_row([shown], |row| {
            let (input, output): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            Ok(Token {
                input: input.into(),
                output: output.into(),
            })
        })
        .optional()?;
    let (mailbox, posting) = (&turn.memory.links.mailbox, &turn.memory.links.posting);
    if token.is_none()
        && mailbox.token_period == posting.token_period
        && mailbox.token_key.is_some_and(|key| key != shown)
    {
        // It uses one for us alone, and shows it on the mailbox link only. Where the periods
        // differ, one of the links was opened in the one before, and will not last.
        turn.postpone(Postponed::Tokens, AGAIN);
        turn.warn_misdeed(RelayMisdeed::TokenKeysDiffer);
    }
    Ok(token)
}

/// Empties the stock.
pub(crate) fn forget(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM token", [])?;
    Ok(())
}

/// The relay is another: nothing is known of its keys.
pub(crate) fn forget_keys(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM token_key", [])?;
    forget(tx)
}

/// How many are in stock, under the newest key.
pub(crate) fn count(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached(
            "SELECT count(*) FROM token
             WHERE key = (SELECT key FROM token_key ORDER BY period DESC LIMIT 1)",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// How many can be spent on the posting link.
pub(crate) fn spendable(turn: &Turn<'_>) -> Result<u64, StoreError> {
    match turn.memory.links.posting.token_key {
        Some(key) => count_of(turn.tx, key),
        None => Ok(0),
    }
}

fn count_of(tx: &Transaction<'_>, key: [u8; 32]) -> Result<u64, StoreError> {
    let count: i64 = tx
        .prepare_cached("SELECT count(*) FROM token WHERE key = ?1")?
        .query_row([key], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Whether the relay has shown this key, and no other in its place since.
fn is_known(tx: &Transaction<'_>, key: [u8; 32]) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM token_key WHERE key = ?1)")?
        .query_row([key], |row| row.get(0))?)
}
