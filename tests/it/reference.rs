//! Holds the scores against what the LongCodeZip reference gave with the same weights in float32.
//! The figures and their meaning: fixtures/reference/longcodezip.json.

use lopper::base::limits::Limits;
use lopper::base::text::Tokens;
use lopper::engine::Engine;
use lopper::score::lines;
use lopper::score::longcodezip::gains;
use lopper::select::knapsack::{Item, solve};
use serde::Deserialize;

#[derive(Deserialize)]
struct Run {
    id: String,
    #[serde(default)]
    query: String,
    #[serde(default)]
    chunks: Vec<String>,
    #[serde(default)]
    coarse_gain_ppl: Vec<f32>,
    segments: Vec<Segment>,
    knapsacks: Vec<Knapsack>,
}

#[derive(Deserialize)]
struct Segment {
    #[serde(default)]
    lines: Vec<String>,
    line_log2_ppl: Vec<Option<f32>>,
    spikes: Vec<usize>,
}

#[derive(Deserialize)]
struct Knapsack {
    weights: Vec<usize>,
    values: Vec<f32>,
    target_tokens: usize,
    preserved: Vec<usize>,
    selected: Vec<usize>,
}

fn runs() -> Vec<Run> {
    serde_json::from_str(include_str!("../fixtures/reference/longcodezip.json")).unwrap()
}

/// Runs that carry their text, so that it can be scored here.
fn scored_runs() -> Vec<Run> {
    let runs: Vec<Run> = runs().into_iter().filter(|run| !run.chunks.is_empty()).collect();
    assert_eq!(runs.len(), 2);
    runs
}

fn engine() -> Engine {
    Engine::load(&crate::support::model_options()).unwrap()
}

fn pearson(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let covariance: f32 = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    let deviation = |v: &[f32], m: f32| v.iter().map(|x| (x - m).powi(2)).sum::<f32>().sqrt();
    covariance / (deviation(a, mean_a) * deviation(b, mean_b))
}

/// Ranks, the lowest 0. The figures have no ties.
fn ranks(values: &[f32]) -> Vec<f32> {
    values.iter().map(|v| values.iter().filter(|other| *other < v).count() as f32).collect()
}

fn best(values: &[f32]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn chunks_rank_as_in_the_reference() {
    let engine = engine();
    for run in scored_runs() {
        let texts: Vec<&str> = run.chunks.iter().map(String::as_str).collect();
        let ours = gains(&engine, &run.query, &texts, &Limits::default()).unwrap();
        let ours: Vec<f32> = ours.into_iter().map(|score| score.unwrap().0).collect();
        let spearman = pearson(&ranks(&ours), &ranks(&run.coarse_gain_ppl));
        println!("{}: spearman {spearman:.4}, pearson {:.4}", run.id, pearson(&ours, &run.coarse_gain_ppl));
        for (ours, theirs) in ours.iter().zip(&run.coarse_gain_ppl) {
            println!("  {ours:8.2} {theirs:8.2}");
        }
        assert!(spearman >= 0.95, "{}: {spearman}", run.id);
        assert_eq!(best(&ours), best(&run.coarse_gain_ppl), "{}", run.id);
    }
}

#[test]
#[cfg_attr(not(feature = "llama"), ignore = "needs the model")]
fn lines_are_as_surprising_as_in_the_reference() {
    let engine = engine();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in scored_runs() {
        for segment in &run.segments {
            let text = segment.lines.join("\n");
            let values = lines::surprises(&engine, &[&text], &Limits::default()).unwrap().unwrap().remove(0);
            let values: Vec<Option<f32>> = values.into_iter().map(lines::Surprise::log2_perplexity).collect();
            // The reference counts the empty piece after a last line break as a line.
            assert_eq!(values.len(), text.lines().count());
            for ((value, reference), line) in values.iter().zip(&segment.line_log2_ppl).zip(&segment.lines) {
                // The reference gives an empty line 0 and a line of one space nothing; neither has a token of its own.
                let Some(reference) = reference.filter(|_| !line.trim().is_empty()) else { continue };
                println!("{:8.3} {reference:8.3} {line}", value.unwrap_or(f32::NAN));
                ours.push(value.unwrap());
                theirs.push(reference);
            }
        }
    }
    let correlation = pearson(&ours, &theirs);
    println!("{} lines: correlation {correlation:.4}", ours.len());
    assert!(correlation >= 0.98, "{correlation}");
}

#[test]
fn spikes_are_the_references() {
    let mut spikes = 0;
    for run in runs() {
        for (i, segment) in run.segments.iter().enumerate() {
            // The reference keeps chunks of fewer than 5 lines whole and cuts them by no rule of its own.
            if segment.line_log2_ppl.len() < 5 {
                continue;
            }
            assert_eq!(lines::spikes(&segment.line_log2_ppl), segment.spikes, "{} segment {i}", run.id);
            spikes += segment.spikes.len();
        }
    }
    assert!(spikes > 10, "only {spikes} spikes compared");
}

#[test]
fn the_knapsack_is_worth_at_least_the_references() {
    let knapsacks: Vec<Knapsack> = runs().into_iter().flat_map(|run| run.knapsacks).collect();
    assert!(!knapsacks.is_empty());
    for knapsack in knapsacks {
        let free: Vec<usize> = (0..knapsack.weights.len()).filter(|i| !knapsack.preserved.contains(i)).collect();
        let preserved: usize = knapsack.preserved.iter().map(|&i| knapsack.weights[i]).sum();
        let capacity = knapsack.target_tokens.saturating_sub(preserved);
        let items: Vec<Item> =
            free.iter().map(|&i| Item { weight: Tokens(knapsack.weights[i]), value: knapsack.values[i] }).collect();
        let kept = solve(&items, Tokens(capacity));
        let weight: usize = free.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(&i, _)| knapsack.weights[i]).sum();
        let value = |i: &usize| f64::from(knapsack.values[*i]);
        let ours: f64 = free.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(i, _)| value(i)).sum();
        let chosen = || knapsack.selected.iter().filter(|i| !knapsack.preserved.contains(i));
        let theirs: f64 = chosen().map(value).sum();
        let their_weight: usize = chosen().map(|&i| knapsack.weights[i]).sum();
        println!("ours {ours:.3} in {weight}, theirs {theirs:.3} in {their_weight}, capacity {capacity}");
        assert!(weight <= capacity);
        assert!(ours >= theirs - 1e-4);
    }
}
