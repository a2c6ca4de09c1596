//! Where code sits in a text, and which of it must not be touched.
//!
//! One file a form in which clients show code ([`fence`], [`tagged`]) or what they put around it ([`envelope`],
//! [`numbering`], [`heading`]); [`call`] tells what tool a result is of, [`reply`] what a result says about an earlier one;
//! [`veto`] says what to leave alone whatever its form.

pub mod call;
pub mod envelope;
pub mod fence;
pub mod heading;
pub mod language;
pub mod numbering;
pub mod reply;
pub mod tag;
pub mod tagged;
pub mod veto;

use std::borrow::Cow;

use crate::syntax::Language;
use crate::text::Span;
use call::Use;
use envelope::Piece;
use heading::Heading;
use numbering::Numbering;
use tagged::Tagged;

/// A piece of code in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The code's bytes in the text: whole lines, the last line break included.
    pub span: Span,
    /// What it is written in.
    pub language: Language,
    /// The file it is from, as the client wrote it.
    pub path: Option<String>,
    /// The number its first line has in the file, from 1.
    pub first_line: usize,
    /// Whether the client said that this is a part of the file.
    pub ranged: bool,
    /// Why it has to stay as it is, where it has.
    pub veto: Option<&'static str>,
    /// How its lines are numbered, where they are; the numbers are within the span.
    pub numbering: Option<Numbering>,
}

/// What stands around a text, for code whose heading is not in the text itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The end of the part before it in the same message; empty if there is none.
    pub before: &'a str,
    /// Whose text it is.
    pub source: Source<'a>,
    /// The file that the JSON around the text names, as written.
    pub path: Option<&'a str>,
}

/// Whose text it is.
#[derive(Debug, Clone, Copy, Default)]
pub enum Source<'a> {
    /// A person's, or a client's on their behalf.
    #[default]
    Words,
    /// A tool's, with what its call does, where that is known.
    Tool(Option<&'a Use>),
}

/// The pieces of code in `text`, in order, those with a veto among them. They do not overlap. Linear in the text.
///
/// Which messages may be changed at all (rule R1) and which requests ([`veto::whole_request`]) is for the caller to say.
pub fn regions(text: &str, context: Context) -> Vec<Region> {
    let whole = Piece { span: Span { start: 0, end: text.len() }, ..Piece::default() };
    match context.source {
        Source::Words if envelope::is_result(text) => {
            envelope::peel(text, whole).into_iter().flat_map(|piece| of_result(text, piece)).collect()
        }
        Source::Words => of_words(text, context),
        Source::Tool(does) => {
            let named = context.path.map(Heading::of_info).and_then(|heading| heading.path);
            let piece = match does {
                Some(Use::Read { paths, ranged }) if paths.len() == 1 => {
                    let path = named.or_else(|| paths.first().cloned());
                    Piece { path, ranged: *ranged, bare: true, ..whole }
                }
                // Which of the files it is, the text has to say.
                Some(Use::Read { .. }) | None => Piece { bare: named.is_some(), path: named, ..whole },
                Some(Use::Edit { .. } | Use::Other) => return Vec::new(),
            };
            envelope::peel(text, piece).into_iter().flat_map(|piece| of_result(text, piece)).collect()
        }
    }
}

/// The code in a person's or client's words: between tags, in fences, or all of a text that a heading announces.
fn of_words(text: &str, context: Context) -> Vec<Region> {
    let tagged = tagged::files(text, None);
    let mut blocks = fence::blocks(text);
    // What is between tags may hold fences of its own, and a fence may hold tags.
    let encloses = |span: Span, at: usize| span.start <= at && at < span.end;
    let tagged: Vec<Tagged> =
        tagged.into_iter().filter(|file| !blocks.iter().any(|block| encloses(block.code, file.outer.start))).collect();
    blocks.retain(|block| !tagged.iter().any(|file| encloses(file.outer, block.outer.start)));
    if tagged.is_empty() && blocks.is_empty() {
        let heading =
            line_above(context.before).and_then(Heading::of_line).filter(|_| heading::announces(context.before));
        let piece = Piece { span: Span { start: 0, end: text.len() }, bare: true, ..Piece::default() };
        let announced =
            heading.map(|heading| Piece { ranged: heading.first_line.is_some(), path: heading.path, ..piece });
        return announced.and_then(|piece| bare(text, piece)).into_iter().collect();
    }
    let surroundings = veto::Surroundings::new(&fence::prose(text, &blocks));
    // What stands before the text is above its first block only.
    let contexts = std::iter::once(context).chain(std::iter::repeat(Context::default()));
    let each = blocks.iter().zip(contexts);
    let mut regions: Vec<Region> =
        each.filter_map(|(block, context)| region(text, block, context, &surroundings)).collect();
    for file in tagged {
        let at = file.outer.start;
        for mut region in envelope::peel(text, file.piece).into_iter().flat_map(|piece| of_result(text, piece)) {
            region.veto = region.veto.or_else(|| surroundings.veto(at));
            regions.push(region);
        }
    }
    regions.sort_by_key(|region| region.span.start);
    regions
}

