//! A plot of the cost against the number of keys, as SVG.

use std::fmt::Write;
use std::path::Path;

#[derive(Clone, Copy, PartialEq)]
pub enum Line {
    Apikey,
    HandWritten,
    Prefixed,
    Map,
    Sqlite,
}

const LINES: [(Line, &str, &str); 5] = [
    (Line::Apikey, "apikey", "#c0392b"),
    (Line::HandWritten, "check by hand", "#2c3e50"),
    (Line::Prefixed, "prefixed-api-key + HashMap", "#2980b9"),
    (Line::Map, "RwLock<HashMap>, hex digests", "#8e44ad"),
    (Line::Sqlite, "SQLite, prepared", "#27ae60"),
];

/// The points, in nanoseconds.
#[derive(Default)]
pub struct Plot(Vec<(Line, usize, f64)>);

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
/// Left, top, right, bottom.
const MARGIN: [f64; 4] = [64.0, 16.0, 16.0, 40.0];

fn x(keys: usize) -> f64 {
    MARGIN[0] + ((keys as f64).log10() - 3.0) / 4.0 * (WIDTH - MARGIN[0] - MARGIN[2])
}

fn y(ns: f64) -> f64 {
    HEIGHT - MARGIN[3] - (ns.log10() - 1.5) / 3.0 * (HEIGHT - MARGIN[1] - MARGIN[3])
}

impl Plot {
    pub fn add(&mut self, line: Line, keys: usize, ns: f64) {
        self.0.push((line, keys, ns));
    }

    pub fn write(&self, path: &Path) {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        for (keys, name) in
            [(1_000, "1 k"), (10_000, "10 k"), (100_000, "100 k"), (1_000_000, "1 M"), (10_000_000, "10 M")]
        {
            let (x, bottom) = (x(keys), HEIGHT - MARGIN[3]);
            let _ = writeln!(svg, "<path d=\"M{x:.1} {} V{bottom}\" stroke=\"#ddd\"/>", MARGIN[1]);
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>", bottom + 16.0);
        }
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">keys</text>", WIDTH / 2.0, HEIGHT - 6.0);
        for ns in [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0] {
            let (y, right) = (y(ns), WIDTH - MARGIN[2]);
            let _ = writeln!(svg, "<path d=\"M{} {y:.1} H{right}\" stroke=\"#ddd\"/>", MARGIN[0]);
            let _ = writeln!(svg, "<text x=\"58\" y=\"{:.1}\" text-anchor=\"end\">{ns} ns</text>", y + 4.0);
        }
        for (at, (line, name, color)) in LINES.into_iter().enumerate() {
            let mut points: Vec<_> = self.0.iter().filter(|point| point.0 == line).collect();
            points.sort_by_key(|point| point.1);
            let places: Vec<String> =
                points.iter().map(|(_, keys, ns)| format!("{:.1},{:.1}", x(*keys), y(*ns))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
                places.join(" ")
            );
            for place in &places {
                let (x, y) = place.split_once(',').unwrap();
                let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{color}\"/>");
            }
            let legend = MARGIN[1] + 16.0 + at as f64 * 16.0;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{legend}\" fill=\"{color}\">{}</text>",
                MARGIN[0] + 10.0,
                name.replace('<', "&lt;")
            );
        }
        svg.push_str("</svg>\n");
        std::fs::write(path, svg).unwrap();
    }
}
