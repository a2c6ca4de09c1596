//! Caches the tokens of a text and the places of its code: clients send each text again with every turn.
//!
//! Only a text's hash, numbers and places are kept.

use std::sync::Arc;

use moka::policy::EvictionPolicy;

use crate::base::text::{Span, Tokens};
use crate::base::tokens::Counter;
use crate::detect::tools::Effect;
use crate::detect::{self, Context, Region, Source};
use crate::ledger::Key;

/// Cached counts, at about 200 bytes each: those of some dozens of long conversations.
const COUNTS: u64 = 1 << 15;

/// Memory for the places of code, in bytes.
const REGIONS_BYTES: u64 = 8 << 20;

/// Caches values that depend only on a text and its context; the least recently used go first. Shared by all requests.
pub struct Cache {
    counts: moka::sync::Cache<Key, Tokens>,
    regions: moka::sync::Cache<Key, Arc<Vec<Found>>>,
}

/// A text and its hash. Hashing takes as long as all else that is done with a text in the cache.
#[derive(Clone, Copy)]
pub struct Hashed<'a> {
    text: &'a str,
    hash: blake3::Hash,
}

impl<'a> From<&'a str> for Hashed<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, hash: blake3::hash(text.as_bytes()) }
    }
}

/// A piece of code without its path, and the place of that.
struct Found {
    region: Region,
    path: Option<Place>,
}

/// A part of one of the [`texts`], by its number among them.
#[derive(Clone, Copy)]
struct Place {
    text: usize,
    span: Span,
}

impl Cache {
    /// An empty cache.
    pub fn new() -> Self {
        const OVERHEAD: usize = 200;
        let size = |_: &Key, found: &Arc<Vec<Found>>| {
            u32::try_from(OVERHEAD + found.len() * size_of::<Found>()).unwrap_or(u32::MAX)
        };
        // LRU always admits the newest, as in the ledger.
        let lru = EvictionPolicy::lru;
        Self {
            counts: moka::sync::Cache::builder().max_capacity(COUNTS).eviction_policy(lru()).build(),
            regions: moka::sync::Cache::builder()
                .max_capacity(REGIONS_BYTES)
                .weigher(size)
                .eviction_policy(lru())
                .build(),
        }
    }

    /// Tokens of `text` in the vocabulary of `counter`.
    pub fn count(&self, counter: Counter, text: Hashed) -> Tokens {
        let key = Key::new(&[counter.name().as_bytes(), text.hash.as_bytes()]);
        self.counts.get_with(key, || counter.count(text.text))
    }

    /// The pieces of code in `text`, as [`detect::regions`] finds them in this context.
    pub fn regions(&self, text: Hashed, before: Hashed, source: Source, path: Option<&str>) -> Vec<Region> {
        let around = format!("{source:?} {path:?}");
        let key = Key::new(&[text.hash.as_bytes(), before.hash.as_bytes(), around.as_bytes()]);
        let (text, context) = (text.text, Context { before: before.text, source, path });
        let texts = texts(text, context);
        if let Some(found) = self.regions.get(&key) {
            return found.iter().map(|found| found.with_path(&texts)).collect();
        }
        let regions = detect::regions(text, context);
        // A path that stands in none of the texts would have to be kept itself.
        if let Some(found) = regions.iter().map(|region| Found::new(region, &texts)).collect() {
            self.regions.insert(key, Arc::new(found));
        }
        regions
    }
}

/// The texts in which a path may stand, the shortest first.
fn texts<'a>(text: &'a str, context: Context<'a>) -> Vec<&'a str> {
    let read = match context.source {
        Source::Tool(Some(Effect::Read { paths, .. })) => &paths[..],
        _ => &[],
    };
    context.path.into_iter().chain(read.iter().map(String::as_str)).chain([context.before, text]).collect()
}

impl Found {
    /// `None` if the path of `region` is in none of `texts`.
    fn new(region: &Region, texts: &[&str]) -> Option<Self> {
        let place = |path: &String| {
            texts.iter().enumerate().find_map(|(text, whole)| {
                let start = whole.find(path)?;
                Some(Place { text, span: Span { start, end: start + path.len() } })
            })
        };
        let path = match &region.path {
            Some(path) => Some(place(path)?),
            None => None,
        };
        Some(Self { region: Region { path: None, ..region.clone() }, path })
    }

