use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Identity, Image, Ledger, LedgerError, LedgerResult, Logged, Look,
    Piece, Position, Reserved, Sight, Space, Standing, Step, Swap, Tally, Woken,
};
use apikey_engine::{
    CheckedSettings, CommonSettings, ConnectionThread, OnFirstUse, OwnedEntry, OwnedStanding, OwnedStep, OwnedSwap,
    Waits, damaged, no_log, owned_begins,
};

use crate::database::{Database, Transaction};
use crate::keys::Keys;
use crate::values::{encode_entry, encode_position, entry, number, position};

/// A ledger on a database of one's own.
pub struct OwnEngine {
    database: Arc<Database>,
    settings: CheckedSettings<CommonSettings>,
    node: OnFirstUse<Node>,
    /// How many notifications have come.
    notified: Arc<Waits<u64>>,
}

/// What a ledger in use has.
struct Node {
    keys: Keys,
    quota: Option<u64>,
    thread: ConnectionThread,
}

impl OwnEngine {
    /// Names the database; a real one by its address. It connects when it is first used.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        let settings = CheckedSettings::new(Ok(CommonSettings::new("OWN_ENGINE_PASSWORD")));
        Self { database, settings, node: OnFirstUse::new(), notified: Arc::default() }
    }

    /// Names the cluster: 1 to 32 lower-case letters, digits and `_`; `default` if it is not set.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.settings.set(|settings| settings.set_namespace(name));
        self
    }

    /// Sets how many bytes the database may have: nodes refuse new keys from four fifths of it on.
    #[must_use]
    pub fn quota(mut self, bytes: u64) -> Self {
        self.settings.set(|settings| {
            settings.quota = Some(bytes);
            Ok(())
        });
        self
    }

    fn node(&self) -> LedgerResult<&Node> {
        self.node.get(|| {
            let settings = self.settings.get()?;
            let thread = ConnectionThread::start("own-engine")?;
            // It only wakes: whoever wakes reads the head.
            let (mut notifications, notified) = (self.database.notifications(), self.notified.clone());
            thread.spawn(async move {
                while notifications.changed().await.is_ok() {
                    notified.change(|count| *count += 1);
                }
            });
            Ok(Node { keys: Keys::new(&settings.namespace), quota: settings.quota, thread })
        })
    }

    /// Does a transaction in the thread of the connections, by the time `by`.
    fn transact<T: Send + 'static>(
        &self,
        by: Instant,
        transaction: impl FnOnce(&mut Transaction<'_>, &Keys) -> LedgerResult<T> + Send + 'static,
    ) -> LedgerResult<T> {
        let node = self.node()?;
        if Instant::now() >= by {
            return Err(LedgerError::refused("the time was up before the call was sent"));
        }
        let (database, keys) = (self.database.clone(), node.keys.clone());
        node.thread.call(by, async move {
            let sent = database.transact(|open| transaction(open, &keys));
            // An error of a connection means what the crate's table says of it; here there is only one.
            tokio::time::timeout_at(by.into(), sent).await.unwrap_or_else(|_| Err(LedgerError::unknown("no answer")))
        })
    }
}

