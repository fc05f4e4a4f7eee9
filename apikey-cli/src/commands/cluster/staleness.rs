//! How old a replica may be that still serves, as options say it.

use std::time::Duration;

/// Reads a span from 5 seconds to an hour.
pub(super) fn staleness(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(5)..=Duration::from_secs(3600);
    let span = humantime::parse_duration(text).ok().filter(|span| allowed.contains(span));
    span.ok_or_else(|| "a span from 5s to 1h is expected".to_owned())
}
