//! Whether a store counts, or has done so.

use apikey_core::admin::Request;
use apikey_core::{Step, Usage};
use chrono::Utc;

use crate::failure::Failure;
use crate::output;
use crate::store::backend::Backend;

/// Says so if the store does not count, or a service does not. Returns whether the store has counted anything, or does so.
pub(super) fn is_counting(store: &mut Backend, counting: bool, is_empty: bool) -> Result<bool, Failure> {
    if counting {
        return Ok(true);
    }
    let has_counts = !is_empty || {
        let long_ago = Utc::now() - Step::Day.kept();
        let all = store.usage(Request::Usage(Usage::of_store().since(long_ago).step(Step::Day)))?.report;
        all.uses_total() > 0 || !all.refusals().is_empty()
    };
    if !has_counts {
        output::note("nothing is counted: a service counts uses if it opens the store with count_use(true)");
    } else if store.is_service() {
        output::note("the service counts no uses: these are of a time when it did so, with count_use(true)");
    }
    Ok(has_counts)
}