impl Ledger for OwnEngine {
    fn name(&self) -> String {
        match self.settings.get() {
            Ok(settings) => format!("own engine, namespace {}", settings.namespace),
            Err(_) => "own engine, not set up".to_owned(),
        }
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        let quota = self.node()?.quota;
        self.transact(by, move |open, keys| sight(open, keys, generation, quota))
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        let (quota, standing) = (self.node()?.quota, OwnedStanding::new(standing));
        self.transact(by, move |open, keys| {
            let cell = keys.cell(&standing.cell);
            if open.get(&cell) != Some(&standing.held) {
                return Ok(Look::NotListed);
            }
            open.set(cell, standing.next);
            Ok(Look::Standing(Box::new(sight(open, keys, generation, quota)?)))
        })
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        let head = *head;
        self.transact(by, move |open, keys| {
            if open.get(&keys.head(generation)).is_some() {
                return Ok(false);
            }
            open.set(keys.head(generation), encode_position(&head));
            open.set(keys.floor(generation), head.number.to_be_bytes());
            open.set(keys.state(generation), encode_position(&head));
            open.set(keys.state_head(generation), []);
            Ok(true)
        })
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        let entry = OwnedEntry::new(entry, fence)?;
        self.transact(by, move |open, keys| {
            let head = head(open, keys, entry.generation)?;
            // First: an earlier try may be in, whatever has become of the head and the hold.
            let next = entries(open, keys, entry.generation, entry.base.number).next().transpose()?;
            if next.is_some_and(|next| next.first == entry.first() && next.op == entry.op) {
                return Ok(Appended::Here);
            }
            if head != entry.base || !holds(open, keys, entry.fence.as_ref()) {
                return Ok(Appended::Lost { head });
            }
            open.set(keys.head(entry.generation), encode_position(&entry.last));
            open.set(keys.entry(entry.generation, entry.last.number), encode_entry(&entry));
            open.notify();
            Ok(Appended::Here)
        })
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        self.transact(by, move |open, keys| {
            let floor = number(open.get(&keys.floor(generation)).ok_or_else(|| no_log(generation))?)?;
            if after < floor {
                return Err(LedgerError::BelowFloor { floor });
            }
            let (mut read, mut bytes) = (Vec::new(), 0);
            for entry in entries(open, keys, generation, after) {
                let entry = entry?;
                bytes += entry.bytes.len();
                if !read.is_empty() && bytes > max_bytes {
                    break;
                }
                read.push(entry);
            }
            Ok(read)
        })
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        // All at once, which is simple. A real one reads page by page what was there at one moment, and has little in memory.
        let (at, head, images) = self.transact(by, move |open, keys| {
            let at = position(open.get(&keys.state(generation)).ok_or_else(|| no_log(generation))?)?;
            let head = open.get(&keys.state_head(generation)).unwrap_or_default().to_vec();
            let images = open.range(keys.images(generation)).map(|(key, value)| {
                let (kind, name) =
                    keys.kind_and_name(generation, key).ok_or_else(|| damaged("an image has no name"))?;
                Ok((kind, name.to_vec(), value.to_vec()))
            });
            Ok((at, head, images.collect::<LedgerResult<Vec<_>>>()?))
        })?;
        take(Piece::At(at, &head))?;
        images
            .iter()
            .try_for_each(|(kind, name, value)| take(Piece::Image(Image { kind: *kind, name, value: Some(value) })))
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        let step = OwnedStep::new(step, fence)?;
        self.transact(by, move |open, keys| {
            let at = open.get(&keys.state(step.generation)).ok_or_else(|| no_log(step.generation))?;
            if position(at)? != step.from || !holds(open, keys, step.fence.as_ref()) {
                return Ok(false);
            }
            open.set(keys.state(step.generation), encode_position(&step.to));
            open.set(keys.state_head(step.generation), step.head);
            for image in step.images {
                let key = keys.image(step.generation, image.kind, &image.name);
                match image.value {
                    Some(value) => open.set(key, value),
                    None => open.delete(key),
                }
            }
            Ok(true)
        })
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        self.transact(by, move |open, keys| {
            let at = position(open.get(&keys.state(generation)).ok_or_else(|| no_log(generation))?)?;
            if at.number < through {
                return Ok(());
            }
            let gone = open.range(keys.entries(generation, 0..=through));
            let gone = gone.map(|(key, value)| Ok((key.to_vec(), entry(value)?.last.number)));
            for (key, last) in gone.collect::<LedgerResult<Vec<_>>>()? {
                open.delete(key);
                open.set(keys.floor(generation), last.to_be_bytes());
            }
            Ok(())
        })
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        loop {
            let seen = self.notified.read(|count| *count);
            // After that, so that nothing comes in between that neither of them shows.
            let moved = self.transact(by, move |open, keys| {
                let head = open.get(&keys.head(generation)).map(position).transpose()?;
                Ok(head.is_some_and(|head| head.number > after))
            });
            match moved {
                _ if self.notified.is_closed() => return Ok(Woken::Closed),
                Ok(true) => return Ok(Woken::Moved),
                Err(_) if Instant::now() >= by => return Ok(Woken::TimedOut),
                Err(error) => return Err(error),
                Ok(false) => {}
            }
            if let Err(ended) = self.notified.sleep(by, |count| (*count != seen).then_some(())) {
                return Ok(ended);
            }
        }
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        let kinds = kinds.to_vec();
        self.transact(by, move |open, keys| {
            let of_kind = |kind: CellKind| {
                let named = move |(key, value): (&[u8], &[u8])| {
                    let cell = keys.cell_name(generation, kind, key).ok_or_else(|| damaged("a cell has no name"))?;
                    Ok(Cell { cell, value: value.to_vec() })
                };
                open.range(keys.cells(generation, kind)).map(named)
            };
            kinds.into_iter().flat_map(of_kind).collect()
        })
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        let (cell, old, new) = (cell.clone(), old.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
        self.transact(by, move |open, keys| {
            let key = keys.cell(&cell);
            if open.get(&key) != old.as_deref() {
                return Ok(false);
            }
            match new {
                Some(value) => open.set(key, value),
                None => open.delete(key),
            }
            Ok(true)
        })
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        let (cell, value) = (cell.clone(), value.to_vec());
        self.transact(by, move |open, keys| {
            open.set(keys.cell(&cell), value);
            Ok(())
        })
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        Tally::check(tallies)?;
        let tallies = tallies.to_vec();
        self.transact(by, move |open, keys| {
            tallies.into_iter().for_each(|tally| open.set(keys.tally(generation, &tally.name), tally.value));
            Ok(())
        })
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        let begins = owned_begins(begins)?;
        self.transact(by, move |open, keys| {
            let found = begins.iter().flat_map(|begin| open.range(keys.tallies(generation, begin)));
            let tally = |(key, value): (&[u8], &[u8])| {
                let name = keys.tally_name(generation, key).ok_or_else(|| damaged("a tally has no name"))?;
                Ok(Tally { name, value: value.to_vec() })
            };
            found.map(tally).collect()
        })
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        let (from, to) = (from.to_vec(), to.to_vec());
        // All at once, which is simple. A real one deletes some hundreds, and then lets other calls have their turn.
        self.transact(by, move |open, keys| {
            let (from, to) = (keys.tally(generation, &from), keys.tally(generation, &to));
            let gone = open.range(keys.tallies(generation, b"")).map(|(key, _)| key.to_vec());
            let gone: Vec<_> = gone.filter(|key| (&from..&to).contains(&key)).collect();
            gone.into_iter().for_each(|key| open.delete(key));
            Ok(())
        })
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        let swaps = OwnedSwap::all(swaps)?;
        self.transact(by, move |open, keys| {
            let swap = |swap: OwnedSwap| {
                let key = keys.reservation(generation, &swap.name);
                let held = open.get(&key).map(<[u8]>::to_vec);
                if held != swap.old {
                    return Reserved::Lost { held };
                }
                match swap.new {
                    Some(value) => open.set(key, value),
                    None => open.delete(key),
                }
                Reserved::Done
            };
            Ok(swaps.into_iter().map(swap).collect())
        })
    }

    fn close(&self) {
        self.notified.close();
    }
}

impl fmt::Debug for OwnEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnEngine({})", self.name())
    }
}

