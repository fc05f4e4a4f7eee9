//! The table of figures, with a goal for each.

/// The rows, in the order in which they were measured.
#[derive(Default)]
pub struct Report(Vec<[String; 4]>);

impl Report {
    /// Adds a row: its name, the figure, the goal, and the bar that it must not fall below ("-" for none).
    pub fn row(&mut self, what: impl Into<String>, figure: impl Into<String>, goal: &str, bar: &str) {
        let row = [what.into(), figure.into(), goal.into(), bar.into()];
        eprintln!("  {}: {} (goal {goal}, bar {bar})", row[0], row[1]);
        self.0.push(row);
    }

    /// Adds the rows that another process has [printed](Self::print).
    pub fn take(&mut self, printed: &str) {
        for line in printed.lines().skip(2) {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let mut cell = || cells.next().unwrap();
            let (what, figure) = (cell(), cell());
            self.row(what, figure, cell(), cell());
        }
    }

    /// Prints the table as Markdown.
    pub fn print(&self) {
        println!("| figure | measured | goal | bar |\n|---|---|---|---|");
        for [what, figure, goal, bar] in &self.0 {
            println!("| {what} | {figure} | {goal} | {bar} |");
        }
    }
}

/// Announces a part of the run.
pub fn section(name: &str) {
    eprintln!("{name}");
}
