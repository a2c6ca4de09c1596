//! The engine's promises to everything that scores, on a real model.

use lopper::base::limits::{Cancel, Limits};
use lopper::engine::{Engine, EngineOptions, Forks};

const CODE: &str = include_str!("../fixtures/inventory.py");

/// Contexts of `tokens` tokens from the code, each asked the same.
fn forks(engine: &Engine, tokens: usize, question: &str) -> Vec<Forks> {
    let question = engine.tokenize(question);
    let code = engine.tokenize(CODE);
    code.chunks(tokens).map(|context| Forks::one(context.to_vec(), question.clone())).collect()
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_second_question_reads_the_question_alone() {
    let fresh = Engine::load(&EngineOptions { kept_bytes: 0, ..crate::support::model_options() }).unwrap();
    let keeping = Engine::load(&crate::support::model_options()).unwrap();
    let score = |engine: &Engine, question: &str| {
        let before = engine.decoded();
        let scores = engine.likelihoods(forks(engine, 90, question), &Limits::default()).unwrap();
        (scores, engine.decoded() - before)
    };
    let (first, second) = ("Why can a shipment fail?", "How are the pieces counted?");
    score(&keeping, first);
    let (warm, cheap) = score(&keeping, second);
    let (cold, dear) = score(&fresh, second);
    // To the last bit: a decision must not depend on what was asked before.
    assert_eq!(warm, cold);
    let question = fresh.tokenize(second).len();
    assert_eq!(cheap as usize, question * forks(&fresh, 90, second).len());
    assert!(cheap * 5 < dear, "{cheap} and {dear} tokens");
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn many_targets_share_their_context() {
    let engine = Engine::load(&EngineOptions { kept_bytes: 0, ..crate::support::model_options() }).unwrap();
    let targets: Vec<_> = ["Why can it fail?", "What is sold here, and to whom?"].map(|q| engine.tokenize(q)).to_vec();
    let context = engine.tokenize(&CODE[..2000]);
    let together = Forks { context: context.clone(), targets: targets.clone(), priority: 0.0 };
    let together = engine.likelihoods(vec![together], &Limits::default()).unwrap().remove(0).unwrap();
    let decoded = engine.decoded() as usize;
    assert_eq!(decoded, context.len() - 1 + targets[0].len() + targets[1].len());
    for (target, shared) in targets.into_iter().zip(together) {
        let alone = engine.likelihoods(vec![Forks::one(context.clone(), target.clone())], &Limits::default()).unwrap();
        let alone = alone[0].as_ref().unwrap()[0].clone();
        assert_eq!(shared.len(), target.len());
        for (a, b) in shared.iter().zip(alone) {
            assert!((a - b).abs() < 0.05, "{a} and {b}");
        }
    }
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_small_job_does_not_wait_for_a_huge_one() {
    let engine = Engine::load(&crate::support::model_options()).unwrap();
    let huge = forks(&engine, 300, "Why?").into_iter().cycle().take(20_000).collect();
    let cancel = Cancel::default();
    let limits = Limits { cancel: cancel.clone(), deadline: None };
    let other = engine.clone();
    let running = std::thread::spawn(move || other.likelihoods(huge, &limits).unwrap());
    let small = forks(&engine, 300, "How?");
    let scores = engine.likelihoods(small, &Limits::default()).unwrap();
    assert!(scores.iter().all(Option::is_some));
    assert!(!running.is_finished());
    cancel.cancel();
    let scores = running.join().unwrap();
    assert!(scores.iter().any(Option::is_none), "what was cancelled goes on");
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_question_asked_again_decodes_nothing() {
    let engine = Engine::load(&crate::support::model_options()).unwrap();
    let ask = |question: &str| {
        let before = engine.decoded();
        let scores = engine.likelihoods(forks(&engine, 90, question), &Limits::default()).unwrap();
        (scores, engine.decoded() - before)
    };
    let (first, dear) = ask("Why can a shipment fail?");
    assert!(dear > 0);
    ask("How are the pieces counted?");
    assert_eq!(ask("Why can a shipment fail?"), (first, 0));
}

/// Small jobs of different sizes, asked one after the other and then all at once beside a huge job.
#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_score_does_not_depend_on_what_else_is_asked() {
    let engine = Engine::load(&EngineOptions { kept_bytes: 0, ..crate::support::model_options() }).unwrap();
    let job = |engine: &Engine, i: usize| -> Vec<f32> {
        let few = forks(engine, 20 + 10 * i, "How are the pieces counted?").into_iter().skip(i).take(2).collect();
        engine.likelihoods(few, &Limits::default()).unwrap().into_iter().flatten().flatten().flatten().collect()
    };
    let alone: Vec<f32> = (0..6).flat_map(|i| job(&engine, i)).collect();
    let cancel = Cancel::default();
    let limits = Limits { cancel: cancel.clone(), deadline: None };
    let huge: Vec<Forks> = forks(&engine, 300, "Why?").into_iter().cycle().take(20_000).collect();
    let in_company: Vec<f32> = std::thread::scope(|scope| {
        let running = scope.spawn(|| engine.likelihoods(huge, &limits).unwrap());
        let jobs: Vec<_> = (0..6).map(|i| (i, engine.clone())).collect();
        let jobs: Vec<_> = jobs.into_iter().map(|(i, engine)| scope.spawn(move || job(&engine, i))).collect();
        let scores: Vec<_> = jobs.into_iter().map(|job| job.join()).collect();
        cancel.cancel();
        running.join().unwrap();
        scores.into_iter().flat_map(Result::unwrap).collect()
    });
    assert_eq!(alone, in_company);
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn a_panic_in_the_models_thread_costs_one_job() {
    let engine = Engine::load(&crate::support::model_options()).unwrap();
    let score = || engine.likelihoods(forks(&engine, 90, "Why?").split_off(30), &Limits::default());
    let before = score().unwrap();
    // There are fewer words than that; the last token of a target is only looked up.
    let impossible = Forks::one(engine.tokenize("a"), vec![engine.tokenize("b")[0], lopper::engine::Token(i32::MAX)]);
    assert!(matches!(
        engine.likelihoods(vec![impossible], &Limits::default()),
        Err(lopper::engine::EngineError::Stopped)
    ));
    assert_eq!((score().unwrap(), engine.restarts(), engine.waiting()), (before, 1, 0));
    assert!(engine.is_running());
}
