//! The two steps of an answer: what the head of a request allows, and what follows once its body is there.

use std::fmt;

use apikey_core::{AuthError, Peer};
use http::request::Parts as Head;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri};
use serde_json::{Value, json};

use super::fields::FIELDS;
use super::moment::Moment;
use super::owner::Owner;
use super::principal::Principal;
use super::sessions::Session;
use super::target::{self, Target};
use super::{Console, assets, cookie, describe, origin};
use crate::answer::{PlainResponse, Problem};
use crate::ask::{GuardLog, KeySource, Rejection};
use crate::management::{self, Acting, Caller, json_answer};
use crate::served::sealed::Sealed;
use crate::served::{FullPath, MAX_BODY, Pending, Served, content_length, media_type, too_large};

type Answer = Result<PlainResponse, Box<PlainResponse>>;

/// Whoever makes a request, with the session if it is one of the console's own.
enum Present {
    /// A principal that has signed in here: the token of the session, the session, and the principal as it is now.
    SignedIn { token: String, is_plain: bool, session: Box<Session>, principal: Principal },
    /// An owner that the application has signed in.
    Owner(Box<Owner>),
}

/// The token of a session, and whether it came in the cookie of plain HTTP.
struct Ticket {
    token: String,
    is_plain: bool,
}

/// A request whose head is admitted.
#[doc(hidden)]
pub struct Admitted(Next);

enum Next {
    SignIn,
    Confirm(Box<Present>),
    /// The operation of the API, and the session if it is one of the console's own.
    Api(Box<management::Admitted>, Option<Ticket>),
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admitted")
    }
}

impl Sealed for Console {}

impl Served for Console {
    type Admitted = Admitted;

    fn begin(&self, head: &mut Head) -> Result<Admitted, Box<Pending>> {
        let is_head = head.method == Method::HEAD;
        let ready =
            |answer: PlainResponse| Box::new(Pending::ready(answer, GuardLog::default(), is_head).with_fields(FIELDS));
        match self.admit(head) {
            Ok(Ok(next)) => Ok(Admitted(next)),
            Ok(Err(pending)) => Err(Box::new(pending.with_fields(FIELDS))),
            Err(answer) => Err(ready(*answer)),
        }
    }

    fn finish(&self, head: Head, Admitted(next): Admitted, body: Result<Vec<u8>, Problem>) -> Pending {
        let body = body.and_then(|body| match body.len() {
            length if length > MAX_BODY => Err(too_large(length as u64)),
            0 => Ok(body),
            _ => check_media_type(&head.headers).map(|()| body),
        });
        let answer = match (next, body) {
            (Next::Api(admitted, ticket), body) => {
                match ticket.map_or(Ok(()), |ticket| self.check_again(&head, &ticket)) {
                    Ok(()) => return self.management.carry_out(head, *admitted, body).with_fields(FIELDS),
                    Err(answer) => Err(answer),
                }
            }
            (_, Err(problem)) => Err(Box::new(problem.into())),
            (Next::SignIn, Ok(body)) => self.sign_in(&head, &body),
            (Next::Confirm(present), Ok(body)) => self.confirm(&head, *present, &body),
        };
        let answer = answer.unwrap_or_else(|answer| *answer);
        Pending::ready(answer, GuardLog::default(), false).with_fields(FIELDS)
    }
}

