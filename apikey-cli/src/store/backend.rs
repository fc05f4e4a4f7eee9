//! The store that answers requests: in this process, or through the service that has it open. Commands need not know
//! which.

use std::path::PathBuf;
#[cfg(unix)]
use std::sync::mpsc::{self, RecvTimeoutError};
#[cfg(unix)]
use std::time::Duration;

use apikey_core::admin::{
    Answer, Changed, Diagnosis, EventsToPurge, Imports, MostUsed, NewSecret, OwnerChanged, OwnerPage, RefusedRequests,
    Request, RolePage, RolePut, SecretText, Session, TenantChanged, TenantPage, UsageAnswer, Verdict,
};
use apikey_core::{
    AcceptedClock, BackupReport, EventPage, Health, KeyFilter, KeyId, KeyInfo, KeyStore, MAX_PAGE, OwnerInfo, Page,
    QuotaStatus, RoleInfo, RunReport, TenantInfo,
};
use chrono::{DateTime, Utc};

use crate::failure::{Code, Failure};
use crate::identity::actor;
use crate::output;
use crate::time::both;

/// A store that answers requests.
#[derive(Debug)]
pub(crate) enum Backend {
    Local {
        store: KeyStore,
        session: Box<Session>,
    },
    /// A store that answers through the service's socket.
    #[cfg(unix)]
    Service {
        client: apikey_core::admin::Client,
        /// The note to print if it does not answer soon.
        slow_note: Option<String>,
    },
    /// A service that has the API for managing keys at a URL.
    #[cfg(feature = "http")]
    Http(Box<super::http::Http>),
}

/// How long an answer may take before the note is printed.
#[cfg(unix)]
const SLOW_AFTER: Duration = Duration::from_secs(10);

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $kind:ty, $value:ident => $result:expr;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&mut self, request: Request) -> Result<$kind, Failure> {
            let name = request.name();
            match self.ask(request)? {
                Answer::$variant($value) => Ok($result),
                _ => Err(Failure::new(Code::Refused, format!("the answer to {name} has another type"))),
            }
        })*
    };
}

impl Backend {
    /// A store that this process has opened. Events name the user that ran the command, as they do through a service.
    pub(crate) fn local(store: KeyStore) -> Self {
        let store = store.as_actor(actor());
        Self::Local { session: Box::new(Session::new(store.clone())), store }
    }

    /// Whether a service has the store open, and answers.
    pub(crate) fn is_service(&self) -> bool {
        !matches!(self, Self::Local { .. })
    }

    fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        let answer = match self {
            Self::Local { session, .. } => session.ask(request),
            #[cfg(feature = "http")]
            Self::Http(http) => return http.ask(request),
            #[cfg(unix)]
            Self::Service { client, slow_note } => with_slow_note(slow_note.as_deref(), || client.ask(&request)),
        };
        match answer {
            Answer::Fault(fault) => Err(fault.into()),
            answer => Ok(answer),
        }
    }

    answers! {
        health: Health -> Health, health => health;
        diagnosis: Diagnosis -> Diagnosis, diagnosis => diagnosis;
        new_secret: NewSecret -> NewSecret, new => *new;
        key: Key -> KeyInfo, key => *key;
        quota: Quota -> Option<QuotaStatus>, status => status;
        changed: Changed -> Changed, changed => *changed;
        keys: Keys -> Page, page => page;
        role_put: RolePut -> RolePut, put => *put;
        tenant_changed: TenantChanged -> TenantChanged, of => *of;
        tenant_page: Tenants -> TenantPage, page => page;
        owner_changed: OwnerChanged -> OwnerChanged, of => *of;
        owner_page: Owners -> OwnerPage, page => page;
        role_page: Roles -> RolePage, page => page;
        events: Events -> EventPage, page => page;
        count: Count -> u64, count => count;
        events_to_purge: EventsToPurge -> EventsToPurge, events => *events;
        refusals: Refusals -> RefusedRequests, refusals => refusals;
        usage: Usage -> UsageAnswer, usage => *usage;
        most_used: MostUsed -> MostUsed, keys => keys;
        verdict: Verdict -> Verdict, verdict => *verdict;
        imports: Imports -> Imports, imports => imports;
        run: Run -> RunReport, report => report;
        clock: Clock -> Option<AcceptedClock>, accepted => accepted;
        lines: Lines -> apikey_core::admin::Lines, lines => lines;
        console_link: ConsoleLink -> SecretText, link => link;
    }

    /// Takes the node out of its cluster; returns whether the engine knows, and the health of the store after it.
    pub(crate) fn left(&mut self, request: Request) -> Result<(bool, Health), Failure> {
        match self.ask(request)? {
            Answer::Left { unlisted, health } => Ok((unlisted, *health)),
            _ => Err(Failure::new(Code::Refused, "the answer to leave_cluster has another type")),
        }
    }

    /// Reads page after page, up to `limit` keys for which `keep` holds; returns the last key, too, if there may be more.
    pub(crate) fn pages(
        &mut self,
        mut filter: KeyFilter,
        limit: usize,
        keep: impl Fn(&KeyInfo) -> bool,
    ) -> Result<(Vec<KeyInfo>, Option<KeyId>), Failure> {
        let mut keys = Vec::new();
        loop {
            filter = filter.limit((limit - keys.len()).min(MAX_PAGE));
            let page = self.keys(Request::List(filter.clone()))?;
            keys.extend(page.keys.into_iter().filter(&keep));
            let Some(next) = page.next else { return Ok((keys, None)) };
            if keys.len() >= limit {
                return Ok((keys, Some(next)));
            }
            filter = filter.after(next);
        }
    }

    /// Reads all roles, sorted by name.
    pub(crate) fn roles(&mut self) -> Result<Vec<RoleInfo>, Failure> {
        let (mut roles, mut after) = (Vec::new(), None);
        loop {
            let page = self.role_page(Request::Roles { after })?;
            roles.extend(page.roles);
            after = page.next;
            if after.is_none() {
                return Ok(roles);
            }
        }
    }

    /// Reads all tenants that were put or have ended, sorted by name.
    pub(crate) fn tenants(&mut self) -> Result<Vec<TenantInfo>, Failure> {
        let (mut tenants, mut after) = (Vec::new(), None);
        loop {
            let page = self.tenant_page(Request::Tenants { after })?;
            tenants.extend(page.tenants);
            after = page.next;
            if after.is_none() {
                return Ok(tenants);
            }
        }
    }

    /// Reads all owners that were put and have bounds, sorted by tenant and name; `request` makes it those of a tenant.
    pub(crate) fn owners(&mut self, request: impl Fn(Request) -> Request) -> Result<Vec<OwnerInfo>, Failure> {
        let (mut owners, mut after) = (Vec::new(), None);
        loop {
            let page = self.owner_page(request(Request::Owners { after }))?;
            owners.extend(page.owners);
            after = page.next;
            if after.is_none() {
                return Ok(owners);
            }
        }
    }

    /// Backs the store up into a file; a relative path starts at the command's working directory.
    pub(crate) fn backup(&mut self, file: PathBuf) -> Result<BackupReport, Failure> {
        let path = std::path::absolute(&file).map_err(|error| Failure::file(&file, &error))?;
        match self.ask(Request::Backup { path })? {
            Answer::BackedUp(mut report) => {
                report.path = file;
                Ok(report)
            }
            _ => Err(Failure::new(Code::Refused, "the answer to backup has another type")),
        }
    }

    /// Returns the store's time, by which keys begin and end. It is ahead of the clock if an event was written while
    /// the clock was wrong.
    pub(crate) fn time(&mut self) -> DateTime<Utc> {
        let clock = Utc::now();
        match self.health(Request::Health) {
            Ok(Health { ahead: Some(lead), .. }) => clock.max(lead.store_time),
            _ => clock,
        }
    }

    /// Prints a note if the service's disk has failed, since answers may then be incomplete.
    pub(crate) fn warn_of_failed_disk(&mut self) {
        if !self.is_service() {
            return;
        }
        if let Ok(Health { failed_since: Some(since), .. }) = self.health(Request::Health) {
            output::note(&format!(
                "the service's disk fails since {}: this answer has what the service knows and can read. Restrictions made since \
                 then are in force, as `apikey check` shows, and may be missing in lists",
                both(since, Utc::now())
            ));
        }
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Local { store, .. } => Ok(store.close()?),
            #[cfg(unix)]
            Self::Service { .. } => Ok(()),
            #[cfg(feature = "http")]
            Self::Http(_) => Ok(()),
        }
    }
}

/// Prints the note if the work takes longer than usual. A stopped service accepts the request and never answers.
#[cfg(unix)]
fn with_slow_note<T>(note: Option<&str>, work: impl FnOnce() -> T) -> T {
    let Some(note) = note else { return work() };
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // If the thread does not start, the note is not printed.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
            if waiting.recv_timeout(SLOW_AFTER) == Err(RecvTimeoutError::Timeout) {
                output::note(note);
            }
        });
        let answer = work();
        drop(done);
        answer
    })
}
