use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::{Cluster, Ledger};
use apikey_postgres::Postgres;
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

use crate::{Engine, Writer};

/// Room for a hundred nodes.
const MANY: ServerConfig<'_> = ServerConfig {
    settings: "max_connections = 500",
    access: None,
    durable: true,
    apart: false,
    disk_can_fill: false,
    host: None,
};

/// The table that the log has, with its one index.
const BARE: &str = "CREATE TABLE IF NOT EXISTS bare (namespace text, generation bigint, first bigint, last bigint, \
                    digest bytea, op bytea, bytes bytea, PRIMARY KEY (namespace, generation, last)); \
                    ALTER TABLE bare ALTER COLUMN bytes SET STORAGE EXTERNAL";
const INSERT: &str = "INSERT INTO bare (namespace, generation, first, last, digest, op, bytes) \
                      VALUES ($1, 1, $2, $2, $3, $4, $5)";

pub(crate) struct PostgresServers {
    primary: Server,
    standby: Option<Server>,
}

impl PostgresServers {
    pub(crate) fn start_alone() -> Self {
        Self { primary: Server::start(MANY), standby: None }
    }

    pub(crate) fn start_with_standby() -> Self {
        let (primary, standby) = Server::start_with_standby(MANY);
        Self { primary, standby: Some(standby) }
    }

    fn postgres(&self, namespace: &str) -> Postgres {
        let ledger = Postgres::new(self.primary.connection()).namespace(namespace);
        if self.standby.is_some() { ledger } else { ledger.single() }
    }
}

impl Engine for PostgresServers {
    fn name(&self) -> &'static str {
        if self.standby.is_some() { "PostgreSQL, a standby" } else { "PostgreSQL alone" }
    }

    fn ledger(&self, namespace: &str) -> Box<dyn Ledger> {
        Box::new(self.postgres(namespace))
    }

    fn cluster(&self, namespace: &str) -> Cluster {
        Cluster::new(self.postgres(namespace))
    }

    /// Each writer begins with an empty table.
    fn bare_writer(&self) -> Writer {
        self.primary.sql(BARE);
        self.primary.sql("TRUNCATE bare");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = self.primary.connection().replace("sslmode=disable", "");
        let (client, driver) = runtime.block_on(tokio_postgres::connect(&connection, NoTls)).unwrap();
        runtime.spawn(driver);
        let insert = runtime.block_on(client.prepare(INSERT)).unwrap();
        let (digest, op) = (vec![1_u8; 32], vec![2_u8; 16]);
        let mut number = 0_i64;
        Box::new(move |bytes| {
            number += 1;
            let params = [&"bench" as &(dyn ToSql + Sync), &number, &digest, &op, &bytes];
            assert_eq!(runtime.block_on(client.execute(&insert, &params)).unwrap(), 1);
        })
    }

    /// The sessions of the primary, and its processes in the background.
    fn processes(&self) -> Vec<u32> {
        // The session that lists them is gone.
        self.primary.sql("SELECT pid FROM pg_stat_activity").lines().map(|pid| pid.parse().unwrap()).collect()
    }

    fn count(&self) -> (u64, &'static str) {
        let sql = "SELECT pg_stat_clear_snapshot(), xact_commit FROM pg_stat_database WHERE datname = 'postgres'";
        (self.primary.sql(sql).trim_start_matches('|').parse().unwrap(), "transactions")
    }

    fn tidy(&self) {
        self.primary.sql("VACUUM ANALYZE apikey_cell");
    }

    fn space_after_cleaning(&self) -> u64 {
        self.primary.sql("VACUUM ANALYZE");
        self.space()
    }

    fn space(&self) -> u64 {
        self.primary.sql("SELECT pg_database_size(current_database())").parse().unwrap()
    }
}
