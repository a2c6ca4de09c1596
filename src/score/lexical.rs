//! Scores by words in common: BM25 over the terms of code. Needs no model.
//!
//! score(u) = Σ over the question's terms t of idf(t) · f·(k1 + 1) / (f + k1·(1 − b + b·|u|/avg)), with f how often t
//! stands in u and idf(t) = ln(1 + (N − df + ½)/(df + ½)); Robertson and Zaragoza, "The Probabilistic Relevance Framework:
//! BM25 and Beyond", 2009. A unit's own name counts four times, a line of comment a quarter, one of the first paragraph
//! of its doc comment a twentieth: comments have many words, and often about something else.

use std::collections::HashMap;

use super::associations::{Associated, Associations};
use super::scorer::{Passage, Score, Scorer, Task, standardized};
use super::terms::for_each_term;
use crate::engine::EngineError;

const K1: f32 = 1.2;
const B: f32 = 0.75;
/// How often a unit's own name counts, besides its place in the text.
const NAME_WEIGHT: f32 = 3.0;
/// How often a line of comment counts.
const COMMENT_WEIGHT: f32 = 0.25;
/// How often a line of a doc comment's first paragraph counts; other lines of it don't.
const DOC_WEIGHT: f32 = 0.05;
/// Beginnings of comment lines in the languages known here. Preprocessor lines and attributes begin so as well, and say as
/// little.
const COMMENTS: [&str; 6] = ["//", "#", "/*", "*", "\"\"\"", "'''"];
/// By how much the log-likelihood rises with a standard deviation of BM25, and for functions; fitted as those of
/// [`super::hybrid`] are.
const WORDS: f32 = 1.1;
const FUNCTION: f32 = 2.4;

/// The scorer: scores are log-likelihoods (nats), but for a constant.
pub struct Lexical;

impl Scorer for Lexical {
    fn scores(&self, task: &Task) -> Result<Vec<Option<Score>>, EngineError> {
        let words = standardized(&Matches::new(task.question, task.passages, &Associations::default()).words);
        let score = |(words, passage): (f32, &Passage)| {
            Some(Score(WORDS * words + if passage.is_function { FUNCTION } else { 0.0 }))
        };
        Ok(words.into_iter().zip(task.passages).map(score).collect())
    }

    fn log_likelihoods(&self, scores: &[Score]) -> Vec<f32> {
        scores.iter().map(|score| score.0).collect()
    }
}

/// Matches of a question's words in each passage.
pub struct Matches {
    /// BM25 of the whole passage; at least 0.
    pub words: Vec<f32>,
    /// BM25 of its name alone; at least 0.
    pub name: Vec<f32>,
    /// How much likelier its terms make the question's, by [`Associations`] (nats).
    pub associated: Vec<f32>,
}

/// The terms of one passage that a question asks for.
struct Document {
    /// By term of the question, how often it occurs.
    counts: Vec<f32>,
    length: f32,
    /// The same for the name alone.
    name_counts: Vec<f32>,
    name_length: f32,
    associated: Associated,
}

/// Terms of the question that a term of code matches.
#[derive(Default)]
struct Target {
    /// The same term.
    asked: Option<usize>,
    /// Those it goes with.
    near: Vec<usize>,
}

