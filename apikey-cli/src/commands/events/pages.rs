//! Reads events page by page.

use apikey_core::admin::Request;
use apikey_core::{Event, EventFilter, MAX_PAGE};

use crate::commands::key_args::in_tenant;
use crate::failure::Failure;
use crate::store::backend::Backend;

/// Reads page after page, up to `limit` events, the newest first; returns the last number, too, if there may be more.
pub(super) fn newest(
    store: &mut Backend,
    tenant: Option<&str>,
    filter: EventFilter,
    limit: usize,
) -> Result<(Vec<Event>, Option<u64>), Failure> {
    let mut filter = filter.newest_first();
    let mut found = Vec::new();
    loop {
        let next = filter.clone().limit((limit - found.len()).min(MAX_PAGE));
        let page = store.events(in_tenant(tenant, Request::Events(next)))?;
        found.extend(page.events);
        let Some(next) = page.next else { return Ok((found, None)) };
        if found.len() >= limit {
            return Ok((found, Some(next)));
        }
        filter = filter.before(next);
    }
}
