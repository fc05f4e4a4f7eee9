use apikey_core::cluster::{Cell, CellKind, CellName};
use apikey_engine::damaged;

use super::keys::Keys;
use super::transaction::{delete, holds, is_absent, one, put, read, transact};
use crate::failure::{Failure, full};
use crate::rpc::RangeRequest;
use crate::session::Connection;

/// How exact a list has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exactness {
    Linearizable,
    /// What this member has, which may be behind the others.
    Glance,
}

pub(crate) async fn cells(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    kinds: &[CellKind],
    exactness: Exactness,
) -> Result<Vec<Cell>, Failure> {
    let ranges = kinds.iter().filter_map(|kind| Some((*kind, keys.cells(generation, *kind)?)));
    let (kinds, ranges): (Vec<_>, Vec<_>) = ranges
        .map(|(kind, (key, range_end))| {
            let serializable = exactness == Exactness::Glance;
            (kind, RangeRequest { key, range_end, serializable, ..RangeRequest::default() })
        })
        .unzip();
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let mut done = read(connection, ranges).await?;
    let mut cells = Vec::new();
    for kind in kinds {
        for pair in done.range()?.kvs {
            let cell = keys.cell_name(generation, kind, &pair.key);
            let cell = cell.ok_or_else(|| damaged("a cell has a name that is no text"))?;
            cells.push(Cell { cell, value: pair.value });
        }
    }
    Ok(cells)
}

pub(crate) async fn swap(
    connection: &Connection,
    keys: &Keys,
    cell: &CellName,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<bool, Failure> {
    let key = keys.cell(cell)?;
    let compare = match old {
        Some(old) => holds(key.clone(), old.to_vec()),
        None => is_absent(key.clone()),
    };
    let success = match (old, new) {
        (_, Some(new)) => put(key.clone(), new.to_vec()),
        (Some(_), None) => delete(key.clone()),
        (None, None) => return Ok(read(connection, vec![one(key)]).await?.one()?.is_none()),
    };
    match transact(connection, vec![compare], vec![success], Vec::new()).await {
        Ok(done) => Ok(done.held),
        Err(failure) if failure.is_no_space() => {
            // It may have been done all the same.
            let now = read(connection, vec![one(key)]).await?.value()?;
            match now.as_deref() {
                now if now == old && old != new => Err(full().into()),
                now if now == new && old != new => Ok(true),
                _ => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    }
}

pub(crate) async fn note(connection: &Connection, keys: &Keys, cell: &CellName, value: &[u8]) -> Result<(), Failure> {
    let key = keys.cell(cell)?;
    match transact(connection, Vec::new(), vec![put(key.clone(), value.to_vec())], Vec::new()).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_no_space() => {
            let now = read(connection, vec![one(key)]).await?.value()?;
            if now.as_deref() == Some(value) { Ok(()) } else { Err(full().into()) }
        }
        Err(failure) => Err(failure),
    }
}
