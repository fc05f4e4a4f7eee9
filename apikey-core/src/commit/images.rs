//! Images of the records that change during a scan.

use std::collections::BTreeMap;

use crate::storage::batch::Write;

/// Records of keys and roles that changed since a tap was opened: their newest images, `None` for a deleted one.
pub(crate) type Images = BTreeMap<u128, Option<Vec<u8>>>;

/// The open taps, in the writer's state.
#[derive(Default)]
pub(crate) struct ImageTaps {
    pub(super) next: u64,
    pub(super) open: BTreeMap<u64, Images>,
}

impl ImageTaps {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Notes what is about to be appended.
    pub(crate) fn note(&mut self, writes: &[Write]) {
        for images in self.open.values_mut() {
            let image =
                |write: &Write| Some((write.subject.record()?, write.record.as_ref().map(|record| record.to_vec())));
            images.extend(writes.iter().filter_map(image));
        }
    }
}
