//! The lines, the table, the side table, the compiled sets of grants, the quotas of owners and the counts of a thread of
//! apikey-core's index, from their own source, with Loom's atomics in place of the standard library's. Loom runs each model under every order of steps and every value that a load may return by
//! the rules of the C11 memory model, with at most two preemptions (`LOOM_MAX_PREEMPTIONS=3` for more, and minutes).
//!
//! `cargo test -p apikey-loom-test` runs them all; a name as argument runs one.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "nobody else uses this"
)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a model that fails shall stop")]

mod atomic;
#[path = "../../apikey-core/src/access/control_word.rs"]
mod control_word;
#[path = "../../apikey-core/src/index/counts/table.rs"]
mod counts;
#[path = "../../apikey-core/src/index/home.rs"]
mod home;
mod index;
#[path = "../../apikey-core/src/index/line.rs"]
mod line;
#[path = "../../apikey-core/src/index/side_table.rs"]
mod side_table;
#[path = "../../apikey-core/src/index/table.rs"]
mod table;

/// The parts of the crate that those files use.
mod hints {
    pub(crate) fn large_pages<T>(_: &mut [T]) {}
    pub(crate) fn prefetch<T>(_: &T) {}
}
mod access {
    pub(crate) use super::{control_word, grant_set, identity, named};
    pub(crate) mod network {
        pub(crate) const ANYWHERE: u32 = 0;
    }
}
mod base {
    pub(crate) mod interner {
        pub(crate) const PACKED: u32 = 1 << 31;
        pub(crate) static IDENTITIES: Identities = Identities;

        /// The text of an identity is its number.
        pub(crate) struct Identities;

        impl Identities {
            pub(crate) fn text(&self, number: u32) -> &'static str {
                ["0", "1", "2", "3"][number as usize]
            }
        }

        #[derive(Debug)]
        pub(crate) struct Full;

        impl std::fmt::Display for Full {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("full")
            }
        }
    }
}
mod token {
    pub(crate) mod api_key {
        pub(crate) const ID_CHARS: usize = 22;
    }
    pub(crate) mod digest {
        pub(crate) type Digest = [u8; 32];
        pub(crate) type DigestPrefix = [u8; 16];
    }
}

/// Sets of grants whose numbers say what they are: that of a text has a bit for each permission.
mod grant_set {
    use crate::access::named::NamedId;
    use crate::base::interner::Full;

    /// Permissions.
    pub(crate) const A: u32 = 1;
    pub(crate) const B: u32 = 2;
    pub(crate) const C: u32 = 4;

    const EXPRESSION: u32 = 1 << 31;
    /// The set of the role 1, that of the role 2, and that of both; the meet of the first two; that of the role 1, as far as the
    /// tenant leaves it.
    pub(crate) const ONE: u32 = EXPRESSION | 1;
    pub(crate) const TWO: u32 = EXPRESSION | 2;
    pub(crate) const BOTH: u32 = EXPRESSION | 3;
    pub(crate) const MEET: u32 = EXPRESSION | 4;
    pub(crate) const OF_TENANT: u32 = EXPRESSION | 5;

    pub(crate) const TENANT: NamedId = 9;

    pub(crate) fn is_expression(set: u32) -> bool {
        set & EXPRESSION != 0
    }

    pub(crate) fn place(expression: u32) -> usize {
        (expression & !EXPRESSION) as usize
    }

    pub(crate) fn names(set: u32) -> Vec<NamedId> {
        match set {
            ONE => vec![1],
            TWO => vec![2],
            BOTH | MEET => vec![1, 2],
            OF_TENANT => vec![1, TENANT],
            _ => Vec::new(),
        }
    }

    pub(crate) fn tenant(set: u32) -> Option<NamedId> {
        (set == OF_TENANT).then_some(TENANT)
    }

    pub(crate) fn compile(set: u32, granted: &impl Fn(NamedId) -> Result<u32, Full>) -> Result<u32, Full> {
        let each = names(set).into_iter().map(granted).collect::<Result<Vec<_>, Full>>()?.into_iter();
        Ok(match set {
            MEET | OF_TENANT => each.fold(!0, |met, granted| met & granted),
            ONE | TWO | BOTH => each.fold(0, |all, granted| all | granted),
            text => text,
        })
    }
}

/// An identity is that of an owner without anything else.
mod identity {
    pub(crate) fn text_of_owner(identity: &str) -> &str {
        identity
    }
}

