//! Sending an entry for all calls that rest on it.

use crate::cluster::format::entry::EntryError;
use crate::cluster::ledger::Position;
use crate::cluster::node::append::{Sent, stopped};
use crate::cluster::node::entry::line::Next;
use crate::cluster::node::entry::open_entry::{Again, EntryPlace, Failure, Note, OpenEntry};
use crate::cluster::node::entry::unresolved::Unresolved;
use crate::cluster::node::shared::{LOG_GONE, Node, WENT_BACK};
use crate::cluster::protocol::confirmation::Confirmation;
use crate::commit::engine::Engine;
use crate::key::error::StoreError;
use crate::key::error::cluster_error::ClusterError;

/// After how many losses a change that takes something away asks the other nodes to pause.
const PATIENT_LOSSES: u32 = 2;

impl Node {
    /// Passes the turn on with the entry, to a call that may add to it; the last one sends it. `asked` is what asks other
    /// nodes to pause.
    pub(crate) fn forward(
        &self,
        engine: &Engine,
        place: &EntryPlace<'_>,
        entry: Box<OpenEntry>,
        next: Next,
        asked: &mut Option<Vec<u8>>,
    ) {
        if entry.calls == 0 {
            // Nobody rests on it.
            return self.give_up(engine, place, &entry, next);
        }
        let left = if entry.is_full() { Some(entry) } else { place.pass_on(entry, next) };
        if let Some(entry) = left {
            self.send_for_all(engine, place, entry, next, asked);
        }
    }

    /// Sends the entry, and tells each call that rests on it what became of it.
    pub(crate) fn send_for_all(
        &self,
        engine: &Engine,
        place: &EntryPlace<'_>,
        mut entry: Box<OpenEntry>,
        next: Next,
        asked: &mut Option<Vec<u8>>,
    ) {
        match self.send_entry(engine, &mut entry, asked) {
            Ok(Note::Again(again)) => place.again(&Note::Again(again), next),
            Ok(note) => place.end(&note, next),
            Err(failure) => place.end(&Note::Failed(failure), next),
        }
    }

    /// Gives up an entry that is not sent: the calls that rest on it decide again.
    pub(crate) fn give_up(&self, engine: &Engine, place: &EntryPlace<'_>, entry: &OpenEntry, next: Next) {
        match self.undo(engine, entry) {
            Ok(()) => place.again(&Note::Again(Again::default()), next),
            Err(error) => place.end(&Note::Failed(error.into()), next),
        }
    }

    /// Undoes what an entry that is not sent has taken here.
    fn undo(&self, engine: &Engine, entry: &OpenEntry) -> Result<(), StoreError> {
        self.resolved(engine, &entry.unsent([0; 16], Position::default()))
    }

    fn send_entry(&self, engine: &Engine, entry: &mut OpenEntry, asked: &mut Option<Vec<u8>>) -> Result<Note, Failure> {
        let follows = if entry.is_full() { Ok(true) } else { self.add_first_uses(engine, entry) };
        if !matches!(follows, Ok(true)) {
            self.undo(engine, entry)?;
            return Ok(follows.map(|_| Note::Again(Again::default()))?);
        }
        if entry.is_empty() {
            let note = self.confirm(engine, entry)?;
            // The records have the first uses, or no longer have their secrets.
            if matches!(note, Note::Here(_)) {
                engine.first_uses.remove(&entry.first_uses);
            }
            return Ok(note);
        }
        if !entry.takes
            && let Err(error) = self.let_others_first(entry.by)
        {
            tracing::debug!(%error, "whether another node waits is unknown");
        }
        let fence = match entry.hold.map(|hold| self.state().holds.get(&hold).cloned()) {
            None => None,
            Some(Some(fence)) => Some(fence).filter(|_| self.settings.safeguards.fences_what_a_holder_writes),
            Some(None) => {
                self.undo(engine, entry)?;
                return Err(Failure::Hold);
            }
        };
        let mut op = [0; 16];
        if let Err(error) = self.runtime.fill(&mut op) {
            self.undo(engine, entry)?;
            return Err(StoreError::from(std::io::Error::other(error)).into());
        }
        let sealed = entry.seal(self.generation(), op, &engine.writer());
        let sealed = match sealed {
            Ok(sealed) => Unresolved { fence, ..sealed },
            Err(error) => {
                self.undo(engine, entry)?;
                return spoilt(entry, error);
            }
        };
        match self.send(engine, &sealed, entry.by) {
            Ok(Sent::Here) => {
                self.resolved(engine, &sealed).map_err(|error| ClusterError::Unknown {
                    what: format!("the cluster's log has it, and this node cannot read it: {error}"),
                })?;
                engine.first_uses.remove(&entry.first_uses);
                engine.emit(&entry.notices);
                Ok(Note::Here(sealed.last))
            }
            Ok(Sent::Lost(head)) => {
                if self.settings.safeguards.settles_after_a_lost_race {
                    self.resolved(engine, &sealed)?;
                }
                // The fence may be why.
                if let Some(hold) = entry.hold
                    && !self.take_hold(hold, entry.by).map_err(|error| refused(&error))?
                {
                    return Err(Failure::Hold);
                }
                if entry.losses + 1 >= PATIENT_LOSSES && entry.takes && asked.is_none() {
                    *asked = self.ask_others_to_wait(self.runtime.now().duration_since(entry.begun), entry.by);
                }
                self.catch_up(engine, head.number, entry.by).map_err(stopped)?;
                Ok(Note::Again(Again { seen: Some(head), lost: true, alone: false }))
            }
            Err(error) => {
                // Without an answer it may be in the log.
                if !matches!(error, ClusterError::Unknown { .. }) {
                    // What stays in force here is decided once more, by the records of then.
                    self.resolved(engine, &sealed)?;
                }
                Err(error.into())
            }
        }
    }

    /// Finds out whether answers that change nothing are true in the whole cluster: the replica has everything that was in
    /// the log at some time after the calls began. Otherwise the replica catches up, and they decide again.
    fn confirm(&self, engine: &Engine, entry: &OpenEntry) -> Result<Note, Failure> {
        let sight = self.noted(self.ledger.sight(self.generation(), entry.by)).map_err(|error| refused(&error))?;
        let Some(head) = sight.head else {
            return Err(ClusterError::Stopped { what: LOG_GONE.into() }.into());
        };
        let (base, mut confirmation) = (entry.base(), Confirmation::default());
        if !confirmation.saw(&head, &base) {
            self.went_back(engine);
            return Err(ClusterError::Refused { what: WENT_BACK.into() }.into());
        }
        if confirmation.confirms(&base) {
            return Ok(Note::Here(base));
        }
        self.catch_up(engine, head.number, entry.by).map_err(stopped)?;
        Ok(Note::Again(Again { seen: Some(head), ..Again::default() }))
    }
}

/// An entry that cannot be in a log: the fault of one of its calls, or of the only one.
fn spoilt(entry: &OpenEntry, error: EntryError) -> Result<Note, Failure> {
    if entry.calls > 1 {
        return Ok(Note::Again(Again { alone: true, ..Again::default() }));
    }
    Err(match error {
        EntryError::TooLong(bytes) => Failure::TooLong(bytes),
        EntryError::Codec(error) => StoreError::from(error).into(),
        other => StoreError::from(std::io::Error::other(other.to_string())).into(),
    })
}

fn refused(error: &crate::cluster::ledger::error::LedgerError) -> Failure {
    ClusterError::Refused { what: error.to_string() }.into()
}
