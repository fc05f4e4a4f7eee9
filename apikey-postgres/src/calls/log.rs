use apikey_core::cluster::{LedgerError, Logged};
use apikey_engine::{damaged, no_log};
use tokio_postgres::Row;

use super::values::{number, number_at, position_at};
use crate::acknowledged::Acknowledged;
use crate::failure::Failure;
use crate::session::Connection;

/// Entries in order: the first, and others as long as their bytes fit. The floor is of the same moment.
const READ: &str = "
    SELECT place.floor, entry.first, entry.last, entry.digest, entry.op, entry.bytes
    FROM @position AS place LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT near.*, row_number() OVER in_order AS nth, sum(octet_length(near.bytes)) OVER in_order AS total
            FROM (
                SELECT * FROM @log WHERE namespace = $1 AND generation = $2 AND last > $3 ORDER BY last LIMIT 1000
            ) AS near
            WINDOW in_order AS (ORDER BY near.last)
        ) AS counted WHERE nth = 1 OR total <= $4
    ) AS entry ON true
    WHERE place.namespace = $1 AND place.generation = $2
    ORDER BY entry.last";

/// The oldest entries, if the state is at `$3` or beyond. A step of a bounded size, so that it ends in time; the floor
/// rises with each.
const TRIM: &str = "
    WITH place AS MATERIALIZED (
        SELECT 1 FROM @position WHERE namespace = $1 AND generation = $2 AND number >= $3 FOR UPDATE
    ), gone AS (
        DELETE FROM @log WHERE namespace = $1 AND generation = $2 AND EXISTS (SELECT 1 FROM place)
            AND last <= (SELECT max(last) FROM (
                SELECT last FROM @log WHERE namespace = $1 AND generation = $2 AND last <= $3 ORDER BY last LIMIT 1000
            ) AS oldest)
        RETURNING last
    )
    UPDATE @position AS position SET floor = greatest(floor, deleted.last)
    FROM (SELECT max(last) AS last FROM gone) AS deleted
    WHERE position.namespace = $1 AND position.generation = $2 AND deleted.last IS NOT NULL
    RETURNING {durable}";

const HEAD: &str = "SELECT number FROM @head WHERE namespace = $1 AND generation = $2";

/// Reads without a commit what is known to be acknowledged: a commit for each read of each node would be most of what the
/// server does. What is not known to be is proven by a commit behind the read; and so is an answer that stops a node. That
/// there is nothing yet proves nothing, and need not.
pub(crate) async fn read(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    after: u64,
    max_bytes: usize,
    acknowledged: &Acknowledged,
) -> Result<Vec<Logged>, Failure> {
    let (wanted, from) = (number(generation)?, i64::try_from(after).unwrap_or(i64::MAX));
    let most = i64::try_from(max_bytes).unwrap_or(i64::MAX);
    let rows = connection.query(READ, &[&namespace, &wanted, &from, &most]).await?;
    let Some(first) = rows.first() else {
        connection.barrier().await?;
        return Err(no_log(generation).into());
    };
    let floor = number_at(first, 0)?;
    if after < floor {
        connection.barrier().await?;
        return Err(LedgerError::BelowFloor { floor }.into());
    }
    let mut entries = decode(rows, after)?;
    match acknowledged.of(generation, &entries) {
        0 if entries.is_empty() => {
            // A server without what is acknowledged is a former primary, and cannot commit.
            if acknowledged.is_beyond(generation, after) {
                connection.barrier().await?;
            }
        }
        0 => {
            connection.barrier().await?;
            entries.last().into_iter().for_each(|entry| acknowledged.note(generation, entry.last));
        }
        known => entries.truncate(known),
    }
    Ok(entries)
}

fn decode(rows: Vec<Row>, after: u64) -> Result<Vec<Logged>, Failure> {
    let mut entries = Vec::with_capacity(rows.len());
    let mut before = after;
    for row in rows {
        // The one row of an empty answer.
        let Some(last) = position_at(&row, 2)? else { break };
        let first = number_at(&row, 1)?;
        let follows = if entries.is_empty() { first <= before + 1 } else { first == before + 1 };
        if !follows || last.number < first {
            let what = format!("after event {before} the log has events {first} to {}", last.number);
            return Err(damaged(what).into());
        }
        let op: &[u8] = row.try_get(4)?;
        let op = op.try_into().map_err(|_| damaged(format!("the operation at event {first} has no 16 bytes")))?;
        before = last.number;
        entries.push(Logged { first, last, op, bytes: row.try_get(5)? });
    }
    Ok(entries)
}

pub(crate) async fn trim(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    through: u64,
) -> Result<(), Failure> {
    let (wanted, through) = (number(generation)?, i64::try_from(through).unwrap_or(i64::MAX));
    if number_of_head(connection, namespace, generation).await?.is_none() {
        return Err(no_log(generation).into());
    }
    while connection.write(TRIM, &[&namespace, &wanted, &through]).await?.is_some() {}
    Ok(())
}

/// The number of the head, as this server has it now.
pub(crate) async fn number_of_head(
    connection: &Connection,
    namespace: &str,
    generation: u64,
) -> Result<Option<u64>, Failure> {
    let generation = number(generation)?;
    let rows = connection.query(HEAD, &[&namespace, &generation]).await?;
    rows.first().map(|row| number_at(row, 0)).transpose()
}
