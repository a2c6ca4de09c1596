//! Runs a fuzz target: on its saved inputs, then on random ones.
//!
//! `cargo test` runs a fixed number of random inputs. Three variables change that: `FUZZ_SECONDS` runs them for that long,
//! holds each to a bound on its time and reports what was run; `FUZZ_EXECUTIONS` ends that earlier; `FUZZ_FILE` runs the
//! input in that file and nothing else.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest recipe of a random input, in bytes: enough for a dozen changes of what it starts from.
const RECIPE_BYTES: usize = 256;
/// What any input may take, and what each of its bytes may take on top: a hundred times what real requests take, since
/// machines are slow and busy. Real hangs are longer still.
const TIME_FOR_ANY: Duration = Duration::from_secs(2);
const TIME_FOR_A_BYTE: Duration = Duration::from_micros(50);

/// Runs `check` on every saved input of `target` (tests/fuzz/corpus/TARGET), then on `executions` random ones, which
/// `make` makes from a recipe. An input that fails is left in target/fuzz/TARGET.failed.
pub fn fuzz(target: &str, executions: usize, make: impl Fn(&mut Dice) -> Vec<u8>, check: impl Fn(&[u8])) {
    if let Some(file) = std::env::var_os("FUZZ_FILE") {
        return check(&fs::read(file).unwrap());
    }
    let run = Run::new(target, check);
    for (path, input) in saved(target) {
        run.now(&input, || format!("{} fails", path.display()));
    }
    let (random, run_ref) = (AssertUnwindSafe(&make), AssertUnwindSafe(&run));
    let checked = bolero::check!(name = target).with_max_len(RECIPE_BYTES).with_shrink_time(Duration::from_secs(10));
    let checked = match (run.seconds, number("FUZZ_EXECUTIONS")) {
        (None, _) => checked.with_iterations(executions),
        (Some(seconds), None) => checked.with_test_time(Duration::from_secs(seconds)),
        (Some(seconds), Some(most)) => {
            checked.with_test_time(Duration::from_secs(seconds)).with_iterations(most as usize)
        }
    };
    checked.for_each(move |recipe: &[u8]| {
        let (random, run) = (&random, &run_ref);
        let input = (random.0)(&mut Dice(recipe));
        run.0.now(&input, String::new);
    });
    run.report();
}

/// The saved inputs of a target, in the order of their names.
pub fn saved(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let input = fs::read(&path).unwrap();
            (path, input)
        })
        .collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// One target on its way.
struct Run<C> {
    check: C,
    target: String,
    seconds: Option<u64>,
    /// The input that runs now: one that ends the process can't be caught.
    running: Option<RefCell<File>>,
    started: Instant,
    executions: Cell<u64>,
    bytes: Cell<u64>,
    /// The longest time an input took, and its length.
    slowest: Cell<(Duration, usize)>,
}

impl<C: Fn(&[u8])> Run<C> {
    fn new(target: &str, check: C) -> Self {
        let seconds = number("FUZZ_SECONDS");
        let running = seconds.map(|_| RefCell::new(File::create(left(target, "running")).unwrap()));
        Self {
            check,
            target: target.to_owned(),
            seconds,
            running,
            started: Instant::now(),
            executions: Cell::new(0),
            bytes: Cell::new(0),
            slowest: Cell::default(),
        }
    }

    fn now(&self, input: &[u8], what: impl Fn() -> String) {
        if let Some(running) = &self.running {
            let mut running = running.borrow_mut();
            running.set_len(0).and_then(|()| running.rewind()).and_then(|()| running.write_all(input)).unwrap();
        }
        let failing = Failing { target: &self.target, input, what: what() };
        let started = Instant::now();
        (self.check)(input);
        let took = started.elapsed();
        if self.seconds.is_some() {
            let bound = TIME_FOR_ANY + TIME_FOR_A_BYTE * input.len() as u32;
            // Others may have had the processor; not twice.
            let again = || {
                let started = Instant::now();
                (self.check)(input);
                started.elapsed()
            };
            assert!(took < bound || again() < bound, "{} bytes took {took:?}, more than {bound:?}", input.len());
        }
        std::mem::forget(failing);
        self.executions.set(self.executions.get() + 1);
        self.bytes.set(self.bytes.get() + input.len() as u64);
        if took > self.slowest.get().0 {
            self.slowest.set((took, input.len()));
        }
    }

