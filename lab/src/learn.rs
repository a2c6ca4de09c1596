//! `lopper-lab learn`: learns the associations and weights of the hybrid method from public code.
//!
//! A folder holds packages, one in each subfolder. Three packages in four yield the associations, from functions and the
//! first sentences of their doc comments. The fourth yields cases, as `lopper eval --repo` makes them; the weights are
//! those under which the functions asked for are most likely.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use lopper::base::text::{LineIndex, Lines};
use lopper::base::tokens::Counter;
use lopper::eval::cases::Case;
use lopper::eval::repo;
use lopper::score::Passage;
use lopper::score::associations::Associations;
use lopper::score::hybrid::{self, Hints};
use lopper::score::terms::for_each_term;
use lopper::select::Outline;
use lopper::syntax::{Language, Parsed, Unit};

/// One package in so many yields cases, the others associations.
const PACKAGES_A_HELD_OUT: u8 = 4;
/// The most functions taken from a file and from a package, so that no one's style dominates.
const FUNCTIONS_OF_FILE: usize = 60;
const FUNCTIONS_OF_PACKAGE: usize = 250;
/// The most cases of a package.
const CASES_OF_PACKAGE: usize = 20;
/// The fewest comments that have a term of prose, and functions that have a term of code, for it to be learned.
const LEAST_PROSE: u32 = 40;
const LEAST_CODE: u32 = 20;
/// The fewest functions and packages that have both terms of a pair.
const LEAST_TOGETHER: u32 = 6;
const LEAST_PACKAGES: u16 = 4;
/// Shrinkage of rare pairs: t = (together − 2) / (functions with the term of code + 12).
const SHRINK: (f32, f32) = (2.0, 12.0);
/// A pair is kept if the term of code makes the term of prose this much more likely.
const LEAST_LIFT: f32 = 2.0;
/// Pairs kept for a term of prose, in names and in code each.
const PAIRS: usize = 24;
/// The longest terms, in letters; longer ones are one project's names.
const LONGEST: usize = 14;
/// Gradient ascent: steps, step size, and the penalty on the square of the weights.
const STEPS: usize = 400;
const STEP: f32 = 0.5;
const PENALTY: f32 = 0.01;

#[derive(Args)]
pub struct Arguments {
    /// Folders of packages, one in each subfolder.
    #[arg(value_name = "FOLDER", required = true)]
    folders: Vec<PathBuf>,
    /// Packages to leave out, by a part of their names, separated by commas: those that will be measured on.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    without: Vec<String>,
    /// The file for the associations.
    #[arg(long, value_name = "FILE", default_value = "src/score/associations.txt")]
    out: PathBuf,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let learned = learn(&arguments.folders, &arguments.without).context("the packages can't be read")?;
    std::fs::write(&arguments.out, &learned.associations)
        .with_context(|| format!("{} can't be written", arguments.out.display()))?;
    let terms = learned.associations.lines().count();
    println!("{} functions: {terms} terms in {}", learned.functions, arguments.out.display());
    println!("{} cases; weights, in nats:", learned.cases);
    for (name, (weight, used)) in hybrid::HINTS.iter().zip(learned.weights.iter().zip(hybrid::WEIGHTS)) {
        println!("  {name:<12} {weight:5.2}  (in use: {used:.2})");
    }
    Ok(())
}

/// The associations and weights that were learned.
struct Learned {
    /// The table, as [`Associations::parse`] reads it.
    associations: String,
    /// Functions it was learned from.
    functions: usize,
    /// The weights of [`hybrid::hints`].
    weights: Hints,
    /// Cases the weights were fitted to.
    cases: usize,
}

/// Learns from the packages in `folders`, without those whose names contain one of `without`.
///
/// # Errors
/// When a folder can't be read.
fn learn(folders: &[PathBuf], without: &[String]) -> std::io::Result<Learned> {
    let mut packages = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if entry.file_type()?.is_dir() && !without.iter().any(|part| name.contains(part)) {
                packages.push((name, entry.path()));
            }
        }
    }
    packages.sort();
    let is_held_out = |name: &str| blake3::hash(name.as_bytes()).as_bytes()[0].is_multiple_of(PACKAGES_A_HELD_OUT);
    let (held_out, packages): (Vec<_>, Vec<_>) = packages.into_iter().partition(|(name, _)| is_held_out(name));
    let mut functions = Vec::new();
    for (package, (_, path)) in packages.iter().enumerate() {
        functions.extend(functions_of(path, package)?);
    }
    let associations = associations(&functions);
    let mut cases = Vec::new();
    for (_, path) in held_out {
        cases.extend(repo::cases(&path, CASES_OF_PACKAGE)?.cases);
    }
    // The table was just written, so it can be parsed.
    let table = Associations::parse(&associations).unwrap_or_default();
    let choices: Vec<Choice> = cases.iter().filter_map(|case| choice(case, &table)).collect();
    Ok(Learned { weights: fit(&choices), cases: choices.len(), functions: functions.len(), associations })
}

