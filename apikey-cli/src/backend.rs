//! Who answers: this process, or the service that has the store open. A command cannot tell, and need not.

use std::path::PathBuf;
#[cfg(unix)]
use std::sync::mpsc::{self, RecvTimeoutError};
#[cfg(unix)]
use std::time::Duration;

use apikey_core::admin::{Answer, Changed, Diagnosis, Imports, Made, Request, Session, Verdict};
use apikey_core::{AcceptedClock, BackupReport, EventPage, Health, KeyInfo, KeyStore, Page, RunReport};
use chrono::{DateTime, Utc};

use crate::failure::{Code, Failure};
use crate::moment::both;
use crate::out;

/// A store that can be asked.
#[derive(Debug)]
pub(crate) enum Backend {
    Here {
        store: KeyStore,
        session: Session,
    },
    /// Through its socket.
    #[cfg(unix)]
    Service {
        client: apikey_core::admin::Client,
        /// What is said where it does not answer soon, if anything is.
        late: Option<String>,
    },
}

/// How long an answer may take until that is said.
#[cfg(unix)]
const SOON: Duration = Duration::from_secs(10);

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $kind:ty, $value:ident => $taken:expr;)*) => {
        $($(#[$doc])*
        pub(crate) fn $name(&mut self, request: Request) -> Result<$kind, Failure> {
            let asked = request.name();
            match self.ask(request)? {
                Answer::$variant($value) => Ok($taken),
                _ => Err(Failure::new(Code::Refused, format!("{asked} was answered with something else"))),
            }
        })*
    };
}

impl Backend {
    /// A store that this process has opened. Changes are in the name of who ran it, as they are through a service.
    pub(crate) fn here(store: KeyStore) -> Self {
        #[cfg(unix)]
        let store = store.as_actor(format!("uid:{}", crate::owner::caller()));
        Self::Here { session: Session::new(store.clone()), store }
    }

    fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        let answer = match self {
            Self::Here { session, .. } => session.ask(request),
            #[cfg(unix)]
            Self::Service { client, late } => telling(late.as_deref(), || client.ask(&request)),
        };
        match answer {
            Answer::Fault(fault) => Err(fault.into()),
            answer => Ok(answer),
        }
    }

    answers! {
        health: Health -> Health, health => health;
        diagnosis: Diagnosis -> Diagnosis, diagnosis => diagnosis;
        made: Made -> Made, made => *made;
        key: Key -> KeyInfo, key => *key;
        changed: Changed -> Changed, changed => *changed;
        keys: Keys -> Page, page => page;
        events: Events -> EventPage, page => page;
        count: Count -> u64, count => count;
        verdict: Verdict -> Verdict, verdict => *verdict;
        imports: Imports -> Imports, imports => imports;
        run: Run -> RunReport, report => report;
        clock: Clock -> Option<AcceptedClock>, accepted => accepted;
        lines: Lines -> apikey_core::admin::Lines, lines => lines;
    }

    /// A backup into a file, which is named from where the command runs.
    pub(crate) fn backup(&mut self, file: PathBuf) -> Result<BackupReport, Failure> {
        let path = std::path::absolute(&file).map_err(|error| Failure::file(&file, &error))?;
        match self.ask(Request::Backup { path })? {
            Answer::BackedUp(mut report) => {
                report.path = file;
                Ok(report)
            }
            _ => Err(Failure::new(Code::Refused, "backup was answered with something else")),
        }
    }

    /// The store's time, by which keys begin and end: ahead of the clock where an event was written under a wrong one.
    pub(crate) fn time(&mut self) -> DateTime<Utc> {
        let clock = Utc::now();
        match self.health(Request::Health) {
            Ok(Health { ahead: Some(lead), .. }) => clock.max(lead.store_time),
            _ => clock,
        }
    }

    /// Says that the disk of the service refuses, if it does: what it answered may not be all.
    pub(crate) fn tell_of_disk(&mut self) {
        if let Self::Here { .. } = self {
            return;
        }
        if let Ok(Health { failed_since: Some(since), .. }) = self.health(Request::Health) {
            out::note(&format!(
                "the service's disk refuses since {}: this is what it knows and can read. What was taken from a key meanwhile \
                 holds, as `apikey check` shows, and may be missing in lists",
                both(since, Utc::now())
            ));
        }
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Here { store, .. } => Ok(store.close()?),
            #[cfg(unix)]
            Self::Service { .. } => Ok(()),
        }
    }
}

/// Says it where the work takes longer than is usual. A service that is stopped takes the request, and never answers.
#[cfg(unix)]
fn telling<T>(late: Option<&str>, work: impl FnOnce() -> T) -> T {
    let Some(late) = late else { return work() };
    let (done, waiting) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // Where there is no room for a thread, nothing is said.
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
            if waiting.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
                out::note(late);
            }
        });
        let answer = work();
        drop(done);
        answer
    })
}
