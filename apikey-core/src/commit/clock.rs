//! Putting a store's time back to that of its clock.

use crate::base::clock_lead::AcceptedClock;
use crate::base::time::from_ms;
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::commit::stage::Stage;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;

impl Engine {
    /// `None` if the store's time is not ahead of its clock.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`]: the store's time stays as it was.
    pub(crate) fn accept_clock(&self, origin: Origin) -> Result<Option<AcceptedClock>, StoreError> {
        let log = self.log.open()?;
        // Held until it is on disk: what is decided before then would be written at the time that is being given up.
        let mut writer = self.writer();
        self.write_first_uses(&mut writer, &log);
        let (from, to) = (self.time.floor(), self.time.raw_ms());
        if from <= to {
            return Ok(None);
        }
        let action = Action::AcceptClock { from, to };
        let change = Change { at: to, origin, ..self.change_of(0, action) };
        let stage = self.stage(&mut writer, &log, &[change])?;
        self.enqueue(&stage);
        let Stage { staged, notices, head, .. } = stage;
        self.append(&mut writer, &log, staged, head)?;
        self.wait(self.group.appended(), &log).map_err(|source| io_or_not_durable(false, source))?;
        self.time.accept(to);
        drop(writer);
        self.emit(&notices);
        Ok(Some(AcceptedClock { from: from_ms(from), to: from_ms(to) }))
    }
}
