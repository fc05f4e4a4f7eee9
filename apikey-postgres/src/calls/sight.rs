use apikey_core::cluster::{Look, Sight, Space};
use apikey_engine::{OwnedStanding, damaged};
use tokio_postgres::Row;

use super::values::{Bytes, kind, number, number_at, position_at};
use crate::failure::Failure;
use crate::session::{Connection, Param};

/// All that there is to see, of one moment.
const SIGHT: &str = "
    SELECT head.number, head.digest, place.number, place.digest, coalesce(place.floor, 0),
        (SELECT value FROM @cell WHERE namespace = $1 AND generation = 0 AND kind = 1 AND name = ''),
        (SELECT value FROM @cell WHERE namespace = $1 AND generation = $2 AND kind = 5 AND name = '')
    FROM (VALUES (1)) AS one
    LEFT JOIN @head AS head ON head.namespace = $1 AND head.generation = $2
    LEFT JOIN @position AS place ON place.namespace = $1 AND place.generation = $2";

const RENEW: &str = "
    UPDATE @cell SET value = $5
    WHERE namespace = $1 AND generation = $2 AND kind = $3 AND name = $4 AND value = $6 RETURNING {durable}";

const SIZE: &str = "SELECT pg_database_size(current_database())";

pub(crate) async fn sight(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    quota: Option<u64>,
) -> Result<Sight, Failure> {
    let wanted = number(generation)?;
    let rows = connection.query_linearizable(SIGHT, &[&namespace, &wanted]).await?;
    // It always has one.
    let row = rows.first().ok_or_else(|| damaged("no answer to a query of one row"))?;
    decode(row, connection, space(connection, quota).await?)
}

/// The presence is renewed by one statement, and what there is to see is read by a later one, with a snapshot of its own:
/// in a single one a registration that waits for the standby could miss a head that is appended meanwhile, whose writer
/// misses the registration. The lock on the row keeps the presence in place until the commit.
pub(crate) async fn renew(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    standing: &OwnedStanding,
    quota: Option<u64>,
) -> Result<Look, Failure> {
    let wanted = number(generation)?;
    let OwnedStanding { cell, held: present, next } = standing;
    let (cell_generation, code) = (number(cell.generation)?, kind(cell.kind));
    let (present, next) = (Bytes(present), Bytes(next));
    let space = space(connection, quota).await?;
    let renew: [Param<'_>; 6] = [&namespace, &cell_generation, &code, &cell.name, &next, &present];
    match connection.write_and_read(RENEW, &renew, SIGHT, &[&namespace, &wanted]).await? {
        Some(row) => Ok(Look::Standing(Box::new(decode(&row, connection, space)?))),
        None => {
            connection.barrier().await?;
            Ok(Look::NotListed)
        }
    }
}

fn decode(row: &Row, connection: &Connection, space: Option<Space>) -> Result<Sight, Failure> {
    Ok(Sight {
        head: position_at(row, 0)?,
        state: position_at(row, 2)?,
        floor: number_at(row, 4)?,
        meta: row.try_get(5)?,
        waiting: row.try_get(6)?,
        space,
        identity: connection.identity.clone(),
    })
}

/// How large the database is. Only where there is a quota: PostgreSQL adds up its files for that.
async fn space(connection: &Connection, quota: Option<u64>) -> Result<Option<Space>, Failure> {
    let Some(quota) = quota else { return Ok(None) };
    let rows = connection.query(SIZE, &[]).await?;
    let used = rows.first().map_or(Ok(0), |row| number_at(row, 0))?;
    Ok(Some(Space { used, quota }))
}
