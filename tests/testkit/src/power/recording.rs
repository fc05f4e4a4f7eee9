//! What a process did to its files, and the directory as a power cut may leave it.
//!
//! The model: data that was written to a file before an `fsync` or `fdatasync` of it began is durable once that has
//! returned; a name that was created, changed or removed in a directory is durable after an `fsync` of the directory.
//! Everything else may survive or not. `sync_file_range` makes nothing durable. A sector of 512 bytes is old or new.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use crate::random::Random;

const SECTOR: usize = 512;
/// What sled calls its log.
const LOG: &str = "db";

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing survives that was not synced.
    Dropped,
    /// Any sectors survive of what was not synced, and all names up to some moment, as a journaling file system keeps them.
    Torn,
    /// Any of the writes and any of the names survive.
    Any,
}

/// A file or directory, independent of its name.
type Node = usize;

#[derive(Debug, Clone)]
enum Step {
    Data {
        node: Node,
        at: u64,
        bytes: Vec<u8>,
    },
    Size {
        node: Node,
        length: u64,
    },
    /// Names that change together: the directory, the name, and what it then refers to.
    Names(Vec<(Node, String, Option<Node>)>),
    Synced {
        node: Node,
        begun: usize,
    },
    /// What the process wrote into the recording.
    Line(String),
    Nothing,
}

/// The steps of a recording, in order.
#[derive(Debug, Default)]
pub struct Recording {
    steps: Vec<Step>,
    directories: Vec<Node>,
    nodes: usize,
    /// Where the first process starts. Everything before it was on disk.
    start: usize,
    /// From the first write of a snapshot until it has its name, and the old one is gone.
    pub snapshots: Vec<std::ops::Range<usize>>,
    /// The files of sled's log, whatever the name of their directory.
    logs: Vec<Node>,
    /// The end of the first creation: the database gets its name.
    pub creation: Option<usize>,
}

const ROOT: Node = 0;

impl Recording {
    /// Reads a recording of the calls below `root`, where everything in `base` was on disk before. The last call may be cut
    /// off, if the process was killed: it has had no answer.
    pub fn read(log: &[u8], root: &Path, base: Option<&Path>) -> Self {
        let mut reader = Reader::new(root);
        if let Some(base) = base {
            reader.take_in(base, ROOT);
        }
        reader.recording.start = reader.recording.steps.len();
        let mut rest = log;
        while !rest.is_empty() {
            let Some((head, after)) = rest.split_at_checked(24) else { break };
            let number = |range: std::ops::Range<usize>| {
                let mut wide = [0; 8];
                wide[..range.len()].copy_from_slice(&head[range]);
                u64::from_le_bytes(wide)
            };
            let (path, data) = (number(16..20) as usize, number(20..24) as usize);
            let Some((path, after)) = after.split_at_checked(path) else { break };
            let Some((data, after)) = after.split_at_checked(data) else { break };
            rest = after;
            reader.step(number(0..4), number(4..8), number(8..16), std::str::from_utf8(path).unwrap(), data);
        }
        reader.recording
    }

    /// A random moment for a power cut.
    pub fn some_moment(&self, random: &mut Random) -> usize {
        let within = |from: usize, to: usize, random: &mut Random| from + random.below(to - from + 1);
        let cut = match (random.below(100), self.creation) {
            (0..30, _) if !self.snapshots.is_empty() => {
                let snapshot = &self.snapshots[random.below(self.snapshots.len())];
                within(snapshot.start, snapshot.end, random)
            }
            (30..45, Some(created)) => within(self.start, created + 8, random),
            _ => within(self.start, self.steps.len(), random),
        };
        cut.min(self.steps.len())
    }

    /// The number of writes to sled's log that were not on disk when a snapshot began. A power cut could keep the snapshot,
    /// which sled syncs, and lose what it refers to.
    pub fn unsynced_at_snapshots(&self) -> usize {
        let unsynced_at = |cut: usize| {
            let mut durable = vec![0; self.nodes];
            for step in &self.steps[..cut] {
                if let Step::Synced { node, begun } = step {
                    durable[*node] = durable[*node].max(*begun);
                }
            }
            let loose = |(at, step): (usize, &Step)| match step {
                Step::Data { node, .. } => self.logs.contains(node) && at >= durable[*node],
                _ => false,
            };
            self.steps[..cut].iter().enumerate().filter(|step| loose(*step)).count()
        };
        self.snapshots.iter().map(|snapshot| unsynced_at(snapshot.start)).sum()
    }

    /// The same recording of a process that never syncs.
    pub fn without_syncs(mut self) -> Self {
        for step in &mut self.steps[self.start..] {
            if matches!(step, Step::Synced { .. }) {
                *step = Step::Nothing;
            }
        }
        self
    }

    /// The moment after the last step.
    pub fn end(&self) -> usize {
        self.steps.len()
    }

    /// The lines of the log before a moment.
    pub fn lines(&self, cut: usize) -> impl Iterator<Item = &str> {
        self.steps[..cut].iter().filter_map(|step| match step {
            Step::Line(line) => Some(line.as_str()),
            _ => None,
        })
    }

