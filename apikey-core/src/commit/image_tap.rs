//! What becomes of records while somebody reads them all: a scan of the database is no snapshot.

use std::collections::BTreeMap;

use crate::commit::engine::Engine;
use crate::key::event::stored::Head;
use crate::storage::batch::Write;

/// Records that changed since a tap was opened: their newest images, `None` for a deleted one.
pub(crate) type Images = BTreeMap<u128, Option<Vec<u8>>>;

/// The open taps, in the writer's state.
#[derive(Default)]
pub(crate) struct ImageTaps {
    next: u64,
    open: BTreeMap<u64, Images>,
}

impl ImageTaps {
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Notes what is about to be appended.
    pub(crate) fn note(&mut self, writes: &[Write]) {
        for images in self.open.values_mut() {
            images.extend(writes.iter().map(|write| (write.id, write.record.as_ref().map(|record| record.to_vec()))));
        }
    }
}

/// An open tap. Dropping it closes it.
pub(crate) struct ImageTap<'a> {
    engine: &'a Engine,
    number: u64,
}

impl<'a> ImageTap<'a> {
    pub(crate) fn open(engine: &'a Engine) -> Self {
        let taps = &mut engine.writer().taps;
        let number = taps.next;
        taps.next += 1;
        taps.open.insert(number, Images::new());
        Self { engine, number }
    }

    /// Ends the tap in one moment, for which the images, the head and the ticket stand together.
    pub(crate) fn close(self) -> (Images, Head, u64) {
        let mut writer = self.engine.writer();
        let images = writer.taps.open.remove(&self.number).unwrap_or_default();
        (images, writer.head(), self.engine.group.appended())
    }
}

impl Drop for ImageTap<'_> {
    fn drop(&mut self) {
        self.engine.writer().taps.open.remove(&self.number);
    }
}
