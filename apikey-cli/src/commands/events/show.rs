//! Shows events.

use apikey_core::{Event, EventFilter, EventKind, KeyId};
use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::follow::follow;
use super::pages::newest;
use super::text::{actor, details};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::output::table::Cell;
use crate::output::width::{self, LeavingOut, Narrowing};
use crate::store::key_name::KeyName;
use crate::time::{self, absolute, both};

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Events of this key; its whole id if it was purged
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Events of the keys of this tenant, as far as they are not purged
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Events of these kinds, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(EventKind::NAMES))]
    pub(crate) kind: Vec<String>,
    /// Events of changes by this actor: a name, uid:1000, or key: and a key's id
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Events since this time, such as 2027-01-31, or since a span ago, such as 7d
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) since: Option<DateTime<Utc>>,
    /// Events before this time, or before a span ago
    #[arg(long, value_name = "TIME|SPAN", value_parser = time::past)]
    pub(crate) until: Option<DateTime<Utc>>,
    /// Events with a higher number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// Events with a lower number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) before: Option<u64>,
    /// The newest events, at most this many; by default 100, and with --since or --after all
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) last: Option<u64>,
    /// All events
    #[arg(long, conflicts_with = "last")]
    pub(crate) all: bool,
    /// The oldest of them first
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// Show the last 10 events, or those of --last, and then each event as it happens, the oldest first; ctrl-c ends it
    #[arg(long, conflicts_with_all = ["until", "before", "all"])]
    pub(crate) follow: bool,
}

/// The number of events to show by default.
const DEFAULT_LAST: u64 = 100;
/// The same before the command follows.
const DEFAULT_BEFORE_FOLLOWING: u64 = 10;

const COLUMNS: [(&str, Narrowing); 6] = [
    ("NUMBER", Narrowing::Never),
    ("TIME", Narrowing::Short),
    ("KIND", Narrowing::Never),
    ("KEY", Narrowing::Id),
    ("ACTOR", Narrowing::Text),
    ("WHAT", Narrowing::Text),
];

/// A narrow terminal shows which event it is, of which key, as long as it can.
const LEAVING_OUT: LeavingOut =
    LeavingOut { order: &["WHAT", "ACTOR", "TIME", "KEY"], dispensable: 0, advice: "--json shows all" };

impl EventsArgs {
    /// Refuses what no event can match.
    fn check(&self) -> Result<(), Failure> {
        if let Some((since, until)) = self.since.zip(self.until).filter(|(since, until)| since >= until) {
            let (since, until) = (absolute(since), absolute(until));
            return Err(Failure::usage(format!(
                "--since {since} is not before --until {until}, so no event is between them"
            )));
        }
        if let Some((after, before)) = self.after.zip(self.before).filter(|(after, before)| after >= before) {
            return Err(Failure::usage(format!(
                "--after {after} is not below --before {before}, so no event is between them"
            )));
        }
        let actor = self.actor.as_deref().unwrap_or_default();
        let is_malformed =
            |begin: &str, is_good: fn(&str) -> bool| actor.strip_prefix(begin).is_some_and(|rest| !is_good(rest));
        if is_malformed("key:", |id| id.parse::<KeyId>().is_ok()) {
            return Err(Failure::usage(
                "invalid --actor: a whole key id is expected after key:, as `apikey show` has it",
            ));
        }
        if is_malformed("uid:", |uid| uid.parse::<u32>().is_ok()) {
            return Err(Failure::usage("invalid --actor: the number of a user is expected after uid:, as in uid:1000"));
        }
        Ok(())
    }

    /// Returns the filter of the options, without the key, since only a store can resolve its id.
    fn filter(&self) -> EventFilter {
        let mut filter = EventFilter::default();
        for kind in &self.kind {
            filter = filter.kind(kind);
        }
        if let Some(actor) = &self.actor {
            filter = filter.actor(actor.as_str());
        }
        if let Some(since) = self.since {
            filter = filter.since(since);
        }
        if let Some(until) = self.until {
            filter = filter.until(until);
        }
        if let Some(after) = self.after {
            filter = filter.after(after);
        }
        if let Some(before) = self.before {
            filter = filter.before(before);
        }
        filter
    }

    fn limit(&self) -> usize {
        let all = self.all || self.since.is_some() || self.after.is_some();
        let limit = match (self.last, self.follow) {
            (Some(last), _) => last,
            (None, _) if all => u64::MAX,
            (None, true) => DEFAULT_BEFORE_FOLLOWING,
            (None, false) => DEFAULT_LAST,
        };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }
}

pub(crate) fn events(context: &Context, events: &EventsArgs) -> Result<(), Failure> {
    let key = events.key.as_deref().map(KeyName::parse).transpose()?;
    events.check()?;
    let tenant = events.tenant.as_deref();
    let mut filter = events.filter();
    if events.follow {
        return follow(context, key.as_ref(), tenant, filter, events.limit());
    }
    context.with_store(false, |store| {
        if let Some(key) = &key {
            filter = filter.key(store.resolve(key)?);
        }
        let (mut found, next) = newest(store, tenant, filter, events.limit())?;
        if events.oldest_first {
            found.reverse();
        }
        if context.json {
            return output::json(&json!({ "events": found, "next": next }));
        }
        if found.is_empty() {
            output::note(match events.actor.as_deref() {
                Some(actor) if !actor.contains(':') => {
                    "no events by an application of this name; a user is uid: and a number, as in uid:1000"
                }
                _ => "no events",
            });
            return Ok(());
        }
        let now = Utc::now();
        width::print(&COLUMNS, found.iter().map(|event| row(event, now)).collect(), Some(&LEAVING_OUT))?;
        if let Some(next) = next.filter(|_| events.last.is_none()) {
            output::note(&format!("there may be earlier ones: --before {next}, a higher --last, or --all"));
        }
        Ok(())
    })
}

fn row(event: &Event, now: DateTime<Utc>) -> Vec<Cell> {
    vec![
        event.number().to_string().into(),
        Cell::from(both(event.at(), now)).or_short(absolute(event.at())),
        event.kind().name().into(),
        event.key().map_or_else(|| "-".to_owned(), |key| key.to_string()).into(),
        actor(event).into(),
        details(event.kind()).into(),
    ]
}
