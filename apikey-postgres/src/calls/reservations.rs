use apikey_core::cluster::{LedgerError, Reserved};
use apikey_engine::OwnedSwap;

use super::values::{Bytes, number};
use crate::failure::{Failure, Meaning};
use crate::session::Connection;

/// Each swap is done if its row, which is locked and read before anything is written, is what the swap expects. Two calls
/// lock their rows in the same order.
const RESERVE: &str = "
    WITH swap AS MATERIALIZED (
        SELECT * FROM unnest($3::bytea[], $4::bytea[], $5::bytea[]) WITH ORDINALITY AS swap (name, old, new, nth)
    ), held AS MATERIALIZED (
        SELECT name, value FROM @reservation
        WHERE namespace = $1 AND generation = $2 AND name = ANY ($3) ORDER BY name FOR UPDATE
    ), created AS (
        INSERT INTO @reservation (namespace, generation, name, value)
        SELECT $1, $2, swap.name, swap.new FROM swap
        WHERE swap.old IS NULL AND swap.new IS NOT NULL AND NOT EXISTS (SELECT 1 FROM held WHERE held.name = swap.name)
        ORDER BY swap.name
        ON CONFLICT DO NOTHING RETURNING name
    ), replaced AS (
        UPDATE @reservation AS row SET value = swap.new FROM swap JOIN held USING (name)
        WHERE row.namespace = $1 AND row.generation = $2 AND row.name = swap.name
            AND held.value = swap.old AND swap.new IS NOT NULL
        RETURNING row.name
    ), deleted AS (
        DELETE FROM @reservation AS row USING swap JOIN held USING (name)
        WHERE row.namespace = $1 AND row.generation = $2 AND row.name = swap.name
            AND held.value = swap.old AND swap.new IS NULL
        RETURNING row.name
    ), done AS (
        SELECT name FROM created UNION ALL SELECT name FROM replaced UNION ALL SELECT name FROM deleted
    )
    SELECT {durable}, done.name IS NOT NULL, held.value
    FROM swap LEFT JOIN held USING (name) LEFT JOIN done USING (name) ORDER BY swap.nth";

const HELD: &str = "SELECT name, value FROM @reservation WHERE namespace = $1 AND generation = $2 AND name = ANY ($3)";

pub(crate) async fn reserve(
    connection: &Connection,
    namespace: &str,
    generation: u64,
    swaps: &[OwnedSwap],
) -> Result<Vec<Reserved>, Failure> {
    let generation = number(generation)?;
    let names: Vec<_> = swaps.iter().map(|swap| Bytes(&swap.name)).collect();
    let old: Vec<_> = swaps.iter().map(|swap| swap.old.as_deref().map(Bytes)).collect();
    let new: Vec<_> = swaps.iter().map(|swap| swap.new.as_deref().map(Bytes)).collect();
    let rows = connection.write_all(RESERVE, &[&namespace, &generation, &names, &old, &new]).await?;
    let (mut answers, mut has_written) = (Vec::with_capacity(rows.len()), false);
    for (swap, row) in swaps.iter().zip(&rows) {
        let (is_written, held): (bool, Option<Vec<u8>>) = (row.try_get(1)?, row.try_get(2)?);
        has_written |= is_written;
        let is_so = held.is_none() && swap.old.is_none() && swap.new.is_none();
        answers.push(if is_written || is_so { Reserved::Done } else { Reserved::Lost { held } });
    }
    let unseen: Vec<_> =
        swaps.iter().zip(&mut answers).filter(|(swap, answer)| swap.old.is_none() && is_unseen(answer)).collect();
    if unseen.is_empty() {
        if !has_written {
            connection.barrier().await?;
        }
        return Ok(answers);
    }
    // Another call has created them at the same time, which a statement does not see.
    let names: Vec<_> = unseen.iter().map(|(swap, _)| Bytes(&swap.name)).collect();
    let seen = connection.query_linearizable(HELD, &[&namespace, &generation, &names]).await;
    // What was done must not be done again, nor count as refused.
    let seen = if has_written { seen.map_err(unknown)? } else { seen? };
    for (swap, answer) in unseen {
        let row = seen.iter().find(|row| row.try_get(0).is_ok_and(|name: &[u8]| name == swap.name));
        *answer = Reserved::Lost { held: row.map(|row| row.try_get(1)).transpose()? };
    }
    Ok(answers)
}

fn is_unseen(answer: &Reserved) -> bool {
    *answer == Reserved::Lost { held: None }
}

fn unknown(failure: Failure) -> Failure {
    let (Meaning::Again(error) | Meaning::Answer(error) | Meaning::Refused(error) | Meaning::Unknown(error)) =
        failure.meaning();
    LedgerError::unknown(format!("some reservations were made, and then: {error}")).into()
}
