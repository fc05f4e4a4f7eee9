//! A curve of numbers in one line.

/// Nothing has the lowest block, the largest number the highest.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws numbers from left to right, neighbours as their sum where a line of this width has no room for each; `None` if all
/// are 0.
pub(super) fn sparkline(numbers: &[u64], width: usize) -> Option<String> {
    let merged = numbers.len().div_ceil(width.max(1)).max(1);
    let sum = |part: &[u64]| part.iter().fold(0_u64, |sum, number| sum.saturating_add(*number));
    let sums: Vec<u64> = numbers.chunks(merged).map(sum).collect();
    let largest = sums.iter().copied().max().filter(|largest| *largest > 0)?;
    let steps = BLOCKS.len() - 1;
    let block = |number: &u64| {
        let height = (u128::from(*number) * steps as u128).div_ceil(u128::from(largest));
        usize::try_from(height).ok().and_then(|height| BLOCKS.get(height)).copied().unwrap_or('█')
    };
    Some(sums.iter().map(block).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_at_the_largest_number() {
        assert_eq!(sparkline(&[0, 1, 2, 3, 4, 5, 6, 7], 80).unwrap(), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[0, 1, 1000, u64::MAX], 80).unwrap(), "▁▂▂█");
        assert_eq!(sparkline(&[0, 0], 80), None);
        assert_eq!(sparkline(&[], 80), None);
    }

    #[test]
    fn neighbours_share_a_block_where_there_is_no_room() {
        assert_eq!(sparkline(&[1, 1, 1, 1, 0, 0, 7], 4).unwrap(), "▃▃▁█");
        for (numbers, width) in [(1442, 80), (401, 200), (25, 1), (5, 0)] {
            let curve = sparkline(&vec![3; numbers], width).unwrap();
            assert!(curve.chars().count() <= width.max(1), "{curve}");
        }
        assert_eq!(sparkline(&[u64::MAX, u64::MAX, 0, 0], 2).unwrap(), "█▁");
    }
}