    fn report(&self) {
        if self.seconds.is_none() {
            return;
        }
        let (executions, took) = (self.executions.get(), self.started.elapsed().as_secs_f64());
        let (slowest, length) = self.slowest.get();
        println!(
            "fuzz: {:<20} {executions:>9} executions in {took:>6.1} s: {:>7.0} a second, {:>6.1} KB each on average, \
             slowest {:.0} ms for {length} bytes",
            self.target,
            executions as f64 / took,
            self.bytes.get() as f64 / executions as f64 / 1e3,
            slowest.as_secs_f64() * 1e3,
        );
        let _ = fs::remove_file(left(&self.target, "running"));
    }
}

/// Writes an input down if it fails: is not forgotten.
struct Failing<'a> {
    target: &'a str,
    input: &'a [u8],
    what: String,
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        // Shorter ones come while it is shrunk.
        let path = left(self.target, "failed");
        if !fs::metadata(&path).is_ok_and(|file| file.len() < self.input.len() as u64) {
            let _ = fs::write(&path, self.input);
        }
        if !self.what.is_empty() {
            eprintln!("{}", self.what);
        }
    }
}

/// Where an input of `target` is left.
fn left(target: &str, what: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{target}.{what}"))
}

/// Where random choices come from: the bytes of a recipe, and zeros where it has come to its end, so that a shorter recipe
/// makes a simpler input.
pub struct Dice<'r>(pub &'r [u8]);

impl Dice<'_> {
    /// Whether there is nothing more to choose.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One of `0..count`, which may be up to 2^24; 0 at the end of the recipe.
    pub fn below(&mut self, count: usize) -> usize {
        let bytes = match count {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 3,
        };
        let (head, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        head.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)) % count.max(1)
    }

    /// Once in `count` times; never at the end of the recipe.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    /// One of `choices`, the first at the end of the recipe.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }
}

/// No input grows beyond this by its changes, in bytes.
const MOST_BYTES: usize = 1 << 17;

/// Bytes that texts should be proof against, whatever they are.
const ODD: [&[u8]; 16] = [
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\t", b" \t ", b"\\", b"\"",
    b"\xe2\x80\xa8", b"\xcc\x81", b"\xf0\x9f\x98\x80", b"99999999999999999999", b"\n",
];

/// Changes `text` in up to eight places, some of them by a word of `words` or by a piece of `other`.
pub fn mutate(dice: &mut Dice, text: &mut Vec<u8>, words: &[&str], other: &[u8]) {
    let changes = dice.below(9);
    for _ in 0..changes {
        if dice.is_over() {
            return;
        }
        change(dice, text, words, other);
        text.truncate(MOST_BYTES);
    }
}

fn change(dice: &mut Dice, text: &mut Vec<u8>, words: &[&str], other: &[u8]) {
    let at = place(dice, text);
    match dice.below(14) {
        0 => drop(text.splice(at..at, dice.pick(&ODD).iter().copied())),
        1..=3 if !words.is_empty() => drop(text.splice(at..at, dice.pick(words).bytes())),
        1..=3 => text.insert(at, dice.below(256) as u8),
        4 => text.truncate(at),
        5 => {
            let end = place(dice, text);
            text.drain(at.min(end)..at.max(end));
        }
        6 => {
            let end = (at + dice.below(64)).min(text.len());
            text.drain(at..end);
        }
        // One piece again and again; seldom very often, since that takes the time of a hundred others.
        7 => {
            let end = (at + 1 + dice.below(80)).min(text.len());
            let doublings = if dice.once_in(8) { 10 } else { 6 };
            let times = 1 << dice.below(doublings);
            let piece = text[at..end].repeat(times.min(MOST_BYTES / (end - at + 1)));
            drop(text.splice(at..at, piece));
        }
        8 => {
            let (start, end) = (place(dice, other), place(dice, other));
            drop(text.splice(at..at, other[start.min(end)..start.max(end)].iter().copied()));
        }
        // A piece from elsewhere in the text.
        9 => {
            let (start, end) = (place(dice, text), place(dice, text));
            let piece = text[start.min(end)..start.max(end)].to_vec();
            drop(text.splice(at..at, piece));
        }
        10 if at < text.len() => text[at] = dice.below(256) as u8,
        11 if at < text.len() => text[at] ^= 1 << dice.below(8),
        12 => {
            let start = line_start(text, at);
            let line = text[start..].split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
            let to = line_start(text, place(dice, text));
            drop(text.splice(to..to, line));
        }
        13 => *text = text.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]),
        _ => {}
    }
}

/// A byte of `text`, or its end: any, or where a line begins.
fn place(dice: &mut Dice, text: &[u8]) -> usize {
    let at = dice.below(text.len() + 1);
    if dice.below(2) == 0 { at } else { line_start(text, at) }
}

fn line_start(text: &[u8], at: usize) -> usize {
    text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |line_break| line_break + 1)
}