/// What there is to see, in one transaction.
fn sight(open: &Transaction<'_>, keys: &Keys, generation: u64, quota: Option<u64>) -> LedgerResult<Sight> {
    let cell = |cell: &CellName| open.get(&keys.cell(cell)).map(<[u8]>::to_vec);
    let waiting = CellName { generation, kind: CellKind::Waiting, name: String::new() };
    Ok(Sight {
        meta: cell(&CellName::meta()),
        head: open.get(&keys.head(generation)).map(position).transpose()?,
        state: open.get(&keys.state(generation)).map(position).transpose()?,
        floor: open.get(&keys.floor(generation)).map_or(Ok(0), number)?,
        waiting: cell(&waiting),
        space: quota.map(|quota| Space { used: open.size(), quota }),
        // A real one has a name that no other has, and a number that rises when another history begins.
        identity: Identity { system: "own engine".to_owned(), timeline: 0 },
    })
}

fn head(open: &Transaction<'_>, keys: &Keys, generation: u64) -> LedgerResult<Position> {
    position(open.get(&keys.head(generation)).ok_or_else(|| no_log(generation))?)
}

/// Whether a hold has the value that a write depends on.
fn holds(open: &Transaction<'_>, keys: &Keys, fence: Option<&Fence>) -> bool {
    fence.is_none_or(|fence| open.get(&keys.cell(&fence.cell)) == Some(&fence.value))
}

/// The entries that end after an event, in order.
fn entries<'a>(
    open: &'a Transaction<'_>,
    keys: &Keys,
    generation: u64,
    after: u64,
) -> impl Iterator<Item = LedgerResult<Logged>> + use<'a> {
    open.range(keys.entries(generation, after.saturating_add(1)..=u64::MAX)).map(|(_, value)| entry(value))
}