/// The code in a piece of a text: between tags, in the one fence that it is, or all of it.
fn of_result(text: &str, piece: Piece) -> Vec<Region> {
    let body = &text[piece.span.range()];
    let shift = |span: Span| Span { start: piece.span.start + span.start, end: piece.span.start + span.end };
    let starts_with_tag = body.trim_start().starts_with('<');
    if starts_with_tag && !tagged::files(body, piece.path.as_deref()).is_empty() {
        let files = tagged::files(body, piece.path.as_deref()).into_iter();
        let inner = files.map(|file| Piece {
            span: shift(file.piece.span),
            ranged: file.piece.ranged || piece.ranged,
            veto: piece.veto.or(file.piece.veto),
            ..file.piece
        });
        return inner.flat_map(|piece| envelope::peel(text, piece)).filter_map(|piece| bare(text, piece)).collect();
    }
    // A file may be fenced, a line that names it above; other fences are the file's own.
    if let [block] = fence::blocks(body)[..]
        && body[..block.outer.start].trim().lines().count() <= 1
        && body[block.outer.end..].trim().is_empty()
    {
        let surroundings = veto::Surroundings::new("");
        let inner = region(body, &block, Context::default(), &surroundings);
        let fenced = Piece { span: shift(block.code), bare: true, ..piece.clone() };
        let named = inner.as_ref().and_then(|region| region.path.clone());
        let ranged = piece.ranged || inner.as_ref().is_some_and(|region| region.ranged);
        return bare(text, Piece { path: piece.path.or(named), ranged, ..fenced }).into_iter().collect();
    }
    bare(text, piece).into_iter().collect()
}

/// The code of a piece that is nothing but a file's text (rule R10), numbered or not.
fn bare(text: &str, piece: Piece) -> Option<Region> {
    let path = piece.path.filter(|_| piece.bare)?;
    let shown = &text[piece.span.range()];
    let numbering = Numbering::of(shown);
    let source = numbering.map_or(Cow::Borrowed(shown), |numbering| Cow::Owned(numbering.strip(shown)));
    let heading = Heading { path: Some(path), ..Heading::default() };
    let language = language::of(&heading, source.lines().next()?)?;
    let first_line = numbering.map_or(1, |numbering| numbering.first_line());
    let ranged = piece.ranged || first_line > 1 || numbering.is_some_and(|numbering| !numbering.is_dense());
    let veto = piece.veto.or(ranged.then_some("ranged-read")).or_else(|| veto::code(&source));
    Some(Region { span: piece.span, language, path: heading.path, first_line, ranged, veto, numbering })
}

fn region(text: &str, block: &fence::Block, context: Context, surroundings: &veto::Surroundings) -> Option<Region> {
    let shown = &text[block.code.range()];
    let numbering = Numbering::of(shown);
    let code = numbering.map_or(Cow::Borrowed(shown), |numbering| Cow::Owned(numbering.strip(shown)));
    let first_line = code.lines().next()?;
    let mut heading = Heading::of_info(block.info);
    if heading.path.is_none() {
        let before = &text[..block.outer.start];
        let above = line_above(before).or_else(|| line_above(context.before).filter(|_| before.trim().is_empty()));
        let named = above.and_then(Heading::of_line).or_else(|| Heading::of_comment(first_line));
        heading = Heading { tag: heading.tag, ..named.unwrap_or_default() };
    }
    let language = language::of(&heading, first_line)?;
    let numbered = numbering.map(|numbering| numbering.first_line());
    let is_part = numbering.is_some_and(|numbering| numbering.first_line() > 1 || !numbering.is_dense());
    let ranged = heading.first_line.is_some() || is_part;
    let veto = (ranged.then_some("ranged-read"))
        .or_else(|| block.doubtful.then_some("fence-in-fence"))
        .or_else(|| veto::code(&code))
        .or_else(|| surroundings.veto(block.outer.start));
    let first_line = numbered.or(heading.first_line).unwrap_or(1);
    Some(Region { span: block.code, language, path: heading.path, first_line, ranged, veto, numbering })
}