/// What roles grant and tenants leave, by such sets.
mod named {
    use crate::base::interner::Full;

    pub(crate) type NamedId = u128;

    pub(crate) enum Kind {
        Owner,
    }

    impl Kind {
        /// The id of an owner is the number of its identity.
        pub(crate) fn id(self, name: &str) -> NamedId {
            name.parse().unwrap()
        }
    }

    #[derive(Clone, Copy)]
    pub(crate) struct NamedAllowance {
        pub(crate) grants: u32,
        pub(crate) ended: bool,
        pub(crate) limit: Option<()>,
        pub(crate) quota: Option<()>,
    }

    impl NamedAllowance {
        pub(crate) fn of(grants: u32) -> Self {
            Self { grants, ended: false, limit: None, quota: None }
        }

        pub(crate) fn without_record(_: NamedId) -> Result<Self, Full> {
            Ok(Self::of(0))
        }

        pub(crate) fn meet(self, other: Self) -> Result<Self, Full> {
            let (grants, ended) = (self.grants & other.grants, self.ended || other.ended);
            Ok(Self { grants, ended, limit: None, quota: None })
        }

        pub(crate) fn loses(self, after: Self) -> bool {
            self.grants & !after.grants != 0 || after.ended && !self.ended
        }
    }
}

use std::time::Instant;

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use atomic::Ordering;
use control_word::{REVOKED, SIDE_ENTRY};
use grant_set::{A, B, BOTH, C, MEET, OF_TENANT, ONE, TENANT, TWO};
use index::Index;
use line::{Entry, LineState, Usage};
use named::{NamedAllowance, NamedId};
use side_table::{FreeList, SideEntry, SideTable};
use table::Table;

/// The lines of a table; one of them stays empty.
const LINES: usize = 4;

/// An entry whose home slot is `slot`. The number is the identity's, too.
fn entry(number: u8, slot: u32) -> Entry {
    let state = LineState { control: 0, identity: number.into(), grants: number.into(), version: 1, side: 0 };
    Entry { digest: [number; 32], state, usage: Usage::new(home(slot), 0) }
}

fn home(slot: u32) -> u32 {
    slot << 29
}

fn table(entries: &[Entry]) -> Arc<Table> {
    let table = Table::with_lines(LINES);
    entries.iter().for_each(|entry| table.insert(entry));
    Arc::new(table)
}

fn find(table: &Table, number: u8, slot: u32) -> Option<LineState> {
    table.find(home(slot), &[number; 32]).map(|live| live.state)
}

/// Runs `read` on this thread while another one runs `write`.
fn beside(table: &Arc<Table>, write: impl FnOnce(&Table) + Send + 'static, read: impl FnOnce(&Table)) {
    let writer = {
        let table = table.clone();
        thread::spawn(move || {
            atomic::this_is_the_writer();
            write(&table);
        })
    };
    read(table);
    writer.join().unwrap();
}

fn remove(table: &Table, number: u8, slot: u32) {
    let slot = table.slot_of(home(slot), &[number; 32]).unwrap();
    table.remove(slot);
}

/// Another key is removed, so this one moves back, past a reader.
fn a_key_is_found_while_one_before_it_is_removed() {
    let table = table(&[entry(1, 0), entry(2, 0)]);
    beside(&table, |table| remove(table, 1, 0), |table| assert_eq!(find(table, 2, 0).unwrap().identity, 2));
}

/// Another key that belongs before it is inserted, so this one moves on.
fn a_key_is_found_while_one_before_it_is_inserted() {
    let table = table(&[entry(2, 1)]);
    let write = |table: &Table| {
        table.insert(&entry(1, 0));
        table.insert(&entry(3, 0));
    };
    beside(&table, write, |table| assert_eq!(find(table, 2, 1).unwrap().identity, 2));
}

/// A key is removed and another inserted in its place: a reader that looks for the first finds it or nothing.
fn no_reader_finds_the_key_that_replaces_another() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        remove(table, 1, 0);
        table.insert(&entry(2, 0));
    };
    let read = |table: &Table| {
        assert!(find(table, 1, 0).is_none_or(|found| (found.identity, found.grants) == (1, 1)));
    };
    beside(&table, write, read);
    assert_eq!(find(&table, 2, 0).unwrap().identity, 2);
}

