//! How fast the stages without a model are, in bytes or items a second: `cargo bench`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lopper::detect::{self, Context};
use lopper::render;
use lopper::score::Passage;
use lopper::score::associations::Associations;
use lopper::score::lexical::Matches;
use lopper::select::knapsack::{self, Item};
use lopper::syntax::{self, Language};
use lopper::text::{LineIndex, Lines, Span, Tokens};
use lopper::tokens::Counter;
use lopper::wire;
use lopper::wire::splice::{TextEdit, splice};

const INVENTORY: &str = include_str!("../tests/fixtures/inventory.py");
const QUESTION: &str = "Why can a shipment fail although the pieces were reserved before?";

fn stages(criterion: &mut Criterion) {
    let text = format!("{QUESTION}\n\ninventory.py\n```python\n{INVENTORY}```\n");
    let body = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
    let body = body.as_bytes();
    let units = syntax::units(INVENTORY, Language::Python).unwrap();
    let index = LineIndex::new(INVENTORY);
    let passages: Vec<Passage> = units
        .iter()
        .map(|unit| Passage::bare(&INVENTORY[index.span(unit.lines).range()], unit.name.as_deref().unwrap_or_default()))
        .collect();
    let every_other: Vec<Lines> = units.iter().step_by(2).map(|unit| unit.lines).collect();
    let counter = Counter::for_model(None);

    let mut group = criterion.benchmark_group("stage");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| wire::parse(black_box(body)).unwrap()));
    let chat = wire::parse(body).unwrap();
    let slot = &chat.messages[0].slots[0];
    let at = slot.text.find("def ").unwrap();
    let edit = TextEdit { span: Span { start: at, end: at + 3 }, replacement: "…".into() };
    let edits = [(slot.literals.clone(), vec![edit])];
    group.bench_function("splice", |bencher| bencher.iter(|| splice(black_box(body), &edits).unwrap()));
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

criterion_group!(benches, stages);
criterion_main!(benches);
