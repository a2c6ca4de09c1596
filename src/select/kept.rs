//! The lines that are kept, each with its reason, and the gaps between them that are worth a marker.

use crate::base::text::Lines;

/// Why a line is kept. Of several reasons for a line the first that was found counts; for a unit, the first in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepReason {
    /// The question names its unit.
    Named,
    /// It stands between `lopper:keep` and `lopper:end`.
    Marked,
    /// The caller needs it: it is near the cursor.
    Pinned,
    /// No unit fits the budget, and it is in the best.
    Best,
    /// The budget is best spent on it.
    Chosen,
    /// It opens or closes a type of which something is kept.
    Frame,
    /// It is an import of a name that kept lines use.
    Import,
    /// A marker in its place would cost as much.
    Cheap,
}

/// By line, why it is kept, if it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLines(Vec<Option<KeepReason>>);

impl KeptLines {
    /// None of `count` lines.
    pub fn none(count: usize) -> Self {
        Self(vec![None; count])
    }

    /// Keeps `lines`, for this reason those that were not kept before.
    pub fn keep(&mut self, lines: Lines, reason: KeepReason) {
        self.0[lines.start..lines.end].iter_mut().for_each(|line| *line = line.or(Some(reason)));
    }

    /// Why `line` is kept; `None` where it is not.
    pub fn reason(&self, line: usize) -> Option<KeepReason> {
        self.0[line]
    }

    /// Whether some of `lines` are kept.
    pub fn any(&self, lines: Lines) -> bool {
        self.0[lines.start..lines.end].iter().any(Option::is_some)
    }

    /// The runs of lines that are kept.
    pub fn runs(&self) -> Vec<Lines> {
        Lines::runs(self.0.iter().map(Option::is_some))
    }
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
    fn the_first_reason_counts() {
        let mut kept = KeptLines::none(5);
        kept.keep(Lines::new(1, 3), KeepReason::Named);
        kept.keep(Lines::new(4, 5), KeepReason::Frame);
        assert_eq!(kept.runs(), [Lines::new(1, 3), Lines::new(4, 5)]);
        kept.keep(Lines::new(2, 4), KeepReason::Chosen);
        assert_eq!([2, 3, 0].map(|line| kept.reason(line)), [Some(KeepReason::Named), Some(KeepReason::Chosen), None]);
        assert!(kept.any(Lines::new(0, 2)) && !kept.any(Lines::new(0, 1)));
        assert_eq!(KeptLines::none(0).runs(), []);
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
