//! Writes a pruned text: kept lines verbatim, and one marker line where something was left out.

use crate::base::text::{LineIndex, Lines, Span};
use crate::syntax::Language;

/// The beginning of every marker, after the comment sign. No code has it by chance, and a model that copies it into an edit is
/// noticed.
pub const MARKER_PREFIX: &str = "[lopper: line";

/// A run of lines left out, and the marker for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The lines of the source that are left out.
    pub lines: Lines,
    /// Their bytes in the source.
    pub span: Span,
    /// The line that replaces them, with the line break that the last of them has.
    pub marker: String,
}

/// The source with all but `keep` left out and a marker for every gap.
///
/// The arguments are those of [`gaps`].
pub fn render(source: &str, keep: &[Lines], language: Language, first_line: usize, path: Option<&str>) -> String {
    let mut rendered = String::with_capacity(source.len());
    let mut done = 0;
    for gap in gaps(source, keep, language, first_line, path) {
        rendered.push_str(&source[done..gap.span.start]);
        rendered.push_str(&gap.marker);
        done = gap.span.end;
    }
    rendered.push_str(&source[done..]);
    rendered
}

/// The gaps of `source` when only the lines `keep` (sorted, disjoint, counted from 0) stay.
///
/// `first_line` is the number that the source's first line has in its file, from 1; `path` names that file in the
/// markers. Lines outside `keep` stay nevertheless where a marker would not be shorter than they are, blank lines
/// among them.
pub fn gaps(source: &str, keep: &[Lines], language: Language, first_line: usize, path: Option<&str>) -> Vec<Gap> {
    let index = LineIndex::new(source);
    let keep = || keep.iter().filter(|kept| !kept.is_empty());
    let ends = keep().map(|kept| kept.end);
    let starts = keep().map(|kept| kept.start);
    std::iter::once(0)
        .chain(ends)
        .zip(starts.chain([index.count()]))
        .map(|(start, end)| Lines::new(start, end.min(index.count())))
        .filter(|lines| !lines.is_empty())
        .map(|lines| {
            let span = index.span(lines);
            let marker = marker(&source[span.range()], lines, language, first_line, path);
            Gap { lines, span, marker }
        })
        .filter(|gap| gap.marker.len() < source[gap.span.range()].trim_matches(['\r', '\n']).len())
        .collect()
}

