//! The key of a decision: a hash over everything that the decision depends on.

use crate::base::text::Lines;

/// Version of the key's fields and of the way of scoring. Raise it whenever equal fields may lead to another decision: a
/// field was added, or scoring, selection or their constants changed. Decisions of other versions are never found again.
const SCHEMA: u64 = 3;

/// A BLAKE3 hash over parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub(super) [u8; 32]);

impl Key {
    /// The hash of `parts`, each preceded by its length in bytes (u64, little-endian), so that `ab, c` is not `a, bc`.
    pub fn new(parts: &[&[u8]]) -> Self {
        let mut hash = blake3::Hasher::new();
        parts.iter().for_each(|part| add(&mut hash, part));
        Self(hash.finalize().into())
    }
}

/// Everything that a decision about a piece of code depends on, as plain values. Words are those that users write in a
/// file; they stay the same when code is renamed.
#[derive(Debug, Clone)]
pub struct DecisionKey<'a> {
    /// The code, without line numbers.
    pub source: &'a str,
    /// Its language.
    pub language: &'a str,
    /// The question that it is scored by.
    pub question: &'a str,
    /// Names that the question mentions.
    pub names: &'a [String],
    /// The scoring method.
    pub method: &'a str,
    /// BLAKE3 hash of the model's file; zeros where code is scored without a model.
    pub model: [u8; 32],
    /// The vocabulary in which tokens are counted.
    pub counter: &'a str,
    /// The budget: `ratio`, `tokens` or `coverage`, and the amount.
    pub budget: (&'a str, String),
    /// Whether functions may be cut.
    pub fine: bool,
    /// Lines of the source that always stay.
    pub pinned: &'a [Lines],
}

impl DecisionKey<'_> {
    /// The hash that the decision is stored under.
    ///
    /// It is over the schema number and then, for each field, its name and its values, all as parts like those of
    /// [`Key::new`]. A list has its length before its items; numbers are u64, little-endian.
    pub fn key(&self) -> Key {
        // Without `..`: a new field has to be hashed as well.
        let Self { source, language, question, names, method, model, counter, budget, fine, pinned } = self;
        let mut fields = Fields(blake3::Hasher::new());
        fields.number("schema", SCHEMA);
        fields.text("source", source);
        fields.text("language", language);
        fields.text("question", question);
        fields.list("names", names.len(), names.iter().map(|name| [name.as_bytes()]));
        fields.text("method", method);
        fields.bytes("model", model);
        fields.text("counter", counter);
        fields.list("budget", 1, [[budget.0.as_bytes(), budget.1.as_bytes()]]);
        fields.number("fine", u64::from(*fine));
        let bounds: Vec<[[u8; 8]; 2]> =
            pinned.iter().map(|lines| [lines.start, lines.end].map(|line| (line as u64).to_le_bytes())).collect();
        fields.list("pinned", bounds.len(), bounds.iter().map(|[start, end]| [&start[..], &end[..]]));
        Key(fields.0.finalize().into())
    }
}

/// Hashes named fields one after the other.
struct Fields(blake3::Hasher);

impl Fields {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        add(&mut self.0, name.as_bytes());
        add(&mut self.0, value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn number(&mut self, name: &str, value: u64) {
        self.bytes(name, &value.to_le_bytes());
    }

    fn list<'a, const N: usize>(&mut self, name: &str, length: usize, items: impl IntoIterator<Item = [&'a [u8]; N]>) {
        self.number(name, length as u64);
        items.into_iter().flatten().for_each(|part| add(&mut self.0, part));
    }
}

fn add(hash: &mut blake3::Hasher, part: &[u8]) {
    hash.update(&(part.len() as u64).to_le_bytes());
    hash.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(Key::new(&[b"ab", b"c"]), Key::new(&[b"a", b"bc"]));
        assert_eq!(Key::new(&[b"ab"]), Key::new(&[b"ab"]));
    }

    /// Stored decisions are found by this hash. Where it must change, [`SCHEMA`] is raised.
    #[test]
    fn the_stored_hash_stays_the_same() {
        let hex = |key: Key| blake3::Hash::from(key.0).to_hex().to_string();
        let names = ["send".to_owned(), "retry".to_owned()];
        let key = DecisionKey {
            source: "fn send() {}\n",
            language: "rust",
            question: "Why does send fail?",
            names: &names,
            method: "hybrid",
            model: [7; 32],
            counter: "o200k_base",
            budget: ("ratio", 0.4_f32.to_string()),
            fine: true,
            pinned: &[Lines::new(3, 8)],
        };
        assert_eq!(hex(key.key()), "1ada8d467b5170140a199dc2c6a4ad847e65370ab3b25477a7c26ee1a7dde9e8");
        let others = [
            DecisionKey { source: "fn send() { }\n", ..key.clone() },
            DecisionKey { language: "go", ..key.clone() },
            DecisionKey { question: "", ..key.clone() },
            DecisionKey { names: &names[..1], ..key.clone() },
            DecisionKey { method: "perplexity", ..key.clone() },
            DecisionKey { model: [0; 32], ..key.clone() },
            DecisionKey { counter: "cl100k_base", ..key.clone() },
            DecisionKey { budget: ("coverage", "0.4".into()), ..key.clone() },
            DecisionKey { fine: false, ..key.clone() },
            DecisionKey { pinned: &[], ..key.clone() },
        ];
        let keys: std::collections::HashSet<Key> = others.iter().map(DecisionKey::key).chain([key.key()]).collect();
        assert_eq!(keys.len(), others.len() + 1);
    }
}
