//! One connection with PostgreSQL, set up and with its statements prepared.
//!
//! **Elsewhere**: [`super`] opens sessions and gives them up.
//!
//! **Always**: notices are counted before the answer that they came with is given.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio_postgres::{AsyncMessage, Client, Config, Error, Row, Statement};

use super::settings::{Durability, Shown};
use super::{statements, tls};
use crate::log::{ClusterId, Entry, Fenced, Holder, Lease, LogError, LogState, NodeReport, Term};

/// A larger body is several rows.
const PART_BYTES: usize = 4 << 20;

/// A connection that is ready.
pub(super) struct Session {
    client: Client,
    notices: Arc<AtomicU64>,
    cluster: ClusterId,
    append: Statement,
    read: Statement,
    look: Statement,
    renew: Statement,
}

impl Session {
    pub(super) async fn connect(
        config: &Config,
        tls: &tls::Connector,
        cluster: ClusterId,
    ) -> Result<Self, LogError> {
        let (client, mut connection) = config.connect(tls.clone()).await.map_err(failed)?;
        let notices = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&notices);
        // Ends with the connection, or once the client is dropped.
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(_) = message {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let sets = client.batch_execute(statements::SESSION);
        sets.await.map_err(failed)?;
        let row = client.query_one(statements::HAS_TABLES, &[]).await;
        if !row
            .and_then(|row| row.try_get::<_, bool>(0))
            .map_err(failed)?
        {
            let made = client.batch_execute(statements::TABLES);
            made.await.map_err(failed)?;
        }
        let prepare = async |statement| client.prepare(statement).await.map_err(failed);
        let [append, read, look, renew] = [
            prepare(statements::APPEND).await?,
            prepare(statements::READ).await?,
            prepare(statements::LOOK).await?,
            prepare(statements::RENEW).await?,
        ];
        Ok(Self {
            client,
            notices,
            cluster,
            append,
            read,
            look,
            renew,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn notices(&self) -> u64 {
        self.notices.load(Ordering::Relaxed)
    }

    pub(super) async fn check_settings(&self, durability: Durability) -> Result<(), LogError> {
        let row = self.client.query_one(statements::SETTINGS, &[]).await;
        let row = row.map_err(failed)?;
        let text = |at| row.try_get::<_, String>(at).map_err(failed);
        let shown = Shown {
            fsync: text(0)?,
            full_page_writes: text(1)?,
            synchronous_commit: text(2)?,
            synchronous_standby_names: text(3)?,
        };
        durability.check(&shown).map_err(LogError::Unsafe)
    }

    pub(super) async fn look(&self) -> Result<LogState, LogError> {
        let row = self
            .client
            .query_one(&self.look, &[])
            .await
            .map_err(failed)?;
        if row.try_get::<_, bool>(10).map_err(failed)? {
            return Err(LogError::Unreachable("this is a replica".to_owned()));
        }
        let cluster: Option<Vec<u8>> = row.try_get(0).map_err(failed)?;
        let lease = match cluster {
            None => None,
            Some(cluster) if cluster != self.cluster.0 => return Err(LogError::Foreign),
            Some(_) => Some(Lease {
                term: Term(unsigned(&row, 1)?),
                holder: holder(&row, 2)?,
                left_ms: unsigned(&row, 4)?,
                committed: unsigned(&row, 5)?,
                is_handover_wanted: row.try_get(6).map_err(failed)?,
            }),
        };
        let first: Option<i64> = row.try_get(7).map_err(failed)?;
        let numbers = match first {
            None => None,
            Some(_) => Some((unsigned(&row, 7)?, unsigned(&row, 8)?)),
        };
        Ok(LogState {
            lease,
            numbers,
            now_ms: unsigned(&row, 9)?,
        })
    }

    pub(super) async fn acquire(
        &self,
        holder: &Holder,
        after: Term,
        length_ms: u64,
    ) -> Result<Fenced<Term>, LogError> {
        let cluster = self.cluster.0.as_slice();
        let incarnation = holder.incarnation.cast_signed();
        let length = signed(length_ms);
        let row = if after == Term(0) {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&cluster, &holder.node, &incarnation, &length];
            self.client.query_opt(statements::FOUND, &values).await
        } else {
            let term = signed(after.0);
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&cluster, &holder.node, &incarnation, &length, &term];
            self.client.query_opt(statements::ACQUIRE, &values).await
        };
        match row.map_err(failed)? {
            Some(row) => Ok(Fenced::Done(Term(unsigned(&row, 0)?))),
            None => Ok(Fenced::Superseded),
        }
    }

    pub(super) async fn renew(
        &self,
        term: Term,
        committed: u64,
        length_ms: u64,
    ) -> Result<Fenced<Lease>, LogError> {
        let cluster = self.cluster.0.as_slice();
        let (of, committed, length) = (signed(term.0), signed(committed), signed(length_ms));
        let renewed = self
            .client
            .query_opt(&self.renew, &[&cluster, &of, &committed, &length])
            .await;
        let Some(row) = renewed.map_err(failed)? else {
            return Ok(Fenced::Superseded);
        };
        Ok(Fenced::Done(Lease {
            term,
            holder: holder(&row, 0)?,
            left_ms: length_ms,
            committed: unsigned(&row, 2)?,
            is_handover_wanted: row.try_get(3).map_err(failed)?,
        }))
    }

    pub(super) async fn release(&self, term: Term, committed: u64) -> Result<Fenced, LogError> {
        let cluster = self.cluster.0.as_slice();
        let (term, committed) = (signed(term.0), signed(committed));
        let released = self
            .client
            .execute(statements::RELEASE, &[&cluster, &term, &committed])
            .await;
        Ok(fenced(released.map_err(failed)?))
    }

    pub(super) async fn append(&self, entry: &Entry) -> Result<Fenced, LogError> {
        let mut parts: Vec<&[u8]> = entry.body.chunks(PART_BYTES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let [part] = parts.as_slice() else {
            return self.append_parts(entry, &parts).await;
        };
        // A transaction by itself.
        self.append_part(entry, (0, 1), part).await
    }

    async fn append_parts(&self, entry: &Entry, parts: &[&[u8]]) -> Result<Fenced, LogError> {
        let count = i32::try_from(parts.len()).unwrap_or(i32::MAX);
        let begun = self.client.batch_execute("BEGIN");
        begun.await.map_err(failed)?;
        for (part, at) in parts.iter().zip(0..) {
            if let Fenced::Superseded = self.append_part(entry, (at, count), part).await? {
                let ended = self.client.batch_execute("ROLLBACK");
                ended.await.map_err(failed)?;
                return Ok(Fenced::Superseded);
            }
        }
        let ended = self.client.batch_execute("COMMIT");
        ended.await.map_err(failed)?;
        Ok(Fenced::Done(()))
    }

    async fn append_part(
        &self,
        entry: &Entry,
        (part, parts): (i32, i32),
        body: &[u8],
    ) -> Result<Fenced, LogError> {
        let cluster = self.cluster.0.as_slice();
        let (term, number) = (signed(entry.term.0), signed(entry.number));
        let committed = signed(entry.committed);
        let inserted = self
            .client
            .execute(
                &self.append,
                &[&cluster, &term, &number, &part, &parts, &committed, &body],
            )
            .await;
        Ok(fenced(inserted.map_err(failed)?))
    }

    pub(super) async fn read(&self, after: u64, most_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let most = i64::try_from(most_bytes).unwrap_or(i64::MAX);
        let rows = self
            .client
            .query(&self.read, &[&signed(after), &most])
            .await;
        let mut entries: Vec<Entry> = Vec::new();
        let mut whole = Vec::new();
        for row in rows.map_err(failed)? {
            let (part, parts): (i32, i32) = (
                row.try_get(1).map_err(failed)?,
                row.try_get(2).map_err(failed)?,
            );
            let body: &[u8] = row.try_get(5).map_err(failed)?;
            whole.extend_from_slice(body);
            if part + 1 < parts {
                continue;
            }
            entries.push(Entry {
                number: unsigned(&row, 0)?,
                term: Term(unsigned(&row, 3)?),
                committed: unsigned(&row, 4)?,
                body: Bytes::from(std::mem::take(&mut whole)),
            });
        }
        Ok(entries)
    }

    pub(super) async fn want_handover(&self) -> Result<(), LogError> {
        let cluster = self.cluster.0.as_slice();
        let wanted = self
            .client
            .execute(statements::WANT_HANDOVER, &[&cluster])
            .await;
        match wanted.map_err(failed)? {
            0 => Err(LogError::Unreachable("no node leads".to_owned())),
            _ => Ok(()),
        }
    }

    pub(super) async fn report(&self, holder: &Holder, number: u64) -> Result<(), LogError> {
        let (incarnation, number) = (holder.incarnation.cast_signed(), signed(number));
        let reported = self
            .client
            .execute(statements::REPORT, &[&holder.node, &incarnation, &number])
            .await;
        reported.map(|_| ()).map_err(failed)
    }

    pub(super) async fn nodes(&self) -> Result<Vec<NodeReport>, LogError> {
        let rows = self.client.query(statements::NODES, &[]).await;
        let rows = rows.map_err(failed)?;
        let report = |row: &Row| {
            Ok(NodeReport {
                holder: holder(row, 0)?,
                number: unsigned(row, 2)?,
                age_ms: unsigned(row, 3)?,
            })
        };
        rows.iter().map(report).collect()
    }

    pub(super) async fn trim(&self, term: Term, below: u64) -> Result<Fenced, LogError> {
        let cluster = self.cluster.0.as_slice();
        let (term, below) = (signed(term.0), signed(below));
        let trimmed = self
            .client
            .execute(statements::TRIM, &[&cluster, &term, &below])
            .await;
        trimmed.map(|_| Fenced::Done(())).map_err(failed)
    }
}

fn fenced(rows: u64) -> Fenced {
    if rows == 0 {
        Fenced::Superseded
    } else {
        Fenced::Done(())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(row: &Row, at: usize) -> Result<u64, LogError> {
    let number: i64 = row.try_get(at).map_err(failed)?;
    u64::try_from(number).map_err(|_| LogError::Damaged("a number is negative".to_owned()))
}

fn holder(row: &Row, at: usize) -> Result<Holder, LogError> {
    let incarnation: i64 = row.try_get(at + 1).map_err(failed)?;
    Ok(Holder {
        node: row.try_get(at).map_err(failed)?,
        incarnation: incarnation.cast_unsigned(),
    })
}

/// What PostgreSQL or the connection said, as a sentence for an operator.
#[allow(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn failed(error: Error) -> LogError {
    let said = match error.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    LogError::Unreachable(said)
}