    fn with_path(&self, texts: &[&str]) -> Region {
        let path = self.path.map(|place| texts[place.text][place.span.range()].to_owned());
        Region { path, ..self.region.clone() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::{Ledger, LedgerConfig};
    use crate::pipeline::{Cancel, Compressor, Overrides, Settings, Status};

    fn regions(cache: &Cache, text: &str, Context { before, source, path }: Context) -> Vec<Region> {
        cache.regions(text.into(), before.into(), source, path)
    }

    #[test]
    fn counts_are_the_counters() {
        let cache = Cache::new();
        // The vocabularies differ on it.
        let text = "这个函数为什么慢";
        let [old, new] = [Some("gpt-4"), None].map(Counter::for_model);
        assert_ne!(old.count(text), new.count(text));
        for counter in [old, new, old, new] {
            assert_eq!(cache.count(counter, text.into()), counter.count(text));
        }
    }

    #[test]
    fn paths_come_back_from_where_they_stand() {
        let cache = Cache::new();
        let read = |path: &str| Effect::Read { paths: vec![path.to_owned()], ranged: false };
        let (one, other, edit) =
            (read("src/a.py"), read("src/b.py"), Effect::Edit { paths: vec!["src/a.py".to_owned()] });
        let code = "import os\n\n\ndef f():\n    return os.sep\n";
        let fenced = format!("src/c.py\n```python\n{code}```\n");
        let words = |before| Context { before, ..Context::default() };
        let result = |does| Context { source: Source::Tool(does), ..Context::default() };
        let named = Context { path: Some("src/d.py"), ..result(None) };
        let texts = [
            (&fenced[..], words(""), Some("src/c.py")),
            (code, words("Content from src/e.py:"), Some("src/e.py")),
            (code, result(Some(&one)), Some("src/a.py")),
            (code, result(Some(&other)), Some("src/b.py")),
            (code, named, Some("src/d.py")),
            (code, result(Some(&edit)), None),
            (code, result(None), None),
        ];
        for (text, context, path) in [texts, texts].concat() {
            let regions = regions(&cache, text, context);
            assert_eq!(regions, detect::regions(text, context));
            assert_eq!(regions.first().and_then(|region| region.path.as_deref()), path);
        }
        cache.regions.run_pending_tasks();
        assert_eq!(cache.regions.entry_count(), texts.len() as u64);
    }

    #[test]
    fn a_request_that_is_sent_again_is_sent_as_before() {
        let ledger = Arc::new(Ledger::open(LedgerConfig { memory_bytes: 1 << 20, ..LedgerConfig::default() }));
        let compressor = || Compressor::new(Err("no model".into()), Settings::lexical(), ledger.clone());
        let code = include_str!("../../tests/fixtures/inventory.py");
        let text = format!("Why can a shipment fail?\n\na.py\n```python\n{code}```\n\nb.py\n```python\n{code}```\n");
        let body = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string();
        let sent = |by: &Compressor| by.compress(body.as_bytes(), &Overrides::default(), &Cancel::default());

        let one = compressor();
        let first = sent(&one);
        assert_eq!(first.status, Status::Compressed);
        // The file is shown twice; what was decided for the first is decided for the second.
        assert_eq!((first.ledger_hits, first.deadline_misses), (1, 0));
        for again in [sent(&one), sent(&compressor())] {
            assert_eq!(
                (again.status, again.body, again.dropped),
                (first.status.clone(), first.body.clone(), first.dropped.clone())
            );
            assert_eq!((again.tokens_before, again.tokens_after), (first.tokens_before, first.tokens_after));
            assert_eq!((again.model, again.api, again.ledger_hits), (Some("m".into()), Some("chat"), 2));
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_is_found(
            text in "(src/a.py\n|b.py:3-9\n|```py\n|```\n|<file path=\"c.py\">\n|</file>\n|    1\tx = 1\n|def f\\(\\):\n|é ){0,12}",
            before in "(Content from d.py:)?",
            path in prop::option::of("e.py(:3-9)?"),
            is_result: bool,
        ) {
            let cache = Cache::new();
            let source = if is_result { Source::Tool(None) } else { Source::Words };
            let context = Context { before: &before, source, path: path.as_deref() };
            let found = detect::regions(&text, context);
            prop_assert_eq!(&regions(&cache, &text, context), &found);
            prop_assert_eq!(&regions(&cache, &text, context), &found);
        }
    }
}
