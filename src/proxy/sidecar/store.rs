//! Keeps what was left out of requests, by hash, for a limited time and in limited memory.

use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::base::text::Span;
use crate::pipeline::Dropped;
use crate::wire::splice::{TextEdit, splice};
use crate::wire::{self, Slot};

/// Hexadecimal digits of a hash: gateways accept 12 to 24. 96 bits can't be guessed, and no two texts share them.
const HASH_DIGITS: usize = 24;
/// Bytes of an entry besides its texts: key, lengths, and the cache's own links.
const ENTRY_OVERHEAD: usize = 256;
/// The longest age that the cache accepts; in effect for ever.
const MAX_AGE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A text that was left out, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Lower-case hexadecimal digits.
    pub hash: String,
    /// The text and its place.
    pub dropped: Arc<Dropped>,
}

/// The texts that were left out. Shared by all requests.
pub struct DroppedTexts {
    cache: Cache<String, Arc<Dropped>>,
}

impl DroppedTexts {
    /// An empty store of at most `memory_bytes`. A text stays for `max_age` after it was last put in; the least recently
    /// used ones make room for new ones.
    pub fn new(memory_bytes: u64, max_age: Duration) -> Self {
        let weight = |hash: &String, dropped: &Arc<Dropped>| {
            let path = dropped.path.as_deref().map_or(0, str::len);
            let bytes = ENTRY_OVERHEAD + hash.len() + path + dropped.text.len() + dropped.marker.len();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(memory_bytes)
            .weigher(weight)
            .time_to_live(max_age.min(MAX_AGE))
            // The newest texts are asked for, so they must not lose against frequently used ones.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { cache }
    }

    /// Stores what was left out of one request; returns it in the same order.
    pub fn put(&self, dropped: Vec<Dropped>) -> Vec<Stored> {
        let stored = dropped.into_iter().map(|dropped| Stored { hash: hash(&dropped), dropped: Arc::new(dropped) });
        let stored: Vec<Stored> = stored.collect();
        for Stored { hash, dropped } in &stored {
            self.cache.insert(hash.clone(), Arc::clone(dropped));
        }
        // The cache evicts now and then; the limit shall hold now.
        self.cache.run_pending_tasks();
        stored
    }

    /// The text with this hash, if it is still there.
    pub fn get(&self, hash: &str) -> Option<Arc<Dropped>> {
        self.cache.get(hash)
    }
}

/// The hash of a text and its place.
fn hash(dropped: &Dropped) -> String {
    let mut hasher = blake3::Hasher::new();
    let (first, last) = (dropped.first as u64, dropped.last as u64);
    let path = dropped.path.as_deref().unwrap_or_default();
    // The lengths keep the parts apart.
    for part in [path.as_bytes(), &first.to_le_bytes(), &last.to_le_bytes(), dropped.text.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..HASH_DIGITS].to_owned()
}

/// The note in a marker that names a hash.
pub fn hash_note(hash: &str) -> String {
    format!("; hash={hash}")
}

/// Writes the hashes of `stored`, which are in the text's order, into their markers in `body`. `original` is the body before
/// compression: texts that are the same in it stay untouched. `None` if a body can't be read.
pub fn name_in_markers(original: &[u8], body: &[u8], stored: &[Stored]) -> Option<Vec<u8>> {
    let (before, after) = (wire::parse(original).ok()?, wire::parse(body).ok()?);
    let slots = |chat: wire::Chat| chat.messages.into_iter().flat_map(|message| message.slots);
    let mut edits: Vec<(Vec<Span>, Vec<TextEdit>)> = Vec::new();
    let mut waiting = stored.iter().peekable();
    for (_, slot) in slots(before).zip(slots(after)).filter(|(before, after)| before.text != after.text) {
        let Slot { literals, text, .. } = slot;
        let mut found = Vec::new();
        let mut done = 0;
        while let Some(Stored { hash, dropped }) = waiting.peek() {
            let marker = dropped.marker.trim();
            let Some(inside) = marker.strip_suffix(']') else {
                waiting.next();
                continue;
            };
            let Some(at) = text[done..].find(marker) else { break };
            let end = done + at + inside.len();
            found.push(TextEdit { span: Span { start: end, end }, replacement: hash_note(hash) });
            done = end;
            waiting.next();
        }
        if !found.is_empty() {
            edits.push((literals, found));
        }
    }
    splice(body, &edits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn dropped(text: &str) -> Dropped {
        Dropped { path: Some("a.py".into()), first: 3, last: 4, text: text.into(), marker: "# [lopper: x]\n".into() }
    }

    #[test]
    fn what_was_put_in_is_found_by_its_hash() {
        let store = DroppedTexts::new(1 << 20, DAY);
        let kept = store.put(vec![dropped("one"), dropped("two")]);
        assert_eq!(*store.get(&kept[1].hash).unwrap(), dropped("two"));
        let digits = |hash: &str| hash.bytes().all(|b| b"0123456789abcdef".contains(&b));
        assert!(kept.iter().all(|kept| kept.hash.len() == 24 && digits(&kept.hash)), "{kept:?}");
        assert_eq!(store.put(vec![dropped("one")]), kept[..1], "the same text has the same hash");
        assert!(store.get("000000000000000000000000").is_none() && store.get("").is_none());
    }

    #[test]
    fn a_hash_depends_on_every_part() {
        let one = dropped("text");
        for other in [
            Dropped { path: None, ..one.clone() },
            Dropped { path: Some("b.py".into()), ..one.clone() },
            Dropped { first: 2, ..one.clone() },
            Dropped { last: 5, ..one.clone() },
            dropped("text "),
        ] {
            assert_ne!(hash(&one), hash(&other));
        }
    }

    #[test]
    fn the_newest_texts_stay_within_the_memory() {
        let text = |number: usize| dropped(&format!("{number:01000}"));
        let store = DroppedTexts::new(20_000, DAY);
        let put: Vec<Stored> = (0..100).flat_map(|number| store.put(vec![text(number)])).collect();
        let there: Vec<usize> = (0..100).filter(|&number| store.get(&put[number].hash).is_some()).collect();
        assert!(!there.is_empty() && there.len() <= 20, "{there:?}");
        assert_eq!(there, ((100 - there.len())..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_text_larger_than_the_memory_is_not_kept_and_does_no_harm() {
        let store = DroppedTexts::new(2_000, DAY);
        let small = store.put(vec![dropped("small")]);
        let large = store.put(vec![dropped(&"x".repeat(10_000))]);
        assert!(store.get(&small[0].hash).is_some() && store.get(&large[0].hash).is_none());
    }

    #[test]
    fn texts_past_their_age_are_gone() {
        let store = DroppedTexts::new(1 << 20, Duration::ZERO);
        assert!(store.get(&store.put(vec![dropped("text")])[0].hash).is_none());
        // An age beyond what the cache can count is no panic.
        let store = DroppedTexts::new(1 << 20, Duration::MAX);
        assert!(store.get(&store.put(vec![dropped("text")])[0].hash).is_some());
    }

    fn body(texts: &[&str]) -> Vec<u8> {
        let messages: Vec<_> = texts.iter().map(|text| serde_json::json!({"role": "user", "content": text})).collect();
        serde_json::json!({ "messages": messages }).to_string().into_bytes()
    }

    #[test]
    fn markers_get_their_hashes_where_something_was_left_out() {
        let kept = |hash: &str, marker: &str| Stored {
            hash: hash.into(),
            dropped: Arc::new(Dropped { marker: marker.into(), ..dropped("x") }),
        };
        let lines = "  # [lopper: lines 1-2 left out]\n";
        let three = [kept("h1", lines), kept("h2", lines), kept("h3", "# [lopper: line 9 left out]")];
        let original = body(&["# [lopper: lines 1-2 left out]", "one\ntwo\nthree\nfour", "five"]);
        let cut = body(&[
            "# [lopper: lines 1-2 left out]",
            "  # [lopper: lines 1-2 left out]\nthree\n  # [lopper: lines 1-2 left out]\n# [lopper: line 9 left out]",
            "five",
        ]);
        let named = name_in_markers(&original, &cut, &three).unwrap();
        let expected = body(&[
            "# [lopper: lines 1-2 left out]",
            "  # [lopper: lines 1-2 left out; hash=h1]\nthree\n  # [lopper: lines 1-2 left out; hash=h2]\n# [lopper: line 9 left out; hash=h3]",
            "five",
        ]);
        assert_eq!(String::from_utf8(named), String::from_utf8(expected));
        assert_eq!(name_in_markers(&original, &cut, &[]).unwrap(), cut);
        assert_eq!(name_in_markers(&original, &cut, &[kept("h", "never there]")]).unwrap(), cut);
        assert!(name_in_markers(b"{}", &cut, &[]).is_none());
    }

    proptest! {
        #[test]
        fn naming_never_panics(before in ".{0,40}", after in ".{0,40}", marker in ".{0,5}\\]?") {
            let kept = Stored { hash: "h".into(), dropped: Arc::new(Dropped { marker, ..dropped("x") }) };
            let _ = name_in_markers(&body(&[&before]), &body(&[&after]), &[kept.clone(), kept]);
        }
    }
}
