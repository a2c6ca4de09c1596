//! How fast the stages without a model are, in bytes or items a second: `cargo bench`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lopper::base::text::{LineIndex, Lines, Span, Tokens};
use lopper::base::tokens::Counter;
use lopper::detect::{self, Context};
use lopper::ledger::{Ledger, LedgerConfig};
use lopper::pipeline::{Cancel, Compressor, Overrides, Settings, Status};
use lopper::render;
use lopper::score::Passage;
use lopper::score::associations::Associations;
use lopper::score::lexical::Matches;
use lopper::select::knapsack::{self, Item};
use lopper::syntax::{self, Language, Unit};
use lopper::wire;
use lopper::wire::splice::{TextEdit, splice};

const INVENTORY: &str = include_str!("../tests/fixtures/inventory.py");
const QUESTION: &str = "Why can a shipment fail although the pieces were reserved before?";
/// Files of one kind of program in languages that differ most.
const FILES: [(Language, &str); 8] = [
    (Language::Python, include_str!("../tests/fixtures/languages/python.py")),
    (Language::TypeScript, include_str!("../tests/fixtures/languages/typescript.ts")),
    (Language::Rust, include_str!("../tests/fixtures/languages/rust.rs")),
    (Language::Go, include_str!("../tests/fixtures/languages/go.go")),
    (Language::Java, include_str!("../tests/fixtures/languages/java.java")),
    (Language::Cpp, include_str!("../tests/fixtures/languages/cpp.hpp")),
    (Language::Ruby, include_str!("../tests/fixtures/languages/ruby.rb")),
    (Language::Swift, include_str!("../tests/fixtures/languages/swift.swift")),
];

/// Each stage on one file of 380 lines.
fn stages(criterion: &mut Criterion) {
    let text = message(&["inventory.py"]);
    let body = body(&text);
    let units = syntax::units(INVENTORY, Language::Python).unwrap();
    let passages = passages(INVENTORY, &units);
    let every_other: Vec<Lines> = units.iter().step_by(2).map(|unit| unit.lines).collect();
    let counter = Counter::for_model(None);

    let mut group = criterion.benchmark_group("stage");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| wire::parse(black_box(&body)).unwrap()));
    let chat = wire::parse(&body).unwrap();
    let slot = &chat.messages[0].slots[0];
    let at = slot.text.find("def ").unwrap();
    let edit = TextEdit { span: Span { start: at, end: at + 3 }, replacement: "…".into() };
    let edits = [(slot.literals.clone(), vec![edit])];
    group.bench_function("splice", |bencher| bencher.iter(|| splice(black_box(&body), &edits).unwrap()));
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("detect", |bencher| bencher.iter(|| detect::regions(black_box(&text), Context::default())));
    group.throughput(Throughput::Bytes(INVENTORY.len() as u64));
    group.bench_function("split", |bencher| bencher.iter(|| syntax::units(black_box(INVENTORY), Language::Python)));
    group.bench_function("count", |bencher| bencher.iter(|| counter.count(black_box(INVENTORY))));
    group.bench_function("lexical", |bencher| {
        bencher.iter(|| Matches::new(black_box(QUESTION), &passages, Associations::built_in()));
    });
    group.bench_function("render", |bencher| {
        bencher.iter(|| render::render(black_box(INVENTORY), &every_other, Language::Python, 1, Some("inventory.py")));
    });
    group.finish();
}

/// The stages that know languages, on a file of each.
fn languages(criterion: &mut Criterion) {
    for (language, source) in FILES {
        let units = syntax::units(source, language).unwrap();
        let passages = passages(source, &units);
        let text = format!("{QUESTION}\n\n```{}\n{source}```\n", language.name());
        assert_eq!(detect::regions(&text, Context::default()).len(), 1);
        let mut group = criterion.benchmark_group(language.name());
        group.sample_size(20).throughput(Throughput::Bytes(source.len() as u64));
        group
            .bench_function("detect", |bencher| bencher.iter(|| detect::regions(black_box(&text), Context::default())));
        group.bench_function("split", |bencher| bencher.iter(|| syntax::units(black_box(source), language)));
        group.bench_function("lexical", |bencher| {
            bencher.iter(|| Matches::new(black_box(QUESTION), &passages, Associations::built_in()));
        });
        group.finish();
    }
}

fn choosing(criterion: &mut Criterion) {
    // 2,000 units, 200,000 tokens.
    let item = |i: usize, way: usize| Item {
        weight: Tokens(20 + (i * 7919 + way * 131) % 180 * (way + 1)),
        value: (i * 104_729 % 1000) as f32 / 10.0 + way as f32,
    };
    let classes: Vec<Vec<Item>> = (0..2000).map(|i| (0..3).map(|way| item(i, way)).collect()).collect();
    let mut group = criterion.benchmark_group("knapsack");
    group.sample_size(10);
    for (name, count, budget) in
        [("50 blocks of 2,000 tokens", 50, 2000), ("2,000 units of 200,000 tokens", 2000, 200_000)]
    {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| knapsack::choose(black_box(&classes[..count]), Tokens(budget)))
        });
    }
    group.finish();
}

/// The whole street for a request of 10,000 tokens of code whose decisions are in the ledger: nothing is scored.
fn repeated(criterion: &mut Criterion) {
    let names = ["a/inventory.py", "b/inventory.py", "c/inventory.py"];
    let body = body(&message(&names));
    let ledger = Ledger::open(LedgerConfig { memory_bytes: 1 << 20, ..LedgerConfig::default() });
    let compressor = Compressor::new(Err("no model".into()), Settings::lexical(), Arc::new(ledger));
    let compress = || compressor.compress(black_box(&body), &Overrides::default(), &Cancel::default());
    assert_eq!(compress().status, Status::Compressed);
    let mut group = criterion.benchmark_group("repeated");
    group.throughput(Throughput::Elements(compress().tokens_before.0 as u64));
    group.bench_function("request", |bencher| bencher.iter(compress));
    group.finish();
}

/// The question and the inventory in a fence below each of `names`.
fn message(names: &[&str]) -> String {
    let files: String = names.iter().map(|name| format!("{name}\n```python\n{INVENTORY}```\n\n")).collect();
    format!("{QUESTION}\n\n{files}")
}

fn body(text: &str) -> Vec<u8> {
    serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string().into_bytes()
}

fn passages<'a>(source: &'a str, units: &'a [Unit]) -> Vec<Passage<'a>> {
    let index = LineIndex::new(source);
    let text = |unit: &Unit| &source[index.span(unit.lines).range()];
    let passage = |unit: &'a Unit| Passage::bare(text(unit), unit.name.as_deref().unwrap_or_default());
    units.iter().map(passage).collect()
}

criterion_group!(benches, stages, languages, choosing, repeated);
criterion_main!(benches);