/// A lookup does not find a key that was removed before it began.
fn a_removed_key_is_not_found() {
    let table = table(&[entry(1, 0), entry(2, 0)]);
    remove(&table, 1, 0);
    beside(&table, |table| table.insert(&entry(3, 0)), |table| assert!(find(table, 1, 0).is_none()));
}

/// Grants and state change together: no reader sees the new grants with the old state.
fn no_mixture_gives_more_than_old_or_new() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { control: REVOKED, grants: 9, ..live.state });
    };
    let read = |table: &Table| {
        let found = find(table, 1, 0).unwrap();
        assert!(found.grants == 1 || found.control & REVOKED != 0, "the new grants, and not revoked");
    };
    beside(&table, write, read);
}

/// Identity and grants change together: no reader sees the labels of one state with the grants of the other.
fn identity_and_grants_are_of_one_state() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { identity: 9, grants: 9, ..live.state });
    };
    let read = |table: &Table| {
        let found = find(table, 1, 0).unwrap();
        assert!(found.identity == found.grants, "{} with {}", found.identity, found.grants);
    };
    beside(&table, write, read);
    assert_eq!(find(&table, 1, 0).unwrap().identity, 9);
}

/// Two changes one after the other, from restricted to free: the second's grants never show with the first's state.
fn two_updates_are_not_mixed() {
    let table = table(&[entry(1, 0)]);
    let write = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { control: 0, grants: 2, ..live.state });
        live.line.update(LineState { control: REVOKED, grants: 3, ..live.state });
    };
    let read = |table: &Table| {
        let found = find(table, 1, 0).unwrap();
        assert!(found.grants < 3 || found.control & REVOKED != 0, "{}", found.grants);
    };
    beside(&table, write, read);
}

/// One line gives its side entry back and another takes it: no reader believes the other's times.
fn a_side_entry_is_nobody_elses() {
    let side_table = Arc::new(SideTable::default());
    let mut free_list = FreeList::default();
    let times = |at| SideEntry { not_before: Some(1), secret_end: Some(2), ..SideEntry::none(at) };
    let number = side_table.add(&mut free_list, times(1), None);
    let mut with_side = entry(1, 0);
    with_side.state.control = SIDE_ENTRY;
    with_side.state.side = number;
    let table = table(&[with_side]);
    let written = side_table.clone();
    let write = move |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        live.line.update(LineState { control: 0, ..live.state });
        free_list.give_back(number);
        written.add(&mut free_list, times(2), None);
    };
    let read = |table: &Table| {
        let live = table.find(home(0), &[1; 32]).unwrap();
        if live.state.control & SIDE_ENTRY != 0 {
            let entry = side_table.read(live.state.side).unwrap();
            assert!(entry.id == 1 || !live.line.is_still(live.state.control), "another's side entry");
        }
    };
    beside(&table, write, read);
}

/// A key with a set of grants, in an index where roles grant this.
fn with_roles(set: u32, roles: &[(NamedId, u32)]) -> (Arc<Table>, Arc<Index>) {
    let index = Index::default();
    roles.iter().for_each(|(role, granted)| index.publish_named(*role, NamedAllowance::of(*granted)).unwrap());
    index.add_set(set);
    let mut entry = entry(1, 0);
    entry.state.grants = set;
    (table(&[entry]), Arc::new(index))
}

/// Lets the line name another set of grants.
fn name_set(table: &Table, index: &Index, set: u32) {
    index.add_set(set);
    let live = table.find(home(0), &[1; 32]).unwrap();
    live.line.update(LineState { grants: set, ..live.state });
}

/// What verifications find that the key may do, one after the other.
fn beside_roles<const COUNT: usize>(
    (table, index): (Arc<Table>, Arc<Index>),
    write: impl FnOnce(&Table, &Index) + Send + 'static,
    read: impl FnOnce([Option<u32>; COUNT]),
) {
    let written = index.clone();
    let granted = |table: &Table| [(); COUNT].map(|()| index.granted(table, home(0), &[1; 32]));
    beside(&table, move |table| write(table, &written), |table| read(granted(table)));
}

/// An edit takes A and gives C: no reader has both, and none has A again once another reader has not.
fn an_edit_of_a_role_gives_the_old_grants_or_the_new_ones() {
    let write = |_: &Table, index: &Index| {
        index.restrict_named(1, NamedAllowance::of(B | C)).unwrap();
        index.publish_named(1, NamedAllowance::of(B | C)).unwrap();
    };
    beside_roles(with_roles(ONE, &[(1, A | B)]), write, |[first, second]| {
        let steps = [A | B, B, B | C];
        let step = |granted: Option<u32>| steps.iter().position(|step| Some(*step) == granted).unwrap();
        assert!(step(first) <= step(second), "{first:?} and then {second:?}");
    });
}

