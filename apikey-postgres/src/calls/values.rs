use std::error::Error;
use std::fmt;

use apikey_core::cluster::{CellKind, LedgerError, Position};
use apikey_engine::damaged;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::failure::Failure;

/// A number as PostgreSQL has it.
pub(super) fn number(number: u64) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::refused(format!("{number} is no number of an event")))
}

/// A number in a row.
pub(super) fn number_at(row: &Row, column: usize) -> Result<u64, Failure> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| damaged(format!("a number is {number}")).into())
}

/// A number and a digest, in two columns; `None` if there is no row of their table.
pub(super) fn position_at(row: &Row, column: usize) -> Result<Option<Position>, Failure> {
    if row.try_get::<_, Option<i64>>(column)?.is_none() {
        return Ok(None);
    }
    let number = number_at(row, column)?;
    let digest: &[u8] = row.try_get(column + 1)?;
    let digest = digest.try_into().map_err(|_| damaged(format!("the digest of event {number} has no 32 bytes")))?;
    Ok(Some(Position { number, digest }))
}

pub(super) fn kind(kind: CellKind) -> i16 {
    kind.code().into()
}

/// Bytes for a statement. `tokio_postgres` logs parameters, and these have digests.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl ToSql for Bytes<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&[u8] as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}