/// The lines that a marker line says are left out, first and last, counted from 1; `None` for any other line.
pub fn left_out(line: &str) -> Option<(usize, usize)> {
    let start = line.find(MARKER_PREFIX).filter(|_| is_marker(line))? + MARKER_PREFIX.len();
    let range = line[start..].trim_start_matches('s').trim_start();
    let range = &range[..range.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(range.len())];
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// Whether a line is one of our markers.
pub fn is_marker(line: &str) -> bool {
    line.trim_start_matches(|c: char| c.is_whitespace() || "#/".contains(c)).starts_with(MARKER_PREFIX)
}

fn marker(dropped: &str, lines: Lines, language: Language, first_line: usize, path: Option<&str>) -> String {
    let shown = dropped.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let indent = &shown[..shown.len() - shown.trim_start_matches([' ', '\t']).len()];
    let line_break = match dropped.strip_suffix('\n') {
        Some(rest) if rest.ends_with('\r') => "\r\n",
        Some(_) => "\n",
        None => "",
    };
    let first = first_line + lines.start;
    let range = match lines.len() {
        1 => format!(" {first}"),
        count => format!("s {first}-{}", first + count - 1),
    };
    // A path with a line break in it would end the comment.
    let file = match path.filter(|path| !path.chars().any(char::is_control)) {
        Some(path) => format!(" of {path}"),
        None => String::new(),
    };
    let comment = language.line_comment();
    format!("{indent}{comment} {MARKER_PREFIX}{range}{file} left out; read again before editing]{line_break}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOURCE: &str = "import os\n\n\nclass Store:\n    def get(self, key):\n        value = self.items.get(key)\n        if value is None:\n            raise KeyError(key)\n        return value\n\n    def put(self, key, value):\n        self.items[key] = value\n        self.size += len(value)\n        self.trim(self.limit)\n        return self.size and self.limit\n";

    fn lines(ranges: &[(usize, usize)]) -> Vec<Lines> {
        ranges.iter().map(|&(start, end)| Lines::new(start, end)).collect()
    }

    #[test]
    fn a_body_and_a_method_left_out() {
        let keep = lines(&[(0, 5), (8, 11)]);
        insta::assert_snapshot!(render(SOURCE, &keep, Language::Python, 1, Some("src/store.py")));
        let crlf = SOURCE.replace('\n', "\r\n");
        assert_eq!(
            render(&crlf, &keep, Language::Python, 1, Some("src/store.py")),
            render(SOURCE, &keep, Language::Python, 1, Some("src/store.py")).replace('\n', "\r\n")
        );
    }

    #[test]
    fn all_left_out_of_a_part_of_a_file_without_a_path() {
        let source = "\n\tfor _, item := range items {\n\t\tstore.Put(item.Key, item.Value)\n\t}\n\treturn store.Flush(context.Background())";
        insta::assert_snapshot!(render(source, &[], Language::Go, 41, None), @"	// [lopper: lines 41-45 left out; read again before editing]");
    }

    #[test]
    fn gaps_no_longer_than_their_marker_stay() {
        let keep = lines(&[(0, 1), (3, 10), (11, 15)]);
        assert_eq!(gaps(SOURCE, &lines(&[(3, 3)]), Language::Python, 1, None).len(), 1);
        assert_eq!(render(SOURCE, &keep, Language::Python, 1, None), SOURCE);
    }

    #[test]
    fn markers_are_known_again() {
        assert!(is_marker("    # [lopper: lines 3-9 of a.py left out; read again before editing]"));
        assert!(is_marker("// [lopper: line 3 left out; read again before editing]\r"));
        assert!(!is_marker("x = '[lopper: lines 3-9'"));
        assert!(!is_marker("# lopper: keep"));
    }

    #[test]
    fn a_marker_tells_what_it_stands_for() {
        assert_eq!(left_out("    # [lopper: lines 37-40 of a.py left out; read again]"), Some((37, 40)));
        assert_eq!(left_out("// [lopper: line 5 left out]"), Some((5, 5)));
        assert_eq!(left_out("let lines = 37;"), None);
    }

    proptest! {
        #[test]
        fn kept_lines_are_verbatim_and_gaps_marked(
            source in prop::collection::vec(("[ \t]{0,4}", "[a-zé(){}#]{0,100}", prop_oneof![3 => Just("\n"), 1 => Just("\r\n")]), 0..20),
            cuts in prop::collection::btree_set(0usize..21, 0..8),
            first_line in 1usize..1000,
            path in prop::option::of("[a-z/]{1,20}\\.rs"),
            no_last_break: bool,
        ) {
            let mut source: String = source.into_iter().map(|(indent, code, line_break)| format!("{indent}{code}{line_break}")).collect();
            if no_last_break { source.truncate(source.trim_end_matches(['\r', '\n']).len()); }
            let index = LineIndex::new(&source);
            let cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut <= index.count()).collect();
            let keep: Vec<Lines> = cuts.chunks_exact(2).map(|pair| Lines::new(pair[0], pair[1])).collect();

            let gaps = gaps(&source, &keep, Language::Rust, first_line, path.as_deref());
            let rendered = render(&source, &keep, Language::Rust, first_line, path.as_deref());
            prop_assert!(rendered.len() <= source.len());

            let kept: String = rendered.split_inclusive('\n').filter(|line| !is_marker(line)).collect();
            let gone = |line| gaps.iter().any(|gap| gap.lines.contains(line));
            let expected: String = (0..index.count()).filter(|&line| !gone(line)).map(|line| &source[index.span(Lines::new(line, line + 1)).range()]).collect();
            prop_assert_eq!(kept, expected);

            let markers: Vec<&str> = rendered.lines().filter(|line| is_marker(line)).collect();
            prop_assert_eq!(markers.len(), gaps.len());
            for (marker, gap) in markers.iter().zip(&gaps) {
                prop_assert!(keep.iter().all(|kept| kept.end <= gap.lines.start || gap.lines.end <= kept.start));
                let (from, to) = (first_line + gap.lines.start, first_line + gap.lines.end - 1);
                let range = if from == to { format!("line {from} ") } else { format!("lines {from}-{to} ") };
                prop_assert!(marker.contains(&range), "{} {}", marker, range);
            }
        }
    }
}
