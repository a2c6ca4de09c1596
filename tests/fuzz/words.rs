//! Texts with code in them: fences, envelopes, tags, line numbers.

use lopper::detect::framing::numbering::Numbering;
use lopper::detect::tools::Effect;
use lopper::detect::{self, Context, Source, veto};

use crate::harness::{Dice, fuzz};
use crate::texts;

#[test]
fn regions() {
    let read = Effect::Read { paths: vec!["src/a.rs".into()], ranged: false };
    let several = Effect::Read { paths: vec!["a.py".into(), "b.ts".into()], ranged: true };
    let sources = [Source::Words, Source::Tool(None), Source::Tool(Some(&read)), Source::Tool(Some(&several))];
    fuzz(
        "regions",
        300,
        |dice| texts::text(dice).into_bytes(),
        |text| {
            let text = &*String::from_utf8_lossy(text);
            let contexts = sources.iter().map(|source| Context { source: *source, ..Context::default() });
            let beside = Context { before: "src/b.py:\n", source: Source::Tool(None), path: Some("src/b.py:3-9") };
            for context in contexts.chain([beside, Context { before: "Content of a.go:\n", ..Context::default() }]) {
                let mut done = 0;
                for region in detect::regions(text, context) {
                    let (start, end) = (region.span.start, region.span.end);
                    assert!(done <= start && start < end, "{region:?} overlaps, or is empty");
                    assert!(start == 0 || text[..start].ends_with('\n'), "{region:?} begins in a line");
                    assert!(end == text.len() || text[..end].ends_with('\n'), "{region:?} ends in a line");
                    if let Some(numbering) = &region.numbering {
                        lines_lose_their_numbers_only(&text[start..end], numbering);
                    }
                    done = end;
                }
            }
            let _ = (veto::whole_request([text]), veto::code(text), detect::tools::result::failed_edit(text));
        },
    );
}

#[test]
fn numbering() {
    let make = |dice: &mut Dice| {
        let (_, code) = texts::code(dice);
        let text = texts::numbered(dice, &code);
        texts::changed(dice, text, &["1\t", "\n2 | ", "00003| ", "4→", "5:", "\n999999999\t", "0|", "\n\n", "  7  "])
            .into_bytes()
    };
    fuzz("numbering", 500, make, |text| {
        let text = &*String::from_utf8_lossy(text);
        if let Some(numbering) = Numbering::of(text) {
            lines_lose_their_numbers_only(text, &numbering);
        }
    });
}

/// As many lines as before, each the end of what it was, so that what is left out is told by the right numbers.
fn lines_lose_their_numbers_only(text: &str, numbering: &Numbering) {
    let stripped = numbering.strip(text);
    // (A last line that has nothing but its number is no line without it.)
    assert_eq!(stripped.matches('\n').count(), text.matches('\n').count());
    for (bare, line) in stripped.split_inclusive('\n').zip(text.split_inclusive('\n')) {
        let number = line.strip_suffix(bare).or_else(|| line.trim_end().strip_suffix(bare.trim_end()));
        let number = number.unwrap_or_else(|| panic!("{bare:?} is not the end of {line:?}"));
        assert!(number.chars().all(|c| c.is_ascii_digit() || " |:→\t".contains(c)), "{number:?} is no number");
    }
}
