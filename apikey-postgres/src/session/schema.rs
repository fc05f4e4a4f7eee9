use apikey_core::cluster::{LedgerError, LedgerResult};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::checks::{refused, simple_row};
use crate::settings::Settings;

/// The tables, for a node that may create them and for who manages schemas.
const TABLES: &str = include_str!("../../schema.sql");

/// The version of [`TABLES`].
const VERSION: &str = "1";

/// Creates the tables if they are not there, and checks their version.
pub(super) async fn ensure(client: &Client, settings: &Settings) -> LedgerResult<()> {
    if !exists(client, settings).await? {
        create(client, settings).await?;
    }
    let table = format!("{}.apikey_version", settings.quoted_schema());
    let row = simple_row(client, &format!("SELECT coalesce(max(version), 0) FROM {table}")).await.map_err(refused)?;
    match row.get(0).unwrap_or_default() {
        VERSION => Ok(()),
        version => Err(LedgerError::refused(format!(
            "the tables in the schema {} have version {version}, and this release works with version {VERSION}",
            settings.schema
        ))),
    }
}

async fn exists(client: &Client, settings: &Settings) -> LedgerResult<bool> {
    let schema = settings.schema.replace('\'', "''");
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM pg_class JOIN pg_namespace AS schema ON schema.oid = relnamespace \
         WHERE relname = 'apikey_version' AND nspname = E'{}')",
        schema.replace('\\', "\\\\")
    );
    Ok(simple_row(client, &sql).await.map_err(refused)?.get(0) == Some("t"))
}

async fn create(client: &Client, settings: &Settings) -> LedgerResult<()> {
    let schema = settings.quoted_schema();
    // One node at a time. Whoever comes second finds them.
    client.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7022271113)").await.map_err(refused)?;
    let created = async {
        if exists(client, settings).await? {
            return Ok(());
        }
        let tables = format!("CREATE SCHEMA IF NOT EXISTS {schema}; SET LOCAL search_path = {schema}; {TABLES}");
        let public = format!("SET LOCAL search_path = {schema}; {TABLES}");
        let tables = if settings.schema == "public" { public } else { tables };
        client.batch_execute(&tables).await.map_err(|error| match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => LedgerError::refused(format!(
                "the tables of the ledger are not there, and the role {} may not create them in the schema {}: run \
                 apikey-postgres/schema.sql as a role that may, and grant what its first lines say ({})",
                settings.user(),
                settings.schema,
                error.as_db_error().map_or("", |answer| answer.message())
            )),
            _ => refused(error),
        })
    };
    let created = created.await;
    let end = if created.is_ok() { "COMMIT" } else { "ROLLBACK" };
    client.batch_execute(end).await.map_err(refused)?;
    created
}
