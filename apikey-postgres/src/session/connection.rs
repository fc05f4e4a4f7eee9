use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use apikey_core::cluster::{Identity, LedgerError, LedgerResult};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row, Statement};

use super::hosts::Hosts;
use super::{checks, schema, tls};
use crate::failure::{self, Failure};
use crate::settings::{Settings, SslMode};

/// A session of PostgreSQL that has passed the checks.
pub(crate) struct Connection {
    client: Client,
    task: AbortHandle,
    warnings: Arc<Warnings>,
    /// By their text, prepared when they are first used.
    prepared: tokio::sync::Mutex<HashMap<&'static str, Statement>>,
    /// What stands for `@` in a text: `"public".apikey_`.
    prefix: String,
    /// Whether a commit waits for a standby.
    replicated: bool,
    /// What it is as long as the session lasts.
    pub(crate) identity: Identity,
    hosts: Arc<Hosts>,
    /// Which of the hosts it goes to.
    pub(super) host: usize,
    /// The latest timeline that was known when it was made.
    known: u64,
}

/// The warnings that came, and the last of them.
#[derive(Default)]
struct Warnings(Mutex<(u64, String)>);

impl Warnings {
    fn add(&self, text: String) {
        let mut warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *warnings = (warnings.0 + 1, text);
    }

    fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The last one, if there are more than `before`.
    fn since(&self, before: u64) -> Option<String> {
        let warnings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (warnings.0 != before).then(|| warnings.1.clone())
    }
}

/// What a statement returns that writes: it says itself how durable its commit is, and that it wants to be warned, since a
/// role, a database or somebody at the server may have set something else; and it returns whether commits wait for
/// standbys. What is set for a transaction lasts until after its commit.
const DURABLE: &str = "current_setting('synchronous_standby_names') \
    || left(set_config('synchronous_commit', 'on', true), 0) || left(set_config('client_min_messages', 'warning', true), 0)";

/// A write without a table. A primary that is cut off cannot commit it, and it is behind all that was read before.
const BARRIER: &str = "SELECT {durable} FROM pg_logical_emit_message(true, 'apikey', ''::text)";

impl Connection {
    /// Connects, and checks what it can. `first` are the checks that hold for all later ones. `asked` names the
    /// host whose turn it is, for who gives this up.
    pub(super) async fn open(
        settings: &Settings,
        hosts: &Arc<Hosts>,
        first: bool,
        asked: &AtomicUsize,
    ) -> LedgerResult<Self> {
        let mut choice = Choice::default();
        for host in hosts.in_order() {
            asked.store(host, Ordering::Relaxed);
            if let Some((connection, _)) = choice.take(hosts, Self::open_checked(settings, hosts, host, first).await) {
                return Ok(connection);
            }
        }
        choice.end().map(|(connection, _)| connection)
    }

    async fn open_checked(settings: &Settings, hosts: &Arc<Hosts>, host: usize, first: bool) -> LedgerResult<Opened> {
        let (mut connection, notifications) = Self::open_raw(settings, hosts, host).await?;
        if first {
            let second = Self::open_raw(settings, hosts, host).await?.0;
            checks::is_direct(&connection.client, &second.client).await?;
        }
        connection.identity = checks::server(&connection.client, settings).await?;
        schema::ensure(&connection.client, settings).await?;
        Ok((connection, notifications))
    }

    /// A session for notifications, and these.
    pub(crate) async fn open_listener(settings: &Settings, hosts: &Arc<Hosts>) -> LedgerResult<Opened> {
        let mut choice = Choice::default();
        for host in hosts.in_order() {
            if let Some(opened) = choice.take(hosts, Self::open_listener_at(settings, hosts, host).await) {
                return Ok(opened);
            }
        }
        choice.end()
    }

    async fn open_listener_at(settings: &Settings, hosts: &Arc<Hosts>, host: usize) -> LedgerResult<Opened> {
        let (mut connection, notifications) = Self::open_raw(settings, hosts, host).await?;
        connection.identity = checks::identity(&connection.client).await?;
        Ok((connection, notifications))
    }