impl Console {
    /// What follows once the body is there.
    ///
    /// # Errors
    /// The answer, if that is all there is to do; inside, the answer of the API to a head that it does not admit.
    fn admit(&self, head: &mut Head) -> Result<Result<Next, Pending>, Box<PlainResponse>> {
        let target = target::find(&head.method, head.uri.path())?;
        if let Target::File(file) = target {
            let answer = match with_slash(head).filter(|_| file == 0) {
                Some(location) => PlainResponse::empty(308).with("location", location),
                None => assets::answer(file, &head.headers).map_err(boxed)?,
            };
            return Err(Box::new(answer));
        }
        origin::check(head, self.state.url().as_deref()).map_err(boxed)?;
        if let Some(length) = content_length(head).filter(|length| *length > MAX_BODY as u64) {
            return Err(Box::new(too_large(length).into()));
        }
        let answer = match target {
            Target::SignIn => return Ok(Ok(Next::SignIn)),
            Target::Confirm => return Ok(Ok(Next::Confirm(Box::new(self.present(head)?)))),
            Target::Api(path) => return self.admit_api(head, &path),
            Target::ReadSession => self.read_session(head),
            Target::SignOut => Ok(self.sign_out(head)),
            Target::ListSessions => self.list_sessions(head),
            Target::EndSessions => self.end_sessions(head),
            Target::File(_) => Err(boxed(Problem::new(404, "not_found", "there is no such resource"))),
        };
        Err(answer.map_or_else(|answer| answer, Box::new))
    }

    fn admit_api(&self, head: &mut Head, path: &str) -> Result<Result<Next, Pending>, Box<PlainResponse>> {
        let present = self.present(head)?;
        let now = self.state.now();
        let (caller, is_fresh, ticket) = match present {
            Present::SignedIn { token, is_plain, session, principal } => {
                self.state.sessions.note_use(&token, now);
                let caller = match principal {
                    Principal::Key { key, .. } => Caller::Key(key),
                    Principal::Operator(operator) => Caller::Operator(operator),
                };
                (caller, session.is_fresh(now), Some(Ticket { token, is_plain }))
            }
            Present::Owner(owner) => (owner.caller(), describe::is_fresh(&owner, now), None),
        };
        let target = match head.uri.query() {
            None => path.to_owned(),
            Some(query) => format!("{path}?{query}"),
        };
        let target: PathAndQuery =
            target.parse().map_err(|_| boxed(Problem::new(404, "not_found", "there is no such resource")))?;
        head.uri = Uri::from(target);
        let acting = Acting::in_session(caller, self.peer(head), is_fresh);
        match self.management.begin_as(head, Some(acting)) {
            Ok(admitted) => Ok(Ok(Next::Api(Box::new(admitted), ticket))),
            Err(pending) => Ok(Err(*pending)),
        }
    }

    /// Whoever makes the request.
    ///
    /// # Errors
    /// `no_session` (401), with a cookie taken away if there was one.
    fn present(&self, head: &Head) -> Result<Present, Box<PlainResponse>> {
        let mut ended = None;
        // Where the console is not on this machine, another host of its domain can set the cookie of plain HTTP.
        let may_be_plain = origin::may_be_plain(head, self.state.url().as_deref());
        for presented in cookie::presented(&head.headers).filter(|presented| may_be_plain || !presented.is_plain) {
            let ticket = Ticket { token: presented.token.to_owned(), is_plain: presented.is_plain };
            match self.signed_in(head, &ticket)? {
                Some((session, principal)) => {
                    let Ticket { token, is_plain } = ticket;
                    return Ok(Present::SignedIn { token, is_plain, session: Box::new(session), principal });
                }
                None => ended = ended.or(Some(presented.is_plain)),
            }
        }
        if let Some(owner) = self.owner_from.as_ref().and_then(|owner_from| owner_from(head)) {
            return Ok(Present::Owner(Box::new(owner)));
        }
        Err(Box::new(self.no_session(ended)))
    }

    /// The session of a ticket, and its principal as it is now; `None` if it has ended.
    ///
    /// # Errors
    /// The store does not know: it is closed, or behind its cluster.
    fn signed_in(&self, head: &Head, ticket: &Ticket) -> Result<Option<(Session, Principal)>, Box<PlainResponse>> {
        let Some(session) = self.state.sessions.find(&ticket.token, ticket.is_plain, self.state.now()) else {
            return Ok(None);
        };
        match self.refreshed(&session.principal, self.peer(head)) {
            Ok(principal) => Ok(Some((session, principal))),
            Err(AuthError::Unavailable) => Err(Box::new(Rejection::of(self.store(), AuthError::Unavailable).into())),
            Err(error) => {
                self.state.sessions.end(&ticket.token);
                tracing::info!(name: "apikey.console", target: "apikey",
                    kind = session.principal.kind(),
                    code = error.code(),
                    "a session of the console ended"
                );
                Ok(None)
            }
        }
    }