    /// Writes the directory as a power cut at that moment may leave it; the number of steps that were not on disk.
    pub fn rebuild(&self, cut: usize, style: Style, random: &mut Random, to: &Path) -> usize {
        let mut durable = vec![0; self.nodes];
        for step in &self.steps[..cut] {
            if let Step::Synced { node, begun } = step {
                durable[*node] = durable[*node].max(*begun);
            }
        }
        let share = [10, 50, 90][random.below(3)];
        let names_until = random.below(cut + 1);
        let mut files: HashMap<Node, Vec<u8>> = HashMap::new();
        let mut names: HashMap<Node, BTreeMap<String, Node>> = HashMap::new();
        let mut loose = 0;
        for (at, step) in self.steps[..cut].iter().enumerate() {
            match step {
                Step::Data { node, at: offset, bytes } => {
                    let sure = at < durable[*node];
                    loose += usize::from(!sure);
                    let file = files.entry(*node).or_default();
                    let offset = *offset as usize;
                    match style {
                        _ if sure => put(file, offset, bytes),
                        Style::Dropped => {}
                        Style::Any if random.percent(share) => put(file, offset, bytes),
                        Style::Any => {}
                        Style::Torn => {
                            let mut from = 0;
                            while from < bytes.len() {
                                let to = (from + SECTOR - (offset + from) % SECTOR).min(bytes.len());
                                if random.percent(share) {
                                    put(file, offset + from, &bytes[from..to]);
                                } else if random.percent(20) && file.len() < offset + to {
                                    // The length survives, but not the content.
                                    file.resize(offset + to, 0);
                                }
                                from = to;
                            }
                        }
                    }
                }
                Step::Size { node, length } => {
                    let sure = at < durable[*node];
                    loose += usize::from(!sure);
                    if sure || (style != Style::Dropped && random.percent(share)) {
                        files.entry(*node).or_default().resize(*length as usize, 0);
                    }
                }
                Step::Names(changes) => {
                    let sure = changes.iter().all(|(directory, ..)| at < durable[*directory]);
                    loose += usize::from(!sure);
                    let kept = match style {
                        Style::Dropped => false,
                        Style::Torn => at < names_until,
                        Style::Any => random.percent(share),
                    };
                    if sure || kept {
                        for (directory, name, node) in changes {
                            let entries = names.entry(*directory).or_default();
                            match node {
                                Some(node) => entries.insert(name.clone(), *node),
                                None => entries.remove(name),
                            };
                        }
                    }
                }
                Step::Synced { .. } | Step::Line(_) | Step::Nothing => {}
            }
        }
        self.write_out(ROOT, &files, &names, to);
        loose
    }

    /// Writes the directory as the process left it, from the recording.
    pub fn replay(&self, to: &Path) {
        let mut all = Self { steps: self.steps.clone(), directories: self.directories.clone(), ..Self::default() };
        all.nodes = self.nodes;
        // As if everything had been synced at the end.
        let end = all.steps.len();
        all.steps.extend((0..all.nodes).map(|node| Step::Synced { node, begun: end }));
        all.rebuild(all.steps.len(), Style::Dropped, &mut Random::new(0), to);
    }

    fn write_out(
        &self,
        directory: Node,
        files: &HashMap<Node, Vec<u8>>,
        names: &HashMap<Node, BTreeMap<String, Node>>,
        to: &Path,
    ) {
        fs::create_dir_all(to).unwrap();
        for (name, node) in names.get(&directory).into_iter().flatten() {
            let path = to.join(name);
            if self.directories.contains(node) {
                self.write_out(*node, files, names, &path);
            } else {
                fs::write(path, files.get(node).map_or(&[][..], Vec::as_slice)).unwrap();
            }
        }
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The files as the process sees them, while a recording is read.
struct Reader {
    recording: Recording,
    root: String,
    names: HashMap<Node, BTreeMap<String, Node>>,
    open: HashMap<u64, Node>,
    /// Where each sync began, by its number.
    syncs: HashMap<u64, (usize, Node)>,
    snapshot: Option<usize>,
}

impl Reader {
    fn new(root: &Path) -> Self {
        let recording = Recording { directories: vec![ROOT], nodes: 1, ..Recording::default() };
        let root = root.to_str().unwrap().to_owned();
        Self { recording, root, names: HashMap::new(), open: HashMap::new(), syncs: HashMap::new(), snapshot: None }
    }

    fn add(&mut self, directory: bool) -> Node {
        let node = self.recording.nodes;
        self.recording.nodes += 1;
        if directory {
            self.recording.directories.push(node);
        }
        node
    }

    /// Adds files that existed before and are on disk.
    fn take_in(&mut self, path: &Path, directory: Node) {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let is_directory = entry.file_type().unwrap().is_dir();
            let node = self.add(is_directory);
            let name = entry.file_name().into_string().unwrap();
            if name == LOG {
                self.recording.logs.push(node);
            }
            self.name(vec![(directory, name, Some(node))]);
            if is_directory {
                self.take_in(&entry.path(), node);
            } else {
                self.recording.steps.push(Step::Data { node, at: 0, bytes: fs::read(entry.path()).unwrap() });
            }
            let begun = self.recording.steps.len();
            self.recording.steps.push(Step::Synced { node, begun });
        }
        let begun = self.recording.steps.len();
        self.recording.steps.push(Step::Synced { node: directory, begun });
    }

    fn name(&mut self, changes: Vec<(Node, String, Option<Node>)>) {
        for (directory, name, node) in &changes {
            let entries = self.names.entry(*directory).or_default();
            match node {
                Some(node) => entries.insert(name.clone(), *node),
                None => entries.remove(name),
            };
        }
        self.recording.steps.push(Step::Names(changes));
    }

    /// The directory of a path, and the last name in it.
    fn split<'p>(&self, path: &'p str) -> (Node, &'p str) {
        let inner = path.strip_prefix(&*self.root).expect("only paths under the root are recorded");
        let mut parts: Vec<&str> = inner.split('/').filter(|part| !part.is_empty()).collect();
        let last = parts.pop().unwrap_or("");
        let directory = parts.iter().fold(ROOT, |node, part| self.names[&node][*part]);
        (directory, last)
    }

