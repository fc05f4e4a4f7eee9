//! The conformance suite of a ledger: what the trait [`Ledger`] promises, one function for each promise.
//!
//! A test package gives its ledger to the macro [`conformance`](crate::conformance!), which makes a test of each. What it
//! cannot test is what the promises are worth when the engine fails: stop it, cut it off and fill its disk in tests of your own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, in its helpers too"
)]

mod append;
mod cells;
#[cfg(test)]
mod faults;
mod fixture;
mod load;
mod log;
mod look;
mod model;
mod reservations;
mod tallies;
mod threads;
mod wait;

use std::sync::Arc;

use apikey_core::cluster::Ledger;

pub use append::{
    a_generation_without_a_log_is_foreign, another_op_in_its_place_is_lost, append_after_another_digest_is_lost,
    append_after_another_number_is_lost, append_again_after_others_is_here, append_again_is_here,
    append_is_lost_without_its_fence, append_is_of_any_size, append_moves_the_head, append_needs_its_fence,
    begin_makes_one_log, generations_have_logs_of_their_own,
};
pub use cells::{
    cells_are_apart, cells_are_of_the_kinds_asked_for, note_sets_whatever_it_was, swap_creates_what_is_not_there,
    swap_deletes_what_it_expects, swap_of_nothing_says_whether_it_is_there, swap_replaces_what_it_expects,
};
pub use fixture::{Chain, at, op, soon};
pub use load::{
    a_state_begins_at_the_head, advance_from_elsewhere_changes_nothing, advance_in_place_loads_images,
    advance_needs_its_fence, advance_takes_a_full_step, advance_takes_a_large_step,
    advance_writes_replaces_and_deletes, load_ends_with_the_error_of_its_caller, load_is_of_one_moment,
};
pub use log::{
    read_at_the_head_is_empty, read_below_the_floor_is_an_error, read_is_in_order, read_keeps_to_its_bytes,
    read_may_begin_inside_an_entry, trim_ends_at_an_entry, trim_leaves_head_and_state, trim_never_passes_the_state,
};
pub use look::{
    a_writer_and_a_node_that_registers_do_not_miss_each_other, look_after_a_mark_is_not_listed,
    look_has_all_that_there_is, look_renews_the_presence, look_with_another_value_is_not_listed,
    look_without_a_presence_is_not_listed, sight_of_nothing_is_empty,
};
pub use model::it_does_what_a_model_does;
pub use reservations::{
    a_lost_swap_changes_nothing_for_the_others, reservations_that_are_given_up_are_done_or_not,
    reserve_answers_what_is_held, reserve_creates_replaces_and_deletes, reserve_of_the_same_says_whether_it_is_so,
    reserve_refuses_what_is_too_much, reserve_takes_a_full_call, threads_that_reserve_lose_no_update,
};
pub use tallies::{
    forget_tallies_deletes_from_one_name_to_another, generations_have_sums_of_their_own, tallies_are_of_one_moment,
    tallies_begin_as_asked_for, tally_refuses_what_is_too_much, tally_sets_whatever_it_was, tally_takes_a_full_call,
};
pub use threads::{
    a_hold_that_changes_ends_what_is_done_under_it, one_op_from_many_threads_is_one_entry, one_writer_wins_a_cell,
    sixteen_writers_lose_nothing,
};
pub use wait::{close_ends_waits, wait_ends_in_time, wait_sees_what_is_there, wait_wakes};

/// A namespace that nobody else uses: each call makes the ledger of one more node in it.
pub type Nodes<'a> = &'a dyn Fn() -> Arc<dyn Ledger>;

/// The check of one promise; it panics where the ledger breaks it.
pub type Promise = fn(Nodes<'_>);

/// Makes a test of each promise. The argument is a function that returns a namespace of its own for each test, as a
/// closure that makes the ledger of one more node in it.
///
/// ```
/// use std::sync::Arc;
///
/// use apikey_core::cluster::{Ledger, MemoryLedger};
///
/// fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
///     let ledger = MemoryLedger::new();
///     move || Arc::new(ledger.another())
/// }
///
/// apikey_engine::conformance!(namespace);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    ($namespace:path) => {
        $crate::each_promise! { tests_of_promises!($namespace;) }
    };
}

/// The one list of them.
#[doc(hidden)]
#[macro_export]
macro_rules! each_promise {
    ($then:ident!($($first:tt)*)) => {
        $crate::$then! { $($first)*
            begin_makes_one_log, generations_have_logs_of_their_own, a_generation_without_a_log_is_foreign,
            append_moves_the_head, append_after_another_number_is_lost, append_after_another_digest_is_lost,
            append_again_is_here, append_again_after_others_is_here, another_op_in_its_place_is_lost,
            append_is_of_any_size, append_needs_its_fence, append_is_lost_without_its_fence,
            read_is_in_order, read_may_begin_inside_an_entry, read_keeps_to_its_bytes, read_at_the_head_is_empty,
            read_below_the_floor_is_an_error, trim_never_passes_the_state, trim_ends_at_an_entry,
            trim_leaves_head_and_state,
            a_state_begins_at_the_head, advance_writes_replaces_and_deletes, advance_from_elsewhere_changes_nothing,
            advance_in_place_loads_images, advance_needs_its_fence, advance_takes_a_full_step, advance_takes_a_large_step,
            load_is_of_one_moment, load_ends_with_the_error_of_its_caller,
            swap_creates_what_is_not_there, swap_replaces_what_it_expects, swap_deletes_what_it_expects,
            swap_of_nothing_says_whether_it_is_there, cells_are_apart, cells_are_of_the_kinds_asked_for,
            note_sets_whatever_it_was,
            tally_sets_whatever_it_was, tallies_begin_as_asked_for, tallies_are_of_one_moment, tally_takes_a_full_call,
            tally_refuses_what_is_too_much, forget_tallies_deletes_from_one_name_to_another,
            generations_have_sums_of_their_own,
            reserve_creates_replaces_and_deletes, reserve_answers_what_is_held, reserve_of_the_same_says_whether_it_is_so,
            a_lost_swap_changes_nothing_for_the_others, reserve_takes_a_full_call, reserve_refuses_what_is_too_much,
            threads_that_reserve_lose_no_update, reservations_that_are_given_up_are_done_or_not,
            sight_of_nothing_is_empty, look_renews_the_presence, look_with_another_value_is_not_listed,
            look_without_a_presence_is_not_listed, look_after_a_mark_is_not_listed, look_has_all_that_there_is,
            a_writer_and_a_node_that_registers_do_not_miss_each_other,
            wait_sees_what_is_there, wait_wakes, wait_ends_in_time, close_ends_waits,
            sixteen_writers_lose_nothing, one_op_from_many_threads_is_one_entry, one_writer_wins_a_cell,
            a_hold_that_changes_ends_what_is_done_under_it,
            it_does_what_a_model_does,
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! tests_of_promises {
    ($namespace:path; $($promise:ident),* $(,)?) => {
        $(
            #[test]
            fn $promise() {
                $crate::conformance::$promise(&$namespace());
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! list_of_promises {
    ($($promise:ident),* $(,)?) => {
        &[$((stringify!($promise), $crate::conformance::$promise as Promise)),*]
    };
}

/// Every promise under its name, for a test harness of your own.
pub const PROMISES: &[(&str, Promise)] = crate::each_promise! { list_of_promises!() };
