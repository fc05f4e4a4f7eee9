//! Shows the keys that were used most.

use apikey_core::Covers;
use apikey_core::admin::Request;
use chrono::Utc;
use serde_json::json;

use super::args::{DEFAULT_SPAN, UsageArgs};
use super::counting::is_counting;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::usage_view;

pub(super) fn most_used(context: &Context, usage: &UsageArgs, limit: usize) -> Result<(), Failure> {
    let since = usage.since.unwrap_or_else(|| Utc::now() - DEFAULT_SPAN);
    context.with_store(false, |store| {
        let answer = store.most_used(Request::MostUsed { since, limit })?;
        if context.json {
            let covers = answer.covers;
            return output::json(&json!({ "keys": answer.keys, "left_out": answer.left_out, "covers": covers }));
        }
        if !answer.keys.is_empty() {
            usage_view::print_keys(&answer.keys)?;
        }
        if answer.left_out > 0 {
            output::note(&format!("{} keys are left out: the answer has no room for them", answer.left_out));
        }
        if answer.covers == Covers::ThisNode {
            output::note("these are uses on this node alone");
        }
        if is_counting(store, answer.counting, answer.keys.is_empty())? && answer.keys.is_empty() {
            output::note("no key was used or refused in this time");
        }
        Ok(())
    })
}
