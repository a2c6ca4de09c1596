//! The stored form of a decision: a version byte, the decision in postcard's format, and a checksum over both and the key.
//!
//! Entries of another version or with a wrong checksum count as absent; the decision is taken anew.

use serde::{Deserialize, Serialize};

use super::decision::Decision;
use super::key::Key;
use crate::base::text::Lines;

/// Version of the stored form.
const VERSION: u8 = 3;
/// Bytes of the checksum.
const CHECKSUM: usize = 8;

/// A decision as it is stored. Variants are stored by number: append, never reorder.
#[derive(Serialize, Deserialize)]
enum Stored {
    /// For each range of lines the distance from the end of the one before, and its length.
    Keep(Vec<(usize, usize)>),
    /// The reason's word.
    Leave(String),
}

/// The stored form of `decision` under `key`.
pub fn encode(key: &Key, decision: &Decision) -> Vec<u8> {
    let stored = match decision {
        Decision::Keep(lines) => {
            let mut end = 0;
            let step = |lines: &Lines| {
                let step = (lines.start.saturating_sub(end), lines.end.saturating_sub(lines.start));
                end = lines.end;
                step
            };
            Stored::Keep(lines.iter().map(step).collect())
        }
        Decision::Leave(reason) => Stored::Leave(reason.to_string()),
    };
    let bytes = postcard::to_extend(&stored, vec![VERSION]).expect("a vector takes whatever it is given");
    let checksum = checksum(key, &bytes);
    [&bytes[..], &checksum].concat()
}

/// The decision stored in `bytes` under `key`; `None` for anything else.
pub fn decode(key: &Key, bytes: &[u8]) -> Option<Decision> {
    let (bytes, stored_checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if checksum(key, bytes) != *stored_checksum {
        return None;
    }
    let (&VERSION, rest) = bytes.split_first()? else { return None };
    match postcard::take_from_bytes(rest) {
        Ok((Stored::Keep(steps), [])) => {
            let mut end = 0_usize;
            let lines = steps.into_iter().map(|(distance, length)| {
                let start = end.checked_add(distance)?;
                end = start.checked_add(length)?;
                Some(Lines::new(start, end))
            });
            lines.collect::<Option<_>>().map(Decision::Keep)
        }
        Ok((Stored::Leave(word), [])) => word.parse().ok().map(Decision::Leave),
        _ => None,
    }
}

/// The first bytes of the BLAKE3 hash of the key and the entry.
fn checksum(key: &Key, entry: &[u8]) -> [u8; CHECKSUM] {
    let hash = blake3::Hasher::new().update(&key.0).update(entry).finalize();
    *hash.as_bytes().first_chunk().expect("a hash is longer than the checksum")
}

/// The entry `bytes` with its checksum.
#[cfg(test)]
pub fn checked(key: &Key, bytes: &[u8]) -> Vec<u8> {
    [bytes, &checksum(key, bytes)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::reason::Reason;
    use proptest::prelude::*;
    use strum::VariantArray;

    proptest! {
        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec((0usize..100_000, 0usize..100_000), 0..40), reason in 0..6_usize) {
            let mut at = 0;
            let lines = steps.iter().map(|(gap, length)| { let start = at + gap; at = start + length; Lines::new(start, at) });
            let decision = match reason.checked_sub(1) {
                None => Decision::Keep(lines.collect()),
                Some(reason) => Decision::Leave(Reason::VARIANTS[reason]),
            };
            let written = encode(&key(), &decision);
            prop_assert_eq!(decode(&key(), &written), Some(decision));
            prop_assert_eq!(decode(&Key::new(&[b"another"]), &written), None);
        }

        #[test]
        fn a_flipped_bit_is_seen(start in 0usize..1000, byte: prop::sample::Index, bit in 0..8) {
            let mut written = encode(&key(), &Decision::Keep(vec![Lines::new(start, start + 9)]));
            let at = byte.index(written.len());
            written[at] ^= 1_u8 << bit;
            prop_assert_eq!(decode(&key(), &written), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let entry = [&[VERSION, 0][..], &bytes].concat();
            let _ = decode(&key(), &bytes);
            let _ = decode(&key(), &checked(&key(), &entry));
        }
    }

    #[test]
    fn entries_of_another_version_are_absent() {
        assert_eq!(decode(&key(), &checked(&key(), &[2, 0, 1, 2])), None);
        let written = encode(&key(), &Decision::Leave(Reason::FewUnits));
        assert_eq!(written[..written.len() - CHECKSUM], *b"\x03\x01\x09few-units");
    }

    fn key() -> Key {
        Key::new(&[b"a block", b"a question"])
    }
}
