use crate::markdown::{code_spans, rows};
use crate::{Files, Finding, LAYOUT};

/// The rooms of one crate, from the top down: a section of `docs/internals/layout.md` whose heading names the crate's folder.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) folder: String,
    pub(crate) rooms: Vec<Room>,
}

/// A folder of the crate, or a file beside them.
#[derive(Debug)]
pub(crate) struct Room {
    /// Below the crate's folder: `store/` or `lib.rs`.
    name: String,
    line: usize,
    may_use: MayUse,
}

#[derive(Debug)]
enum MayUse {
    AllBelow,
    /// As [`bare`] names.
    Rooms(Vec<String>),
}

const ALL_BELOW: &str = "all below";

impl Table {
    pub(crate) fn read_all(files: &Files, findings: &mut Vec<Finding>) -> Vec<Self> {
        let mut tables: Vec<Self> = Vec::new();
        for row in rows(files.get(LAYOUT).unwrap_or_default()) {
            if row.columns.first() != Some(&"room") {
                continue;
            }
            let (Some(folder), [name, _, may_use]) = (code_spans(row.heading).next(), row.cells.as_slice()) else {
                findings.push(Finding::new(LAYOUT, row.line, "a room has a name, what it holds, and what it may use"));
                continue;
            };
            let may_use = match *may_use {
                ALL_BELOW => MayUse::AllBelow,
                rooms => MayUse::Rooms(code_spans(rooms).map(|room| bare(room).to_owned()).collect()),
            };
            let name = code_spans(name).next().unwrap_or(name).to_owned();
            let room = Room { name, line: row.line, may_use };
            match tables.iter_mut().find(|table| table.folder == folder) {
                Some(table) => table.rooms.push(room),
                None => tables.push(Self { folder: folder.to_owned(), rooms: vec![room] }),
            }
        }
        if tables.is_empty() {
            findings.push(Finding::new(LAYOUT, 0, "no table of rooms"));
        }
        for table in &tables {
            table.check(files, findings);
        }
        tables
    }

    /// The room of a file.
    pub(crate) fn room(&self, path: &str) -> Option<&Room> {
        let path = path.strip_prefix(&self.folder)?.strip_prefix('/')?;
        let holds =
            |room: &&Room| if room.name.ends_with('/') { path.starts_with(&room.name) } else { path == room.name };
        // A row for a folder inside of another is the nearer one.
        self.rooms.iter().filter(holds).max_by_key(|room| room.name.len())
    }

    pub(crate) fn allows(&self, from: &Room, to: &Room) -> bool {
        from.name == to.name
            || match &from.may_use {
                MayUse::AllBelow => self.place(&from.name) < self.place(&to.name),
                MayUse::Rooms(rooms) => rooms.iter().any(|room| room == bare(&to.name)),
            }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.rooms.iter().position(|room| bare(&room.name) == bare(name))
    }

    /// The table against itself, and against the folders that are there.
    fn check(&self, files: &Files, findings: &mut Vec<Finding>) {
        for room in &self.rooms {
            if let MayUse::Rooms(rooms) = &room.may_use {
                for other in rooms {
                    // Rows from the top down make a table without circles.
                    let fault = match (self.place(&room.name), self.place(other)) {
                        (_, None) => format!("{other} has no row"),
                        (here, there) if there <= here => {
                            format!("{} may not use {other}, whose row is not below", room.name)
                        }
                        _ => continue,
                    };
                    findings.push(Finding::new(LAYOUT, room.line, fault));
                }
            }
            let path = format!("{}/{}", self.folder, room.name);
            if !files.has(&path) {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("has a row in {LAYOUT} (line {}), and is not there", room.line),
                ));
            }
        }
        for (path, _) in files.rust_below(&self.folder) {
            if self.room(path).is_none() {
                findings.push(Finding::new(path, 0, format!("no row of {LAYOUT} holds this file")));
            }
        }
    }
}

impl Room {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it may use, for people.
    pub(crate) fn allowed(&self) -> String {
        match &self.may_use {
            MayUse::AllBelow => format!("{} may use all below it", self.name),
            MayUse::Rooms(rooms) if rooms.is_empty() => format!("{} may use no other room", self.name),
            MayUse::Rooms(rooms) => {
                format!("{} may use {}", self.name, rooms.join(" "))
            }
        }
    }
}

/// `store` for `store/`, and `time` for `time.rs`.
fn bare(room: &str) -> &str {
    room.trim_end_matches('/').trim_end_matches(".rs")
}