impl Matches {
    /// Matches `question` with each passage.
    pub fn new(question: &str, passages: &[Passage], associations: &Associations) -> Self {
        let mut asked: Vec<String> = Vec::new();
        let mut targets: HashMap<String, Target> = HashMap::new();
        for_each_term(question, |term| {
            let target = targets.entry(term.to_owned()).or_default();
            if target.asked.is_none() {
                target.asked = Some(asked.len());
                asked.push(term.to_owned());
            }
        });
        let entries = associations.of(&asked);
        for (at, entry) in entries.iter().enumerate() {
            for term in entry.terms() {
                targets.entry(term.to_owned()).or_default().near.push(at);
            }
        }
        let document = |passage: &Passage| {
            let mut document = Document {
                counts: vec![0.0; asked.len()],
                length: 0.0,
                name_counts: vec![0.0; asked.len()],
                name_length: 0.0,
                associated: Associated::new(asked.len()),
            };
            let mut count = |text: &str, times: f32| {
                for_each_term(text, |term| {
                    document.length += times;
                    let Some(target) = targets.get(term) else { return };
                    if let Some(at) = target.asked {
                        document.counts[at] += times;
                    }
                    // Comments don't count here.
                    for &at in target.near.iter().filter(|_| times >= 1.0) {
                        document.associated.record(at, entries[at].in_code(term));
                    }
                });
            };
            for line in passage.code.lines() {
                let is_comment = COMMENTS.iter().any(|start| line.trim_start().starts_with(start));
                count(line, if is_comment { COMMENT_WEIGHT } else { 1.0 });
            }
            passage.docs.iter().flat_map(|doc| first_paragraph(doc)).for_each(|line| count(line, DOC_WEIGHT));
            for_each_term(passage.name, |term| {
                document.length += NAME_WEIGHT;
                document.name_length += 1.0;
                let Some(target) = targets.get(term) else { return };
                if let Some(at) = target.asked {
                    document.counts[at] += NAME_WEIGHT;
                    document.name_counts[at] += 1.0;
                }
                for &at in &target.near {
                    document.associated.record(at, entries[at].in_name(term));
                }
            });
            document
        };
        let documents: Vec<Document> = passages.iter().map(document).collect();
        let texts = documents.iter().map(|one| (&one.counts[..], one.length));
        let names = documents.iter().map(|one| (&one.name_counts[..], one.name_length));
        Self {
            words: bm25(&texts.collect::<Vec<_>>()),
            name: bm25(&names.collect::<Vec<_>>()),
            associated: documents.iter().map(|one| one.associated.gain(&entries)).collect(),
        }
    }
}

/// The lines of a comment up to the first that has no letters after one that has.
fn first_paragraph(comment: &str) -> impl Iterator<Item = &str> {
    let has_letters = |line: &&str| line.contains(char::is_alphabetic);
    comment.lines().skip_while(move |line| !has_letters(line)).take_while(has_letters)
}

/// BM25 of documents: how often each of the question's terms stands in them, and how long they are.
fn bm25(documents: &[(&[f32], f32)]) -> Vec<f32> {
    let total = documents.len() as f32;
    let average = documents.iter().map(|(_, length)| length).sum::<f32>() / total;
    let idf = |at: usize| {
        let having = documents.iter().filter(|(counts, _)| counts[at] > 0.0).count() as f32;
        (1.0 + (total - having + 0.5) / (having + 0.5)).ln()
    };
    let terms = documents.first().map_or(0, |(counts, _)| counts.len());
    let idfs: Vec<f32> = (0..terms).map(idf).collect();
    let score = |(counts, length): &(&[f32], f32)| {
        let norm = K1 * (1.0 - B + B * length / average.max(1.0));
        let part = |(count, idf): (&f32, &f32)| idf * count * (K1 + 1.0) / (count + norm);
        counts.iter().zip(&idfs).map(part).sum()
    };
    documents.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_unit_that_is_asked_for_comes_first() {
        let units = [
            ("open_file", "def open_file(path):\n    return open(path)\n"),
            ("close_all", "def close_all(handles):\n    for h in handles: h.close()\n"),
            ("total", "def total(handles):\n    return sum(h.size for h in handles)\n"),
        ];
        let passages = units.map(|(name, text)| Passage::bare(text, name));
        let words = Matches::new("How are all of the handles closed?", &passages, &Associations::default()).words;
        assert!(words[1] > words[2] && words[2] > words[0], "{words:?}");
        assert_eq!(words[0], 0.0);
    }

    #[test]
    fn what_the_code_does_counts_for_more_than_what_its_doc_comment_says() {
        let does = Passage::bare("def f(handles):\n    for h in handles: h.close()\n", "f");
        let says = Passage { docs: ["# Closes handles, all handles, and closes them again.\n", ""], ..does };
        let says = Passage { code: "def g(a):\n    return a\n", name: "g", ..says };
        let words = Matches::new("Where are handles closed?", &[does, says], &Associations::default()).words;
        assert!(words[0] > words[1] && words[1] > 0.0, "{words:?}");
    }

    proptest! {
        #[test]
        fn any_text_has_a_worth(question in "\\PC{0,60}", texts in prop::collection::vec("\\PC{0,60}", 0..5)) {
            let passages: Vec<Passage> = texts.iter().map(|text| Passage::bare(text, "")).collect();
            let Matches { words, name, associated } = Matches::new(&question, &passages, Associations::built_in());
            for found in [words, name, associated].concat() {
                prop_assert!(found.is_finite() && found >= 0.0);
            }
        }
    }
}
