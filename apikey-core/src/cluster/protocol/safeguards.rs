//! The safeguards of the protocol, each of which a simulation can turn off.

use std::time::Duration;

/// The share by which two clocks may differ in their pace, and a little more: who waits for the bound of another node
/// waits this much longer.
pub(crate) fn stretched(bound: Duration) -> Duration {
    bound + bound / 50
}

/// Each is on in every build but the tests of this crate. There the simulation turns one off at a time, and must find that
/// a node then accepts a key that was revoked everywhere: so no safeguard is there for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Safeguards {
    /// A look counts only if it found the presence of the node unmarked.
    pub(crate) counts_listed_looks_only: bool,
    /// What a registration itself sees of the log makes nothing fresh: a look does that was sent after its answer.
    pub(crate) looks_after_registration: bool,
    /// A change that takes something away waits for marked presences, too.
    pub(crate) waits_for_marked: bool,
    /// A node deletes its former presence only once it has applied what was in the log after it registered anew.
    pub(crate) keeps_former_until_replaced: bool,
    /// A presence is deleted only once the remover has seen its mark for the bound.
    pub(crate) keeps_marked_for_the_bound: bool,
    /// A look makes fresh as of the time at which it was sent, and not of its answer.
    pub(crate) dates_looks_from_sending: bool,
    /// A look makes fresh only once the node has applied what the look saw.
    pub(crate) applies_before_fresh: bool,
    /// A look finds at least what the node had applied when it sent the look; else the engine went back in time.
    pub(crate) looks_reach_what_was_applied: bool,
    /// What a node has applied counts once it is settled: for its acknowledgements, and for its looks.
    pub(crate) counts_what_is_settled: bool,
    /// A head is on the chain of a replica by its digest, and not by its number alone.
    pub(crate) compares_digests: bool,
    /// A barrier without every acknowledgement lasts for the bound, and not half of it.
    pub(crate) waits_out_the_bound: bool,
    /// A wait for the bound of another node lasts 2 % longer, since that node's clock may be slower.
    pub(crate) allows_for_drift: bool,
    /// A barrier waits for the nodes that are listed after the answer of the append.
    pub(crate) lists_after_the_append: bool,
    /// A barrier takes a node for gone by an exact list alone, and not by a glance, which may be of a former primary.
    pub(crate) ends_by_the_list: bool,
    /// The gate is a time that each verification compares with the clock, and no flag that a thread closes.
    pub(crate) gate_is_a_deadline: bool,
    /// The gate closes, too, when the wall clock has moved by the bound since the look that opened it, or back.
    pub(crate) gate_watches_the_wall_clock: bool,
    /// A node that leaves serves no longer before it takes itself off the list.
    pub(crate) closes_before_leaving: bool,
    /// What a change took away before its entry lost the race comes back: the key is settled from its record.
    pub(crate) settles_after_a_lost_race: bool,
    /// The keys of an entry are settled after it is applied, whatever the index had of them.
    pub(crate) settles_each_entry: bool,
    /// Keys that could not be settled are settled before anything else is applied or decided.
    pub(crate) settles_what_failed: bool,
    /// What an append without an answer took here is given back once an engine that went back is known not to have it.
    pub(crate) gives_back_what_is_lost: bool,
    /// What a call took here and could not settle is given back at once: nothing that is sent has it.
    pub(crate) gives_back_what_it_could_not_take: bool,
    /// An append without an answer is repeated as it was, and never decided again.
    pub(crate) repeats_the_same_operation: bool,
    /// An append without an answer is resolved before the node appends anything else.
    pub(crate) resolves_before_the_next: bool,
    /// What the holder of a hold writes is in the log only while it has the hold.
    pub(crate) fences_what_a_holder_writes: bool,
    /// A node that only gives pauses while another one cannot get into the log what takes something away.
    pub(crate) pauses_for_who_waits: bool,
    /// An answer that changes nothing waits until what it rests on holds everywhere.
    pub(crate) passes_the_barrier_for_no_change: bool,
    /// A revocation that the log does not take is in the replica before its call returns.
    pub(crate) keeps_revocations: bool,
    /// The revocations that a replica keeps are in force before its gate opens.
    pub(crate) restores_revocations_first: bool,
    /// A node makes the revocations again that the log did not take, until it has them.
    pub(crate) makes_revocations_again: bool,
    /// A first use that waits on a node counts when a key is settled: it has ended another secret there.
    pub(crate) counts_waiting_first_uses: bool,
    /// What is in force on a node alone is taken from what an entry gives before that is in the index.
    pub(crate) narrows_while_applying: bool,
    /// A replica that has counted less than the ledger has of it mirrors its counts under another number.
    pub(crate) renumbers_what_went_back: bool,
    /// Counts are mirrored only once those of a call without an answer, or of a former run of the node, come no more.
    pub(crate) outwaits_late_counts: bool,
}

impl Safeguards {
    pub(crate) const ALL: Self = Self {
        counts_listed_looks_only: true,
        looks_after_registration: true,
        waits_for_marked: true,
        keeps_former_until_replaced: true,
        keeps_marked_for_the_bound: true,
        dates_looks_from_sending: true,
        applies_before_fresh: true,
        looks_reach_what_was_applied: true,
        counts_what_is_settled: true,
        compares_digests: true,
        waits_out_the_bound: true,
        allows_for_drift: true,
        lists_after_the_append: true,
        ends_by_the_list: true,
        gate_is_a_deadline: true,
        gate_watches_the_wall_clock: true,
        closes_before_leaving: true,
        settles_after_a_lost_race: true,
        settles_each_entry: true,
        settles_what_failed: true,
        gives_back_what_is_lost: true,
        gives_back_what_it_could_not_take: true,
        repeats_the_same_operation: true,
        resolves_before_the_next: true,
        fences_what_a_holder_writes: true,
        pauses_for_who_waits: true,
        passes_the_barrier_for_no_change: true,
        keeps_revocations: true,
        restores_revocations_first: true,
        makes_revocations_again: true,
        counts_waiting_first_uses: true,
        narrows_while_applying: true,
        renumbers_what_went_back: true,
        outwaits_late_counts: true,
    };

    /// How long a wait for the bound of another node lasts.
    pub(crate) fn stretched(self, bound: Duration) -> Duration {
        if self.allows_for_drift { stretched(bound) } else { bound }
    }
}
