use apikey_core::cluster::Tally;

use super::values::{Bytes, number};
use crate::failure::Failure;
use crate::session::Connection;

/// Its commit waits for no disk and no standby. Two calls lock their rows in the same order.
const TALLY: &str = "
    INSERT INTO @tally (namespace, generation, name, value)
    SELECT $1, $2, name, value FROM unnest($3::bytea[], $4::bytea[]) AS tally (name, value) ORDER BY name
    ON CONFLICT (namespace, generation, name) DO UPDATE SET value = excluded.value
    RETURNING set_config('synchronous_commit', 'off', true)";

const TALLIES: &str = "
    SELECT tally.name, tally.value FROM unnest($3::bytea[], $4::bytea[]) AS span (first, beyond)
    JOIN @tally AS tally ON tally.namespace = $1 AND tally.generation = $2
        AND tally.name >= span.first AND tally.name < span.beyond";

/// A step of a bounded size, so that it ends in time.
const FORGET: &str = "
    DELETE FROM @tally WHERE namespace = $1 AND generation = $2 AND name = ANY (ARRAY(
        SELECT name FROM @tally WHERE namespace = $1 AND generation = $2 AND name >= $3 AND name < $4
        ORDER BY name LIMIT 1000
    ))
    RETURNING set_config('synchronous_commit', 'off', true)";

pub(crate) async fn tally(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    tallies: &[Tally],
) -> Result<(), Failure> {
    let generation = number(generation)?;
    let names: Vec<_> = tallies.iter().map(|tally| Bytes(&tally.name)).collect();
    let values: Vec<_> = tallies.iter().map(|tally| Bytes(&tally.value)).collect();
    connection.query(TALLY, &[&namespace, &generation, &names, &values]).await?;
    Ok(())
}

pub(crate) async fn tallies(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    begins: &[Vec<u8>],
) -> Result<Vec<Tally>, Failure> {
    let generation = number(generation)?;
    let beyond: Vec<_> = begins.iter().map(|begin| beyond(begin)).collect();
    let firsts: Vec<_> = begins.iter().map(|begin| Bytes(begin)).collect();
    let beyonds: Vec<_> = beyond.iter().map(|beyond| Bytes(beyond)).collect();
    let rows = connection.query(TALLIES, &[&namespace, &generation, &firsts, &beyonds]).await?;
    let tally = |row: &tokio_postgres::Row| Ok(Tally { name: row.try_get(0)?, value: row.try_get(1)? });
    rows.iter().map(tally).collect()
}

/// What comes after every name that begins like this: none is so long.
fn beyond(begin: &[u8]) -> Vec<u8> {
    let mut beyond = begin.to_vec();
    beyond.resize(Tally::MAX_NAME + 1, u8::MAX);
    beyond
}

/// Deletes some. Returns whether there may be more.
pub(crate) async fn forget_tallies(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    from: &[u8],
    to: &[u8],
) -> Result<bool, Failure> {
    let generation = number(generation)?;
    let deleted = connection.query(FORGET, &[&namespace, &generation, &Bytes(from), &Bytes(to)]).await?;
    Ok(!deleted.is_empty())
}
