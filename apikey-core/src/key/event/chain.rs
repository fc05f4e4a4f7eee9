//! The chain of digests that links events, and its verification.

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::key::event::stored;
use crate::key::event::stored::{Checkpoint, Head};
use crate::token::digest::{Digest, Digester};

/// The result of [`KeyStore::verify_events`](crate::KeyStore::verify_events).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventsReport {
    /// The number of events in the store.
    pub events: u64,
    /// The number of the last event that was purged, or 0. The verification starts after it.
    pub checkpoint: u64,
    /// The number of the last event.
    pub last: u64,
    /// The number from which on every event is under a pepper; `None` if the last event is not. Anybody who can write
    /// to the store's files could have forged the events before it, or all events if there is no pepper: compare the
    /// number with the one that you expect.
    pub peppered_from: Option<u64>,
    /// The first fault, if there is one.
    pub fault: Option<ChainFault>,
    /// The number of faults.
    pub faults: u64,
}

impl EventsReport {
    /// Returns whether the chain has no fault.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fault.is_none()
    }
}

/// A fault in a chain of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChainFault {
    /// One or more events are missing.
    #[error("event {number} is missing")]
    Missing {
        /// The number of the first missing event.
        number: u64,
    },
    /// An event does not decode, or has the number of another one.
    #[error("event {number} is damaged")]
    Damaged {
        /// The number of the event.
        number: u64,
    },
    /// An event does not match the digest that the next event, or the head of the chain, has of it.
    #[error("event {number} is not the one that was written under this number")]
    Changed {
        /// The number of the event.
        number: u64,
    },
    /// The pepper of an event is missing, so neither the event nor its position can be checked.
    #[error("event {number} cannot be checked without pepper {pepper}")]
    Pepper {
        /// The number of the event.
        number: u64,
        /// The number of its pepper.
        pepper: u32,
    },
}

/// Verifies a chain event by event. After a fault it continues with the next event.
pub(crate) struct Chain<'a> {
    digesters: &'a [Digester],
    /// The number of the last event, and its digest if that is known.
    number: u64,
    digest: Option<Digest>,
    report: EventsReport,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(start: Checkpoint, digesters: &'a [Digester]) -> Self {
        let report = EventsReport {
            events: 0,
            checkpoint: start.number,
            last: start.number,
            peppered_from: None,
            fault: None,
            faults: 0,
        };
        Self { digesters, number: start.number, digest: Some(start.digest), report }
    }

    /// Verifies the next stored event, and returns it if it decodes.
    pub(crate) fn push(&mut self, number: u64, frame: &[u8]) -> Option<stored::Event> {
        if number != self.number + 1 {
            self.fault(ChainFault::Missing { number: self.number + 1 });
            self.digest = None;
        }
        let event = codec::decode::<stored::Event>(frame).ok().filter(|event| event.number == number);
        self.report.events += 1;
        self.number = number;
        let Some(event) = event else {
            self.fault(ChainFault::Damaged { number });
            self.digest = None;
            return None;
        };
        if self.digest.is_some_and(|digest| digest != event.previous) {
            self.fault(ChainFault::Changed { number: number - 1 });
        }
        self.report.peppered_from = match event.pepper {
            0 => None,
            _ => self.report.peppered_from.or(Some(number)),
        };
        let digester = self.digesters.iter().find(|digester| digester.pepper() == event.pepper);
        if digester.is_none() {
            self.fault(ChainFault::Pepper { number, pepper: event.pepper });
        }
        self.digest = digester.map(|digester| digester.of(frame));
        Some(event)
    }

    /// Compares the end of the chain with the head.
    pub(crate) fn end(mut self, head: &Head) -> EventsReport {
        if self.number < head.number {
            self.fault(ChainFault::Missing { number: self.number + 1 });
        } else if self.number > head.number || self.digest.is_some_and(|digest| digest != head.digest) {
            self.fault(ChainFault::Changed { number: self.number });
        }
        self.report.last = self.number;
        self.report
    }

    fn fault(&mut self, fault: ChainFault) {
        self.report.fault.get_or_insert(fault);
        self.report.faults += 1;
    }
}
