//! Properties of code that is split into units and blocks, whatever the code.

use lopper::base::text::{LineIndex, Lines};
use lopper::syntax::{Language, Parsed, Unit, UnitKind};

/// Every line in one unit, and the parts of each unit where they are promised to be.
pub fn assert_partition(source: &str, units: &[Unit]) {
    let mut next = 0;
    for (i, unit) in units.iter().enumerate() {
        assert_eq!(unit.lines.start, next, "unit {i}");
        assert!(!unit.lines.is_empty(), "unit {i}");
        assert_eq!(unit.signature.start, unit.lines.start, "unit {i}");
        assert!(unit.signature.start <= unit.head.start && unit.head.start <= unit.head.end, "unit {i}");
        assert!(unit.head.end <= unit.signature.end, "unit {i}");
        assert!(unit.signature.start <= unit.signature.end && unit.signature.end <= unit.tail.start, "unit {i}");
        assert!(unit.tail.start <= unit.tail.end, "unit {i}");
        assert_eq!(unit.tail.end, unit.lines.end, "unit {i}");
        if let Some(parent) = unit.parent {
            assert!(parent < i && units[parent].kind == UnitKind::TypeHeader, "unit {i}");
        }
        assert!(unit.kind != UnitKind::Closer || unit.parent.is_some(), "unit {i}");
        next = unit.lines.end;
    }
    assert_eq!(next, LineIndex::new(source).count());
}

/// Every line between the signature and the tail of each unit in one block.
pub fn assert_blocks_partition(source: &str, language: Language, units: &[Unit]) {
    let bodies: Vec<Lines> = units.iter().map(|unit| Lines::new(unit.signature.end, unit.tail.start)).collect();
    let blocks = Parsed::new(source, language).unwrap().blocks(&bodies);
    assert_eq!(blocks.len(), bodies.len());
    for (body, blocks) in bodies.iter().zip(blocks) {
        let mut next = body.start;
        for block in blocks {
            assert_eq!(block.start, next, "{body:?}");
            assert!(!block.is_empty(), "{body:?}");
            next = block.end;
        }
        assert_eq!(next, body.end, "{body:?}");
    }
}
