//! Whether a key is good, and for what.

use std::io::{self, IsTerminal, Read};

use apikey_core::admin::{Request, SecretText, Verdict};
use chrono::Utc;
use serde_json::json;
use zeroize::Zeroizing;

use super::Context;
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
    // Before the store is opened: nobody has to wait until a person has typed.
    let token = read_token()?;
    let request = Request::Check { token: SecretText::new(token.as_str()), permissions: check.permissions.clone() };
    context.with_store(false, |store| answer(context, store.verdict(request)?))
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

fn answer(context: &Context, verdict: Verdict) -> Result<(), Failure> {
    let now = Utc::now();
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
                        format!("an old secret: its successor is out, and it ends {}", crate::moment::both(end, now))
                    }
                    None => "an old secret: its successor is out, and it ends when that is used".to_owned(),
                })?;
            }
            out::text(&key_view::block(&key, now))
        }
        Verdict::Bad { code, text } => {
            if context.json {
                out::json(&json!({ "good": false, "code": code, "text": text, "key": null }))?;
            } else {
                out::text(&out::aligned(&[vec![out::good(false, &code), text.into()]]))?;
            }
            Err(Failure::no())
        }
    }
}
