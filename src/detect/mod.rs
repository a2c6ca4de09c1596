//! Finds the code in a text, and which of it must be left alone.
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
    /// Its bytes in the text: whole lines, the last line break included.
    pub span: Span,
    /// Its language.
    pub language: Language,
    /// The path of its file, as the client wrote it.
    pub path: Option<String>,
    /// The number of its first line in the file, from 1.
    pub first_line: usize,
    /// Whether it is a part of the file, as far as the text says.
    pub ranged: bool,
    /// Why it must be left alone, if it must.
    pub veto: Option<Reason>,
    /// The numbering of its lines, if they have one; the numbers are within the span.
    pub numbering: Option<Numbering>,
}

/// The surroundings of a text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// The text before it in the same message, which may end with a heading; empty if there is none.
    pub before: &'a str,
    /// Whose text it is.
    pub source: Source<'a>,
    /// The path that the JSON around the text gives, as written.
    pub path: Option<&'a str>,
}

/// Whose text it is.
#[derive(Debug, Clone, Copy, Default)]
pub enum Source<'a> {
    /// A person's, or a client's on their behalf.
    #[default]
    Words,
    /// A tool's, with the effect of its call, if that is known.
    Tool(Option<&'a Effect>),
}

/// The pieces of code in `text`, also those with a veto, in order; they do not overlap. Takes time linear in the text.
///
/// The caller decides which messages are eligible, and heeds whole-request orders ([`veto::whole_request`]).
pub fn regions(text: &str, context: Context) -> Vec<Region> {
    let whole = Piece { span: Span { start: 0, end: text.len() }, ..Piece::default() };
    match context.source {
        Source::Words if envelopes::is_result(text) => of_result(text, whole),
        Source::Words => of_words(text, context, whole),
        Source::Tool(_) if result::is_unchanged_stub(text) => Vec::new(),
        Source::Tool(effect) => {
            let (paths, asked_for_part) = match effect {
                Some(Effect::Read { paths, ranged }) => (&paths[..], *ranged),
                None => (&[][..], false),
                Some(Effect::Edit { .. } | Effect::Other) => return Vec::new(),
            };
            let named = context.path.map(Heading::of_path).unwrap_or_default();
            // Of several files, the text itself must name the one that it shows.
            let only = if let [path] = paths { Some(path.clone()) } else { None };
            let ranged = named.first_line.is_some() || asked_for_part;
            let path = named.path.or(only);
            of_result(text, Piece { bare: path.is_some(), path, ranged, ..whole })
        }
    }
}

/// Code in a person's or client's words: tagged files, fenced code, or all of a text that is announced.
fn of_words(text: &str, context: Context, whole: Piece) -> Vec<Region> {
    let (tagged, blocks) = parts(text);
    if tagged.is_empty() && blocks.is_empty() {
        return announced(context.before, whole).map(|piece| of_result(text, piece)).unwrap_or_default();
    }
    let mut outer: Vec<Span> = tagged.iter().map(|file| file.outer).chain(blocks.iter().map(|b| b.outer)).collect();
    outer.sort_unstable_by_key(|span| span.start);
    let surroundings = veto::Surroundings::new(&fences::blanked(text, outer));
    // The text before is above the first block only.
    let contexts = std::iter::once(context).chain(std::iter::repeat(Context::default()));
    let each = blocks.iter().zip(contexts);
    let mut regions: Vec<Region> =
        each.filter_map(|(block, context)| fenced(text, block, context, &surroundings)).collect();
    for file in tagged {
        let around = surroundings.veto(file.outer.start);
        let inner = of_result(text, file.piece).into_iter();
        regions.extend(inner.map(|region| Region { veto: region.veto.or(around), ..region }));
    }
    regions.sort_by_key(|region| region.span.start);
    regions
}

/// Tagged files and fenced blocks that do not overlap: of those that do, the first counts.
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
            // A block that begins in a kept file is the file's own.
            done = if block.start >= done { block.end } else { done };
        }
        let is_kept = file.outer.start >= done;
        done = if is_kept { file.outer.end } else { done };
        is_kept
    });
    // Fences in the files must not open or close blocks around them.
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

/// The whole text as a file, if the text before announces one.
fn announced(before: &str, whole: Piece) -> Option<Piece> {
    let above = line_above(before)?;
    if let Some(path) = envelopes::titles(above) {
        return Some(Piece { path: Some(path.to_owned()), bare: true, ..whole });
    }
    let heading = Heading::of_line(above).filter(|_| headings::announces(before))?;
    Some(Piece { ranged: heading.first_line.is_some(), path: heading.path, bare: true, ..whole })
}

