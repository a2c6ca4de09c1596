//! Keeps the model's states after a group's contexts, and the group's likelihoods.
//!
//! The keys are hashes of whole groups: a context's state depends, in the last bits, on what is read in the same batch.

use std::sync::Arc;

use llama_cpp_2::context::session::SeqState;
use moka::sync::Cache;

use super::batch::Likelihoods;
use crate::engine::data::{Forks, Token};

/// Room for likelihoods, in bytes: those of some millions of tokens, at 4 bytes each.
const LIKELIHOODS_BYTES: u64 = 16 << 20;

/// The model's states after a group's contexts; `None` for those of one token or none.
pub type States = Vec<Option<SeqState>>;

/// A hash of a group.
pub type Key = [u8; 32];

/// A cache of bounded size; the least recently used goes first.
pub struct GroupCache<V>(Option<Cache<Key, Arc<V>>>);

impl GroupCache<States> {
    /// A cache of states of at most `bytes`; 0: keeps none.
    pub fn of_states(bytes: u64) -> Self {
        Self::new(bytes, |states| states.iter().flatten().map(SeqState::byte_len).sum())
    }
}

impl GroupCache<Likelihoods> {
    /// A cache of likelihoods of a fixed size; keeps none unless `enabled`.
    pub fn of_likelihoods(enabled: bool) -> Self {
        let list = size_of::<Vec<f32>>();
        Self::new(if enabled { LIKELIHOODS_BYTES } else { 0 }, move |contexts| {
            let targets = contexts.iter().flatten();
            contexts.len() * list + targets.map(|target| list + size_of_val(&target[..])).sum::<usize>()
        })
    }
}

impl<V: Send + Sync + 'static> GroupCache<V> {
    fn new(bytes: u64, size: impl Fn(&V) -> usize + Send + Sync + 'static) -> Self {
        let size = move |key: &Key, value: &Arc<V>| u32::try_from(key.len() + size(value)).unwrap_or(u32::MAX);
        Self((bytes > 0).then(|| Cache::builder().max_capacity(bytes).weigher(size).build()))
    }

    /// Whether it keeps anything.
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    pub fn get(&self, key: &Key) -> Option<Arc<V>> {
        self.0.as_ref()?.get(key)
    }

    pub fn insert(&self, key: Key, value: V) {
        if let Some(cache) = &self.0 {
            cache.insert(key, Arc::new(value));
        }
    }
}

/// The key of the states of contexts that are read together.
pub fn states_key<'a>(contexts: impl Iterator<Item = &'a [Token]>) -> Key {
    let mut hash = blake3::Hasher::new();
    contexts.for_each(|context| add(&mut hash, context));
    hash.finalize().into()
}

/// The key of the likelihoods of a group.
pub fn likelihoods_key(group: &[Forks]) -> Key {
    let mut hash = blake3::Hasher::new();
    for forks in group {
        add(&mut hash, &forks.context);
        hash.update(&forks.targets.len().to_le_bytes());
        forks.targets.iter().for_each(|target| add(&mut hash, target));
    }
    hash.finalize().into()
}

/// Adds tokens with their number before them, so that no two lists join to the same bytes.
fn add(hash: &mut blake3::Hasher, tokens: &[Token]) {
    hash.update(&tokens.len().to_le_bytes());
    for token in tokens {
        hash.update(&token.0.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ids: &[i32]) -> Vec<Token> {
        ids.iter().copied().map(Token).collect()
    }

    #[test]
    fn what_is_cut_elsewhere_is_another_group() {
        let key = |context: &[i32], targets: &[&[i32]]| {
            let targets = targets.iter().map(|target| tokens(target)).collect();
            likelihoods_key(&[Forks { context: tokens(context), targets, priority: 0.0 }])
        };
        let one = key(&[1, 2], &[&[3]]);
        assert_eq!(one, key(&[1, 2], &[&[3]]));
        assert!(
            [key(&[1], &[&[2, 3]]), key(&[1, 2], &[&[3], &[]]), key(&[1, 2], &[]), key(&[], &[])]
                .iter()
                .all(|other| *other != one)
        );
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let (none, some) = (GroupCache::of_likelihoods(false), GroupCache::of_likelihoods(true));
        for memory in [&none, &some] {
            memory.insert([7; 32], vec![vec![vec![1.0]]]);
        }
        assert!(!none.is_enabled() && none.get(&[7; 32]).is_none());
        assert_eq!(some.get(&[7; 32]).as_deref(), Some(&vec![vec![vec![1.0]]]));
    }
}
