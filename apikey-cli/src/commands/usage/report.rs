//! Shows the report of a key, an owner, a tenant or the store.

use apikey_core::admin::Request;
use apikey_core::{Covers, KeyFilter, Step, Usage, UsageReport};

use super::args::UsageArgs;
use super::counting::is_counting;
use crate::commands::owner::keys::keys_of;
use crate::context::Context;
use crate::failure::{Failure, shortened};
use crate::output;
use crate::output::table::one_line;
use crate::output::usage_view;
use crate::store::backend::Backend;
use crate::store::key_name::KeyName;

pub(super) fn report(context: &Context, usage: &UsageArgs) -> Result<(), Failure> {
    let key = usage.id.as_deref().map(KeyName::parse).transpose()?;
    let by_day = usage.step.is_none() && usage.is_before_hours();
    let step = usage.step.unwrap_or(if by_day { Step::Day } else { Step::Hour });
    context.with_store(false, |store| {
        let of = match (&key, usage.owner.as_deref(), usage.tenant.as_deref()) {
            (Some(key), ..) => Usage::of_key(store.resolve(key)?),
            (None, Some(owner), Some(tenant)) => Usage::of_owner_in_tenant(tenant, owner),
            (None, Some(owner), None) => Usage::of_owner(owner),
            (None, None, Some(tenant)) => Usage::of_tenant(tenant),
            (None, None, None) => Usage::of_store(),
        };
        let answer = store.usage(Request::Usage(usage.question(of, step)))?;
        if context.json {
            return output::json(&answer.report);
        }
        usage_view::print(&answer.report, usize::try_from(usage.limit).unwrap_or(usize::MAX))?;
        if by_day {
            output::note("by the day, since the store keeps hours for 14 days: --step");
        }
        if key.is_some() && step == Step::Minute {
            output::note(
                "a key has minutes while it is among the thousand busiest, and no refusals in them: --step hour",
            );
        }
        if answer.report.covers() == Covers::ThisNode && key.is_none() && step != Step::Minute {
            output::note(
                "the engine of the cluster did not answer in time: what the other nodes have counted is missing",
            );
        }
        let is_empty = is_empty(&answer.report);
        if !is_counting(store, answer.counting, is_empty)? || !is_empty {
            return Ok(());
        }
        match unknown(store, usage.owner.as_deref(), usage.tenant.as_deref())? {
            Some(text) => output::note(&text),
            None => output::note("nothing was counted in this time"),
        }
        Ok(())
    })
}

/// Whether nothing was counted in the time of the report.
fn is_empty(report: &UsageReport) -> bool {
    report.uses() == 0 && report.refusals().is_empty()
}

/// Says if there are no keys of this owner or tenant, whose name may have been mistyped.
fn unknown(store: &mut Backend, owner: Option<&str>, tenant: Option<&str>) -> Result<Option<String>, Failure> {
    match (owner, tenant) {
        (Some(owner), tenant) => Ok(keys_of(store, owner, tenant).err().map(|failure| failure.text)),
        (None, Some(tenant)) => {
            let (keys, _) = store.pages(KeyFilter::default().tenant(tenant), 1, |_| true)?;
            let name = shortened(&one_line(tenant));
            Ok(keys.is_empty().then(|| format!("no key is of the tenant {name:?}: `apikey tenant list` shows tenants")))
        }
        (None, None) => Ok(None),
    }
}
