//! Associations of words of code with words of prose: `len` and `count` with "number", `pop` and `discard` with "removes".
//!
//! Learned from functions of public packages and the first sentences of their doc comments (`lopper-lab learn`). For a term q of
//! prose and a term d of code, t(q | d) is how often q is in the comment of a function that has d, P(q) how often it is in
//! any. A unit's score for q is ln(½·t/P(q) + ½) for the d of it whose t is highest, in nats; the sum over the question's
//! terms is a translation model of the question (Berger and Lafferty, "Information Retrieval as Statistical Translation",
//! 1999).

use std::collections::HashMap;
use std::sync::LazyLock;

/// The table for [`Associations::parse`]: a line a term of prose, `TERM P|NAMES|CODE`, with P and each t in ten-thousandths and
/// NAMES and CODE lists of `term t`, separated by commas.
const TEXT: &str = include_str!("associations.txt");
/// Probabilities are written in this many parts.
const PARTS: f32 = 10_000.0;

/// A table of associations.
#[derive(Default)]
pub struct Associations<'a> {
    entries: HashMap<&'a str, Entry<'a>>,
    /// For a term that is not in it: nothing goes with it.
    unknown: Entry<'a>,
}

/// Terms of code that go with a term of prose.
#[derive(Debug, Default, PartialEq)]
pub struct Entry<'a> {
    /// How often the term is in a doc comment, 0 to 1.
    share: f32,
    /// How often, given that a term is in the function's name, 0 to 1.
    names: HashMap<&'a str, f32>,
    /// The same for the whole function.
    code: HashMap<&'a str, f32>,
}

impl Associations<'static> {
    /// The table that comes with Lopper.
    pub fn built_in() -> &'static Self {
        static TABLE: LazyLock<Associations<'static>> =
            LazyLock::new(|| Associations::parse(TEXT).expect("the file is checked by a test"));
        &TABLE
    }
}

impl<'a> Associations<'a> {
    /// Reads a table; `None` where a line is not of its form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let entries = text.lines().map(|line| {
            let mut fields = line.split('|');
            let (term, share) = fields.next()?.split_once(' ')?;
            let (names, code) = (pairs(fields.next()?)?, pairs(fields.next()?)?);
            Some((term, Entry { share: probability(share)?, names, code }))
        });
        Some(Self { entries: entries.collect::<Option<_>>()?, unknown: Entry::default() })
    }

    /// The entries of the `asked` terms.
    pub fn of(&self, asked: &[String]) -> Vec<&Entry<'a>> {
        asked.iter().map(|term| self.entries.get(term.as_str()).unwrap_or(&self.unknown)).collect()
    }
}

impl<'a> Entry<'a> {
    /// The terms of code that go with it, each at least once.
    pub fn terms(&self) -> impl Iterator<Item = &'a str> {
        let only_names = self.names.keys().filter(|name| !self.code.contains_key(*name));
        self.code.keys().chain(only_names).copied()
    }

    /// t of a term that is in a name; 0 where it says nothing.
    pub fn in_name(&self, term: &str) -> f32 {
        self.names.get(term).copied().unwrap_or_default()
    }

    /// t of a term that is elsewhere.
    pub fn in_code(&self, term: &str) -> f32 {
        self.code.get(term).copied().unwrap_or_default()
    }
}

/// The highest t found in a unit, by term of the question.
pub struct Associated(Vec<f32>);

impl Associated {
    /// Nothing found, for so many terms.
    pub fn new(terms: usize) -> Self {
        Self(vec![0.0; terms])
    }

    /// Records a term of code that goes with term `at` at `t`.
    pub fn record(&mut self, at: usize, t: f32) {
        self.0[at] = self.0[at].max(t);
    }

    /// The sum over the terms, in nats; at least 0.
    pub fn gain(&self, entries: &[&Entry]) -> f32 {
        let part = |(&t, entry): (&f32, &&Entry)| {
            if t > entry.share { (0.5 * t / entry.share + 0.5).ln() } else { 0.0 }
        };
        self.0.iter().zip(entries).map(part).sum()
    }
}

fn pairs(text: &str) -> Option<HashMap<&str, f32>> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (term, t) = pair.split_once(' ')?;
        Some((term, probability(t)?))
    });
    pairs.collect()
}

fn probability(text: &str) -> Option<f32> {
    Some(text.parse::<f32>().ok()? / PARTS).filter(|share| *share > 0.0 && *share <= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let table = Associations::parse("numb 100|len 4000,count 3000|len 500\nremov 50|pop 4000|\n").unwrap();
        let entries = table.of(&["numb".into(), "other".into()]);
        assert_eq!((entries[0].in_name("len"), entries[0].in_code("len")), (0.4, 0.05));
        assert_eq!(*entries[1], Entry::default());
        let mut found = Associated::new(2);
        assert_eq!(found.gain(&entries), 0.0);
        found.record(0, 0.05);
        found.record(0, 0.01);
        assert!((found.gain(&entries) - 3f32.ln()).abs() < 1e-6);
        assert!(Associations::parse("numb|len 4000|").is_none());
        assert!(Associations::parse("numb 0|len 4000|").is_none());
    }

    #[test]
    fn the_built_in_one_knows_what_goes_with_a_number() {
        let entries = Associations::built_in().of(&["remov".into()]);
        assert!(entries[0].in_name("pop") > 0.1, "{entries:?}");
    }
}
