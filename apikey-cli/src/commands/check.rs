//! Checks whether a key is valid, and for what.

use std::io::{self, IsTerminal};
use std::net::IpAddr;

use apikey_core::admin::{Request, SecretText, Verdict};
use apikey_core::{KeyInfo, KeyState, wiped};
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::key_args::part;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::key_view;
use crate::output::quota_view::QuotaView;
use crate::output::table;
use crate::time::both;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Permissions that the key must have, all of them, separated by commas
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = part)]
    pub(crate) permissions: Vec<String>,
    /// The address from which the key is used, checked against its networks; without it, networks are not checked
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) peer: Option<IpAddr>,
    // The command accepts it only so that clap's error does not repeat it.
    #[arg(hide = true)]
    pub(crate) token: Vec<String>,
}

/// The most bytes to read: more than any key has.
const MAX_BYTES: usize = 4096;

pub(crate) fn check(context: &Context, check: &CheckArgs) -> Result<(), Failure> {
    if !check.token.is_empty() {
        return Err(Failure::usage(
            "do not give a key on the command line, where other users and the shell's history see it: write it to standard \
             input. The key that you typed is exposed now: rotate it",
        ));
    }
    // Before the store is opened, so that no other process waits for a person to type.
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

/// Reads one key, without the line ending.
fn read_token() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    if io::stdin().is_terminal() {
        *text = rpassword::prompt_password("API key: ").map_err(|error| Failure::input(&error))?;
    } else {
        let bytes = wiped::read(io::stdin().lock(), MAX_BYTES).map_err(|error| Failure::input(&error))?;
        // Bytes that are not UTF-8 are not a key: the store refuses this replacement like any other text.
        text.push_str(std::str::from_utf8(&bytes).unwrap_or("\u{fffd}"));
    }
    let token = Zeroizing::new(without_header(text.trim()).to_owned());
    if token.is_empty() {
        return Err(Failure::usage("one key is expected on standard input, which is empty or closed"));
    }
    if token.lines().count() > 1 {
        return Err(Failure::usage("one key is expected on standard input, which has several lines"));
    }
    Ok(token)
}

/// A token that was copied with its header, without that.
fn without_header(text: &str) -> &str {
    let after = |text: &str, begin: &str| {
        let (head, rest) = text.split_at_checked(begin.len())?;
        head.eq_ignore_ascii_case(begin).then(|| rest.trim_start().len())
    };
    let mut token = text;
    for begin in ["x-api-key:", "authorization:", "bearer "] {
        let rest = after(token, begin).and_then(|rest| token.get(token.len() - rest..));
        token = rest.unwrap_or(token);
    }
    token
}

fn answer(context: &Context, verdict: Verdict, now: DateTime<Utc>) -> Result<(), Failure> {
    match verdict {
        Verdict::Good { key, secret_version, superseded, superseded_until, quota } => {
            if context.json {
                return output::json(&json!({
                    "good": true,
                    "code": null,
                    "secret_version": secret_version,
                    "superseded": superseded,
                    "superseded_until": superseded_until,
                    "quota": QuotaView::new(&key, quota.as_ref()),
                    "key": key,
                }));
            }
            output::text(&table::aligned(&[vec![table::good(true, "good")]]))?;
            if superseded {
                output::text(&match superseded_until {
                    Some(end) => {
                        format!("an old secret: it has been replaced, and ends {}", both(end, now))
                    }
                    None => "an old secret: it has been replaced, and ends when the new one is used".to_owned(),
                })?;
            }
            output::text(&key_view::block(&key, quota.as_ref(), now))
        }
        Verdict::Bad { code, text, why, key, secret_version } => {
            let key = key.as_deref();
            if context.json {
                output::json(&json!({
                    "good": false,
                    "code": code,
                    "text": text,
                    "why": why,
                    "secret_version": secret_version,
                    "key": key,
                }))?;
            } else {
                output::text(&table::aligned(&[vec![table::good(false, &code), text.into()]]))?;
                let no_secret = key.filter(|key| key.state(now) == KeyState::NoSecret);
                if let Some(key) = no_secret {
                    output::text(&format!(
                        "the key has no secret, and no caller can use it until `apikey rotate {} --overlap none`",
                        key.id()
                    ))?;
                } else if let Some(why) = why {
                    output::text(&why.to_string())?;
                }
                if let Some(key) = key {
                    let named = if secret_version.is_some() { "it is" } else { "it names" };
                    output::text(&format!("{named} {}: {}", key_view::line(key), state(key, &code, now)))?;
                }
            }
            Err(Failure::no())
        }
    }
}

/// The state of the key, and the fields that explain the answer.
fn state(key: &KeyInfo, code: &str, now: DateTime<Utc>) -> String {
    let key_state = key.state(now);
    let idle_since = key.idle_at().filter(|_| key_state == KeyState::Idle);
    let since = match (key_state, key.revoked(), key.expires_at(), key.not_before()) {
        (KeyState::Revoked, Some(revoked), ..) if revoked.reason().is_empty() => {
            format!(" {}", both(revoked.at(), now))
        }
        (KeyState::Revoked, Some(revoked), ..) => format!(" {}: {}", both(revoked.at(), now), revoked.reason()),
        (KeyState::Expired, _, Some(end), _) => format!(" {}", both(end, now)),
        (KeyState::NotYetValid, _, _, Some(start)) => format!(" until {}", both(start, now)),
        _ => idle_since.map(|since| format!(" since {}", both(since, now))).unwrap_or_default(),
    };
    let list = |values: &[String]| if values.is_empty() { "none".to_owned() } else { values.join(" ") };
    let has = match code {
        "address_not_allowed" => format!(", networks {}", list(key.networks())),
        "insufficient_permission" => {
            let roles = if key.roles().is_empty() { String::new() } else { format!(", roles {}", list(key.roles())) };
            let ceiling = key.tenant().map(|tenant| format!(", as far as the tenant {tenant} leaves them"));
            format!(", permissions {}{roles}{}", list(key.permissions()), ceiling.unwrap_or_default())
        }
        _ => String::new(),
    };
    table::one_line(&format!("{}{since}{has}", key_state.name()))
}
