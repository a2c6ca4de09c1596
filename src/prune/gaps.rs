//! Which lines stay, as flags and as ranges, and which gaps between them are worth a marker.

use crate::text::Lines;

/// Lets `lines` stay.
pub fn mark(stays: &mut [bool], lines: Lines) {
    stays[lines.start..lines.end].fill(true);
}

/// The runs of lines that stay.
pub fn ranges(stays: &[bool]) -> Vec<Lines> {
    let mut ranges: Vec<Lines> = Vec::new();
    for (line, _) in stays.iter().enumerate().filter(|(_, stays)| **stays) {
        match ranges.last_mut() {
            Some(range) if range.end == line => range.end += 1,
            _ => ranges.push(Lines::new(line, line + 1)),
        }
    }
    ranges
}

/// `keep`, with the gaps between its ranges, and before and after them up to line `end`, closed where they are `small`.
pub fn close_gaps(keep: &[Lines], end: usize, small: impl Fn(Lines) -> bool) -> Vec<Lines> {
    let mut closed: Vec<Lines> = Vec::new();
    for &range in keep {
        let gap = Lines::new(closed.last().map_or(0, |last| last.end), range.start);
        let start = if small(gap) { gap.start } else { range.start };
        match closed.last_mut() {
            Some(last) if last.end == start => last.end = range.end,
            _ => closed.push(Lines::new(start, range.end)),
        }
    }
    if let Some(last) = closed.last_mut()
        && small(Lines::new(last.end, end))
    {
        last.end = end;
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_lines() {
        let stays = [false, true, true, false, true];
        assert_eq!(ranges(&stays), [Lines::new(1, 3), Lines::new(4, 5)]);
        assert_eq!(ranges(&[]), []);
    }

    #[test]
    fn small_gaps_are_closed() {
        let small = |gap: Lines| gap.len() <= 2;
        let keep = |ranges: &[(usize, usize)]| -> Vec<(usize, usize)> {
            let ranges: Vec<Lines> = ranges.iter().map(|&(start, end)| Lines::new(start, end)).collect();
            close_gaps(&ranges, 20, small).iter().map(|lines| (lines.start, lines.end)).collect()
        };
        assert_eq!(keep(&[(2, 5), (7, 9), (12, 18)]), [(0, 9), (12, 20)]);
        assert_eq!(keep(&[(3, 5), (5, 6)]), [(3, 6)]);
        assert_eq!(keep(&[]), []);
    }
}
