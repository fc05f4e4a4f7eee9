//! A scan of the database is not a snapshot, so a tap collects the changes of records meanwhile.

use crate::commit::engine::Engine;
use crate::commit::images::Images;
use crate::key::event::stored::Head;

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

    /// Ends the tap, and returns the images, the head and the ticket of that moment.
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
