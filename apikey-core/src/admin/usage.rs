//! Answers how often keys were used.

use chrono::{DateTime, Utc};

use crate::admin::session::{Session, fitting};
use crate::admin::{Answer, Fault, MostUsed, UsageAnswer};
use crate::key::error::StoreError;
use crate::usage::query::Usage;

/// The most keys that an answer to [`Request::MostUsed`](crate::admin::Request::MostUsed) has.
pub const MAX_MOST_USED: usize = 1000;

impl Session {
    pub(super) fn usage(&self, usage: &Usage) -> Result<Answer, Fault> {
        let (report, counting) = (self.store.usage(usage)?, self.store.is_counting());
        Ok(Answer::Usage(Box::new(UsageAnswer { report, counting })))
    }

    pub(super) fn most_used(&self, since: DateTime<Utc>, limit: usize) -> Result<Answer, Fault> {
        if !(1..=MAX_MOST_USED).contains(&limit) {
            return Err(StoreError::invalid("limit", &limit.to_string(), "1 to 1000 keys").into());
        }
        let (busiest, counting) = (self.store.most_used(since, limit)?, self.store.is_counting());
        let covers = self.store.covers_of_one();
        let most_used = fitting(busiest.len(), |limit| {
            let left_out = u64::try_from(busiest.len().saturating_sub(limit)).unwrap_or(u64::MAX);
            Ok(MostUsed { keys: busiest.iter().take(limit).cloned().collect(), left_out, counting, covers })
        });
        Ok(Answer::MostUsed(most_used?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;

    use super::*;
    use crate::admin::frame::{self, MAX_FRAME};
    use crate::admin::{FaultKind, Request};
    use crate::usage::code::code;
    use crate::usage::report::{UsagePoint, UsageReport};
    use crate::{KeyStore, NewKey, Step};

    /// A day of minutes in which everything happened that can be counted, as often as can be counted.
    #[test]
    fn the_longest_report_has_room_in_a_message() {
        let start = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
        let refusals: BTreeMap<String, u64> = (0..40).map(|number| (code(number).to_owned(), u64::MAX)).collect();
        let point = |at| UsagePoint { at: start + TimeDelta::minutes(at), uses: u64::MAX, refusals: refusals.clone() };
        let (first, last, step) = Usage::of_store()
            .step(Step::Minute)
            .since(start - TimeDelta::minutes(1441))
            .minutes(start.timestamp_millis())
            .unwrap();
        let points: Vec<UsagePoint> = (0..=i64::from(last - first)).map(point).collect();
        assert_eq!(points.len(), 1442);
        // Its sums are not those of the points, which no number of 64 bits holds.
        let json = serde_json::json!({ "step": step, "uses": u64::MAX, "uses_total": u64::MAX, "refusals": refusals, "points": points });
        let report: UsageReport = serde_json::from_value(json).unwrap();
        let answer = Answer::Usage(Box::new(UsageAnswer { report, counting: true }));
        let sent = frame::encode(&answer).unwrap();
        assert!(sent.len() > MAX_FRAME / 2, "the report is not the longest");
        let Answer::Usage(read) = frame::read(&mut &sent[..]).unwrap() else { panic!() };
        assert_eq!(read.report.points().len(), 1442);
    }

    #[test]
    fn the_busiest_keys_have_a_bound_and_fit_into_a_message() {
        let store = KeyStore::builder().count_use(true).temporary().unwrap();
        let long = |at: usize| format!("{at:04}{}", "\"".repeat(124));
        let keys = store.create_many((0..1000).map(|at| NewKey::for_owner(long(at)).name(long(at)))).unwrap();
        for key in &keys {
            store.verify(key.key.expose_secret()).unwrap();
        }
        let mut session = Session::new(store.clone());
        let since = Utc::now() - TimeDelta::hours(1);
        for limit in [0, MAX_MOST_USED + 1] {
            let Answer::Fault(fault) = session.ask(Request::MostUsed { since, limit }) else { panic!() };
            assert_eq!(fault.kind, FaultKind::Invalid);
            assert_eq!(fault.text, format!("invalid limit \"{limit}\": allowed are 1 to 1000 keys"));
        }
        let answer = session.ask(Request::MostUsed { since, limit: MAX_MOST_USED });
        frame::encode(&answer).unwrap();
        let Answer::MostUsed(most_used) = answer else { panic!() };
        assert!(most_used.counting && most_used.left_out < 1000, "{most_used:?}");
        assert_eq!(most_used.keys.len() as u64 + most_used.left_out, 1000);
        let Answer::Usage(answer) = session.ask(Request::Usage(Usage::of_store())) else { panic!() };
        assert_eq!((answer.counting, answer.report.uses(), answer.report.uses_total()), (true, 1000, 1000));
    }
}