    async fn open_raw(settings: &Settings, hosts: &Arc<Hosts>, host: usize) -> LedgerResult<Opened> {
        let config = settings.config(host).map_err(LedgerError::refused)?;
        let refused = |error| failure::not_connected(&error, &settings.server_at(host), settings.user());
        let warnings = Arc::new(Warnings::default());
        let (sender, notifications) = unbounded_channel();
        let (client, task) = if settings.tls.mode == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
            (client, tokio::spawn(receive(connection, warnings.clone(), sender)))
        } else {
            let connector = tls::connector(&settings.tls).map_err(LedgerError::refused)?;
            let (client, connection) = config.connect(connector).await.map_err(refused)?;
            (client, tokio::spawn(receive(connection, warnings.clone(), sender)))
        };
        let connection = Self {
            client,
            task: task.abort_handle(),
            warnings,
            prepared: tokio::sync::Mutex::default(),
            prefix: format!("{}.apikey_", settings.quoted_schema()),
            replicated: !settings.single,
            identity: Identity::default(),
            hosts: hosts.clone(),
            host,
            known: 0,
        };
        checks::set_up(&connection.client).await?;
        Ok((connection, notifications))
    }

    /// Whether the server is no longer the primary, as far as another connection has learnt since.
    pub(crate) fn is_former(&self) -> bool {
        let timeline = self.hosts.timeline();
        self.identity.timeline < timeline && self.known < timeline
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether what it confirms is on a standby.
    pub(crate) fn is_replicated(&self) -> bool {
        self.replicated
    }

    /// For what has no parameters.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Failure> {
        let mut prepared = self.prepared.lock().await;
        if let Some(statement) = prepared.get(sql) {
            return Ok(statement.clone());
        }
        let text = sql.replace("{durable}", DURABLE).replace('@', &self.prefix);
        let statement = self.client.prepare(&text).await?;
        prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Reads, and has no part in any promise.
    pub(crate) async fn query(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Failure> {
        Ok(self.client.query(&self.statement(sql).await?, params).await?)
    }

    /// Reads, and then makes sure that what was read is what a primary has that is not cut off, and that it is on a standby:
    /// after a restart a primary shows what it never told anybody that it is done. The two are sent together.
    pub(crate) async fn query_linearizable(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Failure> {
        if !self.replicated {
            return self.query(sql, params).await;
        }
        let (read, barrier) = (self.statement(sql).await?, self.statement(BARRIER).await?);
        let before = self.warnings.count();
        let (rows, done) = tokio::join!(self.client.query(&read, params), self.client.query_one(&barrier, &[]));
        let (rows, done) = (rows?, done?);
        self.check_durable(&done, before).map_err(refused)?;
        Ok(rows)
    }

    /// Makes sure of what was read on this connection before.
    pub(crate) async fn barrier(&self) -> Result<(), Failure> {
        if self.replicated {
            let barrier = self.statement(BARRIER).await?;
            let before = self.warnings.count();
            let done = self.client.query_one(&barrier, &[]).await?;
            self.check_durable(&done, before).map_err(refused)?;
        }
        Ok(())
    }

    /// Writes by one statement that returns `{durable}` as its first column if it did: its row, if so.
    pub(crate) async fn write(&self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>, Failure> {
        let statement = self.statement(sql).await?;
        let before = self.warnings.count();
        let row = self.client.query_opt(&statement, params).await?;
        if let Some(row) = &row {
            self.check_durable(row, before)?;
        }
        Ok(row)
    }

    /// Writes by one statement that returns rows, each with `{durable}` as its first column, whatever it did.
    pub(crate) async fn write_all(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Failure> {
        let statement = self.statement(sql).await?;
        let before = self.warnings.count();
        let rows = self.client.query(&statement, params).await?;
        if let Some(row) = rows.first() {
            self.check_durable(row, before)?;
        }
        Ok(rows)
    }

    /// Sends a statement whose answer nobody waits for: it is read and thrown away.
    pub(crate) async fn send(&self, sql: &'static str, params: Params<'_>) -> Result<(), Failure> {
        let statement = self.statement(sql).await?;
        // It is sent as soon as it is polled.
        tokio::select! {
            biased;
            done = self.client.execute(&statement, params) => drop(done?),
            () = std::future::ready(()) => {}
        }
        Ok(())
    }

    /// A transaction of two statements, each with its own snapshot, sent together: the first writes as
    /// [`write`](Self::write) does. `None` if it wrote nothing.
    pub(crate) async fn write_and_read(
        &self,
        sql: &'static str,
        params: Params<'_>,
        read: &'static str,
        read_params: Params<'_>,
    ) -> Result<Option<Row>, Failure> {
        let (statement, read) = (self.statement(sql).await?, self.statement(read).await?);
        let before = self.warnings.count();
        let (begun, written, row, committed) = tokio::join!(
            self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
            self.client.query_opt(&statement, params),
            self.client.query_one(&read, read_params),
            self.client.batch_execute("COMMIT"),
        );
        begun?;
        // If this one fails, the others do, and say less.
        let written = written?;
        let row = row?;
        committed?;
        match written {
            Some(written) => self.check_durable(&written, before).map(|()| Some(row)),
            None => Ok(None),
        }
    }

    fn check_durable(&self, row: &Row, warnings_before: u64) -> Result<(), Failure> {
        if let Some(text) = self.warnings.since(warnings_before) {
            return Err(Failure::Warning(text));
        }
        let standbys: &str = row.try_get(0)?;
        if self.replicated && standbys.is_empty() {
            return Err(LedgerError::unknown(checks::NO_STANDBYS).into());
        }
        self.hosts.answered(self.host, self.identity.timeline);
        Ok(())
    }
}

impl Drop for Connection {
    /// Closes the connection without a word: the task would otherwise wait for the answer to what was sent. A request to
    /// cancel is never sent, since PostgreSQL then answers success although no standby has the commit.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection, and the notifications that come on it.
type Opened = (Connection, UnboundedReceiver<String>);

/// Of what the hosts give, in their order, the first connection to no former primary; one to a former primary if there is no
/// other.
#[derive(Default)]
struct Choice {
    former: Option<Opened>,
    errors: Vec<String>,
}

impl Choice {
    /// Takes what one host gives; returns it if that is the one to use.
    fn take(&mut self, hosts: &Hosts, opened: LedgerResult<Opened>) -> Option<Opened> {
        match opened {
            Ok((mut connection, notifications)) => {
                connection.known = hosts.timeline();
                if connection.identity.timeline >= connection.known {
                    return Some((connection, notifications));
                }
                self.former.get_or_insert((connection, notifications));
            }
            Err(LedgerError::Refused { what }) => self.errors.push(what),
            Err(error) => self.errors.push(error.to_string()),
        }
        None
    }

    fn end(self) -> LedgerResult<Opened> {
        self.former.ok_or_else(|| LedgerError::refused(self.errors.join("; ")))
    }
}

/// A parameter of a statement.
pub(crate) type Param<'a> = &'a (dyn ToSql + Sync);

pub(crate) type Params<'a> = &'a [Param<'a>];

/// What was only read, and may be wrong, is no answer; but nothing was done.
fn refused(failure: Failure) -> Failure {
    match failure {
        Failure::Verdict(LedgerError::Unknown { what }) => LedgerError::refused(what).into(),
        other => other,
    }
}

/// Receives for a connection, as long as it lasts.
async fn receive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    warnings: Arc<Warnings>,
    notifications: UnboundedSender<String>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            AsyncMessage::Notice(notice) => {
                tracing::debug!(code = notice.code().code(), "PostgreSQL: {}", notice.message());
                // Before the answer that follows it is passed on.
                warnings.add(notice.message().to_owned());
            }
            AsyncMessage::Notification(notification) => {
                // Most connections have nobody who listens.
                let _ = notifications.send(notification.payload().to_owned());
            }
            _ => {}
        }
    }
}