    fn find(&self, path: &str) -> Node {
        match self.split(path) {
            (node, "") => node,
            (directory, name) => self.names[&directory][name],
        }
    }

    fn step(&mut self, kind: u64, fd: u64, at: u64, path: &str, data: &[u8]) {
        let here = self.recording.steps.len();
        match kind {
            // START
            0 => {
                self.open.clear();
                self.syncs.clear();
                self.snapshot = None;
                self.recording.steps.push(Step::Nothing);
            }
            // LINE
            1 => {
                let text = std::str::from_utf8(data).unwrap();
                for line in text.lines() {
                    self.recording.steps.push(Step::Line(line.to_owned()));
                }
            }
            // OPEN; 1 for a new file, 2 for one that is truncated
            2 => {
                let node = if at & 1 == 1 {
                    let node = self.add(false);
                    let (directory, name) = self.split(path);
                    let name = name.to_owned();
                    if name == LOG {
                        self.recording.logs.push(node);
                    }
                    self.name(vec![(directory, name, Some(node))]);
                    node
                } else {
                    self.find(path)
                };
                if at == 2 {
                    self.recording.steps.push(Step::Size { node, length: 0 });
                }
                if at & 1 == 1 && path.ends_with(".generating") {
                    self.snapshot = Some(here);
                }
                self.open.insert(fd, node);
            }
            // WRITE
            3 => self.recording.steps.push(Step::Data { node: self.open[&fd], at, bytes: data.to_vec() }),
            // SIZE
            4 => self.recording.steps.push(Step::Size { node: self.open[&fd], length: at }),
            // RENAME
            5 => {
                let to = std::str::from_utf8(data).unwrap();
                let node = self.find(path);
                let ((from, old), (into, new)) = (self.split(path), self.split(to));
                self.name(vec![(from, old.to_owned(), None), (into, new.to_owned(), Some(node))]);
                if to.ends_with("/sled") {
                    self.recording.creation = Some(here);
                }
                if let Some(begun) = self.snapshot.take() {
                    // The next steps, which remove the old one, belong to it.
                    self.recording.snapshots.push(begun..here + 4);
                }
            }
            // UNLINK and RMDIR
            6 | 8 => {
                let (directory, name) = self.split(path);
                self.name(vec![(directory, name.to_owned(), None)]);
            }
            // MKDIR
            7 => {
                let node = self.add(true);
                let (directory, name) = self.split(path);
                self.name(vec![(directory, name.to_owned(), Some(node))]);
            }
            // SYNC_BEGIN
            9 => {
                self.syncs.insert(at, (here, self.open[&fd]));
                self.recording.steps.push(Step::Nothing);
            }
            // SYNC_END
            10 => {
                let (begun, node) = self.syncs[&at];
                self.recording.steps.push(Step::Synced { node, begun });
            }
            // CLOSE
            11 => {
                self.open.remove(&fd);
            }
            // DUP
            12 => {
                let node = self.open[&fd];
                self.open.insert(at, node);
            }
            other => panic!("a record of kind {other}"),
        }
    }
}

/// Compares two directories; the error names the first difference.
pub fn same(one: &Path, two: &Path) -> Result<(), String> {
    let list = |path: &Path| -> BTreeMap<String, bool> {
        let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path().is_dir())).collect()
    };
    let (first, second) = (list(one), list(two));
    if first != second {
        return Err(format!("{} holds {first:?}, {} holds {second:?}", one.display(), two.display()));
    }
    for (name, directory) in first {
        let (one, two) = (one.join(&name), two.join(&name));
        if directory {
            same(&one, &two)?;
        } else if fs::read(&one).unwrap() != fs::read(&two).unwrap() {
            return Err(format!("{} and {} differ", one.display(), two.display()));
        }
    }
    Ok(())
}
