//! What stores have counted: each use once, whatever becomes of a machine.

use crate::base::codec;
use crate::cluster::ledger::{Ledger, Tally};
use crate::cluster::simulation::stores::GENERATION;
use crate::cluster::simulation::stores::model::Model;
use crate::usage::chunk::Chunk;
use crate::usage::mirror::{ALL, read_tally_name, total};

/// A replica, and all that it has counted.
fn counted(tally: &Tally) -> Option<(u64, u64)> {
    let (row, replica) = read_tally_name(&tally.name)?;
    (row == ALL).then(|| (replica, total(Some(&tally.value))))
}

impl Model {
    /// The ledger gets these counts.
    pub(super) fn note_counts(&self, tallies: &[Tally]) {
        let mut shared = self.shared();
        shared.counts.count("calls with counts");
        for (replica, total) in tallies.iter().filter_map(counted) {
            let held = shared.counted.entry(replica).or_default();
            *held = total.max(*held);
        }
    }

    /// Checks at the end that the ledger has what each store has counted, that it has lost nothing of what it has had, and that
    /// no use counts twice.
    pub(super) fn fault_of_counts(&self) -> Option<String> {
        let tallies = self.engine.tallies(GENERATION, &[&ALL.bytes()], Self::by()).unwrap();
        let held: Vec<(u64, u64)> = tallies.iter().filter_map(counted).collect();
        let of = |replica| held.iter().find(|(of, _)| *of == replica).map_or(0, |(_, total)| *total);
        let machines = self.shared().machines.len();
        for machine in 0..machines {
            let store = self.store(machine)?;
            let (replica, total) = store.inner().counted_here();
            if total > 0 && replica.map(of) != Some(total) {
                return Some(format!(
                    "machine {machine} has counted {total}, and the ledger has {:?}",
                    replica.map(of)
                ));
            }
        }
        let mut shared = self.shared();
        if let Some((replica, most)) = shared.counted.iter().find(|(replica, most)| of(**replica) != **most) {
            return Some(format!("the ledger has {} of a replica of which it had {most}", of(*replica)));
        }
        let uses_of = |tally: &Tally| {
            let chunk: Chunk = codec::decode(&tally.value).unwrap();
            chunk.steps.values().map(|counts| counts.uses).sum::<u64>()
        };
        let (sum, uses) = (tallies.iter().map(uses_of).sum::<u64>(), shared.counts.of("verifications: accepted"));
        let is_whole = shared.counts.of("kills") == 0 && shared.counts.of("directories replaced") == 0;
        shared.counts.add("replicas that have counted", held.len() as u64);
        shared.counts.add("runs whose counts are whole", is_whole.into());
        let is_wrong = if is_whole { sum != uses } else { sum > uses };
        is_wrong.then(|| format!("there were {uses} uses, and {sum} are counted"))
    }
}
