//! Recognizes line numbers before each line of a text, and removes them.

/// The style in which the lines of a text are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbering {
    style: Style,
    first: usize,
    dense: bool,
}

/// The form of a numbered line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `12 | code`, without the blank on empty lines, or `12 |code` throughout.
    SpacedBar {
        /// Whether the blank after the bar belongs to the prefix.
        spaced: bool,
    },
    /// `00012| code`
    PaddedBar,
    /// `12|code`
    Bar,
    /// `12⇥code`
    Tab,
    /// `12→code`
    Arrow,
    /// `12: code`, or `12:code` throughout.
    Colon {
        /// Whether a blank belongs to the prefix.
        spaced: bool,
    },
    /// `12  code`
    Blanks,
}

/// Fewest lines of a text that is taken for numbered.
const MIN_LINES: usize = 5;
/// Percentage of lines that must have a number.
const MIN_PERCENT: usize = 95;

impl Numbering {
    /// The numbering of `text`: one style on at least 95 % of its lines, of which there are at least five, with numbers
    /// that grow from line to line.
    pub fn of(text: &str) -> Option<Self> {
        let styles = [
            Style::PaddedBar,
            Style::SpacedBar { spaced: true },
            Style::SpacedBar { spaced: false },
            Style::Bar,
            Style::Tab,
            Style::Arrow,
            Style::Colon { spaced: true },
            Style::Colon { spaced: false },
            Style::Blanks,
        ];
        // On indented code a narrow prefix looks like a wide one: the style that fits most lines wins, the first of equals.
        let fits = styles.into_iter().filter_map(|style| Self::in_style(text, style));
        let best = fits.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(numbering, _)| numbering)
    }

    /// The numbering if it is of this style, and how many lines have a number in it.
    fn in_style(text: &str, style: Style) -> Option<(Self, usize)> {
        let (mut lines, mut numbered, mut first, mut last) = (0, 0, 0, 0);
        let mut dense = true;
        for line in text.lines() {
            lines += 1;
            let Some((number, _)) = style.split(line) else {
                dense = false;
                // Too many lines without a number: the rest need not be read.
                if (lines - numbered) * 100 > lines.max(100) * (100 - MIN_PERCENT) {
                    return None;
                }
                continue;
            };
            if numbered > 0 && number <= last {
                return None;
            }
            dense &= numbered == 0 || number == last + 1;
            first = if numbered == 0 { number } else { first };
            last = number;
            numbered += 1;
        }
        let enough = numbered >= MIN_LINES && numbered * 100 >= lines * MIN_PERCENT;
        enough.then_some((Self { style, first, dense }, numbered))
    }

    /// `text` with the same lines, without their numbers. A line without one stays as it is.
    pub fn strip(&self, text: &str) -> String {
        let mut stripped = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let bare = line.trim_end_matches(['\n', '\r']);
            let code = self.style.split(bare).map_or(bare, |(_, code)| code);
            stripped.push_str(code);
            stripped.push_str(&line[bare.len()..]);
        }
        stripped
    }

    /// The first line's number.
    pub fn first_line(&self) -> usize {
        self.first
    }

    /// Whether every line has a number that is one more than the one before.
    pub fn is_dense(&self) -> bool {
        self.dense
    }
}

