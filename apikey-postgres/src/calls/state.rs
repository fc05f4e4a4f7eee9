use std::sync::Arc;

use apikey_core::cluster::{Fence, Image, LedgerResult, Piece, Position};
use apikey_engine::{OwnedStep, damaged, no_log};
use tokio_postgres::Row;

use super::values::{Bytes, kind, number, position_at};
use crate::failure::Failure;
use crate::session::{Connection, Param};

/// The compare-and-swap of the place, and the images where it succeeded. Without a fence `$12` is null.
const ADVANCE: &str = "
    WITH hold AS MATERIALIZED (
        SELECT 1 FROM @cell
        WHERE namespace = $1 AND generation = $13 AND kind = $14 AND name = $15 AND value = $12 FOR SHARE
    ), cas AS (
        UPDATE @position SET number = $5, digest = $6, head = $7
        WHERE namespace = $1 AND generation = $2 AND number = $3 AND digest = $4
            AND ($12::bytea IS NULL OR EXISTS (SELECT 1 FROM hold))
        RETURNING 1
    ), deleted AS (
        DELETE FROM @state AS state USING cas, unnest($8::smallint[], $9::bytea[]) AS image (kind, name)
        WHERE state.namespace = $1 AND state.generation = $2 AND state.kind = image.kind AND state.name = image.name
    ), written AS (
        INSERT INTO @state (namespace, generation, kind, name, value)
        SELECT $1, $2, image.kind, image.name, image.value
        FROM cas, unnest($10::smallint[], $11::bytea[], $16::bytea[]) AS image (kind, name, value)
        ON CONFLICT (namespace, generation, kind, name) DO UPDATE SET value = excluded.value
    )
    SELECT {durable} FROM cas";

const EXISTS: &str = "SELECT 1 FROM @position WHERE namespace = $1 AND generation = $2";

const PLACE: &str = "SELECT number, digest, head FROM @position WHERE namespace = $1 AND generation = $2";

const CURSOR: &str = "
    DECLARE apikey_images NO SCROLL CURSOR FOR
    SELECT kind, name, value FROM @state WHERE namespace = $1 AND generation = $2";

/// As many rows as are in memory at a time, twice.
const FETCH: &str = "FETCH 500 FROM apikey_images";

pub(crate) async fn advance(connection: &Connection, namespace: &str, step: &OwnedStep) -> Result<bool, Failure> {
    let generation = number(step.generation)?;
    let (from, to) = (number(step.from.number)?, number(step.to.number)?);
    let (from_digest, to_digest, head) = (Bytes(&step.from.digest), Bytes(&step.to.digest), Bytes(&step.head));
    let Columns { deleted, written } = Columns::of(step);
    let (value, cell_generation, cell_kind, cell_name) = match &step.fence {
        Some(Fence { cell, value }) => {
            (Some(Bytes(value)), number(cell.generation)?, kind(cell.kind), cell.name.as_str())
        }
        None => (None, 0, 0, ""),
    };
    let params: [Param<'_>; 16] = [
        &namespace,
        &generation,
        &from,
        &from_digest,
        &to,
        &to_digest,
        &head,
        &deleted.0,
        &deleted.1,
        &written.0,
        &written.1,
        &value,
        &cell_generation,
        &cell_kind,
        &cell_name,
        &written.2,
    ];
    let done = connection.write(ADVANCE, &params).await?.is_some();
    if !done && connection.query_linearizable(EXISTS, &[&namespace, &generation]).await?.is_empty() {
        return Err(no_log(step.generation).into());
    }
    Ok(done)
}

/// The images of a step in columns.
#[derive(Default)]
struct Columns<'a> {
    /// Kinds and names.
    deleted: (Vec<i16>, Vec<Bytes<'a>>),
    /// Kinds, names and values.
    written: (Vec<i16>, Vec<Bytes<'a>>, Vec<Bytes<'a>>),
}

impl<'a> Columns<'a> {
    fn of(step: &'a OwnedStep) -> Self {
        let mut columns = Self::default();
        for image in &step.images {
            let (kind, name) = (image.kind.into(), Bytes(&image.name));
            if let Some(value) = &image.value {
                columns.written.0.push(kind);
                columns.written.1.push(name);
                columns.written.2.push(Bytes(value));
            } else {
                columns.deleted.0.push(kind);
                columns.deleted.1.push(name);
            }
        }
        columns
    }
}

/// A state at one moment, in batches. It has a connection of its own.
pub(crate) struct StateCursor {
    connection: Arc<Connection>,
}

/// The place of a state and the head of a replica there.
pub(crate) type Place = (Position, Vec<u8>);

impl StateCursor {
    pub(crate) async fn open(
        connection: Arc<Connection>,
        namespace: &str,
        generation: u64,
    ) -> Result<(Self, Place), Failure> {
        let wanted = number(generation)?;
        connection.client().batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let rows = connection.query(PLACE, &[&namespace, &wanted]).await?;
        let row = rows.first().ok_or_else(|| no_log(generation))?;
        let place = (position_at(row, 0)?.unwrap_or_default(), row.try_get(2)?);
        connection.query(CURSOR, &[&namespace, &wanted]).await?;
        Ok((Self { connection }, place))
    }

    /// The next batch; an empty one is the end, and what came before it is on a standby.
    pub(crate) async fn next(&self) -> Result<Batch, Failure> {
        let rows = self.connection.query(FETCH, &[]).await?;
        if rows.is_empty() {
            self.connection.client().batch_execute("COMMIT").await?;
            self.connection.barrier().await?;
        }
        Ok(Batch(rows))
    }
}

/// Some images.
pub(crate) struct Batch(Vec<Row>);

impl Batch {
    pub(crate) fn is_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn give(&self, take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>) -> LedgerResult<()> {
        for row in &self.0 {
            let wrong = |error: tokio_postgres::Error| damaged(error.to_string());
            let kind: i16 = row.try_get(0).map_err(wrong)?;
            let kind = u8::try_from(kind).map_err(|_| damaged(format!("an image has the kind {kind}")))?;
            let (name, value) = (row.try_get(1).map_err(wrong)?, row.try_get(2).map_err(wrong)?);
            take(Piece::Image(Image { kind, name, value: Some(value) }))?;
        }
        Ok(())
    }
}