/// The terms of a function and of its doc comment.
struct Function {
    package: usize,
    prose: BTreeSet<String>,
    name: BTreeSet<String>,
    code: BTreeSet<String>,
}

fn functions_of(root: &Path, package: usize) -> std::io::Result<Vec<Function>> {
    let mut paths = Vec::new();
    repo::walk(root, &mut paths)?;
    let mut functions = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let Some(language) = Language::from_path(&path.to_string_lossy()) else { continue };
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        let Ok(parsed) = Parsed::new(&source, language) else { continue };
        let index = LineIndex::new(&source);
        let text = |lines: Lines| &source[index.span(lines).range()];
        let function = |unit: &Unit| {
            let lines = unit.lines.end - unit.signature.end;
            if !unit.is_function() || !(2..=80).contains(&lines) {
                return None;
            }
            let doc = unit.doc.map(text).concat();
            let sentence = repo::sentence(doc.lines());
            let prose: BTreeSet<String> = terms(&sentence);
            if prose.len() < 3 || !seen.insert((unit.name.clone(), sentence)) {
                return None;
            }
            let name = terms(unit.name.as_deref().unwrap_or_default());
            let code = terms(&unit.code().map(text).concat());
            Some(Function { package, prose, name, code })
        };
        functions.extend(parsed.units().iter().filter_map(function).take(FUNCTIONS_OF_FILE));
    }
    let count = functions.len().min(FUNCTIONS_OF_PACKAGE);
    let mut spread: Vec<Option<Function>> = functions.into_iter().map(Some).collect();
    let length = spread.len();
    Ok((0..count).filter_map(|i| spread[i * length / count].take()).collect())
}

/// The terms of a text that can be learned.
fn terms(text: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for_each_term(text, |term| {
        if term.len() <= LONGEST && term.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            terms.insert(term.to_owned());
        }
    });
    terms
}

/// Counts of terms that occur together.
#[derive(Default)]
struct Together {
    functions: u32,
    packages: u16,
    last_package: Option<usize>,
}

/// The table of associations.
fn associations(functions: &[Function]) -> String {
    let prose = frequent(functions.iter().map(|function| &function.prose), LEAST_PROSE);
    let names = pairs(functions, &prose, |function| &function.name);
    let code = pairs(functions, &prose, |function| &function.code);
    let parts = |share: f32| (share * 10_000.0).round().max(1.0);
    let list = |pairs: Option<&Vec<(&str, f32)>>| {
        let pairs = pairs.into_iter().flatten().map(|(term, t)| format!("{term} {}", parts(*t)));
        pairs.collect::<Vec<_>>().join(",")
    };
    let mut text = String::new();
    for (term, count) in &prose {
        let (names, code) = (names.get(term), code.get(term));
        if names.is_some() || code.is_some() {
            let share = *count as f32 / functions.len() as f32;
            text += &format!("{term} {}|{}|{}\n", parts(share), list(names), list(code));
        }
    }
    text
}

/// The terms that are in at least so many of the sets, and in how many.
fn frequent<'f>(sets: impl Iterator<Item = &'f BTreeSet<String>>, least: u32) -> BTreeMap<&'f str, u32> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    sets.flatten().for_each(|term| *counts.entry(term).or_default() += 1);
    counts.retain(|_, count| *count >= least);
    counts
}