/// A deleted role grants nothing, and one of its name that comes later gives a key that has it no more what the first did.
fn a_deleted_role_grants_nothing() {
    let write = |_: &Table, index: &Index| {
        index.restrict_named(1, NamedAllowance::of(0)).unwrap();
        index.publish_named(1, NamedAllowance::of(0)).unwrap();
        index.publish_named(1, NamedAllowance::of(B)).unwrap();
    };
    beside_roles(with_roles(BOTH, &[(1, A), (2, C)]), write, |granted: [Option<u32>; 2]| {
        for granted in granted {
            assert!([A | C, C, B | C].contains(&granted.unwrap()), "{granted:?}");
        }
    });
}

/// A key loses a role, which grants more after that: no reader of the key has it.
fn a_key_gets_nothing_from_a_role_that_it_has_lost() {
    let write = |table: &Table, index: &Index| {
        name_set(table, index, MEET);
        name_set(table, index, TWO);
        index.publish_named(1, NamedAllowance::of(A | B | C)).unwrap();
    };
    beside_roles(with_roles(ONE, &[(1, A | B), (2, B)]), write, |[granted]| {
        assert!(granted.is_none_or(|granted| [A | B, B].contains(&granted)), "{granted:?}");
    });
}

/// A role grants less, and then a key gets it: no reader of the key has what the role granted before.
fn a_key_gets_nothing_that_a_role_has_lost_before() {
    let write = |table: &Table, index: &Index| {
        index.restrict_named(2, NamedAllowance::of(B)).unwrap();
        index.publish_named(2, NamedAllowance::of(B)).unwrap();
        name_set(table, index, BOTH);
    };
    beside_roles(with_roles(ONE, &[(1, A), (2, B | C)]), write, |granted: [Option<u32>; 2]| {
        for granted in granted.into_iter().flatten() {
            assert!([A, A | B].contains(&granted), "{granted}");
        }
    });
}

/// A role that a set already depends on grants less while the line goes to that set.
fn sets_that_are_compiled_before_a_line_names_them_follow_their_roles() {
    let (table, index) = with_roles(ONE, &[(1, A), (2, B | C)]);
    index.add_set(BOTH);
    let write = |table: &Table, index: &Index| {
        index.restrict_named(2, NamedAllowance::of(B)).unwrap();
        name_set(table, index, BOTH);
        index.restrict_named(2, NamedAllowance::of(0)).unwrap();
    };
    beside_roles((table, index), write, |granted: [Option<u32>; 2]| {
        for granted in granted.into_iter().flatten() {
            assert!([A, A | B].contains(&granted), "{granted}");
        }
    });
}

/// A tenant ends, and its role grants more after that: a key of it is revoked from then on.
fn a_key_of_a_tenant_that_has_ended_gets_nothing() {
    let write = |_: &Table, index: &Index| {
        let ended = NamedAllowance { ended: true, ..NamedAllowance::of(A | B) };
        index.restrict_named(TENANT, ended).unwrap();
        index.publish_named(TENANT, ended).unwrap();
        index.publish_named(1, NamedAllowance::of(A | B | C)).unwrap();
    };
    beside_roles(with_roles(OF_TENANT, &[(1, A | C), (TENANT, A | B)]), write, |[first, second]| {
        let steps = [A, index::ENDED];
        let step = |granted: Option<u32>| steps.iter().position(|step| Some(*step) == granted).unwrap();
        assert!(step(first) <= step(second), "{first:?} and then {second:?}");
    });
}

/// A thread counts its first use of two keys, and another use of the first, while another thread reads: that one sees whole
/// keys, and counts that only grow.
fn what_a_thread_counts_another_reads_whole() {
    const KEYS: [([u64; 3], u32); 2] = [([1, 2, 3], 7), ([4, 5, 6], 8)];
    let table = Arc::new(counts::ThreadTable::new(4));
    let thread = {
        let table = table.clone();
        thread::spawn(move || {
            atomic::this_is_the_writer();
            let [first, second] = KEYS;
            for (id, identity) in [first, second, first] {
                table.count(1, id, identity).unwrap();
            }
        })
    };
    let read = || {
        let slots: Vec<_> = table.read().map(|(_, slot)| slot).collect();
        assert!(slots.iter().all(|slot| KEYS.contains(&(slot.id, slot.identity))), "{slots:?}");
        KEYS.map(|(id, _)| slots.iter().find(|slot| slot.id == id).map_or(0, |slot| slot.count))
    };
    let (one, other) = (read(), read());
    assert!(one.iter().zip(&other).all(|(one, other)| one <= other), "{one:?} {other:?}");
    thread.join().unwrap();
    assert_eq!(read(), [2, 1]);
}