impl Style {
    /// A line's number and its code.
    fn split(self, line: &str) -> Option<(usize, &str)> {
        let padded = line.trim_start_matches(' ');
        let digits = padded.find(|c: char| !c.is_ascii_digit()).unwrap_or(padded.len());
        let (number, rest) = padded.split_at(digits);
        if digits == 0 || digits > 9 {
            return None;
        }
        let is_empty = |rest: &str| rest.is_empty();
        let code = match self {
            Self::PaddedBar => (digits == 5)
                .then(|| rest.strip_prefix("| ").or_else(|| rest.strip_prefix('|').filter(|rest| is_empty(rest))))?,
            Self::SpacedBar { spaced: true } => {
                rest.strip_prefix(" | ").or_else(|| rest.strip_prefix(" |").filter(|rest| is_empty(rest)))
            }
            Self::SpacedBar { spaced: false } => rest.strip_prefix(" |"),
            Self::Bar => rest.strip_prefix('|'),
            Self::Tab => rest.strip_prefix('\t').or(is_empty(rest).then_some(rest)),
            Self::Arrow => rest.strip_prefix('→').or(is_empty(rest).then_some(rest)),
            Self::Colon { spaced: true } => {
                rest.strip_prefix(": ").or_else(|| rest.strip_prefix(':').filter(|rest| is_empty(rest)))
            }
            Self::Colon { spaced: false } => rest.strip_prefix(':'),
            Self::Blanks => rest.strip_prefix("  ").or(is_empty(rest.trim_end()).then_some("")),
        };
        Some((number.parse().ok()?, code?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODE: &str = "def f(x):\n    return x\n\ndef g(y):\n    # 3: why\n    return 1\n";

    fn numbered(code: &str, first: usize, of: impl Fn(usize, &str) -> String) -> String {
        code.lines().enumerate().map(|(at, line)| of(first + at, line) + "\n").collect()
    }

    #[test]
    fn every_style_is_known_and_taken_off() {
        type Style = fn(usize, &str) -> String;
        let styles: [Style; 8] = [
            |n, line| format!("{n:>3} | {line}"),
            |n, line| format!("{n:>3} | {line}").trim_end().to_owned(),
            |n, line| format!("{n:05}| {line}"),
            |n, line| format!("{n:>6}|{line}"),
            |n, line| format!("{n:>6}\t{line}"),
            |n, line| format!("{n:>6}→{line}"),
            |n, line| format!("{n}: {line}"),
            |n, line| format!("{n:>4}  {line}"),
        ];
        for (index, style) in styles.into_iter().enumerate() {
            let text = numbered(CODE, 41, style);
            let numbering = Numbering::of(&text).unwrap_or_else(|| panic!("style {index}: {text}"));
            assert_eq!((numbering.first_line(), numbering.is_dense()), (41, true), "{text}");
            assert_eq!(numbering.strip(&text), CODE, "{text}");
            assert_eq!(numbering.strip(&text.replace('\n', "\r\n")), CODE.replace('\n', "\r\n"));
        }
        let narrow: [Style; 2] = [|n, line| format!("{n}:{line}"), |n, line| format!("{n} |{line}")];
        // All but one line in fifty indented: nearly all look as if a blank belonged to the prefix.
        let indented = format!("class A:\n{}", "    def f(self):\n        return 1\n".repeat(25));
        for (style, code) in narrow.into_iter().flat_map(|style| [(style, CODE), (style, indented.as_str())]) {
            let text = numbered(code, 1, style);
            let numbering = Numbering::of(&text).unwrap();
            assert_eq!((numbering.strip(&text), numbering.is_dense()), (code.to_owned(), true), "{text}");
        }
    }

    #[test]
    fn other_texts_have_none() {
        for text in [
            CODE.to_owned(),
            "1: a\n2: b\n3: c\n4: d\n".to_owned(),
            numbered(CODE, 1, |n, line| format!("{}: {line}", 50 - n)),
            numbered(CODE, 1, |n, line| if n % 3 == 0 { line.to_owned() } else { format!("{n}: {line}") }),
            "1\n2\n3\n4\n5\n6\n".replace('\n', ",\n"),
            String::new(),
        ] {
            assert_eq!(Numbering::of(&text), None, "{text}");
        }
        let gap = numbered(CODE, 1, |n, line| format!("{}\t{line}", n * 2));
        assert!(!Numbering::of(&gap).unwrap().is_dense());
    }

    proptest! {
        #[test]
        fn stripping_keeps_the_lines(text in "([ 0-9|:→\t]{0,8}[a-z é]{0,5}\r?\n?){0,20}") {
            for style in [Style::SpacedBar { spaced: true }, Style::Bar, Style::PaddedBar, Style::Tab, Style::Arrow, Style::Blanks, Style::Colon { spaced: true }] {
                let stripped = Numbering { style, first: 1, dense: true }.strip(&text);
                prop_assert_eq!(stripped.matches('\n').count(), text.matches('\n').count());
            }
            let _ = Numbering::of(&text);
        }
    }
}
