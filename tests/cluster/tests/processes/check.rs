//! What happened, beside what was acknowledged.

use std::collections::{BTreeMap, HashMap};

use super::fixture::{Fixture, Key};
use super::messages::{Answer, Dump};
use super::model::{Change, Effect, State, Verdict};
use super::node::Report;

/// How many of the last keys nodes go on verifying once they are revoked.
const STILL_WATCHED: usize = 16;

#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) unavailable: u64,
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
    /// Accepted after what takes it away was acknowledged, or where nothing had given it.
    pub(super) late: u64,
    /// Refused, although nothing had taken it away.
    pub(super) wrongly_refused: u64,
    /// Acknowledged, and not in the log or not in the records.
    pub(super) lost: u64,
    /// Other differences: between the nodes, or within the history of one.
    pub(super) broken: u64,
    /// Keys that a fork of the log left uncertain, but for their revocations.
    pub(super) uncertain: u64,
    pub(super) violations: Vec<String>,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unavailable += other.unavailable;
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.late += other.late;
        self.wrongly_refused += other.wrongly_refused;
        self.lost += other.lost;
        self.broken += other.broken;
        self.uncertain += other.uncertain;
        self.violations.extend(other.violations);
    }

    pub(super) fn violate(&mut self, count: fn(&mut Self) -> &mut u64, what: String) {
        *count(self) += 1;
        if self.violations.len() < 50 {
            self.violations.push(what);
        }
    }

    /// Checks every answer against the changes of its key.
    ///
    /// What a node says later of a time before `since` is left out: the changes of that time are no longer known one by one.
    pub(super) fn check_answers(&mut self, fixture: &Fixture, since: u64) {
        let mut reports = std::mem::take(&mut *fixture.reports.lock().unwrap());
        reports.retain(|report| report.seen.first.0 >= since);
        let claims = fixture.claim_of.lock().unwrap().clone();
        let keys = fixture.keys.read().unwrap().clone();
        let mut of_key: BTreeMap<usize, Vec<Report>> = BTreeMap::new();
        for report in reports {
            let count = u64::from(report.seen.count);
            match report.seen.answer {
                Answer::Accepted => self.accepted += count,
                Answer::Revoked | Answer::Refused => self.refused += count,
                Answer::Unavailable => self.unavailable += count,
            }
            of_key.entry(claims[&report.seen.claim].0).or_default().push(report);
        }
        for (number, reports) in of_key {
            let key = keys[number].lock().unwrap();
            let states = key.history.states();
            for report in &reports {
                let seen = report.seen;
                let claim = claims[&seen.claim].1;
                let node = &fixture.nodes[report.node].config.name;
                let times = if key.is_uncertain { &[][..] } else { &[seen.first, seen.last] };
                for at in times.iter().copied() {
                    let (may_accept, may_refuse) = key.history.allowed(&states, claim, at);
                    let what = || {
                        format!(
                            "{node} answers {:?} to {claim:?} of the key {number} from {} to {}: {:?}",
                            seen.answer, at.0, at.1, key.history.changes
                        )
                    };
                    match seen.answer {
                        Answer::Accepted if !may_accept => self.violate(|counts| &mut counts.late, what()),
                        Answer::Refused | Answer::Revoked if !may_refuse => {
                            self.violate(|counts| &mut counts.wrongly_refused, what());
                        }
                        _ => {}
                    }
                    let is_revoked_here = key.only_here.iter().any(|here| {
                        here.node == report.node && here.run.is_none_or(|run| run == report.run) && here.since < at.0
                    });
                    if seen.answer == Answer::Accepted && is_revoked_here {
                        let what = format!("{} although it is revoked on this node", what());
                        self.violate(|counts| &mut counts.late, what);
                    }
                }
            }
            self.check_order(fixture, &key, &reports);
        }
    }

    /// A node that has seen a revocation by another one never accepts the key again, in no later process either.
    fn check_order(&mut self, fixture: &Fixture, key: &Key, reports: &[Report]) {
        let mut revoked_since: HashMap<usize, u64> = HashMap::new();
        for report in reports.iter().filter(|report| report.seen.answer == Answer::Revoked) {
            // Its own may be undone: another node was first, and this one decides again.
            let is_own = |change: &Change| change.effect == Effect::Revoke && change.node == report.node;
            if !key.history.changes.iter().any(is_own) {
                let since = revoked_since.entry(report.node).or_insert(u64::MAX);
                *since = (*since).min(report.seen.first.1);
            }
        }
        for report in reports.iter().filter(|report| report.seen.answer == Answer::Accepted) {
            if revoked_since.get(&report.node).is_some_and(|since| report.seen.last.0 > *since) {
                let node = &fixture.nodes[report.node].config.name;
                self.violate(|counts| &mut counts.broken, format!("{node} goes back: {:?}", report.seen));
            }
        }
    }

    /// Checks that all nodes have the same, and that it has every change that was acknowledged since `from`.
    pub(super) fn check_dumps(&mut self, fixture: &Fixture, dumps: &[Dump], from: u64) {
        let longest = dumps.iter().max_by_key(|dump| dump.events.len()).unwrap();
        for (node, dump) in fixture.nodes.iter().zip(dumps) {
            let name = &node.config.name;
            if dump.records != longest.records || dump.keys != longest.keys {
                self.violate(|counts| &mut counts.broken, format!("{name} has other records"));
            }
            if !longest.events.ends_with(&dump.events) {
                self.violate(|counts| &mut counts.broken, format!("{name} has other events"));
            }
            if let Some(fault) = &dump.fault {
                self.violate(|counts| &mut counts.broken, format!("the events of {name}: {fault}"));
            }
        }
        let mut logged: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in longest.events.iter().filter(|event| event.number > from) {
            if let Some(key) = &event.key {
                logged.entry(key).or_default().push(&event.kind);
            }
        }
        let records: BTreeMap<&str, _> = longest.keys.iter().map(|key| (key.id.as_str(), key)).collect();
        let keys = fixture.keys.read().unwrap();
        for (number, key) in keys.iter().enumerate() {
            let key = &mut *key.lock().unwrap();
            let states = key.history.states();
            for change in &key.history.changes {
                match change.verdict {
                    Verdict::Yes { .. } => self.acknowledged += 1,
                    Verdict::Perhaps => self.failed += 1,
                }
            }
            let Some(id) = key.id.clone() else {
                key.history.changes.clear();
                continue;
            };
            if key.is_uncertain {
                self.uncertain += u64::from(!key.is_done);
                let is_revoked =
                    |change: &Change| change.effect == Effect::Revoke && matches!(change.verdict, Verdict::Yes { .. });
                // What took something away is taken again.
                let must_be = key.history.changes.iter().any(is_revoked);
                if must_be && records.get(id.as_str()).is_some_and(|record| !record.revoked) {
                    self.violate(|counts| &mut counts.lost, format!("the revocation of the key {number} is lost"));
                }
                fixture.unwatch(key);
                key.is_done = true;
                key.only_here.clear();
                key.history.changes.clear();
                continue;
            }
            // What changes nothing makes no event, and so does a second revocation.
            let needed = key.history.changes.iter().enumerate().filter(|(at, change)| {
                let changes_it = states[*at].iter().all(|state| state.after(change.effect) != *state);
                matches!(change.verdict, Verdict::Yes { .. }) && changes_it
            });
            let mut events = logged.get(id.as_str()).into_iter().flatten();
            for (_, change) in needed {
                // Replicas that were all loaded anew have no events from before that.
                let is_shown = longest.events.first().is_some_and(|first| first.number <= from + 1);
                let is_it =
                    |kind: &&str| *kind == change.effect.event() || (change.effect.takes() && *kind == "reapplied");
                if is_shown && !events.any(is_it) {
                    let what = format!(
                        "{:?} of the key {number} is not in the log, but {:?}",
                        change,
                        logged.get(id.as_str())
                    );
                    self.violate(|counts| &mut counts.lost, what);
                }
            }
            let mut last = states[states.len() - 1].clone();
            match records.get(id.as_str()) {
                Some(record) => last.retain(|state: &State| {
                    state.exists
                        && (state.revoked, state.disabled, state.write)
                            == (record.revoked, record.disabled, record.write)
                }),
                None => last.clear(),
            }
            if last.is_empty() {
                let what =
                    format!("the key {number} is {:?} after {:?}", records.get(id.as_str()), key.history.changes);
                self.violate(|counts| &mut counts.lost, what);
            }
            let is_revoked = last.iter().all(|state| state.revoked);
            if is_revoked && number + STILL_WATCHED < keys.len() {
                fixture.unwatch(key);
            }
            // Which of its tokens is good is unknown after a rotation without an answer.
            if is_revoked || last.len() != 1 {
                key.is_done = true;
            }
            if last.len() != 1 && !is_revoked {
                fixture.unwatch(key);
            }
            key.only_here.clear();
            key.history.before = last;
            key.history.changes.clear();
        }
    }
}