/// By term of prose: the terms of `part` that go with it and their t, best first.
fn pairs<'f>(
    functions: &'f [Function],
    prose: &BTreeMap<&'f str, u32>,
    part: impl Fn(&'f Function) -> &'f BTreeSet<String>,
) -> HashMap<&'f str, Vec<(&'f str, f32)>> {
    let counts = frequent(functions.iter().map(&part), LEAST_CODE);
    let mut together: HashMap<(&str, &str), Together> = HashMap::new();
    for function in functions {
        let code: Vec<&str> =
            part(function).iter().map(String::as_str).filter(|term| counts.contains_key(term)).collect();
        for said in function.prose.iter().map(String::as_str).filter(|term| prose.contains_key(term)) {
            for &term in &code {
                let pair = together.entry((said, term)).or_default();
                pair.functions += 1;
                pair.packages += u16::from(pair.last_package != Some(function.package));
                pair.last_package = Some(function.package);
            }
        }
    }
    let mut found: HashMap<&str, Vec<(&str, f32)>> = HashMap::new();
    for ((said, term), pair) in together {
        let share = prose[said] as f32 / functions.len() as f32;
        let t = (pair.functions as f32 - SHRINK.0) / (counts[term] as f32 + SHRINK.1);
        if pair.functions >= LEAST_TOGETHER && pair.packages >= LEAST_PACKAGES && t > LEAST_LIFT * share {
            found.entry(said).or_default().push((term, t));
        }
    }
    for (said, pairs) in &mut found {
        let share = prose[said] as f32 / functions.len() as f32;
        let gain = |&(_, t): &(&str, f32)| t * (t / share).ln();
        pairs.sort_by(|a, b| gain(b).total_cmp(&gain(a)).then(a.0.cmp(b.0)));
        pairs.truncate(PAIRS);
    }
    found
}

/// The hints of each unit of a case, and the index of the unit asked for.
struct Choice {
    hints: Vec<Hints>,
    needed: usize,
}

fn choice(case: &Case, table: &Associations) -> Option<Choice> {
    let parsed = Parsed::new(&case.code, case.language).ok()?;
    let outline = Outline::new(&case.code, parsed.units(), &Counter::for_model(None));
    let scored = outline.scored();
    let codes: Vec<String> = scored.iter().map(|&i| outline.code(i)).collect();
    let passages: Vec<Passage> = scored.iter().zip(&codes).map(|(&i, code)| outline.passage(i, code)).collect();
    let needed = scored.iter().position(|&i| outline.units[i].lines.contains(case.needle.start_line - 1))?;
    Some(Choice { hints: hybrid::hints(&case.question, &passages, table), needed })
}

/// The weights under which the needed units are most likely, by gradient ascent.
fn fit(choices: &[Choice]) -> Hints {
    let mut weights = Hints::default();
    for _ in 0..STEPS {
        let mut gradient = weights.map(|weight| -PENALTY * weight);
        for Choice { hints, needed } in choices {
            let logarithms: Vec<f32> = hints.iter().map(|hints| hybrid::weighed(hints, &weights)).collect();
            let likely = lopper::score::likelihoods(&logarithms, 1.0);
            for (at, slope) in gradient.iter_mut().enumerate() {
                let expected: f32 = hints.iter().zip(&likely).map(|(hints, likely)| hints[at] * likely).sum();
                *slope += (hints[*needed][at] - expected) / choices.len() as f32;
            }
        }
        weights.iter_mut().zip(gradient).for_each(|(weight, slope)| *weight += STEP * slope);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_stand_together_in_many_packages_are_learned() {
        let set = |words: &str| words.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
        let function = |i: usize| {
            let (prose, name) =
                [("numb item", "len"), ("writ file", "dump"), ("clos it", "end"), ("open it", "start")][i % 4];
            Function { package: i % 10, prose: set(prose), name: set(name), code: set(&format!("{name} self")) }
        };
        let functions: Vec<Function> = (0..400).map(function).collect();
        let table = associations(&functions);
        let parsed = Associations::parse(&table).unwrap();
        let entries = parsed.of(&["numb".into(), "writ".into()]);
        assert!(entries[0].in_name("len") > 0.8 && entries[0].in_code("len") > 0.8, "{table}");
        assert_eq!((entries[0].in_code("self"), entries[1].in_code("len")), (0.0, 0.0), "{table}");
        // The same in one package alone is its style.
        let one: Vec<Function> = functions.into_iter().map(|function| Function { package: 0, ..function }).collect();
        assert_eq!(associations(&one), "");
    }

    #[test]
    fn the_hint_that_tells_gets_the_weight() {
        let hints = |tells: f32| {
            let mut hints = Hints::default();
            hints[0] = tells;
            hints[1] = 0.5;
            hints
        };
        let choices: Vec<Choice> = (0..10)
            .map(|i| Choice { hints: vec![hints(0.0), hints(1.0), hints(0.0)], needed: usize::from(i > 0) })
            .collect();
        let weights = fit(&choices);
        assert!(weights[0] > 1.0 && weights[1].abs() < 1e-3, "{weights:?}");
    }
}
