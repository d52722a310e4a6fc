//! The tables and statements of the log in PostgreSQL.
//!
//! **Elsewhere**: [`super::session`] sends them.
//!
//! **Always**: times are `clock_timestamp()`, the database's own at that moment.

/// Makes the tables. The lock lets several nodes start at once.
pub(super) const TABLES: &str = "
BEGIN;
SELECT pg_advisory_xact_lock(8746291055);
CREATE TABLE IF NOT EXISTS waxwing_lease (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    cluster bytea NOT NULL,
    term bigint NOT NULL,
    node text NOT NULL,
    incarnation bigint NOT NULL,
    until timestamptz NOT NULL,
    committed bigint NOT NULL,
    handover boolean NOT NULL DEFAULT false
);
CREATE TABLE IF NOT EXISTS waxwing_batch (
    number bigint NOT NULL,
    part integer NOT NULL,
    parts integer NOT NULL,
    term bigint NOT NULL,
    committed bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (number, part)
);
ALTER TABLE waxwing_batch ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS waxwing_node (
    node text PRIMARY KEY,
    incarnation bigint NOT NULL,
    number bigint NOT NULL,
    seen timestamptz NOT NULL
);
COMMIT";

/// Whether the tables are there.
pub(super) const HAS_TABLES: &str = "SELECT to_regclass('waxwing_node') IS NOT NULL";

/// What every session is set to, no matter what the database's defaults are.
pub(super) const SESSION: &str = "
SET synchronous_commit = on;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET default_transaction_isolation = 'read committed'";

pub(super) const SETTINGS: &str = "
SELECT current_setting('fsync'), current_setting('full_page_writes'),
    current_setting('synchronous_commit'), current_setting('synchronous_standby_names')";

pub(super) const LOOK: &str = "
SELECT l.cluster, l.term, l.node, l.incarnation,
    greatest(0, ceil(extract(epoch FROM l.until - clock_timestamp()) * 1000))::bigint,
    l.committed, l.handover,
    (SELECT min(number) FROM waxwing_batch), (SELECT max(number) FROM waxwing_batch),
    floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, pg_is_in_recovery()
FROM (SELECT 1) AS always LEFT JOIN waxwing_lease l ON true";

pub(super) const FOUND: &str = "
INSERT INTO waxwing_lease (cluster, term, node, incarnation, until, committed)
VALUES ($1::bytea, 1, $2::text, $3::bigint,
    clock_timestamp() + $4::bigint * interval '1 millisecond', 0)
ON CONFLICT DO NOTHING RETURNING term";

pub(super) const ACQUIRE: &str = "
UPDATE waxwing_lease SET term = term + 1, node = $2::text, incarnation = $3::bigint,
    until = clock_timestamp() + $4::bigint * interval '1 millisecond', handover = false
WHERE cluster = $1::bytea AND term = $5::bigint AND until <= clock_timestamp()
RETURNING term";

pub(super) const RENEW: &str = "
UPDATE waxwing_lease SET committed = greatest(committed, $3::bigint),
    until = clock_timestamp() + $4::bigint * interval '1 millisecond'
WHERE cluster = $1::bytea AND term = $2::bigint
RETURNING node, incarnation, committed, handover";

pub(super) const RELEASE: &str = "
UPDATE waxwing_lease SET committed = greatest(committed, $3::bigint),
    until = clock_timestamp()
WHERE cluster = $1::bytea AND term = $2::bigint";

pub(super) const APPEND: &str = "
WITH held AS (
    SELECT 1 FROM waxwing_lease WHERE cluster = $1::bytea AND term = $2::bigint FOR SHARE
)
INSERT INTO waxwing_batch (number, part, parts, term, committed, body)
SELECT $3::bigint, $4::integer, $5::integer, $2::bigint, $6::bigint, $7::bytea FROM held";

/// Entries of together about so many bytes, whole: the sum is of all parts before the entry.
pub(super) const READ: &str = "
SELECT number, part, parts, term, committed, body FROM (
    SELECT *, coalesce(sum(octet_length(body)) OVER (
        ORDER BY number RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) AS before
    FROM (
        SELECT * FROM waxwing_batch WHERE number > $1::bigint ORDER BY number, part LIMIT 1000
    ) AS next
) AS summed
WHERE before < $2::bigint ORDER BY number, part";

pub(super) const WANT_HANDOVER: &str = "UPDATE waxwing_lease SET handover = true
WHERE cluster = $1::bytea AND until > clock_timestamp()";

pub(super) const REPORT: &str = "
INSERT INTO waxwing_node (node, incarnation, number, seen)
VALUES ($1::text, $2::bigint, $3::bigint, clock_timestamp())
ON CONFLICT (node) DO UPDATE SET incarnation = excluded.incarnation,
    number = excluded.number, seen = excluded.seen";

pub(super) const NODES: &str = "
SELECT node, incarnation, number,
    greatest(0, floor(extract(epoch FROM clock_timestamp() - seen) * 1000))::bigint
FROM waxwing_node ORDER BY node";

pub(super) const TRIM: &str = "
WITH held AS (
    SELECT 1 FROM waxwing_lease WHERE cluster = $1::bytea AND term = $2::bigint FOR SHARE
)
DELETE FROM waxwing_batch WHERE number < $3::bigint AND EXISTS (SELECT FROM held)";
