//! Shows events as they happen.

use std::time::Duration;

use apikey_core::admin::Request;
use apikey_core::{Event, EventFilter, MAX_PAGE};

use super::pages::newest;
use super::text::line;
use crate::commands::key_args::in_tenant;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::store::backend::Backend;
use crate::store::key_name::KeyName;

/// The time between two requests to the service.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows the newest events, and then each new one, until the process is interrupted or standard output is closed. It
/// waits while no service has the store open: it opens the store itself only at the beginning, so that it never blocks
/// a service that starts.
pub(super) fn follow(
    context: &Context,
    key: Option<&KeyName>,
    tenant: Option<&str>,
    mut filter: EventFilter,
    first: usize,
) -> Result<(), Failure> {
    let say = |text: &str| {
        if !context.json {
            output::note(text);
        }
    };
    let mut store = context.store.open(false, !context.json)?;
    let begun = (|| {
        if let Some(key) = key {
            filter = filter.clone().key(store.resolve(key)?);
        }
        // Read this before the events, so that the command shows those in between.
        let last = store.health(Request::Health)?.last_durable;
        let (mut found, _) = newest(&mut store, tenant, filter.clone(), first)?;
        found.reverse();
        let last = found.last().map_or(last, |event| last.max(event.number()));
        show(context, &found).map(|()| last)
    })();
    let mut service = match store {
        store if store.is_service() => Some(store),
        store => {
            store.close()?;
            say("no service has the store open: waiting for one");
            None
        }
    };
    let mut last = begun?;
    while !output::is_closed() {
        service = match service {
            None => context.store.connect().inspect(|_| say("connected to the service")),
            Some(mut connected) => match next(context, &mut connected, tenant, &filter, &mut last) {
                Ok(()) => Some(connected),
                Err(failure) if failure.disconnected => {
                    say("the service has ended the connection: waiting for it, or for the next one");
                    None
                }
                Err(failure) => return Err(failure),
            },
        };
        wait();
    }
    Ok(())
}

/// Shows the events since the last one.
fn next(
    context: &Context,
    store: &mut Backend,
    tenant: Option<&str>,
    filter: &EventFilter,
    last: &mut u64,
) -> Result<(), Failure> {
    loop {
        let later = filter.clone().after(*last).limit(MAX_PAGE);
        let page = store.events(in_tenant(tenant, Request::Events(later)))?;
        show(context, &page.events)?;
        *last = page.events.last().map_or(*last, |event| event.number().max(*last));
        if page.next.is_none() || output::is_closed() {
            return Ok(());
        }
    }
}

/// Each event on a line of its own, also as JSON.
fn show(context: &Context, events: &[Event]) -> Result<(), Failure> {
    events.iter().try_for_each(|event| if context.json { output::json(event) } else { output::text(&line(event)) })
}

/// Waits, but not for a reader that has closed standard output.
#[cfg(unix)]
fn wait() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let out = std::io::stdout();
    let span = Timespec { tv_sec: i64::try_from(INTERVAL.as_secs()).unwrap_or(1), tv_nsec: 0 };
    // Request no event: `poll` always reports errors and a closed other end.
    let mut watched = [PollFd::new(&out, PollFlags::empty())];
    if poll(&mut watched, Some(&span)).is_ok_and(|ready| ready > 0) {
        output::set_closed();
    }
}

#[cfg(not(unix))]
fn wait() {
    std::thread::sleep(INTERVAL);
}
