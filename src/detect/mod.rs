//! Where code sits in a text, and which of it must not be touched.
//!
//! [`framing`] reads the forms in which clients and tools show code, [`tools`] what a tool call and its result say about files,
//! [`veto`] says what to leave alone whatever its form, [`fim`] reads completions in the middle of a file.

pub mod fim;
pub mod framing;
mod language;
pub mod tools;
pub mod veto;

use std::borrow::Cow;

use crate::base::reason::Reason;
use crate::base::text::Span;
use crate::syntax::Language;
use framing::headings::{self, Heading};
use framing::numbering::Numbering;
use framing::piece::Piece;
use framing::tags::{self, Tagged};
use framing::{envelopes, fences};
use tools::{Effect, result};

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
    pub veto: Option<Reason>,
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
    Tool(Option<&'a Effect>),
}

/// The pieces of code in `text`, in order, those with a veto among them. They do not overlap. Linear in the text.
///
/// Which messages may be changed at all (rule R1) and which requests ([`veto::whole_request`]) is for the caller to say.
pub fn regions(text: &str, context: Context) -> Vec<Region> {
    let whole = Piece { span: Span { start: 0, end: text.len() }, ..Piece::default() };
    match context.source {
        Source::Words if envelopes::is_result(text) => of_result(text, whole),
        Source::Words => of_words(text, context, whole),
        Source::Tool(_) if result::is_unchanged_stub(text) => Vec::new(),
        Source::Tool(does) => {
            let named = context.path.map(Heading::of_path).unwrap_or_default();
            let ranged = named.first_line.is_some();
            let piece = match does {
                Some(Effect::Read { paths, ranged: asked }) if paths.len() == 1 => {
                    let path = named.path.or_else(|| paths.first().cloned());
                    Piece { path, ranged: ranged || *asked, bare: true, ..whole }
                }
                // Which of the files it is, the text has to say.
                Some(Effect::Read { ranged: asked, .. }) => {
                    Piece { bare: named.path.is_some(), path: named.path, ranged: ranged || *asked, ..whole }
                }
                None => Piece { bare: named.path.is_some(), path: named.path, ranged, ..whole },
                Some(Effect::Edit { .. } | Effect::Other) => return Vec::new(),
            };
            of_result(text, piece)
        }
    }
}

/// The code in a person's or client's words: between tags, in fences, or all of a text that a heading announces.
fn of_words(text: &str, context: Context, whole: Piece) -> Vec<Region> {
    let (tagged, blocks) = parts(text);
    if tagged.is_empty() && blocks.is_empty() {
        return announced(context.before, whole).map(|piece| of_result(text, piece)).unwrap_or_default();
    }
    let mut outer: Vec<Span> = tagged.iter().map(|file| file.outer).chain(blocks.iter().map(|b| b.outer)).collect();
    outer.sort_unstable_by_key(|span| span.start);
    let surroundings = veto::Surroundings::new(&fences::blanked(text, outer));
    // What stands before the text is above its first block only.
    let contexts = std::iter::once(context).chain(std::iter::repeat(Context::default()));
    let each = blocks.iter().zip(contexts);
    let mut regions: Vec<Region> =
        each.filter_map(|(block, context)| region(text, block, context, &surroundings)).collect();
    for file in tagged {
        let around = surroundings.veto(file.outer.start);
        let inner = of_result(text, file.piece).into_iter();
        regions.extend(inner.map(|region| Region { veto: region.veto.or(around), ..region }));
    }
    regions.sort_by_key(|region| region.span.start);
    regions
}

/// What is between tags and what is in fences, apart from each other: what is between tags may hold fences of its own, and
/// a fence may hold tags; what begins first holds the other.
fn parts(text: &str) -> (Vec<Tagged>, Vec<fences::Block<'_>>) {
    let mut tagged = tags::files(text, None);
    let mut blocks = fences::blocks(text);
    if tagged.is_empty() {
        return (tagged, blocks);
    }
    let fenced: Vec<Span> = blocks.iter().map(|block| block.outer).collect();
    let mut fenced = fenced.into_iter().peekable();
    let mut done = 0;
    tagged.retain(|file| {
        while let Some(block) = fenced.next_if(|block| block.start < file.outer.start) {
            // One that begins in a file that was kept is the file's.
            done = if block.start >= done { block.end } else { done };
        }
        let is_kept = file.outer.start >= done;
        done = if is_kept { file.outer.end } else { done };
        is_kept
    });
    // Fences in the files would open and close those around them.
    let around = fences::blanked(text, tagged.iter().map(|file| file.outer));
    let outer: Vec<(Span, Span, bool)> = (fences::blocks(&around).iter())
        .map(|block| (block.outer, block.code, block.doubtful))
        .filter(|(outer, ..)| {
            let next = tagged.partition_point(|file| file.outer.start < outer.start);
            tagged.get(next).is_none_or(|file| file.outer.start >= outer.end)
        })
        .collect();
    blocks = outer.into_iter().map(|(outer, code, doubtful)| fences::Block::at(text, outer, code, doubtful)).collect();
    (tagged, blocks)
}

