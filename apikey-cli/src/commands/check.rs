//! Whether a key is good, and for what.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Read};

use apikey_core::{Attempt, AuthError, KeyFilter, KeyId, KeyStore, OverlapEnd, Requirement, StoreError, VerifiedKey};
use chrono::Utc;
use serde_json::json;
use zeroize::Zeroizing;

use super::keys::pages;
use super::{Context, rehearsal_of};
use crate::args::Check;
use crate::failure::Failure;
use crate::key_view::{self, KeyView};
use crate::out;

/// More than any key has; what follows is not read.
const MOST: u64 = 4096;

pub(super) fn check(context: &Context, check: &Check) -> Result<(), Failure> {
    if !check.token.is_empty() {
        return Err(Failure::usage(
            "a key is never given on the command line, where other users and the shell's history see it: write it to \
             standard input. The one you typed is known there now: rotate it",
        ));
    }
    let requirement = match check.permissions.as_slice() {
        [] => Requirement::authenticated(),
        [permission] => Requirement::permission(permission).map_err(StoreError::from)?,
        permissions => Requirement::all(permissions.iter().map(String::as_str)).map_err(StoreError::from)?,
    };
    // Before the store is opened: nobody has to wait until a person has typed.
    let token = read_token()?;
    context.with_store(false, |store| {
        let attempt = Attempt::new(&token).needs(&requirement);
        let verdict = without_first_use(context, store, &attempt)?;
        answer(context, store, verdict)
    })
}

/// One key, without the line's end.
fn read_token() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    if io::stdin().is_terminal() {
        *text = rpassword::prompt_password("API key: ").map_err(|error| Failure::input(&error))?;
    } else {
        let mut bytes = Zeroizing::new(Vec::new());
        io::stdin().lock().take(MOST).read_to_end(&mut bytes).map_err(|error| Failure::input(&error))?;
        // What is no UTF-8 is no key: it is refused like any other text that is none.
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    let token = Zeroizing::new(text.trim().to_owned());
    if token.lines().count() > 1 {
        return Err(Failure::usage("one key is expected on standard input, there are several lines"));
    }
    Ok(token)
}

/// Verifying a new secret may end the old one (`--overlap first-use`). Asking must not: keys that stand so are asked in
/// a copy.
fn without_first_use(
    context: &Context,
    store: &KeyStore,
    attempt: &Attempt<'_>,
) -> Result<Result<VerifiedKey, AuthError>, Failure> {
    let (keys, _) = pages(store, KeyFilter::default(), usize::MAX)?;
    let waiting: HashSet<KeyId> =
        keys.iter().filter(|key| key.overlap() == Some(OverlapEnd::FirstUse)).map(apikey_core::KeyInfo::id).collect();
    if waiting.is_empty() {
        return Ok(store.check(attempt));
    }
    match rehearsal_of(context, store, Some(&waiting))?.check(attempt) {
        Err(AuthError::Invalid | AuthError::Missing) => Ok(store.check(attempt)),
        verdict => Ok(verdict),
    }
}

fn answer(context: &Context, store: &KeyStore, verdict: Result<VerifiedKey, AuthError>) -> Result<(), Failure> {
    let now = Utc::now();
    match verdict {
        Ok(verified) => {
            let info = store.get(verified.id())?.ok_or(StoreError::NotFound(verified.id()))?;
            let until = verified.superseded_until();
            if context.json {
                return out::json(&json!({
                    "good": true,
                    "code": null,
                    "secret_version": verified.secret_version(),
                    "superseded": verified.superseded(),
                    "superseded_until": until,
                    "key": KeyView::new(&info, now),
                }));
            }
            out::text(&out::aligned(&[vec![out::good(true, "good")]]))?;
            if verified.superseded() {
                out::text(&match until {
                    Some(end) => {
                        format!("an old secret: its successor is out, and it ends {}", crate::moment::both(end, now))
                    }
                    None => "an old secret: its successor is out, and it ends when that is used".to_owned(),
                })?;
            }
            out::text(&key_view::block(&info, now))
        }
        Err(error) => {
            if context.json {
                let text = error.to_string();
                out::json(&json!({ "good": false, "code": error.code(), "text": text, "key": null }))?;
            } else {
                out::text(&out::aligned(&[vec![out::good(false, error.code()), error.to_string().into()]]))?;
            }
            Err(Failure::no())
        }
    }
}
