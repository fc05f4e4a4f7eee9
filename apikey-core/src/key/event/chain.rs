//! The chain that holds events together, and whether it is whole.

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::key::event::stored;
use crate::key::event::stored::{Checkpoint, Head};
use crate::token::digest::{Digest, Digester};

/// What [`KeyStore::verify_events`](crate::KeyStore::verify_events) finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventsReport {
    /// How many events there are.
    pub events: u64,
    /// The number of the last event that was purged, 0 if none was: the chain is checked from there.
    pub checkpoint: u64,
    /// The number of the last event.
    pub last: u64,
    /// From which number on every event is under a pepper; `None` if the last one is not. What is before it, or
    /// without a pepper, proves nothing against who can write to the store's files: hold it against what you expect.
    pub peppered_from: Option<u64>,
    /// The first fault, if there is one.
    pub fault: Option<ChainFault>,
    /// How many faults there are.
    pub faults: u64,
}

impl EventsReport {
    /// Whether no fault was found.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.fault.is_none()
    }
}

/// What is wrong with a chain of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChainFault {
    /// An event, or several from this one on, is not there.
    #[error("event {number} is missing")]
    Missing {
        /// The first that is missing.
        number: u64,
    },
    /// An event does not decode, or stands in the place of another.
    #[error("event {number} is damaged")]
    Damaged {
        /// The number of the event.
        number: u64,
    },
    /// An event is not the one that the next one, or the head of the chain, was made for.
    #[error("event {number} is not the one that was written under this number")]
    Changed {
        /// The number of the event.
        number: u64,
    },
    /// The pepper of an event was not given, so that neither it nor its place can be checked.
    #[error("event {number} cannot be checked without pepper {pepper}")]
    Pepper {
        /// The number of the event.
        number: u64,
        /// The number of its pepper.
        pepper: u32,
    },
}

/// Follows a chain event by event. After a fault it goes on with what is there.
pub(crate) struct Chain<'a> {
    digesters: &'a [Digester],
    /// The last event, and its digest if that is known.
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

    /// The next event, as it is stored; what it says, if it decodes.
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

    /// Holds the end of the chain against the head.
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
