//! Token counts, byte spans and line ranges of texts.

use std::ops::Range;

/// A number of tokens. Its source names the vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tokens(pub usize);

impl std::ops::Add for Tokens {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for Tokens {
    fn sum<I: Iterator<Item = Self>>(tokens: I) -> Self {
        Self(tokens.map(|t| t.0).sum())
    }
}

/// A half-open range of bytes of a text, on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range to index a `str` or a byte slice with.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the span holds no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A half-open range of lines of a text, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lines {
    /// First line, from 0.
    pub start: usize,
    /// One past the last line.
    pub end: usize,
}

impl Lines {
    /// Lines `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The runs of lines that are in, given line by line.
    pub fn runs(are_in: impl IntoIterator<Item = bool>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for (line, _) in are_in.into_iter().enumerate().filter(|(_, is_in)| *is_in) {
            match runs.last_mut() {
                Some(run) if run.end == line => run.end += 1,
                _ => runs.push(Self::new(line, line + 1)),
            }
        }
        runs
    }

    /// Number of lines.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the range holds no line.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether line `line` is in the range.
    pub fn contains(self, line: usize) -> bool {
        (self.start..self.end).contains(&line)
    }
}

/// The lines of a text. A line includes its line break (`\n` or `\r\n`); the last one may have none.
#[derive(Debug, Clone)]
pub struct LineIndex {
    /// Byte where each line starts, then the text's length.
    starts: Vec<usize>,
}

impl LineIndex {
    /// Finds the lines of `text`. An empty text has no line.
    pub fn new(text: &str) -> Self {
        let mut starts = vec![0];
        for line in text.split_inclusive('\n') {
            starts.push(starts[starts.len() - 1] + line.len());
        }
        Self { starts }
    }

    /// Number of lines.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bytes of `lines`, line breaks included. `lines` must lie within the text.
    pub fn span(&self, lines: Lines) -> Span {
        Span { start: self.starts[lines.start], end: self.starts[lines.end] }
    }

    /// The line that holds byte `byte`; the last line for the text's end.
    pub fn line_of(&self, byte: usize) -> usize {
        self.starts[1..].partition_point(|&end| end <= byte).min(self.count().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_bytes_agree() {
        let text = "a\r\n\nbc";
        let index = LineIndex::new(text);
        assert_eq!(index.count(), 3);
        assert_eq!(&text[index.span(Lines::new(0, 1)).range()], "a\r\n");
        assert_eq!(&text[index.span(Lines::new(1, 3)).range()], "\nbc");
        assert_eq!([0, 2, 3, 4, 5, 6].map(|byte| index.line_of(byte)), [0, 0, 1, 2, 2, 2]);
        assert_eq!(LineIndex::new("").count(), 0);
    }
}
