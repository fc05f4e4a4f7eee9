use apikey_core::cluster::{Cell, CellKind, CellName};
use apikey_engine::damaged;

use super::values::{Bytes, kind, number};
use crate::failure::Failure;
use crate::session::{Connection, Params};

const CELLS: &str = "
    SELECT kind, name, value FROM @cell WHERE namespace = $1 AND generation = $2 AND kind = ANY ($3)";

const CREATE: &str = "
    INSERT INTO @cell (namespace, generation, kind, name, value) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING {durable}";

const REPLACE: &str = "
    UPDATE @cell SET value = $5
    WHERE namespace = $1 AND generation = $2 AND kind = $3 AND name = $4 AND value = $6 RETURNING {durable}";

const DELETE: &str = "
    DELETE FROM @cell
    WHERE namespace = $1 AND generation = $2 AND kind = $3 AND name = $4 AND value = $5 RETURNING {durable}";

const EXISTS: &str = "SELECT 1 FROM @cell WHERE namespace = $1 AND generation = $2 AND kind = $3 AND name = $4";

/// Its commit waits for no disk and no standby.
const NOTE: &str = "
    INSERT INTO @cell (namespace, generation, kind, name, value) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (namespace, generation, kind, name) DO UPDATE SET value = excluded.value
    RETURNING set_config('synchronous_commit', 'off', true)";

/// How exact a list has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exactness {
    Linearizable,
    /// What this server shows, which a commit of another one may have replaced.
    Glance,
}

pub(crate) async fn cells(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    kinds: &[CellKind],
    exactness: Exactness,
) -> Result<Vec<Cell>, Failure> {
    let wanted = number(generation)?;
    let kinds: Vec<_> = kinds.iter().copied().map(kind).collect();
    let params: Params<'_> = &[&namespace, &wanted, &kinds];
    let rows = match exactness {
        Exactness::Linearizable => connection.query_linearizable(CELLS, params).await?,
        Exactness::Glance => connection.query(CELLS, params).await?,
    };
    let cell = |row: &tokio_postgres::Row| {
        let code: i16 = row.try_get(0)?;
        let kind = u8::try_from(code).ok().and_then(CellKind::from_code);
        let kind = kind.ok_or_else(|| damaged(format!("a cell has the kind {code}")))?;
        Ok(Cell { cell: CellName { generation, kind, name: row.try_get(1)? }, value: row.try_get(2)? })
    };
    rows.iter().map(cell).collect()
}

pub(crate) async fn swap(
    connection: &Connection,
    namespace: &str,
    cell: &CellName,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<bool, Failure> {
    let (generation, code, name) = (number(cell.generation)?, kind(cell.kind), &cell.name);
    let (old, new) = (old.map(Bytes), new.map(Bytes));
    let done = match (&old, &new) {
        (None, Some(new)) => connection.write(CREATE, &[&namespace, &generation, &code, name, new]).await?,
        (Some(old), Some(new)) => connection.write(REPLACE, &[&namespace, &generation, &code, name, new, old]).await?,
        (Some(old), None) => connection.write(DELETE, &[&namespace, &generation, &code, name, old]).await?,
        (None, None) => {
            let rows = connection.query_linearizable(EXISTS, &[&namespace, &generation, &code, name]).await?;
            return Ok(rows.is_empty());
        }
    };
    if done.is_none() {
        connection.barrier().await?;
    }
    Ok(done.is_some())
}

pub(crate) async fn note(
    connection: &Connection,
    namespace: &str,
    cell: &CellName,
    value: &[u8],
) -> Result<(), Failure> {
    let (generation, code) = (number(cell.generation)?, kind(cell.kind));
    connection.query(NOTE, &[&namespace, &generation, &code, &cell.name, &Bytes(value)]).await?;
    Ok(())
}
