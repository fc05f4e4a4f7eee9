//! Signing in: a code or a key is exchanged for a session.

use apikey_core::admin::SecretText;
use apikey_core::{Attempt, AuthError, OF_THE_STORE, Peer, VerifiedKey};
use serde::Deserialize;

use super::Console;
use super::principal::Principal;
use crate::answer::{PlainResponse, Problem, from_json};
use crate::ask::Rejection;

/// What a caller presents: one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential {
    code: Option<SecretText>,
    key: Option<SecretText>,
}

impl Console {
    /// Whom the body of a request proves to be there.
    pub(super) fn prove(&self, body: &[u8], peer: Peer) -> Result<Principal, Box<PlainResponse>> {
        let proof: Credential = from_json(body).map_err(|problem| Box::new(problem.into()))?;
        match proof {
            Credential { code: Some(code), key: None } => self.prove_code(code.expose_secret(), peer),
            Credential { code: None, key: Some(key) } => self.prove_key(key.expose_secret(), peer),
            _ => Err(refused(422, "invalid_field", "expected `code`, or `key`, and one of them")),
        }
    }

    fn prove_code(&self, code: &str, peer: Peer) -> Result<Principal, Box<PlainResponse>> {
        let now = self.state.now();
        match self.store().attempt_with(peer, || self.state.codes.take(code, now)) {
            Ok(operator) => Ok(Principal::Operator(operator)),
            Err(AuthError::Invalid) => {
                let detail = "the link was used, or is older than 60 seconds, or is one of another node: ask for another with \
                              `apikey console`";
                Err(refused(401, "invalid_code", detail))
            }
            Err(error) => Err(Box::new(Rejection::of(self.store(), error).into())),
        }
    }

    fn prove_key(&self, token: &str, peer: Peer) -> Result<Principal, Box<PlainResponse>> {
        if !self.with_keys {
            return Err(refused(403, "no_sign_in_by_key", "nobody signs in here with a key"));
        }
        let key = self.store().check(&Attempt::new(token).peer(peer));
        let key =
            key.map_err(|error| Box::new(PlainResponse::from(Rejection::of_token(self.store(), error, token))))?;
        if !manages(&key) {
            let detail = "the key may not manage keys: the console is for keys with permissions such as keys:read";
            return Err(refused(403, "insufficient_permission", detail));
        }
        Ok(Principal::key(key))
    }
}

/// Whether a key has anything to do here.
fn manages(key: &VerifiedKey) -> bool {
    OF_THE_STORE.iter().any(|permission| key.allows(permission))
}

fn refused(status: u16, code: &'static str, detail: &str) -> Box<PlainResponse> {
    Box::new(Problem::new(status, code, detail).into())
}
