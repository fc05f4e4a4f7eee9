use std::collections::BTreeMap;

use crate::Files;
use crate::layout::Table;

/// Files and lines of each room, as a table: what `lines` prints.
#[must_use]
pub fn by_room(files: &Files) -> String {
    let mut text = String::from("| crate | room | files | lines | longest |\n|---|---|---|---|---|\n");
    for table in Table::read_all(files, &mut Vec::new()) {
        let mut rooms: BTreeMap<(usize, &str), Vec<(usize, &str)>> = BTreeMap::new();
        for (path, content) in files.rust_below(&table.folder) {
            let room = table.room(path).map_or_else(|| rest(&table.folder, path), |room| room.name());
            let place = table.rooms.iter().position(|other| other.name() == room).unwrap_or(usize::MAX);
            rooms.entry((place, room)).or_default().push((content.lines().count(), path));
        }
        let mut total = (0, 0);
        for ((_, room), files) in rooms {
            let lines: usize = files.iter().map(|(lines, _)| lines).sum();
            let longest = files.iter().max().map_or_else(String::new, |(lines, path)| {
                format!("{} ({lines})", path.rsplit('/').next().unwrap_or(path))
            });
            text.push_str(&format!("| {} | {room} | {} | {lines} | {longest} |\n", table.folder, files.len()));
            total = (total.0 + files.len(), total.1 + lines);
        }
        text.push_str(&format!("| {} | all | {} | {} | |\n", table.folder, total.0, total.1));
    }
    text
}

/// The folder of a file that no room holds.
fn rest<'a>(folder: &str, path: &'a str) -> &'a str {
    let below = path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')).unwrap_or(path);
    below.split_once('/').map_or("(beside the rooms)", |(first, _)| first)
}
