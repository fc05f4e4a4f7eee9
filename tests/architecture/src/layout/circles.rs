use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::arrows::Arrow;
use crate::Finding;

/// For each file that is in a circle, the shortest that it is in.
pub(super) fn check(arrows: &BTreeSet<Arrow>, findings: &mut Vec<Finding>) {
    let mut next: BTreeMap<&str, BTreeMap<&str, &Arrow>> = BTreeMap::new();
    for arrow in arrows {
        next.entry(&arrow.from).or_default().entry(&arrow.to).or_insert(arrow);
    }
    let mut circles: BTreeSet<Vec<&Arrow>> = BTreeSet::new();
    for file in next.keys() {
        if let Some(circle) = shortest(&next, file) {
            circles.insert(circle);
        }
    }
    for circle in circles {
        let Some(first) = circle.first() else { continue };
        let mut text = String::from("circle: ");
        for Arrow { from, line, path, .. } in &circle {
            text.push_str(&format!("{from}:{line} by `{path}` -> "));
        }
        text.push_str(&first.from);
        findings.push(Finding::new(&first.from, first.line, text));
    }
}

/// The shortest way from a file back to it, which begins with the least of its files.
fn shortest<'a>(next: &BTreeMap<&'a str, BTreeMap<&'a str, &'a Arrow>>, start: &str) -> Option<Vec<&'a Arrow>> {
    let mut came_by: BTreeMap<&str, &Arrow> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for (to, arrow) in next.get(file).into_iter().flatten() {
            if came_by.contains_key(to) {
                continue;
            }
            came_by.insert(to, arrow);
            queue.push_back(to);
        }
        if came_by.contains_key(start) {
            break;
        }
    }
    let mut circle = vec![*came_by.get(start)?];
    while let Some(last) = circle.last().filter(|arrow| arrow.from != start) {
        circle.push(came_by.get(last.from.as_str())?);
    }
    circle.reverse();
    let least = circle.iter().enumerate().min_by_key(|(_, arrow)| &arrow.from).map_or(0, |(place, _)| place);
    circle.rotate_left(least);
    Some(circle)
}
