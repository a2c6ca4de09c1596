//! Finds fenced code blocks (CommonMark).

use crate::base::text::Span;

/// A closed fenced block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// From the opening fence's line to the end of the closing one's.
    pub outer: Span,
    /// The lines between the fences, line breaks included.
    pub code: Span,
    /// The info string behind the opening fence, trimmed.
    pub info: &'a str,
    /// Whether its borders are uncertain: it holds what looks like a fence of the same kind, or follows such a block and
    /// has no info string.
    pub doubtful: bool,
}

impl<'a> Block<'a> {
    /// The block of `text` at these spans, found in a copy of `text` with other parts blanked out.
    pub fn at(text: &'a str, outer: Span, code: Span, doubtful: bool) -> Self {
        let opener = text[outer.start..code.start].trim();
        let info = opener.trim_start_matches(['`', '~']).trim();
        Self { outer, code, info, doubtful }
    }
}

/// The closed fenced blocks of `text`, in order. An unclosed fence reaches to the end of the text and is no block.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Open> = None;
    let mut lost = false;
    let mut next_line = 0;
    for line in text.split_inclusive('\n') {
        let start = next_line;
        next_line += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        let fence = Fence::read(line);
        match &mut open {
            None => {
                let Some(fence) = fence.filter(Fence::opens) else { continue };
                open = Some(Open { fence, start, code: next_line, doubtful: lost && fence.info.is_empty() });
            }
            Some(Open { fence: opener, start: from, code, doubtful }) => {
                match fence.filter(|f| f.is_as_long_as(opener)) {
                    Some(closer) if closer.info.is_empty() => {
                        lost |= *doubtful;
                        let outer = Span { start: *from, end: next_line };
                        let code = Span { start: *code, end: start };
                        blocks.push(Block { outer, code, info: opener.info, doubtful: *doubtful });
                        open = None;
                    }
                    Some(inner) => *doubtful |= inner.opens(),
                    None => *doubtful |= opener.is_glued_to(line),
                }
            }
        }
    }
    blocks
}

/// `text` with its fenced blocks blanked out; offsets stay the same.
pub fn prose(text: &str, blocks: &[Block]) -> String {
    blanked(text, blocks.iter().map(|block| block.outer))
}

/// `text` with `spans`, which are in order and do not overlap, blanked out; offsets stay the same.
pub fn blanked(text: &str, spans: impl IntoIterator<Item = Span>) -> String {
    let mut prose = Vec::with_capacity(text.len());
    for span in spans {
        prose.extend_from_slice(&text.as_bytes()[prose.len()..span.start]);
        prose.extend(text[span.range()].bytes().map(|byte| if byte == b'\n' { b'\n' } else { b' ' }));
    }
    prose.extend_from_slice(&text.as_bytes()[prose.len()..]);
    // Whole characters were blanked out: it is UTF-8 as `text` was.
    String::from_utf8(prose).unwrap_or_default()
}

/// `text` without its fenced blocks.
pub fn around(text: &str) -> String {
    let mut prose = String::new();
    let mut done = 0;
    for block in blocks(text) {
        prose.push_str(&text[done..block.outer.start]);
        done = block.outer.end;
    }
    prose.push_str(&text[done..]);
    prose
}

struct Open<'a> {
    fence: Fence<'a>,
    start: usize,
    code: usize,
    doubtful: bool,
}

/// A line that begins with a fence.
#[derive(Debug, Clone, Copy)]
struct Fence<'a> {
    sign: char,
    length: usize,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let rest = line.trim_start_matches(' ');
        let sign = rest.chars().next().filter(|sign| ['`', '~'].contains(sign))?;
        let info = rest.trim_start_matches(sign);
        let length = rest.len() - info.len();
        (line.len() - rest.len() <= 3 && length >= 3).then_some(Self { sign, length, info: info.trim() })
    }

    /// A backtick in the info string makes the line inline code.
    fn opens(&self) -> bool {
        self.sign == '~' || !self.info.contains('`')
    }

    fn is_as_long_as(&self, opener: &Self) -> bool {
        self.sign == opener.sign && self.length >= opener.length
    }

    /// Whether `line` is code that ends with a closing fence, as where a file without a final line break was fenced.
    /// A fence in a doc comment has only punctuation before it.
    fn is_glued_to(&self, line: &str) -> bool {
        let code = line.trim_end().trim_end_matches(self.sign);
        line.trim_end().len() - code.len() >= self.length
            && code.contains(char::is_alphanumeric)
            && !code.contains("```")
    }
}
