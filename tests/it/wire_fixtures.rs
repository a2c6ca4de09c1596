//! Requests as assistants send them, through `lopper serve` and the real model: code gets smaller where it may, and
//! every other byte arrives as it was sent.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::support::body::{Text, beginning, decoded, elements, escaped, same, shorter};
use crate::support::process::{Lopper, client};
use crate::support::upstream::Upstream;
use lopper::render;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What `fixtures.toml` says; the keys are explained there.
#[derive(Deserialize)]
struct Manifest {
    fixture: Vec<Fixture>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    #[serde(rename = "what")]
    _what: String,
    path: String,
    status: String,
    #[serde(default)]
    cuts: Vec<usize>,
    #[serde(default)]
    pruned: Vec<Pruned>,
    #[serde(default)]
    restored: Vec<Restored>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pruned {
    code: String,
    at: Vec<String>,
    numbers: Option<String>,
    #[serde(default)]
    keeps: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restored {
    at: Vec<String>,
    of: usize,
}

/// What became of a request.
struct Passed {
    status: String,
    before: usize,
    after: usize,
    target: String,
    /// What the upstream received.
    arrived: String,
}

#[tokio::test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
async fn every_assistants_requests_change_only_where_they_may() {
    // What the model finds equally good differs in the last bits from one processor to another: no snapshots.
    send_all(&[("LOPPER_SCORER_THREADS", "2")], false).await;
}

#[tokio::test]
async fn by_words_every_assistants_requests_are_pruned_as_recorded() {
    send_all(&[("LOPPER_SCORER_METHOD", "lexical")], true).await;
}

/// Sends every fixture, with all its turns, through a proxy with this environment, and checks what arrives; where
/// `is_recorded`, against the snapshots as well.
async fn send_all(environment: &[(&str, &str)], is_recorded: bool) {
    let mut upstream = Upstream::start().await;
    let lopper = Lopper::configured(&upstream.url("/v1"), "", environment);
    let manifest = manifest();
    let mut failed = Vec::new();
    for (number, fixture) in manifest.fixture.iter().enumerate() {
        let sent = file(&format!("wire/{}.json", fixture.name));
        // Turns arrive in another order than they were said: rotated, and every other time backwards.
        let mut turns: Vec<(usize, String)> = fixture.cuts.iter().map(|&cut| (cut, shorter(&sent, cut))).collect();
        turns.push((usize::MAX, sent.clone()));
        let count = turns.len();
        turns.rotate_left(number % count);
        if number % 2 == 1 {
            turns.reverse();
        }
        let mut passed = BTreeMap::new();
        for (cut, body) in turns {
            passed.insert(cut, send(&lopper, &mut upstream, &fixture.path, &body).await);
        }
        let whole = passed.remove(&usize::MAX).expect("it was sent");
        let checked = catch_unwind(AssertUnwindSafe(|| {
            check(fixture, &sent, &whole, is_recorded);
            for (cut, turn) in &passed {
                check_turn(&whole.arrived, *cut, &turn.arrived);
            }
        }));
        if checked.is_err() {
            eprintln!("^^^ {}\n", fixture.name);
            failed.push(&fixture.name);
        }
    }
    assert!(failed.is_empty(), "{} fixtures failed: {failed:?}", failed.len());
}

#[test]
fn the_manifest_names_every_request() {
    let folder = fixtures().join("wire");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
        .collect();
    files.sort();
    let names: Vec<String> = manifest().fixture.into_iter().map(|fixture| fixture.name).collect();
    assert_eq!(names, files);
    assert!((1..=20).all(|number| names.iter().any(|name| name.starts_with(&format!("{number:02}-")))));
}

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(fixtures().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn manifest() -> Manifest {
    toml::from_str(&file("wire/fixtures.toml")).unwrap()
}

async fn send(lopper: &Lopper, upstream: &mut Upstream, path: &str, body: &str) -> Passed {
    let request = client().post(lopper.url(path)).header("content-type", "application/json");
    let response = request.body(body.to_owned()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let count = |name| header(name).map_or(0, |count| count.parse().unwrap());
    let arrived = upstream.request().await;
    Passed {
        status: header("x-lopper-status").expect("every answer says what became of its request"),
        before: count("x-lopper-tokens-before"),
        after: count("x-lopper-tokens-after"),
        target: arrived.target,
        arrived: String::from_utf8(arrived.body.to_vec()).unwrap(),
    }
}

/// Holds what arrived against what was sent and what the manifest allows and, where `is_recorded`, against the snapshot.
fn check(fixture: &Fixture, sent: &str, passed: &Passed, is_recorded: bool) {
    assert_eq!(passed.target, fixture.path);
    assert!(passed.status.starts_with(&fixture.status), "{}, not {}", passed.status, fixture.status);
    serde_json::from_str::<&RawValue>(&passed.arrived).expect("what arrives is JSON");
    // What is restored weighs as much as what was left out.
    if fixture.restored.is_empty() {
        let (before, after) = (passed.before, passed.after);
        assert_eq!(after < before, !fixture.pruned.is_empty(), "{before} to {after} tokens");
    }

    let blocks: Vec<Block> = fixture.pruned.iter().map(|pruned| Block::find(sent, pruned)).collect();
    let stubs: Vec<usize> = fixture.restored.iter().map(|restored| Text::at(sent, &restored.at).end()).collect();
    let mut edits: Vec<(usize, Edit)> = Vec::new();
    edits.extend(blocks.iter().enumerate().map(|(index, block)| (block.lines[0].start, Edit::Pruned(index))));
    edits.extend(stubs.iter().enumerate().map(|(index, &end)| (end, Edit::Restored(index))));
    edits.sort_unstable_by_key(|(start, _)| *start);

    let mut gaps: Vec<Vec<Gap>> = blocks.iter().map(|_| Vec::new()).collect();
    let mut rest = passed.arrived.as_str();
    let mut done = 0;
    for (start, edit) in edits {
        rest = same(&sent[done..start], rest);
        done = start;
        match edit {
            Edit::Pruned(index) => {
                (gaps[index], rest) = blocks[index].gaps(sent, rest);
                done = blocks[index].end();
            }
            Edit::Restored(index) => {
                let of = fixture.restored[index].of;
                rest = restored(&blocks[of], &gaps[of], rest);
            }
        }
    }
    assert_eq!(same(&sent[done..], rest), "", "there is more than was sent");

    let mut shown = String::new();
    for (index, block) in blocks.iter().enumerate() {
        let Pruned { code, at, keeps, .. } = &fixture.pruned[index];
        block.check(&gaps[index], keeps);
        shown += &format!("{code} at {}\n{}", at.join(" "), block.show(&gaps[index]));
    }
    if is_recorded && !shown.is_empty() {
        insta::assert_snapshot!(fixture.name.as_str(), shown);
    }
}

/// Checks that the first `cut` messages arrived in the shorter conversation as they did in the longer one.
fn check_turn(whole: &str, cut: usize, turn: &str) {
    let (whole, turn) = (elements(whole), elements(turn));
    assert_eq!(turn.len(), cut);
    for (index, range) in turn.iter().enumerate() {
        assert!(*range == whole[index], "message {index} differs after {cut} messages");
    }
}

/// What may differ between what is sent and what arrives.
enum Edit {
    /// The block of this index.
    Pruned(usize),
    /// Something is appended to the text of this index.
    Restored(usize),
}

/// A run of lines left out, first and last, counted from 1.
struct Gap {
    first: usize,
    last: usize,
    marker: String,
}

/// Code in a body.
struct Block {
    /// The bytes in the body of every line, line breaks included; the last has none.
    lines: Vec<Range<usize>>,
    /// The lines, decoded, with their numbers.
    numbered: Vec<String>,
    /// The lines as they are in their file.
    source: Vec<String>,
    /// How many JSON strings it stands in, one in another.
    depth: usize,
    comment: &'static str,
    file: String,
}

impl Block {
    fn find(body: &str, pruned: &Pruned) -> Self {
        let code = file(&pruned.code);
        let source: Vec<String> = code.lines().map(str::to_owned).collect();
        let number = |(index, line): (usize, &String)| match &pruned.numbers {
            Some(sample) => {
                let (pad, after) = sample.split_once('1').expect("the sample numbers line 1");
                let width = pad.len() + 1;
                let fill = if pad.starts_with('0') { '0' } else { ' ' };
                let number = (index + 1).to_string();
                let pad: String = std::iter::repeat_n(fill, width.saturating_sub(number.len())).collect();
                format!("{pad}{number}{after}{line}")
            }
            None => line.clone(),
        };
        let numbered: Vec<String> = source.iter().enumerate().map(number).collect();
        let text = Text::at(body, &pruned.at);
        let shown = numbered.join("\n");
        let mut found = text.decoded.match_indices(&shown);
        let (mut at, _) = found.next().unwrap_or_else(|| panic!("{} is not at {:?}", pruned.code, pruned.at));
        assert!(found.next().is_none(), "{} is twice at {:?}", pruned.code, pruned.at);
        let end = at + shown.len();
        let mut lines = Vec::new();
        for line in &numbered {
            let next = (at + line.len() + 1).min(end);
            lines.push(text.raw[at]..text.raw[next]);
            at = next;
        }
        let file = pruned.code.rsplit('/').next().unwrap_or_default().to_owned();
        let comment = if file.ends_with(".py") { "# " } else { "// " };
        Self { lines, numbered, source, depth: pruned.at.len(), comment, file }
    }

    fn end(&self) -> usize {
        self.lines.last().expect("code has lines").end
    }

    /// Reads the block off the beginning of `rest`: lines of the code in order, byte for byte, and a marker wherever
    /// some are missing. Returns what is missing, and what follows.
    fn gaps<'a>(&self, sent: &str, mut rest: &'a str) -> (Vec<Gap>, &'a str) {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut next = 0;
        while next < self.lines.len() {
            if let Some(after) = rest.strip_prefix(&sent[self.lines[next].clone()]) {
                (rest, next) = (after, next + 1);
                continue;
            }
            let found = || format!("line {} of {}: {}", next + 1, self.file, beginning(rest));
            let end = 1 + rest.find(']').unwrap_or_else(|| panic!("neither code nor marker at {}", found()));
            let marker = (0..self.depth).fold(rest[..end].to_owned(), |text, _| decoded(&text));
            let (first, last) = render::left_out(&marker).unwrap_or_else(|| panic!("no marker at {}", found()));
            assert!(first == next + 1 && (first..=self.lines.len()).contains(&last), "{marker} at {}", found());
            assert!(marker.trim_start().starts_with(self.comment), "no comment: {marker}");
            assert!(gaps.last().is_none_or(|gap| gap.last < next), "two markers where one would do: {marker}");
            // The line break of the last line left out ends the marker; all lines have the same but the last line.
            let line_break = if last == self.lines.len() { "" } else { self.line_break(sent) };
            rest = same(line_break, &rest[end..]);
            gaps.push(Gap { first, last, marker });
            next = last;
        }
        (gaps, rest)
    }

    /// A line break as the body writes it in this block.
    fn line_break<'s>(&self, sent: &'s str) -> &'s str {
        let first = &sent[self.lines[0].clone()];
        let encoded = (0..self.depth).fold("\n".to_owned(), |text, _| escaped(&text));
        assert!(first.ends_with(&encoded), "{first}");
        &first[first.len() - encoded.len()..]
    }

    fn check(&self, gaps: &[Gap], keeps: &[String]) {
        let dropped: usize = self.left_out(gaps).map(str::len).sum();
        let markers: usize = gaps.iter().map(|gap| gap.marker.len()).sum();
        assert!(markers < dropped, "{} did not get smaller", self.file);
        for kept in keeps {
            let is_gone = self.left_out(gaps).any(|line| line.starts_with(kept.as_str()));
            assert!(!is_gone, "the question names what is left out: {kept}");
        }
    }

    /// The lines in gaps, as they are in their file.
    fn left_out<'a>(&'a self, gaps: &'a [Gap]) -> impl Iterator<Item = &'a str> {
        gaps.iter().flat_map(|gap| &self.source[gap.first - 1..gap.last]).map(String::as_str)
    }

    /// Which lines stay, and the markers between them.
    fn show(&self, gaps: &[Gap]) -> String {
        let mut shown = String::new();
        let mut next = 1;
        let kept = |from: usize, to: usize| if from <= to { format!("    {from}-{to}\n") } else { String::new() };
        for gap in gaps {
            shown += &kept(next, gap.first - 1);
            shown += &format!("    {}\n", gap.marker.trim_start());
            next = gap.last + 1;
        }
        shown + &kept(next, self.source.len())
    }
}

/// Reads what was appended to a text that says "unchanged" off the beginning of `rest`: all that is in the gaps of the
/// earlier read, each under a line that says which lines these are. Returns what follows.
fn restored<'a>(block: &Block, gaps: &[Gap], rest: &'a str) -> &'a str {
    let bytes = rest.as_bytes();
    let mut end = 0;
    while bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let appended = decoded(&rest[..end]);
    let mut text = appended.strip_prefix("\n\n").expect("what is restored is a paragraph of its own");
    for gap in gaps {
        let (heading, after) = text.split_once('\n').expect("a heading is a line");
        assert_eq!(render::left_out(heading), Some((gap.first, gap.last)), "{heading}");
        assert!(heading.contains(&block.file), "{heading}");
        let lines = block.numbered[gap.first - 1..gap.last].join("\n");
        let after = after.strip_prefix(&lines).unwrap_or_else(|| panic!("other lines than those under {heading}"));
        text = after.trim_start_matches('\n');
    }
    assert_eq!(text, "", "more than was left out is restored");
    &rest[end..]
}