/// The last line of `text` that says something; one blank line below it is passed over.
fn line_above(text: &str) -> Option<&str> {
    text.lines().rev().take(2).find(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(text: &str) -> Region {
        let mut regions = regions(text, Context::default());
        assert_eq!(regions.len(), 1, "{text}");
        regions.remove(0)
    }

    #[test]
    fn headings_in_every_place() {
        for (text, language, path, first_line) in [
            ("```python\nx = 1\n```", Language::Python, None, 1),
            ("```ts src/a.ts (10-20)\nlet x;\n```", Language::TypeScript, Some("src/a.ts"), 10),
            ("```rs path/a.rs:10-20\nfn a() {}\n```", Language::Rust, Some("path/a.rs"), 10),
            ("```src/a.ts\nlet x;\n```", Language::TypeScript, Some("src/a.ts"), 1),
            ("```title=\"src/a.rs\"\nfn a() {}\n```", Language::Rust, Some("src/a.rs"), 1),
            ("src/a.py\n```\nx = 1\n```", Language::Python, Some("src/a.py"), 1),
            ("/abs/a.ts (lines 3:9):\n```typescript\nlet x;\n```", Language::TypeScript, Some("/abs/a.ts"), 3),
            ("Content from src/a.go:\n\n~~~\nfunc a() {}\n~~~", Language::Go, Some("src/a.go"), 1),
            ("Why?\n```\n// filepath: /w/a.ts\nlet x;\n```", Language::TypeScript, Some("/w/a.ts"), 1),
            ("```\n#!/usr/bin/env python3\nx = 1\n```", Language::Python, None, 1),
            ("   ````tsx\nlet x;\n```\n````  ", Language::Tsx, None, 1),
        ] {
            let region = only(text);
            assert_eq!(
                (region.language, region.path.as_deref(), region.first_line),
                (language, path, first_line),
                "{text}"
            );
            assert_eq!(region.veto, region.ranged.then_some("ranged-read"), "{text}");
        }
        let parts = regions("```\nx = 1\n```", Context { before: "\nContent from @a.py:\n", ..Context::default() });
        assert_eq!(parts[0].path.as_deref(), Some("@a.py"));
        let parts = regions("\nhm\n\n\n```\nx = 1\n```", Context { before: "a.py:", ..Context::default() });
        assert_eq!(parts, []);
    }

    #[test]
    fn the_code_ends_with_its_last_line_break() {
        let text = "See:\r\n```py\r\nx = 1\r\n\r\n```\r\nthanks";
        assert_eq!(&text[only(text).span.range()], "x = 1\r\n\r\n");
    }

    #[test]
    fn other_fences_are_no_regions() {
        for text in [
            "```json\n{}\n```",
            "```diff\n-a\n+b\n```",
            "```text src/a.py\nx\n```",
            "config.yaml\n```\na: 1\n```",
            "```\njust text\n```",
            "```python\nx = 1\n",
            "    ```python\nx = 1\n    ```",
            "```python\n```",
            "say ```python\nx = 1\n``` now",
        ] {
            assert_eq!(regions(text, Context::default()), [], "{text}");
        }
    }

    #[test]
    fn fences_that_may_be_inside_out_are_vetoed() {
        // The inner closer ends the outer block by the rules, and what follows is upside down.
        let nested = "a.py\n```\n\"\"\"\n```python\nx\n```\n\"\"\"\n```\nb.py\n```\ny = 1\n```\n";
        assert!(regions(nested, Context::default()).iter().all(|region| region.veto == Some("fence-in-fence")));
        // A file without a final line break, glued to its closer.
        let glued = "a.py\n```\nx = 1```\nb.py\n```\ny = 1\n```\n";
        assert!(regions(glued, Context::default()).iter().all(|region| region.veto == Some("fence-in-fence")));
        let doc_comment = "```rust\n/// ```\n/// a()\n/// ```\nfn a() {}\n```";
        assert_eq!(only(doc_comment).veto, None);
    }

    #[test]
    fn vetoes_reach_regions() {
        for (text, reason) in [
            ("```py\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```", "edit-block"),
            ("<example>\n```py\nx = 1\n```\n</example>", "example"),
            ("<user_query>fix\n```py\nx = 1\n```\n</user_query>", "question"),
            ("cat > a.md <<'EOF'\n```py\nx = 1\n```\nEOF\n", "heredoc"),
            ("# 1 SEARCH/REPLACE block failed to match!\n```py\nx = 1\n```", "failed-edit"),
        ] {
            assert_eq!(only(text).veto, Some(reason), "{text}");
        }
        assert_eq!(only("Use <example> here.\n```py\nx = '</example>'\n```").veto, None);
        assert_eq!(only("<example>a</example>\n```py\nx = 1\n```\n<example>b</example>").veto, None);
    }

    #[test]
    fn hostile_texts_take_linear_time() {
        for unit in [
            "```\n",
            "```py\nx\n```\n",
            "<task ",
            "<task></task>",
            "cat <<E\n",
            "\n",
            "a.py:\n",
            "~~~~ `",
            "<",
            ":1",
            " (1",
        ] {
            let text = unit.repeat(100_000);
            regions(&text, Context::default());
            veto::whole_request([text.as_str()]);
        }
    }

    proptest! {
        #[test]
        fn regions_are_whole_lines_in_order(
            lines in prop::collection::vec(prop_oneof!["```(py|a.rs| a.py:1-2)?", "~~~~?", " {0,5}`{2,5}", "[a-z<>/é ]{0,9}", "src/a\\.py:?"], 0..30),
            line_break in "\r?\n",
        ) {
            let text = lines.join(&line_break);
            let mut done = 0;
            for region in regions(&text, Context::default()) {
                prop_assert!(done < region.span.start && !region.span.is_empty());
                prop_assert!(text[..region.span.start].ends_with('\n') && text[..region.span.end].ends_with('\n'));
                done = region.span.end;
            }
        }
    }
}
