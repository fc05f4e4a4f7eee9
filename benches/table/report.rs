//! The table: what was measured, beside what was to be reached.

/// Rows in the order in which they were measured.
#[derive(Default)]
pub struct Report(Vec<[String; 4]>);

impl Report {
    /// A row: what, the figure, the goal, and the least that is asked ("-" for none).
    pub fn row(&mut self, what: impl Into<String>, figure: impl Into<String>, goal: &str, bar: &str) {
        let row = [what.into(), figure.into(), goal.into(), bar.into()];
        eprintln!("  {}: {} (goal {goal}, bar {bar})", row[0], row[1]);
        self.0.push(row);
    }

    /// The rows that another process has [printed](Self::print).
    pub fn take(&mut self, printed: &str) {
        for line in printed.lines().skip(2) {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let mut cell = || cells.next().unwrap();
            let (what, figure) = (cell(), cell());
            self.row(what, figure, cell(), cell());
        }
    }

    /// As Markdown.
    pub fn print(&self) {
        println!("| figure | measured | goal | bar |\n|---|---|---|---|");
        for [what, figure, goal, bar] in &self.0 {
            println!("| {what} | {figure} | {goal} | {bar} |");
        }
    }
}

/// A part of the run begins.
pub fn section(name: &str) {
    eprintln!("{name}");
}
