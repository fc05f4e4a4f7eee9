use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use apikey_core::cluster::{
    Appended, CellKind, Fence, Image, LedgerError, LedgerResult, Logged, Look, Position, Reserved, Swap,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Nodes;
use super::fixture::{Chain, StoredImage, at, image, op, soon};

/// What a ledger would be in one thread: the answer to every call, whatever came before it.
#[derive(Default)]
struct Model {
    head: Position,
    log: Vec<Logged>,
    floor: u64,
    state: Position,
    state_head: Vec<u8>,
    images: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
    cells: BTreeMap<(CellKind, u8), Vec<u8>>,
    tallies: BTreeMap<Vec<u8>, Vec<u8>>,
    reservations: BTreeMap<u8, u8>,
}

/// A call. Small numbers choose among few values, so that calls meet each other.
#[derive(Debug, Clone)]
enum Call {
    /// After the head, or after what was the head so many entries ago; of another history if so.
    Append {
        behind: usize,
        fork: bool,
        events: u64,
        fence: Option<u8>,
    },
    /// The entry of so many entries ago once more.
    Again {
        behind: usize,
    },
    Read {
        after: u64,
        max_bytes: usize,
    },
    /// From where the state stands, or from elsewhere.
    Advance {
        right: bool,
        events: u64,
        images: Vec<(u8, Option<u8>)>,
        fence: Option<u8>,
    },
    Trim {
        through: u64,
    },
    /// From what there is, or from something else.
    Swap {
        kind: CellKind,
        name: u8,
        old: Option<u8>,
        new: Option<u8>,
    },
    Note {
        name: u8,
        value: u8,
    },
    Look {
        name: u8,
        held: u8,
        next: u8,
    },
    Tally(BTreeMap<Vec<u8>, u8>),
    Tallies(Vec<Vec<u8>>),
    ForgetTallies(Vec<u8>, Vec<u8>),
    /// By name: from what, to what.
    Reserve(BTreeMap<u8, (Option<u8>, Option<u8>)>),
}

fn call() -> impl Strategy<Value = Call> {
    let few = || 0..3_u8;
    let name = || prop::collection::vec(prop::sample::select(vec![0, 7, u8::MAX]), 0..3);
    let change = (prop::option::of(few()), prop::option::of(few()));
    let kind = prop::sample::select(vec![CellKind::Presence, CellKind::Hold, CellKind::Acknowledgement]);
    let fence = || prop::option::weighted(0.3, 0..3_u8);
    prop_oneof![
        6 => (prop_oneof![4 => Just(0_usize), 1 => 1..4_usize], prop::bool::weighted(0.1), 1..4_u64, fence())
            .prop_map(|(behind, fork, events, fence)| Call::Append { behind, fork, events, fence }),
        1 => (0..5_usize).prop_map(|behind| Call::Again { behind }),
        2 => (0..30_u64, prop::sample::select(vec![0, 8, 20, 10_000]))
            .prop_map(|(after, max_bytes)| Call::Read { after, max_bytes }),
        3 => (prop::bool::weighted(0.8), 0..4_u64, prop::collection::btree_map(0..6_u8, prop::option::of(few()), 0..4), fence())
            .prop_map(|(right, events, images, fence)| {
                Call::Advance { right, events, images: images.into_iter().collect(), fence }
            }),
        1 => (0..30_u64).prop_map(|through| Call::Trim { through }),
        3 => (kind, few(), prop::option::of(few()), prop::option::of(few()))
            .prop_map(|(kind, name, old, new)| Call::Swap { kind, name, old, new }),
        1 => (few(), few()).prop_map(|(name, value)| Call::Note { name, value }),
        2 => (few(), few(), few()).prop_map(|(name, held, next)| Call::Look { name, held, next }),
        2 => prop::collection::btree_map(name(), few(), 0..4).prop_map(Call::Tally),
        1 => prop::collection::btree_set(name(), 0..3).prop_map(|begins| Call::Tallies(begins.into_iter().collect())),
        1 => (name(), name()).prop_map(|(from, to)| Call::ForgetTallies(from, to)),
        4 => prop::collection::btree_map(0..5_u8, change, 0..5).prop_map(Call::Reserve),
    ]
}

impl Model {
    fn cell(&self, kind: CellKind, name: u8) -> Option<&Vec<u8>> {
        self.cells.get(&(kind, name))
    }

    /// The fence is about the hold with the name 0.
    fn holds(&self, fence: Option<u8>) -> bool {
        fence.is_none_or(|value| self.cell(CellKind::Hold, 0) == Some(&vec![value]))
    }

    /// The head before the last so many entries.
    fn base(&self, behind: usize) -> Position {
        match self.log.len().checked_sub(behind + 1) {
            Some(index) if behind > 0 => self.log[index].last,
            None if behind > 0 => Position::default(),
            _ => self.head,
        }
    }

    fn append(&mut self, entry: Logged, base: Position, fence: Option<u8>) -> Appended {
        if self.log.iter().any(|logged| logged.op == entry.op && logged.first > base.number) {
            return Appended::Here;
        }
        if base != self.head || !self.holds(fence) {
            return Appended::Lost { head: self.head };
        }
        self.head = entry.last;
        self.log.push(entry);
        Appended::Here
    }

    fn read(&self, after: u64, max_bytes: usize) -> LedgerResult<Vec<Logged>> {
        if after < self.floor {
            return Err(LedgerError::BelowFloor { floor: self.floor });
        }
        let mut bytes = 0;
        let following = self.log.iter().filter(|entry| entry.last.number > after).enumerate();
        let within = following.take_while(|(index, entry)| {
            bytes += entry.bytes.len();
            *index == 0 || bytes <= max_bytes
        });
        Ok(within.map(|(_, entry)| entry.clone()).collect())
    }

    fn trim(&mut self, through: u64) {
        if self.state.number >= through {
            let gone = self.log.iter().filter(|entry| entry.last.number <= through);
            self.floor = gone.map(|entry| entry.last.number).max().unwrap_or(0).max(self.floor);
            self.log.retain(|entry| entry.last.number > through);
        }
    }

    fn swap(&mut self, kind: CellKind, name: u8, old: Option<u8>, new: Option<u8>) -> bool {
        if self.cell(kind, name) != old.map(|value| vec![value]).as_ref() {
            return false;
        }
        match new {
            Some(new) => drop(self.cells.insert((kind, name), vec![new])),
            None => drop(self.cells.remove(&(kind, name))),
        }
        true
    }

    fn reserve(&mut self, name: u8, old: Option<u8>, new: Option<u8>) -> Reserved {
        let held = self.reservations.get(&name).copied();
        if held != old {
            return Reserved::Lost { held: held.map(|held| vec![held]) };
        }
        match new {
            Some(new) => drop(self.reservations.insert(name, new)),
            None => drop(self.reservations.remove(&name)),
        }
        Reserved::Done
    }

    /// Makes a call about tallies or reservations on both, and compares the answers.
    fn sum(&mut self, chain: &Chain, call: &Call) {
        match call {
            Call::Tally(tallies) => {
                let tallies: Vec<_> = tallies.iter().map(|(name, value)| (name.clone(), vec![*value])).collect();
                chain.tally(&tallies.iter().map(|(name, value)| (&name[..], &value[..])).collect::<Vec<_>>());
                self.tallies.extend(tallies);
            }
            Call::Tallies(begins) => {
                let begins: Vec<_> = begins.iter().map(Vec::as_slice).collect();
                let wanted = |name: &&Vec<u8>| begins.iter().any(|begin| name.starts_with(begin));
                let names = self.tallies.keys().filter(wanted);
                let tallies: Vec<_> = names.map(|name| (name.clone(), self.tallies[name].clone())).collect();
                assert_eq!(chain.tallies(&begins), tallies);
            }
            Call::ForgetTallies(from, to) => {
                chain.ledger.forget_tallies(chain.generation, from, to, soon()).unwrap();
                self.tallies.retain(|name, _| name < from || name >= to);
            }
            Call::Reserve(swaps) => {
                let bytes = |value: Option<u8>| value.map(|value| vec![value]);
                let swaps: Vec<_> =
                    swaps.iter().map(|(name, (old, new))| ([*name], bytes(*old), bytes(*new))).collect();
                let borrowed: Vec<_> = swaps
                    .iter()
                    .map(|(name, old, new)| Swap { name, old: old.as_deref(), new: new.as_deref() })
                    .collect();
                let answers = chain.reserve_all(&borrowed);
                let byte = |value: &Option<Vec<u8>>| value.as_ref().map(|value| value[0]);
                let expected: Vec<_> =
                    swaps.iter().map(|(name, old, new)| self.reserve(name[0], byte(old), byte(new))).collect();
                assert_eq!(answers, expected);
            }
            _ => unreachable!("{call:?} is about neither"),
        }
    }

    /// Makes the call on both, and compares the answers.
    fn step(&mut self, chain: &Chain, call: &Call) {
        let fence =
            |value: Option<u8>| value.map(|value| Fence { cell: chain.cell(CellKind::Hold, "0"), value: vec![value] });
        match *call {
            Call::Append { behind, fork, events, fence: value } => {
                let mut base = self.base(behind);
                if fork {
                    base = at(9, base.number);
                }
                let last = at(1, base.number + events);
                let entry =
                    Logged { first: base.number + 1, last, op: op(), bytes: last.number.to_be_bytes().to_vec() };
                let answer = chain.append_fenced(entry.op, base, last, &entry.bytes, fence(value).as_ref()).unwrap();
                assert_eq!(answer, self.append(entry, base, value));
            }
            Call::Again { behind } => {
                let Some(index) = self.log.len().checked_sub(behind + 1) else { return };
                let entry = self.log[index].clone();
                // The base of the first entry that is left is no longer known, except by its number: it was not forked.
                let base = match index.checked_sub(1) {
                    Some(before) => self.log[before].last,
                    None if entry.first == 1 => Position::default(),
                    None => at(1, entry.first - 1),
                };
                assert_eq!(chain.append(entry.op, base, entry.last, &entry.bytes).unwrap(), Appended::Here);
            }
            Call::Read { after, max_bytes } => assert_eq!(chain.read(after, max_bytes), self.read(after, max_bytes)),
            Call::Advance { right, events, ref images, fence: value } => {
                let from = if right { self.state } else { at(9, self.state.number) };
                let to = if events == 0 { self.state } else { at(1, self.state.number + events) };
                let named: Vec<_> = images.iter().map(|(name, value)| ([*name], value.map(|value| [value]))).collect();
                let images: Vec<Image<'_>> =
                    named.iter().map(|(name, value)| image(name, value.as_ref().map(|value| &value[..]))).collect();
                let done = chain.advance(from, to, &images, fence(value).as_ref()).unwrap();
                assert_eq!(done, right && self.holds(value));
                if done {
                    self.state = to;
                    self.state_head = to.number.to_be_bytes().to_vec();
                    for (name, value) in named {
                        match value {
                            Some(value) => drop(self.images.insert((1, name.to_vec()), value.to_vec())),
                            None => drop(self.images.remove(&(1, name.to_vec()))),
                        }
                    }
                }
            }
            Call::Trim { through } => {
                chain.ledger.trim(chain.generation, through, soon()).unwrap();
                self.trim(through);
            }
            Call::Swap { kind, name, old, new } => {
                let cell = chain.cell(kind, &name.to_string());
                let (was, is) = (old.map(|value| [value]), new.map(|value| [value]));
                let done = chain.swap(&cell, was.as_ref().map(|was| &was[..]), is.as_ref().map(|is| &is[..]));
                assert_eq!(done, self.swap(kind, name, old, new));
            }
            Call::Note { name, value } => {
                let cell = chain.cell(CellKind::Acknowledgement, &name.to_string());
                chain.ledger.note(&cell, &[value], soon()).unwrap();
                self.cells.insert((CellKind::Acknowledgement, name), vec![value]);
            }
            Call::Look { name, held, next } => {
                let cell = chain.cell(CellKind::Presence, &name.to_string());
                let stands = self.swap(CellKind::Presence, name, Some(held), Some(next));
                match chain.look(&cell, &[held], &[next]) {
                    Look::Standing(sight) => {
                        assert!(stands);
                        assert_eq!(
                            (sight.head, sight.state, sight.floor),
                            (Some(self.head), Some(self.state), self.floor)
                        );
                    }
                    Look::NotRenewed(_) => panic!("an engine with space renews the presence"),
                    Look::NotListed => assert!(!stands),
                }
            }
            Call::Tally(_) | Call::Tallies(_) | Call::ForgetTallies(..) | Call::Reserve(_) => self.sum(chain, call),
        }
    }

    /// Compares all that there is.
    fn compare(&self, chain: &Chain) {
        let sight = chain.sight();
        assert_eq!((sight.head, sight.state, sight.floor), (Some(self.head), Some(self.state), self.floor));
        assert_eq!(chain.follow(self.floor), self.log);
        let images: Vec<StoredImage> =
            self.images.iter().map(|((kind, name), value)| (*kind, name.clone(), value.clone())).collect();
        assert_eq!(chain.load(), (self.state, self.state_head.clone(), images));
        for kind in [CellKind::Presence, CellKind::Hold, CellKind::Acknowledgement] {
            let cells = self.cells.iter().filter(|((of, _), _)| *of == kind);
            let cells: Vec<_> = cells.map(|((_, name), value)| (name.to_string(), value.clone())).collect();
            assert_eq!(chain.cells(kind), cells);
        }
        assert_eq!(chain.tallies(&[b""]), self.tallies.clone().into_iter().collect::<Vec<_>>());
        for (name, held) in &self.reservations {
            assert!(chain.reserve(&[*name], Some(&[*held]), Some(&[*held])));
        }
    }
}

/// Random calls from one thread are answered as a simple model answers them. Each case has a generation of its own.
/// `APIKEY_LEDGER_CASES` says how many cases there are.
pub fn it_does_what_a_model_does(nodes: Nodes<'_>) {
    let cases = std::env::var("APIKEY_LEDGER_CASES").ok().map_or(24, |cases| cases.parse().expect("a number of cases"));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let ledger = nodes();
    let next = AtomicU64::new(1);
    let run = TestRunner::new(config).run(&prop::collection::vec(call(), 1..40), |calls| {
        let chain = Chain { ledger: ledger.clone(), generation: next.fetch_add(1, Ordering::Relaxed) };
        assert!(chain.ledger.begin(chain.generation, &Position::default(), soon()).unwrap());
        let mut model = Model::default();
        for call in &calls {
            model.step(&chain, call);
        }
        model.compare(&chain);
        Ok(())
    });
    run.unwrap();
}
