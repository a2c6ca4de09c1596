//! How a decision is written down: a version, its kind, the bounds of its lines as differences in LEB128, and a checksum
//! over these and the key.

use super::{Decision, Key, Reason};
use crate::base::text::Lines;

/// Entries of another version are none.
const VERSION: u8 = 2;
const KEEP: u8 = 0;
/// Bytes of the checksum.
const CHECKSUM: usize = 8;

/// The decision of `key` in bytes.
pub fn encode(key: &Key, decision: &Decision) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    match decision {
        Decision::Keep(lines) => {
            bytes.push(KEEP);
            let mut at = 0;
            for bound in lines.iter().flat_map(|lines| [lines.start, lines.end]) {
                put(&mut bytes, bound.saturating_sub(at));
                at = bound;
            }
        }
        Decision::Leave(Reason::Deadline) => bytes.push(1),
        Decision::Leave(Reason::Syntax) => bytes.push(2),
        Decision::Leave(Reason::FewUnits) => bytes.push(3),
        Decision::Leave(Reason::Busy) => bytes.push(4),
        Decision::Leave(Reason::Rate) => bytes.push(5),
    }
    let checksum = checksum(key, &bytes);
    bytes.extend(checksum);
    bytes
}

/// The decision that was written down for `key`; `None` for anything else.
pub fn decode(key: &Key, bytes: &[u8]) -> Option<Decision> {
    let (bytes, written) = bytes.split_last_chunk::<CHECKSUM>()?;
    if checksum(key, bytes) != *written {
        return None;
    }
    let (&[VERSION, kind], mut rest) = bytes.split_first_chunk::<2>()? else { return None };
    let reason = match kind {
        KEEP => {
            let mut bounds = Vec::new();
            let mut at = 0_usize;
            while !rest.is_empty() {
                at = at.checked_add(take(&mut rest)?)?;
                bounds.push(at);
            }
            let pairs = bounds.chunks_exact(2);
            if !pairs.remainder().is_empty() {
                return None;
            }
            return Some(Decision::Keep(pairs.map(|pair| Lines::new(pair[0], pair[1])).collect()));
        }
        1 => Reason::Deadline,
        2 => Reason::Syntax,
        3 => Reason::FewUnits,
        4 => Reason::Busy,
        5 => Reason::Rate,
        _ => return None,
    };
    rest.is_empty().then_some(Decision::Leave(reason))
}

/// The first bytes of the BLAKE3 hash of the key and the entry.
fn checksum(key: &Key, entry: &[u8]) -> [u8; CHECKSUM] {
    let mut hash = blake3::Hasher::new();
    hash.update(&key.0).update(entry);
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&hash.finalize().as_bytes()[..CHECKSUM]);
    checksum
}

/// What an entry takes in memory, in bytes, with its key and the cache's own needs.
pub fn weight(decision: &Decision) -> u32 {
    const OVERHEAD: usize = 200;
    let lines = match decision {
        Decision::Keep(lines) => lines.capacity() * size_of::<Lines>(),
        Decision::Leave(_) => 0,
    };
    u32::try_from(OVERHEAD + lines).unwrap_or(u32::MAX)
}

fn put(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// The entry `bytes` with a checksum that is right.
#[cfg(test)]
pub fn checked(key: &Key, bytes: &[u8]) -> Vec<u8> {
    [bytes, &checksum(key, bytes)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec((0usize..100_000, 0usize..100_000), 0..40), reason in 0..6) {
            let mut at = 0;
            let lines = steps.iter().map(|(gap, length)| { let start = at + gap; at = start + length; Lines::new(start, at) });
            let decision = match reason {
                0 => Decision::Keep(lines.collect()),
                1 => Decision::Leave(Reason::Deadline),
                2 => Decision::Leave(Reason::Syntax),
                3 => Decision::Leave(Reason::FewUnits),
                4 => Decision::Leave(Reason::Busy),
                _ => Decision::Leave(Reason::Rate),
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
            let entry = [&[VERSION, KEEP][..], &bytes].concat();
            let _ = decode(&key(), &bytes);
            let _ = decode(&key(), &checked(&key(), &entry));
        }
    }

    fn key() -> Key {
        Key::new(&[b"a block", b"a question"])
    }
}
