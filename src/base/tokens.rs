//! Counts tokens in OpenAI's vocabularies; other models get the nearest one.

use crate::base::text::Tokens;

/// Counts tokens in one vocabulary. Cheap to copy; the vocabulary is loaded on the first count of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    vocabulary: Vocabulary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
enum Vocabulary {
    Cl100k,
    O200k,
}

impl Counter {
    /// The counter for the upstream's `model`: cl100k for GPT-3.5, GPT-4 and OpenAI's embeddings, o200k for every
    /// other name and for none. Provider prefixes (`openai/`) and fine-tunes (`ft:`) count as their base.
    pub fn for_model(model: Option<&str>) -> Self {
        let name = model.unwrap_or_default().to_ascii_lowercase();
        let name = name.rsplit('/').next().unwrap_or_default();
        let name = name.strip_prefix("ft:").unwrap_or(name);
        let base = name.split(':').next().unwrap_or_default();
        // `gpt-4-turbo` has the old vocabulary; `gpt-4o`, `gpt-4.1` and `gpt-4.5` have the new one.
        let old =
            base == "gpt-4" || ["gpt-4-", "gpt-3.5", "gpt-35", "text-embedding-"].iter().any(|p| base.starts_with(p));
        Self { vocabulary: if old { Vocabulary::Cl100k } else { Vocabulary::O200k } }
    }

    /// The vocabulary's name: `cl100k` or `o200k`.
    pub fn name(&self) -> &'static str {
        self.vocabulary.into()
    }

    /// Tokens of `text`; special tokens count as plain text. Takes time linear in the text.
    pub fn count(&self, text: &str) -> Tokens {
        let tokenizer = match self.vocabulary {
            Vocabulary::Cl100k => bpe_openai::cl100k_base(),
            Vocabulary::O200k => bpe_openai::o200k_base(),
        };
        Tokens(tokenizer.count(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_map_to_vocabularies() {
        let vocabulary = |model| Counter::for_model(Some(model)).vocabulary;
        for model in [
            "gpt-4", "gpt-4-turbo", "openai/gpt-4-0613", "GPT-3.5-turbo", "ft:gpt-3.5-turbo:me::x", "gpt-35-turbo",
            "text-embedding-3-small",
        ] {
            assert_eq!(vocabulary(model), Vocabulary::Cl100k, "{model}");
        }
        for model in
            ["gpt-4o", "gpt-4.1-mini", "gpt-4.5-preview", "gpt-5", "o3", "claude-sonnet-4", "qwen2.5-coder:7b", ""]
        {
            assert_eq!(vocabulary(model), Vocabulary::O200k, "{model}");
        }
        assert_eq!(Counter::for_model(None).vocabulary, Vocabulary::O200k);
    }

    #[test]
    fn counts_are_openais() {
        // As tiktoken has them.
        assert_eq!(Counter::for_model(Some("gpt-4")).count("hello world"), Tokens(2));
        assert_eq!(Counter::for_model(Some("gpt-4o")).count("hello world"), Tokens(2));
        assert_eq!(Counter::for_model(None).count(""), Tokens(0));
        assert!(Counter::for_model(None).count("<|endoftext|>") > Tokens(1));
    }

    #[test]
    fn hostile_texts_are_counted() {
        for (model, unit) in
            ["gpt-4", "gpt-4o"].into_iter().flat_map(|m| ["a", " ", "\n ", "{", "é", "𝒳", "\u{301}"].map(|u| (m, u)))
        {
            let count = Counter::for_model(Some(model)).count(&unit.repeat(100_000));
            assert!((1..=400_000).contains(&count.0), "{model} {unit:?}: {count:?}");
        }
    }
}
