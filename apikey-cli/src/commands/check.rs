//! Whether a key is good, and for what.

use std::io::{self, IsTerminal};

use apikey_core::admin::{Request, SecretText, Verdict};
use apikey_core::{KeyInfo, KeyState, wiped};
use chrono::{DateTime, Utc};
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
use crate::args::Check;
use crate::failure::Failure;
use crate::key_view::{self, KeyView};
use crate::moment::both;
use crate::out;

/// More than any key has; what follows is not read.
const MOST: usize = 4096;

pub(super) fn check(context: &Context, check: &Check) -> Result<(), Failure> {
    if !check.token.is_empty() {
        return Err(Failure::usage(
            "a key is never given on the command line, where other users and the shell's history see it: write it to \
             standard input. The one you typed is known there now: rotate it",
        ));
    }
    // Before the store is opened: nobody has to wait until a person has typed.
    let token = read_token()?;
    let request = Request::Check {
        token: SecretText::new(token.as_str()),
        permissions: check.permissions.clone(),
        peer: check.peer,
    };
    context.with_store(false, |store| {
        let verdict = store.verdict(request)?;
        answer(context, verdict, store.time())
    })
}

/// One key, without the line's end.
fn read_token() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    if io::stdin().is_terminal() {
        *text = rpassword::prompt_password("API key: ").map_err(|error| Failure::input(&error))?;
    } else {
        let bytes = wiped::read(io::stdin().lock(), MOST).map_err(|error| Failure::input(&error))?;
        // What is no UTF-8 is no key: it is refused like any other text that is none.
        text.push_str(std::str::from_utf8(&bytes).unwrap_or("\u{fffd}"));
    }
    let token = Zeroizing::new(text.trim().to_owned());
    if token.is_empty() {
        return Err(Failure::usage("one key is expected on standard input, which is empty or closed"));
    }
    if token.lines().count() > 1 {
        return Err(Failure::usage("one key is expected on standard input, there are several lines"));
    }
    Ok(token)
}

fn answer(context: &Context, verdict: Verdict, now: DateTime<Utc>) -> Result<(), Failure> {
    match verdict {
        Verdict::Good { key, secret_version, superseded, superseded_until } => {
            if context.json {
                return out::json(&json!({
                    "good": true,
                    "code": null,
                    "secret_version": secret_version,
                    "superseded": superseded,
                    "superseded_until": superseded_until,
                    "key": KeyView::new(&key, now),
                }));
            }
            out::text(&out::aligned(&[vec![out::good(true, "good")]]))?;
            if superseded {
                out::text(&match superseded_until {
                    Some(end) => {
                        format!("an old secret: its successor is out, and it ends {}", both(end, now))
                    }
                    None => "an old secret: its successor is out, and it ends when that is used".to_owned(),
                })?;
            }
            out::text(&key_view::block(&key, now))
        }
        Verdict::Bad { code, text, why, key, secret_version } => {
            let key = key.as_deref();
            if context.json {
                out::json(&json!({
                    "good": false,
                    "code": code,
                    "text": text,
                    "why": why,
                    "secret_version": secret_version,
                    "key": key.map(|key| KeyView::new(key, now)),
                }))?;
            } else {
                out::text(&out::aligned(&[vec![out::good(false, &code), text.into()]]))?;
                if let Some(why) = why {
                    out::text(&why.to_string())?;
                }
                if let Some(key) = key {
                    let named = if secret_version.is_some() { "it is" } else { "it names" };
                    out::text(&format!("{named} {}: {}", key_view::line(key), standing(key, &code, now)))?;
                }
            }
            Err(Failure::no())
        }
    }
}

/// How the key stands, and what of it makes for this answer.
fn standing(key: &KeyInfo, code: &str, now: DateTime<Utc>) -> String {
    let state = key.state(now);
    let since = match (state, key.revoked(), key.expires_at(), key.not_before()) {
        (KeyState::Revoked, Some(revoked), ..) if revoked.reason().is_empty() => {
            format!(" {}", both(revoked.at(), now))
        }
        (KeyState::Revoked, Some(revoked), ..) => format!(" {}: {}", both(revoked.at(), now), revoked.reason()),
        (KeyState::Expired, _, Some(end), _) => format!(" {}", both(end, now)),
        (KeyState::NotYetValid, _, _, Some(start)) => format!(" until {}", both(start, now)),
        _ => String::new(),
    };
    let list = |values: &[String]| if values.is_empty() { "none".to_owned() } else { values.join(" ") };
    let has = match code {
        "address_not_allowed" => format!(", networks {}", list(key.networks())),
        "insufficient_permission" => format!(", permissions {}", list(key.permissions())),
        _ => String::new(),
    };
    format!("{}{since}{has}", state.name())
}