    /// Checks a session again once the body is there, which may have taken hours: somebody may have ended it meanwhile.
    fn check_again(&self, head: &Head, ticket: &Ticket) -> Result<(), Box<PlainResponse>> {
        let ended = || Box::new(self.no_session(Some(ticket.is_plain)));
        self.signed_in(head, ticket)?.map(drop).ok_or_else(ended)
    }

    /// The principal as it is now.
    fn refreshed(&self, principal: &Principal, peer: Peer) -> Result<Principal, AuthError> {
        let Principal::Key { key, was_superseded } = principal else { return Ok(principal.clone()) };
        let key = self.store().refresh(key, peer)?;
        // The key was rotated: whoever has the new secret signs in with that.
        if key.superseded() && !was_superseded {
            return Err(AuthError::Rotated);
        }
        Ok(Principal::Key { key, was_superseded: *was_superseded })
    }

    /// The answer to nobody, which takes away the cookie of a session that has ended, if there was one.
    fn no_session(&self, ended: Option<bool>) -> PlainResponse {
        let ways: &[&str] = if self.with_keys { &["link", "key"] } else { &["link"] };
        let document = json!({
            "type": "about:blank",
            "title": "Nobody is signed in",
            "status": 401,
            "detail": "there is no session, or it has ended: sign in",
            "code": "no_session",
            "sign_in": ways,
        });
        let answer = PlainResponse::new(401, "application/problem+json", document.to_string());
        // RFC 9110 section 11.6.1 wants a challenge; no browser asks its user about this one.
        let answer = answer.with("www-authenticate", "Session realm=\"console\"");
        match ended {
            Some(is_plain) => answer.with("set-cookie", cookie::clear(is_plain)),
            None => answer,
        }
    }

    fn read_session(&self, head: &Head) -> Answer {
        // It counts as no use: a page may ask when the session ends.
        let present = self.present(head)?;
        Ok(json_answer(200, &self.described(&present, self.state.now())))
    }

    fn described(&self, present: &Present, now: Moment) -> Value {
        match present {
            Present::SignedIn { session, principal, .. } => describe::session(self.store(), principal, session, now),
            Present::Owner(owner) => describe::owner(self.store(), owner, now),
        }
    }

    fn sign_in(&self, head: &Head, body: &[u8]) -> Answer {
        let (peer, era) = (self.peer(head), self.state.sessions.era());
        let principal = self.prove(body, peer)?;
        let (kind, name) = (principal.kind(), principal.name());
        let (is_plain, now) = (origin::is_plain(head, self.state.url().as_deref()), self.state.now());
        let begun = self.state.sessions.begin(principal.clone(), peer.address(), is_plain, now, era);
        let begun = begun.map_err(|error| no_random(&error))?;
        let (token, session) = begun.ok_or_else(|| Box::new(self.no_session(None)))?;
        // The session before, if there is one, is nobody's any more.
        for presented in cookie::presented(&head.headers) {
            self.state.sessions.end(presented.token);
        }
        tracing::info!(name: "apikey.console", target: "apikey", kind, name, %peer, "signed in to the console");
        let document = describe::session(self.store(), &principal, &session, now);
        Ok(json_answer(201, &document).with("set-cookie", cookie::set(token.expose_secret(), is_plain)))
    }

