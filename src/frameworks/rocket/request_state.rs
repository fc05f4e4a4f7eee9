//! A rocket request as a source of keys, and the state that guards keep in it for later ones.

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use ::rocket::Request;
use ::rocket::http::Status;
use apikey_core::{Charge, HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

use crate::ask::{GuardLog, KeySource, Rejection};

/// What guards keep in a request.
#[derive(Debug, Default)]
pub(in crate::frameworks) struct RequestState {
    pub(in crate::frameworks) log: GuardLog,
    key: OnceLock<VerifiedKey>,
    rejection: Mutex<Option<Rejection>>,
}

impl RequestState {
    pub(in crate::frameworks) fn of<'a>(request: &'a Request<'_>) -> &'a Self {
        request.local_cache(Self::default)
    }

    /// Keeps the key that a guard verified.
    pub(super) fn keep_key(&self, key: VerifiedKey) {
        // Set already if rocket forwarded the request from another route; that key is of the same store.
        let _ = self.key.set(key);
    }

    /// Keeps the rejection, since rocket's errors carry no body and a catcher must find it here. Returns its status.
    pub(super) fn refuse(&self, rejection: Rejection) -> Status {
        let status = Status::new(rejection.status());
        *self.rejection.lock().unwrap_or_else(PoisonError::into_inner) = Some(rejection);
        status
    }

    /// The rejection that led to an error with this status.
    pub(super) fn rejection(&self, status: Status) -> Option<Rejection> {
        let rejection = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
        rejection.clone().filter(|rejection| rejection.status() == status.code)
    }
}

/// Returns the key that a guard of this request has accepted, for a fairing that logs responses: those have no
/// extensions in rocket.
///
/// ```ignore
/// use rocket::fairing::AdHoc;
///
/// rocket::build().attach(AdHoc::on_response("access log", |request, response| {
///     Box::pin(async move {
///         let key = apikey::rocket::verified_key(request);
///         tracing::info!(path = %request.uri(), status = response.status().code, owner = key.as_ref().map(|key| key.owner()));
///     })
/// }));
/// ```
#[must_use]
pub fn verified_key(request: &Request<'_>) -> Option<VerifiedKey> {
    RequestState::of(request).log.key()
}

impl KeySource for Request<'_> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        let values = |name: &str| self.headers().get(name).map(str::as_bytes).collect::<Vec<_>>();
        config.presented(values(config.header()), values("authorization"))
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        // This is not `client_ip`, which trusts `X-Real-IP` from any sender.
        let socket = self.remote().as_ref().map(SocketAddr::ip);
        let peer = config.peer(socket, |name| self.headers().get(name).map(str::as_bytes).collect::<Vec<_>>());
        match (peer, socket) {
            // Rocket may have dropped the line that names the caller, if it was not UTF-8. So a proxy is never the
            // caller.
            (Peer::Known(address), Some(socket)) if config.trusts(address) => Peer::Behind(socket),
            (peer, _) => peer,
        }
    }

    fn store(&self) -> Option<&KeyStore> {
        self.rocket().state()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        RequestState::of(self).key.get()
    }

    fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        RequestState::of(self).log.record(store, key);
    }

    fn charge(&self, store: &KeyStore) -> Charge {
        RequestState::of(self).log.charge(store)
    }

    fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        RequestState::of(self).log.note_charge(store, charge);
    }
}
