//! The bytes of closed replicas.

use std::collections::BTreeMap;
use std::path::Path;

use apikey_testkit::{database, stored_events};

/// The trees that a change writes. Of the others each node has its own: times of use, warnings.
const TREES: [&str; 5] = ["keys", "overflow", "owners", "imported", "outcomes"];

/// What a closed replica has, by tree and name; and its events.
pub(super) struct Replica {
    records: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    head: Option<Vec<u8>>,
    events: Vec<(u64, Vec<u8>)>,
}

impl Replica {
    pub(super) fn read(path: &Path) -> Self {
        let database = database::open(path).unwrap();
        let mut records = BTreeMap::new();
        for tree in TREES {
            for entry in database.open_tree(tree).unwrap().iter() {
                let (name, value) = entry.unwrap();
                records.insert((tree, name.to_vec()), value.to_vec());
            }
        }
        let head = database.open_tree("meta").unwrap().get("head").unwrap().map(|head| head.to_vec());
        Self { records, head, events: stored_events::events(&database) }
    }

    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    /// How it differs from another one. A replica that was loaded has no events from before that.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        if self.records != other.records {
            let differs = self.records.iter().find(|(name, value)| other.records.get(*name) != Some(*value));
            return Some(format!("records: {} and {}, {differs:?}", self.records.len(), other.records.len()));
        }
        if self.head != other.head {
            return Some(format!("heads: {:?} and {:?}", self.head, other.head));
        }
        let events = self.events.len().min(other.events.len());
        let last = |replica: &Self| replica.events[replica.events.len() - events..].to_vec();
        (last(self) != last(other)).then(|| "events".to_owned())
    }
}
