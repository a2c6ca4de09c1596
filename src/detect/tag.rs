//! What XML-like tags enclose in a text.

use crate::base::text::Span;

/// The tags in which clients put the person's own words.
pub const QUESTION: [&str; 6] = ["task", "user_message", "user_input", "userRequest", "user_query", "pr_description"];

/// A tag with what it encloses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// From the opening tag's first byte to the closing one's last.
    pub outer: Span,
    /// What stands between the tags.
    pub body: Span,
}

/// The elements `<name …>` to the next `</name>`, in order. A tag that is not closed encloses nothing.
pub fn elements(text: &str, name: &str) -> Vec<Element> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut elements = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(&open) {
        let outer_start = from + at;
        from = outer_start + open.len();
        if !text[from..].starts_with(|c: char| c == '>' || c.is_whitespace()) {
            continue;
        }
        let Some(end_of_open) = text[from..].find('>') else { break };
        let start = from + end_of_open + 1;
        let Some(length) = text[start..].find(&close) else { break };
        let end = start + length;
        from = end + close.len();
        elements.push(Element { outer: Span { start: outer_start, end: from }, body: Span { start, end } });
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_enclose_what_they_close() {
        let text = "<tasks>x</tasks> <task id='1'>a</task><task>b</task> <task>";
        let elements = elements(text, "task");
        let shown: Vec<_> = elements.iter().map(|e| (&text[e.outer.range()], &text[e.body.range()])).collect();
        assert_eq!(shown, [("<task id='1'>a</task>", "a"), ("<task>b</task>", "b")]);
    }
}
