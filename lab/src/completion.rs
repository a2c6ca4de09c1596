//! Code completion: how well a judge, another model, predicts a function's next lines from the code that was kept.

use std::path::Path;

use lopper::base::limits::Limits;
use lopper::base::tokens::Counter;
use lopper::detect::fim;
use lopper::engine::{Engine, EngineError, Forks};
use lopper::eval::cases::{self, Half};
use lopper::eval::measure::prune;
use lopper::eval::record::{self, Row};
use lopper::eval::{Contender, stats};
use lopper::render;
use lopper::select::{Budget, Code, Ranker, Target};
use lopper::syntax::Language;
use serde::{Deserialize, Serialize};

/// A half-written function and the rest of its file.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name; the number at its end decides its half.
    pub id: String,
    /// The language of the code.
    pub language: Language,
    /// The file without the function.
    pub code: String,
    /// The lines before the cursor.
    pub prefix: String,
    /// The lines after it.
    pub target: String,
    /// Whether the target calls functions of the code.
    pub calls: bool,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    language: String,
    code: String,
    prefix: String,
    target: String,
    #[serde(default)]
    uses: Vec<String>,
}

/// The result of a case with one method at one ratio.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Continued {
    /// The case.
    pub id: String,
    /// The method's name; "full" for all of the code and "none" for none.
    pub method: String,
    /// Share of tokens asked for, 0 to 1.
    pub ratio: f32,
    /// Share of tokens kept, 0 to 1.
    pub kept: f32,
    /// Mean negative log-likelihood of the target's tokens, in nats; lower is better.
    pub nll: f64,
    /// Whether the target calls functions of the code.
    pub calls: bool,
}

impl Row for Continued {
    const KIND: &str = "completion";

    fn setting(&self) -> (&str, f32) {
        (&self.method, self.ratio)
    }
}

/// The cases in `half` of the file at `path`.
///
/// # Errors
/// As [`cases::read_lines`].
pub fn read(path: &Path, half: Half) -> anyhow::Result<Vec<Case>> {
    cases::read_lines(path, |line: Line, number| {
        let language = cases::language(&line.language)?;
        let Line { id, code, prefix, target, uses, .. } = line;
        let case = Case { id, language, code, prefix, target, calls: !uses.is_empty() };
        Ok(half.has(&case.id, number).then_some(case))
    })
}

/// Has the judge score one case: with all of the code, with none, and with what each contender keeps at each ratio.
///
/// # Errors
/// When a model fails, or the code is longer than the judge's window.
pub fn measure(
    judge: &Engine,
    engine: Option<&Engine>,
    case: &Case,
    contenders: &[Contender],
    fine: bool,
    ratios: &[f32],
) -> Result<Vec<Continued>, EngineError> {
    let counter = Counter::for_model(None);
    let before = counter.count(&case.code).0.max(1) as f32;
    let question = fim::question(&case.prefix);
    let names = fim::names(&question);
    let code = Code { source: &case.code, language: case.language, question: &question, names: &names, pinned: &[] };
    let mut texts = vec![("full", 1.0, case.code.clone()), ("none", 0.0, String::new())];
    for &contender in contenders {
        let score = contender.scorer(&case.id);
        for &ratio in ratios {
            let target = Target { budget: Budget::Ratio(ratio), fine };
            let ranker = Ranker { engine, scorer: &*score, counter };
            let text = match prune(ranker, &code, target)? {
                Ok(pruned) => render::render(&case.code, &pruned.keep, case.language, 1, None),
                Err(_) => case.code.clone(),
            };
            texts.push((contender.name(), ratio, text));
        }
    }
    let mut measured = Vec::new();
    for (method, ratio, text) in texts {
        let context = format!("{}\n\n{}", text.trim_end(), case.prefix);
        let context = [judge.start(), judge.tokenize(context.trim_start())].concat();
        let forks = vec![Forks::one(context, judge.tokenize(&case.target))];
        let scored = judge.likelihoods(forks, &Limits::default())?.pop().flatten().unwrap_or_default().concat();
        measured.push(Continued {
            id: case.id.clone(),
            method: method.to_owned(),
            ratio,
            kept: counter.count(&text).0 as f32 / before,
            nll: f64::from(scored.iter().sum::<f32>()) / scored.len().max(1) as f64,
            calls: case.calls,
        });
    }
    Ok(measured)
}

/// A table by method and ratio: the mean, the difference from all of the code, and the same for the cases whose target
/// calls functions of the code.
pub fn markdown(measured: &[Continued]) -> String {
    let mut text = String::from(
        "| code | ratio | cases | kept | nats a token | against all of the code | recovered | against, where it is called |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let of = |method: &str, ratio: f32| record::of(measured, method, ratio);
    let (full, none) = (of("full", 1.0), of("none", 0.0));
    let nll = |cases: &[&Continued]| stats::mean(&cases.iter().map(|case| case.nll).collect::<Vec<_>>()).mean;
    for (method, ratio) in record::settings(measured) {
        let cases = of(method, ratio);
        let against = |has: &dyn Fn(&Continued) -> bool| {
            let pairs = cases.iter().filter(|case| has(case)).filter_map(|case| {
                let full = full.iter().find(|full| full.id == case.id)?;
                Some(case.nll - full.nll)
            });
            stats::mean(&pairs.collect::<Vec<_>>()).signed()
        };
        let kept = stats::mean(&cases.iter().map(|case| f64::from(case.kept)).collect::<Vec<_>>()).mean;
        let recovered = (nll(&none) - nll(&cases)) / (nll(&none) - nll(&full));
        text += &format!(
            "| {method} | {ratio} | {} | {kept:.3} | {:.3} | {} | {recovered:.2} | {} |\n",
            cases.len(),
            nll(&cases),
            against(&|_| true),
            against(&|case| case.calls),
        );
    }
    text
}
