//! Entries of the ledger's file, whatever the disk made of them. `scripts/fuzz` runs this longer.

use super::entry::{checked, decode, encode};
use super::{Decision, Key};
use crate::base::text::Lines;
use crate::fuzz::{Dice, fuzz, mutate};
use crate::render;
use crate::syntax::Language;

/// An entry, broken in some places.
fn entry(dice: &mut Dice) -> Vec<u8> {
    let mut at = 0;
    let mut lines = Vec::new();
    for _ in 0..dice.below(12) {
        let start = at + dice.below(1 << 10);
        at = start + dice.below(1 << 18);
        lines.push(Lines::new(start, at));
    }
    let mut entry = encode(&key(), &Decision::Keep(lines));
    mutate(dice, &mut entry, &["\u{3}\0", "\u{7f}", "\u{1}"], &[0xff; 32]);
    entry
}

#[test]
fn ledger() {
    let source =
        "one\ntwo\nthree is longer than its marker would be, or else it stays where it is, as it should\n".repeat(3);
    fuzz("ledger", 1000, entry, |entry| {
        // As it is, and as if its checksum were right.
        for entry in [entry.to_vec(), checked(&key(), entry)] {
            let Some(decision) = decode(&key(), &entry) else { continue };
            assert_eq!(decode(&key(), &encode(&key(), &decision)), Some(decision.clone()));
            assert_eq!(decode(&Key::new(&[b"another"]), &entry), None);
            if let Decision::Keep(lines) = decision {
                assert!(lines.iter().all(|lines| lines.start <= lines.end));
                assert!(lines.is_sorted_by(|one, next| one.end <= next.start));
                render::gaps(&source, &lines, Language::Python, 1, None);
            }
        }
    });
}

fn key() -> Key {
    Key::new(&[b"a block", b"a question"])
}