    fn confirm(&self, head: &Head, present: Present, body: &[u8]) -> Answer {
        let Present::SignedIn { token, is_plain, principal, .. } = present else {
            let detail = "the application has signed you in: sign in there again";
            return Err(boxed(Problem::new(409, "signed_in_elsewhere", detail)));
        };
        let ticket = Ticket { token, is_plain };
        self.check_again(head, &ticket)?;
        let again = self.prove(body, self.peer(head))?;
        if again.identity() != principal.identity() {
            let detail = format!("the session is that of {}: sign out to sign in as somebody else", principal.name());
            return Err(boxed(Problem::new(403, "another_principal", detail)));
        }
        let now = self.state.now();
        let confirmed = self.state.sessions.confirm(&ticket.token, again.clone(), now);
        let confirmed = confirmed.map_err(|error| no_random(&error))?;
        let (token, session) = confirmed.ok_or_else(|| Box::new(self.no_session(Some(is_plain))))?;
        let document = describe::session(self.store(), &again, &session, now);
        Ok(json_answer(201, &document).with("set-cookie", cookie::set(token.expose_secret(), is_plain)))
    }

    fn sign_out(&self, head: &Head) -> PlainResponse {
        let mut answer = PlainResponse::empty(204);
        for presented in cookie::presented(&head.headers) {
            self.state.sessions.end(presented.token);
            answer = answer.with("set-cookie", cookie::clear(presented.is_plain));
        }
        answer
    }

    /// The token of a session that may see and end the others.
    fn overseer(&self, head: &Head) -> Result<String, Box<PlainResponse>> {
        match self.present(head)? {
            Present::SignedIn { token, principal, .. } if may_end_sessions(&principal) => {
                self.state.sessions.note_use(&token, self.state.now());
                Ok(token)
            }
            _ => {
                let detail = "the sessions are for who runs the service, and for keys of no tenant that have `*`";
                Err(boxed(Problem::new(403, "insufficient_permission", detail)))
            }
        }
    }

    fn list_sessions(&self, head: &Head) -> Answer {
        let token = self.overseer(head)?;
        let all = self.state.sessions.list(&token, self.state.now());
        let all: Vec<Value> = all.iter().map(|(session, is_own)| describe::listed(session, *is_own)).collect();
        Ok(json_answer(200, &json!({ "sessions": all, "node": describe::node(self.store()) })))
    }

    fn end_sessions(&self, head: &Head) -> Answer {
        self.overseer(head)?;
        let count = apikey_core::ConsoleHook::end_all(&*self.state);
        let answer = json_answer(200, &json!({ "count": count }));
        let own = cookie::presented(&head.headers);
        Ok(own.fold(answer, |answer, own| answer.with("set-cookie", cookie::clear(own.is_plain))))
    }

    fn peer(&self, head: &Head) -> Peer {
        KeySource::peer(head, self.store().header_config())
    }
}

fn may_end_sessions(principal: &Principal) -> bool {
    match principal {
        Principal::Operator(_) => true,
        Principal::Key { key, .. } => key.tenant().is_none() && key.permissions().any(|grant| grant == "*"),
    }
}

/// Checks that a body is JSON, which no form of another site can send.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers).as_deref() {
        Some("application/json" | "application/merge-patch+json") => Ok(()),
        _ => Err(Problem::new(415, "unsupported_media_type", "the body must be application/json")),
    }
}

/// Where the page is, for a request that names it without the slash by which a browser finds the files below it.
fn with_slash(head: &Head) -> Option<String> {
    let FullPath(path) = head.extensions.get()?;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty())?;
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Relative, and to no other host, whatever the path is.
    Some(format!("./{name}/{query}"))
}

fn boxed(problem: Problem) -> Box<PlainResponse> {
    Box::new(problem.into())
}

fn no_random(error: &std::io::Error) -> Box<PlainResponse> {
    tracing::error!(name: "apikey.console", target: "apikey", %error, "the system has no random bytes for a session of the console");
    boxed(Problem::new(503, "unavailable", "nobody can sign in now"))
}
