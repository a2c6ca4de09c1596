//! Which lines stay and why, line by line and as ranges, and which gaps between them are worth a marker.

use super::reason::Why;
use crate::base::text::Lines;

/// By line, why it stays; `None` where it does not.
pub type Stays = [Option<Why>];

/// Lets `lines` stay, those for this reason that did not yet stay for another.
pub fn mark(stays: &mut Stays, lines: Lines, why: Why) {
    stays[lines.start..lines.end].iter_mut().for_each(|line| *line = line.or(Some(why)));
}

/// The runs of lines that stay.
pub fn ranges(stays: &Stays) -> Vec<Lines> {
    let mut ranges: Vec<Lines> = Vec::new();
    for (line, _) in stays.iter().enumerate().filter(|(_, stays)| stays.is_some()) {
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
        let mut stays = [None; 5];
        mark(&mut stays, Lines::new(1, 3), Why::Named);
        mark(&mut stays, Lines::new(4, 5), Why::Frame);
        assert_eq!(ranges(&stays), [Lines::new(1, 3), Lines::new(4, 5)]);
        mark(&mut stays, Lines::new(2, 4), Why::Chosen);
        assert_eq!(stays, [None, Some(Why::Named), Some(Why::Named), Some(Why::Chosen), Some(Why::Frame)]);
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