/// Two owners get a quota one after the other, and the table becomes larger, while a reader verifies keys of both and of a third:
/// after a call has returned, every verification finds the quota, whatever it has noted before.
fn a_quota_of_an_owner_is_found_as_soon_as_it_is_there() {
    let quotas = Arc::new(Index::default());
    // The number of a quota is that of the owner and ten.
    let id_of = |number: u32| number.checked_sub(10).map(NamedId::from);
    let added = Arc::new(atomic::AtomicU32::new(0));
    let writer = {
        let (quotas, added) = (quotas.clone(), added.clone());
        thread::spawn(move || {
            atomic::this_is_the_writer();
            for owner in [1, 3] {
                quotas.add_owner_quota(owner.into(), owner + 10, id_of);
                added.store(owner, Ordering::Release);
            }
        })
    };
    let mut found = [0; 4];
    for _ in 0..2 {
        let added = added.load(Ordering::Acquire);
        for owner in [3, 1, 2] {
            let number = quotas.quota_of_owner(owner, id_of);
            assert!([0, owner + 10].contains(&number) && (owner != 2 || number == 0), "{owner}: {number}");
            let before = std::mem::replace(&mut found[owner as usize], number);
            let is_due = owner <= added && owner != 2;
            assert!(number != 0 || (before == 0 && !is_due), "{owner}: {before} and then nothing, of {added}");
        }
    }
    writer.join().unwrap();
    assert_eq!([1, 2, 3].map(|owner| quotas.quota_of_owner(owner, id_of)), [11, 0, 13]);
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let models: [(&str, fn()); 16] = [
        ("a_key_is_found_while_one_before_it_is_removed", a_key_is_found_while_one_before_it_is_removed),
        ("a_key_is_found_while_one_before_it_is_inserted", a_key_is_found_while_one_before_it_is_inserted),
        ("no_reader_finds_the_key_that_replaces_another", no_reader_finds_the_key_that_replaces_another),
        ("a_removed_key_is_not_found", a_removed_key_is_not_found),
        ("no_mixture_gives_more_than_old_or_new", no_mixture_gives_more_than_old_or_new),
        ("identity_and_grants_are_of_one_state", identity_and_grants_are_of_one_state),
        ("two_updates_are_not_mixed", two_updates_are_not_mixed),
        ("a_side_entry_is_nobody_elses", a_side_entry_is_nobody_elses),
        (
            "an_edit_of_a_role_gives_the_old_grants_or_the_new_ones",
            an_edit_of_a_role_gives_the_old_grants_or_the_new_ones,
        ),
        ("a_deleted_role_grants_nothing", a_deleted_role_grants_nothing),
        ("a_key_gets_nothing_from_a_role_that_it_has_lost", a_key_gets_nothing_from_a_role_that_it_has_lost),
        ("a_key_gets_nothing_that_a_role_has_lost_before", a_key_gets_nothing_that_a_role_has_lost_before),
        (
            "sets_that_are_compiled_before_a_line_names_them_follow_their_roles",
            sets_that_are_compiled_before_a_line_names_them_follow_their_roles,
        ),
        ("a_key_of_a_tenant_that_has_ended_gets_nothing", a_key_of_a_tenant_that_has_ended_gets_nothing),
        ("what_a_thread_counts_another_reads_whole", what_a_thread_counts_another_reads_whole),
        ("a_quota_of_an_owner_is_found_as_soon_as_it_is_there", a_quota_of_an_owner_is_found_as_soon_as_it_is_there),
    ];
    for (name, model) in models {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted)) {
            continue;
        }
        let start = Instant::now();
        let runs = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = runs.clone();
        let mut builder = Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(2));
        builder.max_branches = 100_000;
        builder.check(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            model();
        });
        println!(
            "{name}: {} orders, {:.1} s",
            runs.load(std::sync::atomic::Ordering::Relaxed),
            start.elapsed().as_secs_f64()
        );
    }
}