/// The piece that a text is of which the one before says that it is a file.
fn announced(before: &str, whole: Piece) -> Option<Piece> {
    let above = line_above(before)?;
    if let Some(path) = envelopes::titles(above) {
        return Some(Piece { path: Some(path.to_owned()), bare: true, ..whole });
    }
    let heading = Heading::of_line(above).filter(|_| headings::announces(before))?;
    Some(Piece { ranged: heading.first_line.is_some(), path: heading.path, bare: true, ..whole })
}

/// The code in what a tool or a client shows: between tags, in the one fence that it is, or all of it.
fn of_result(text: &str, piece: Piece) -> Vec<Region> {
    envelopes::peel(text, piece).into_iter().flat_map(|piece| in_tags(text, piece)).collect()
}

fn in_tags(text: &str, piece: Piece) -> Vec<Region> {
    let body = &text[piece.span.range()];
    let files = match body.trim_start().starts_with('<') {
        true => tags::files(body, piece.path.as_deref()),
        false => Vec::new(),
    };
    if files.is_empty() {
        return shown(text, piece).into_iter().collect();
    }
    let inner = files.into_iter().map(|file| Piece {
        span: Span { start: piece.span.start + file.piece.span.start, end: piece.span.start + file.piece.span.end },
        ranged: file.piece.ranged || piece.ranged,
        veto: piece.veto.or(file.piece.veto),
        ..file.piece
    });
    inner.flat_map(|piece| envelopes::peel(text, piece)).filter_map(|piece| shown(text, piece)).collect()
}

/// The code of a piece: in the one fence that it is, a line above it at most, or all of it. Other fences are the file's own.
fn shown(text: &str, piece: Piece) -> Option<Region> {
    let body = &text[piece.span.range()];
    if let [block] = fences::blocks(body)[..]
        && body[..block.outer.start].trim().lines().count() <= 1
        && body[block.outer.end..].trim().is_empty()
    {
        let inner = region(body, &block, Context::default(), &veto::Surroundings::new(""));
        let (named, ranged) = inner.map_or((None, false), |region| (region.path, region.ranged));
        let span = Span { start: piece.span.start + block.code.start, end: piece.span.start + block.code.end };
        let path = piece.path.or(named);
        return bare(text, Piece { span, path, ranged: piece.ranged || ranged, bare: true, veto: piece.veto });
    }
    bare(text, piece)
}

/// The code of a piece that is nothing but a file's text (rule R10), numbered or not.
fn bare(text: &str, piece: Piece) -> Option<Region> {
    let path = piece.path.filter(|_| piece.bare && !piece.span.is_empty())?;
    // Where a tag shares its last line, something else is there too.
    if piece.span.end < text.len() && !text[..piece.span.end].ends_with('\n') {
        return None;
    }
    let shown = &text[piece.span.range()];
    let numbering = Numbering::of(shown);
    let source = numbering.map_or(Cow::Borrowed(shown), |numbering| Cow::Owned(numbering.strip(shown)));
    let heading = Heading { path: Some(path), ..Heading::default() };
    let language = language::of(&heading, &source)?;
    let first_line = numbering.map_or(1, |numbering| numbering.first_line());
    let ranged = piece.ranged || first_line > 1 || numbering.is_some_and(|numbering| !numbering.is_dense());
    let veto = piece.veto.or(ranged.then_some(Reason::RangedRead)).or_else(|| veto::code(&source));
    Some(Region { span: piece.span, language, path: heading.path, first_line, ranged, veto, numbering })
}

fn region(text: &str, block: &fences::Block, context: Context, surroundings: &veto::Surroundings) -> Option<Region> {
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
    let language = language::of(&heading, &code)?;
    let numbered = numbering.map(|numbering| numbering.first_line());
    let is_part = numbering.is_some_and(|numbering| numbering.first_line() > 1 || !numbering.is_dense());
    let ranged = heading.first_line.is_some() || is_part;
    let veto = (ranged.then_some(Reason::RangedRead))
        .or_else(|| block.doubtful.then_some(Reason::FenceInFence))
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
mod tests;
