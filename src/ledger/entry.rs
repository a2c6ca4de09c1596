//! How a decision is written down: a version, its kind, and the bounds of its lines as differences in LEB128.

use super::{Decision, Reason};
use crate::text::Lines;

/// Entries of another version are none.
const VERSION: u8 = 1;
const KEEP: u8 = 0;

/// The decision in bytes.
pub fn encode(decision: &Decision) -> Vec<u8> {
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
    }
    bytes
}

/// The decision that was written down; `None` for anything else.
pub fn decode(bytes: &[u8]) -> Option<Decision> {
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
        _ => return None,
    };
    rest.is_empty().then_some(Decision::Leave(reason))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(steps in prop::collection::vec((0usize..100_000, 0usize..100_000), 0..40), reason in 0..4) {
            let mut at = 0;
            let lines = steps.iter().map(|(gap, length)| { let start = at + gap; at = start + length; Lines::new(start, at) });
            let decision = match reason {
                0 => Decision::Keep(lines.collect()),
                1 => Decision::Leave(Reason::Deadline),
                2 => Decision::Leave(Reason::Syntax),
                _ => Decision::Leave(Reason::FewUnits),
            };
            prop_assert_eq!(decode(&encode(&decision)), Some(decision));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[VERSION, KEEP][..], &bytes].concat());
        }
    }
}