/// Code in what a tool or client shows: tagged files, the one fenced block that it is, or all of it.
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
        return only_block(text, piece).into_iter().collect();
    }
    let inner = files.into_iter().map(|file| Piece {
        span: Span { start: piece.span.start + file.piece.span.start, end: piece.span.start + file.piece.span.end },
        ranged: file.piece.ranged || piece.ranged,
        veto: piece.veto.or(file.piece.veto),
        ..file.piece
    });
    inner.flat_map(|piece| envelopes::peel(text, piece)).filter_map(|piece| only_block(text, piece)).collect()
}

/// The code of a piece: that of the one fenced block that it is, with at most a line above, or all of it. Other fences are the
/// file's own.
fn only_block(text: &str, piece: Piece) -> Option<Region> {
    let body = &text[piece.span.range()];
    if let [block] = fences::blocks(body)[..]
        && body[..block.outer.start].trim().lines().count() <= 1
        && body[block.outer.end..].trim().is_empty()
    {
        let inner = fenced(body, &block, Context::default(), &veto::Surroundings::new(""));
        let (named, ranged) = inner.map_or((None, false), |region| (region.path, region.ranged));
        let span = Span { start: piece.span.start + block.code.start, end: piece.span.start + block.code.end };
        let path = piece.path.or(named);
        return bare(text, Piece { span, path, ranged: piece.ranged || ranged, bare: true, veto: piece.veto });
    }
    bare(text, piece)
}

/// The code of a bare file result.
fn bare(text: &str, piece: Piece) -> Option<Region> {
    let path = piece.path.filter(|_| piece.bare && !piece.span.is_empty())?;
    // Where a tag shares its last line, something else is there too.
    if piece.span.end < text.len() && !text[..piece.span.end].ends_with('\n') {
        return None;
    }
    let region = region(text, piece.span, |_| Some(Heading { path: Some(path), ..Heading::default() }), piece.ranged)?;
    Some(Region { veto: piece.veto.or(region.veto), ..region })
}

/// The code of a fenced block.
fn fenced(text: &str, block: &fences::Block, context: Context, surroundings: &veto::Surroundings) -> Option<Region> {
    let heading = |code: &str| {
        let first_line = code.lines().next()?;
        let heading = Heading::of_info(block.info);
        if heading.path.is_some() {
            return Some(heading);
        }
        let before = &text[..block.outer.start];
        let above = line_above(before).or_else(|| line_above(context.before).filter(|_| before.trim().is_empty()));
        let named = above.and_then(Heading::of_line).or_else(|| Heading::of_comment(first_line));
        Some(Heading { tag: heading.tag, ..named.unwrap_or_default() })
    };
    let region = region(text, block.code, heading, false)?;
    let doubt = (block.doubtful && !region.ranged).then_some(Reason::FenceInFence);
    let veto = doubt.or(region.veto).or_else(|| surroundings.veto(block.outer.start));
    Some(Region { veto, ..region })
}

/// The region of `span`, if it is in a known language. `heading` reads the heading, given the code without line numbers;
/// `ranged` says whether it is known to be a part of its file.
fn region(text: &str, span: Span, heading: impl FnOnce(&str) -> Option<Heading>, ranged: bool) -> Option<Region> {
    let shown = &text[span.range()];
    let numbering = Numbering::of(shown);
    let code = numbering.map_or(Cow::Borrowed(shown), |numbering| Cow::Owned(numbering.strip(shown)));
    let heading = heading(&code)?;
    let language = language::of(&heading, &code)?;
    let is_part = numbering.is_some_and(|numbering| numbering.first_line() > 1 || !numbering.is_dense());
    let ranged = ranged || is_part || heading.first_line.is_some();
    let first_line = numbering.map(|numbering| numbering.first_line()).or(heading.first_line).unwrap_or(1);
    let veto = ranged.then_some(Reason::RangedRead).or_else(|| veto::code(&code));
    Some(Region { span, language, path: heading.path, first_line, ranged, veto, numbering })
}

/// The last line of `text`; one blank line below it is skipped.
fn line_above(text: &str) -> Option<&str> {
    text.lines().rev().take(2).find(|line| !line.trim().is_empty())
}

#[cfg(test)]
mod tests;
