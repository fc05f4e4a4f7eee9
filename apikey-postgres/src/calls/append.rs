use apikey_core::cluster::{Appended, Fence, LedgerError, Position};
use apikey_engine::{OwnedEntry, no_log};

use super::values::{Bytes, kind, number, position_at};
use crate::acknowledged::payload;
use crate::failure::Failure;
use crate::session::{Connection, Param};

/// Both rows of a log at once.
const BEGIN: &str = "
    WITH head AS (
        INSERT INTO @head (namespace, generation, number, digest) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING 1
    )
    INSERT INTO @position (namespace, generation, number, digest, head, floor)
    SELECT $1, $2, $3, $4, '', $3 FROM head
    RETURNING {durable}";

/// The compare-and-swap of the head, and the entry where it succeeded.
const APPEND: &str = "
    WITH cas AS (
        UPDATE @head SET number = $5, digest = $6
        WHERE namespace = $1 AND generation = $2 AND number = $3 AND digest = $4
        RETURNING 1
    )
    INSERT INTO @log (namespace, generation, first, last, digest, op, bytes)
    SELECT $1, $2, $3::bigint + 1, $5, $6, $7, $8 FROM cas
    RETURNING {durable}";

/// The same, while a hold has its value. The lock keeps it so until the commit.
const APPEND_FENCED: &str = "
    WITH hold AS MATERIALIZED (
        SELECT 1 FROM @cell
        WHERE namespace = $1 AND generation = $9 AND kind = $10 AND name = $11 AND value = $12 FOR SHARE
    ), cas AS (
        UPDATE @head SET number = $5, digest = $6
        WHERE namespace = $1 AND generation = $2 AND number = $3 AND digest = $4 AND EXISTS (SELECT 1 FROM hold)
        RETURNING 1
    )
    INSERT INTO @log (namespace, generation, first, last, digest, op, bytes)
    SELECT $1, $2, $3::bigint + 1, $5, $6, $7, $8 FROM cas
    RETURNING {durable}";

/// Wakes the other nodes, and tells them which head is acknowledged. It is a statement of its own, sent after the answer to
/// the append: a notification takes a lock that is one for all of the server and is kept until the commit ends, so within
/// the append every other program that notifies would wait for the standby, too. Its own commit waits for nothing.
const NOTIFY: &str = "SELECT pg_notify($1, $2), set_config('synchronous_commit', 'off', true)";

/// What is there instead: the head, and whether the entry that follows the base has this operation.
const INSTEAD: &str = "
    SELECT head.number, head.digest,
        (SELECT log.op = $4 FROM @log AS log
         WHERE log.namespace = $1 AND log.generation = $2 AND log.last > $3 ORDER BY log.last LIMIT 1)
    FROM @head AS head WHERE head.namespace = $1 AND head.generation = $2";

pub(crate) async fn begin(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    head: &Position,
) -> Result<bool, Failure> {
    let (generation, at) = (number(generation)?, number(head.number)?);
    let begun = connection.write(BEGIN, &[&namespace, &generation, &at, &Bytes(&head.digest)]).await?.is_some();
    if !begun {
        connection.barrier().await?;
    }
    Ok(begun)
}

pub(crate) async fn append(
    connection: &Connection,
    namespace: &str,
    channel: &str,
    entry: &OwnedEntry,
) -> Result<Appended, Failure> {
    let generation = number(entry.generation)?;
    let (base, last) = (number(entry.base.number)?, number(entry.last.number)?);
    let (base_digest, last_digest) = (Bytes(&entry.base.digest), Bytes(&entry.last.digest));
    let (op, bytes) = (Bytes(&entry.op), Bytes(&entry.bytes));
    let written = match &entry.fence {
        None => {
            let params: [Param<'_>; 8] =
                [&namespace, &generation, &base, &base_digest, &last, &last_digest, &op, &bytes];
            connection.write(APPEND, &params).await?
        }
        Some(Fence { cell, value }) => {
            let (cell_generation, cell_kind) = (number(cell.generation)?, kind(cell.kind));
            let value = Bytes(value);
            let params: [Param<'_>; 12] = [
                &namespace,
                &generation,
                &base,
                &base_digest,
                &last,
                &last_digest,
                &op,
                &bytes,
                &cell_generation,
                &cell_kind,
                &cell.name,
                &value,
            ];
            connection.write(APPEND_FENCED, &params).await?
        }
    };
    if written.is_some() {
        // Without a standby the answer says nothing to nodes that want one.
        let payload = if connection.is_replicated() { payload(entry.generation, &entry.last) } else { String::new() };
        // The append is done, whatever becomes of this: a node that gets no notification finds the entry by a look.
        if let Err(failure) = connection.send(NOTIFY, &[&channel, &payload]).await {
            tracing::debug!(?failure, "other nodes are not notified of an entry");
        }
        return Ok(Appended::Here);
    }
    let rows = connection.query_linearizable(INSTEAD, &[&namespace, &generation, &base, &op]).await?;
    let row = rows.first().ok_or_else(|| no_log(entry.generation))?;
    let head = position_at(row, 0)?.unwrap_or_default();
    if row.try_get::<_, Option<bool>>(2)? == Some(true) {
        return Ok(Appended::Here);
    }
    if head == entry.base && entry.fence.is_none() {
        // The head has become the base since. An earlier try that is still on its way could be in yet, so it is not lost.
        return Err(LedgerError::refused("the head of the log moved to the base of the entry just now").into());
    }
    Ok(Appended::Lost { head })
}
