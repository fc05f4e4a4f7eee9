//! Times and spans: parses what people write, formats what they read.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};

/// A span such as `90d` or `1h 30m`.
pub(crate) fn span(text: &str) -> Result<TimeDelta, String> {
    let allowed = "a span such as 30s, 15m, 24h, 90d, 2w, 6M (months) or 1y is expected";
    let span = humantime::parse_duration(text).map_err(|_| allowed.to_owned())?;
    TimeDelta::from_std(span).map_err(|_| format!("the span is too long; {allowed}"))
}

/// A time such as `2027-01-31` (midnight, UTC) or `2027-01-31T12:00:00Z`.
pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let midnight = text.parse::<NaiveDate>().ok().and_then(|date| date.and_hms_opt(0, 0, 0));
    midnight
        .map(|time| time.and_utc())
        .ok_or_else(|| "a time such as 2027-01-31 or 2027-01-31T12:00:00Z is expected".to_owned())
}

/// A time, or a span before now.
pub(crate) fn past(text: &str) -> Result<DateTime<Utc>, String> {
    time(text).or_else(|_| {
        let ago = span(text).ok().and_then(|span| Utc::now().checked_sub_signed(span));
        ago.ok_or_else(|| "a time such as 2027-01-31T12:00:00Z, or a span ago such as 30d, is expected".to_owned())
    })
}

/// `3 days ago`, `in 2 hours`.
pub(crate) fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (time - now).num_seconds();
    let size = seconds.unsigned_abs();
    let units = [(86_400 * 365, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let Some((length, unit)) = units.into_iter().find(|(length, _)| size >= *length) else { return "now".to_owned() };
    // Rounded: a span of 90 days that was set a moment ago shows as 90 days.
    let count = (size + length / 2) / length;
    let plural = if count == 1 { "" } else { "s" };
    if seconds > 0 { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

/// `30 days`, `90 minutes`: in the largest unit that divides it.
pub(crate) fn length(span: TimeDelta) -> String {
    apikey_core::admin::span_text(span)
}

/// `2027-01-31T12:00:00Z`.
pub(crate) fn absolute(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The absolute and the relative form.
pub(crate) fn both(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({})", absolute(time), relative(time, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        assert_eq!(span("90d"), Ok(TimeDelta::days(90)));
        assert_eq!(span("1h 30m"), Ok(TimeDelta::minutes(90)));
        assert!(span("soon").unwrap_err().contains("90d"));
        assert_eq!(absolute(time("2027-01-31").unwrap()), "2027-01-31T00:00:00Z");
        assert_eq!(absolute(time("2027-01-31T12:00:00+02:00").unwrap()), "2027-01-31T10:00:00Z");
        assert!(past("1h").unwrap() < Utc::now());
        assert!(past("yesterday").unwrap_err().contains("30d"));
        assert!(time("31.1.2027").unwrap_err().contains("2027-01-31"));
    }

    #[test]
    fn what_people_read() {
        let now = time("2027-01-31").unwrap();
        let after = |seconds| relative(now + TimeDelta::seconds(seconds), now);
        assert_eq!(after(0), "now");
        assert_eq!(after(1), "in 1 second");
        assert_eq!(after(-80), "1 minute ago");
        assert_eq!(after(7200), "in 2 hours");
        assert_eq!(after(-86_400 * 30), "30 days ago");
        assert_eq!(after(86_400 * 90 - 1), "in 90 days");
        assert_eq!(after(86_400 * 800), "in 2 years");
        assert_eq!(length(TimeDelta::days(90)), "90 days");
        assert_eq!(length(TimeDelta::minutes(90)), "90 minutes");
        assert_eq!(length(TimeDelta::seconds(1)), "1 second");
    }
}
