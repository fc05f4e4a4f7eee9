//! Setting a store's time back to that of its clock.

use crate::base::clock_lead::AcceptedClock;
use crate::base::time::from_ms;
#[cfg(feature = "cluster")]
use crate::commit::cluster::propagation::Terms;
#[cfg(feature = "cluster")]
use crate::commit::engine::Order;
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::commit::records::Records;
use crate::commit::stage::Stage;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;

impl Engine {
    /// Sets the store's time back; `None` if it is not ahead of the clock.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`]: the store's time stays as it was.
    pub(crate) fn accept_clock(&self, origin: Origin) -> Result<Option<AcceptedClock>, StoreError> {
        #[cfg(feature = "cluster")]
        if let Some(order) = self.order() {
            return self.accept_clock_of_all(order, &origin);
        }
        let log = self.log.open()?;
        // Hold the writer until the event is on disk: a change that is decided before then would have the abandoned
        // time.
        let mut writer = self.writer();
        self.write_first_uses(&mut writer, &log);
        let (from, to) = (self.time.floor(), self.time.raw_ms());
        if from <= to {
            return Ok(None);
        }
        let action = Action::AcceptClock { from, to };
        let change = Change { at: to, origin, ..self.change_of(0, action) };
        let stage = self.stage(&mut writer, &Records::of(&log), &[change])?;
        self.enqueue(&stage);
        let Stage { staged, notices, head, .. } = stage;
        self.append(&mut writer, &log, staged, head)?;
        self.wait(self.group.appended(), &log).map_err(|source| io_or_not_durable(false, source))?;
        self.time.accept(to);
        drop(writer);
        self.emit(&notices);
        Ok(Some(AcceptedClock { from: from_ms(from), to: from_ms(to) }))
    }

    /// The same in a cluster: every node accepts the time when it applies the event.
    #[cfg(feature = "cluster")]
    fn accept_clock_of_all(&self, order: &dyn Order, origin: &Origin) -> Result<Option<AcceptedClock>, StoreError> {
        let mut accepted = None;
        order.change(self, Terms::default(), &mut |_, _| {
            let (from, to) = (self.time.floor(), self.time.raw_ms());
            accepted = (from > to).then(|| AcceptedClock { from: from_ms(from), to: from_ms(to) });
            let change =
                || Change { at: to, origin: origin.clone(), ..self.change_of(0, Action::AcceptClock { from, to }) };
            Ok(accepted.iter().map(|_| change()).collect())
        })?;
        Ok(accepted)
    }
}
