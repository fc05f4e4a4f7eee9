//! Shows which requests a running service has refused.

use apikey_core::AuthError;
use apikey_core::admin::{RefusalCount, Request};
use chrono::Utc;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::table::Cell;
use crate::output::width::{self, LeavingOut, Narrowing};
use crate::store::key_name::KeyName;
use crate::time::relative;

#[derive(Debug, Args)]
pub(crate) struct RefusalsArgs {
    /// Refusals of this key
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Refusals with this code, such as revoked_api_key
    #[arg(long, value_parser = PossibleValuesParser::new(AuthError::CODES), hide_possible_values = true)]
    pub(crate) code: Option<String>,
    /// At most this many lines, those with the highest counts
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) limit: u64,
}

const COLUMNS: [(&str, Narrowing); 6] = [
    ("COUNT", Narrowing::Never),
    ("CODE", Narrowing::Never),
    ("LAST", Narrowing::Never),
    ("FROM", Narrowing::Never),
    ("KEY", Narrowing::Id),
    ("OWNER", Narrowing::Text),
];

const LEAVING_OUT: LeavingOut =
    LeavingOut { order: &["OWNER", "FROM", "LAST", "KEY"], dispensable: 0, advice: "--json shows all" };

pub(crate) fn refusals(context: &Context, refusals: &RefusalsArgs) -> Result<(), Failure> {
    let key = refusals.key.as_deref().map(KeyName::parse).transpose()?;
    context.with_store(false, |store| {
        let is_service = store.is_service();
        let key = key.as_ref().map(|key| store.resolve(key)).transpose()?;
        let limit = usize::try_from(refusals.limit).unwrap_or(usize::MAX);
        let found = store.refusals(Request::Refusals { key, code: refusals.code.clone(), limit })?;
        if context.json {
            return output::json(&json!({
                "service": is_service,
                "refusals": found.counts,
                "total": found.total,
                "left_out": found.left_out,
            }));
        }
        if !is_service {
            output::note(
                "no service has the store open: a service counts what it refuses from its start on, in memory",
            );
            return Ok(());
        }
        if found.counts.is_empty() {
            output::note("no refusals since the service opened the store");
            return Ok(());
        }
        width::print(&COLUMNS, found.counts.iter().map(row).collect(), Some(&LEAVING_OUT))?;
        let left_out = match found.left_out {
            0 => String::new(),
            count => format!("; {count} lines with lower counts are left out: --limit"),
        };
        output::note(&format!("{} in all since the service opened the store{left_out}", found.total));
        Ok(())
    })
}

fn row(count: &RefusalCount) -> Vec<Cell> {
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned()).into();
    vec![
        count.count.to_string().into(),
        count.code.as_str().into(),
        or(count.last_at.map(|at| relative(at, Utc::now()))),
        or(count.last_peer.map(|peer| peer.to_string())),
        or(count.key.map(|key| key.to_string())),
        or(count.owner.clone()),
    ]
}
