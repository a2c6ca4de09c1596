//! Which question a piece of code is judged by, and which names that question gives.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::detect::tagged::FENCES;
use crate::detect::{envelope, fence, heading, tag};
use crate::syntax::Language;
use crate::text::Span;
use crate::wire::{Call, Message, Origin, Role, Slot};

/// What a piece of code is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The words, at most [`MAX_CHARS`] characters.
    pub text: String,
    /// Index of the last message that they are from.
    pub asked_in: usize,
    /// The identifiers that the question and the assistant's turn before the code name; each once.
    pub names: Vec<String>,
}

/// The questions of one conversation. What a message says is read once, whatever number of pieces it is asked for.
pub struct Questions<'a> {
    messages: &'a [Message],
    /// The pieces of code in a text, by message and slot.
    code: &'a dyn Fn(usize, usize) -> Vec<Span>,
    /// The words of each message that was asked for.
    words: Vec<OnceCell<Option<String>>>,
}

impl<'a> Questions<'a> {
    /// Those of `messages`. `code` gives the pieces of code in a text of the conversation, by message and slot, which are
    /// nobody's words.
    pub fn new(messages: &'a [Message], code: &'a dyn Fn(usize, usize) -> Vec<Span>) -> Self {
        Self { messages, code, words: vec![OnceCell::new(); messages.len()] }
    }

    /// The question for code in message `message`: the words of its own message; else, for the result of a tool
    /// (`result`), the last user's words before it with the assistant's latest words and the call; else the next user's
    /// words.
    ///
    /// It depends on no message after the one that asks, so it stays the same while the conversation grows. `None` where
    /// nobody says anything beside headings of files.
    pub fn of(&self, message: usize, result: Option<&Call>) -> Option<Question> {
        let messages = self.messages;
        let asked = |text: String, asked_in: usize| {
            let said = last_words(&messages[..message]).unwrap_or_default();
            let mut names = names(&text);
            names.extend(self::names(end_of(&said)));
            // The tools' own names are no names of the code.
            names.retain(|name| result.is_none_or(|call| call.name != *name));
            let mut seen = HashSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Some(Question { text, asked_in, names })
        };
        if let Some(text) = self.words(message) {
            return asked(text, message);
        }
        let own = messages.get(message)?;
        if result.is_some() || own.role == Role::Tool || own.slots.iter().any(is_result) {
            let (at, user) = (0..message).rev().find_map(|index| {
                let is_user = messages[index].role == Role::User;
                is_user.then(|| self.words(index)).flatten().map(|text| (index, text))
            })?;
            let said = last_words(&messages[at..message]).unwrap_or_default();
            let call = result.map(described).unwrap_or_default();
            let parts = [user, tail(said.trim(), MAX_TURN_CHARS).to_owned(), tail(&call, MAX_TURN_CHARS).to_owned()];
            let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n");
            return asked(end_of(&text).to_owned(), message);
        }
        // A model was asked with what stands before an answer: what follows one came too late for this code.
        let next = messages[message + 1..].iter().position(|next| match next.role {
            Role::Assistant => !is_acknowledgement(next),
            role => role == Role::User && !next.slots.is_empty(),
        });
        let next = message + 1 + next?;
        let is_user = messages[next].role == Role::User;
        // A message of files alone stands between the code and the question about both.
        match is_user.then(|| self.words(next)).flatten() {
            Some(text) => asked(text, next),
            None if is_user => {
                let later = self.of(next, None)?;
                (later.asked_in > next).then(|| asked(later.text, later.asked_in)).flatten()
            }
            None => None,
        }
    }

    fn words(&self, index: usize) -> Option<String> {
        let read = || words_of(&self.messages[index], |slot| (self.code)(index, slot));
        self.words.get(index)?.get_or_init(read).clone()
    }
}

/// The words of the last assistant's turn that has any, unless a user speaks after it.
fn last_words(messages: &[Message]) -> Option<String> {
    let spoke = |message: &&Message| matches!(message.role, Role::Assistant) && !message.slots.is_empty();
    let message = messages.iter().rev().find(spoke)?;
    Some(message.slots.iter().map(|slot| slot.text.as_str()).collect::<Vec<_>>().join("\n"))
}

/// A call in a line: its tool and what it was given.
fn described(call: &Call) -> String {
    let values: Vec<&str> = call.fields.iter().map(|(_, value)| value.as_str()).collect();
    format!("{} {}", call.name, values.join(" "))
}

/// Whether an assistant's turn is one that a client writes itself below the files it shows.
fn is_acknowledgement(message: &Message) -> bool {
    const MAX_BYTES: usize = 200;
    let text: String = message.slots.iter().map(|slot| slot.text.trim()).collect();
    message.calls.is_empty() && text.len() <= MAX_BYTES && text.to_ascii_lowercase().starts_with("ok")
}

fn is_said(slot: &Slot) -> bool {
    matches!(slot.origin, Origin::Said | Origin::Prompt) && !is_result(slot)
}

/// Whether a text is the result of a tool, in a message of its own or in the user's name.
fn is_result(slot: &Slot) -> bool {
    matches!(slot.origin, Origin::Result { .. }) || envelope::is_result(&slot.text)
}

/// What a question is cut to, in characters: about 300 tokens. Every piece of code costs one pass over the question.
pub const MAX_CHARS: usize = 1200;

/// What an assistant's words and a call add to a question, in characters each.
const MAX_TURN_CHARS: usize = 300;

/// The identifiers that a question names: in backticks, with `()`, dotted, or in `snake_case`, `camelCase` or
/// `PascalCase`. Of a qualified name (`Store.get`, `store::get`) the last part. Each once, in order. In a fenced block not
/// every word is a name for being there.
pub fn names(question: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (block, text) in question.split("```").enumerate() {
        // A fence may be longer.
        let text = text.trim_start_matches('`');
        let ticks = text.matches('`').count();
        for (part, text) in text.split('`').enumerate() {
            let quoted = block % 2 == 0 && part % 2 == 1 && part < ticks;
            for word in text.split(|c: char| c.is_whitespace() || "\"',;!?=+<>[]{}|".contains(c)) {
                if let Some(name) = name(word, quoted)
                    && !names.iter().any(|known| known == name)
                {
                    names.push(name.to_owned());
                }
            }
        }
    }
    names
}

/// Blocks of at most this many lines belong to the question they stand in; longer ones are what it is about.
const SHORT_BLOCK_LINES: usize = 12;

/// Fewer words than this are no question: a lone `Files:` is a heading.
const MIN_WORDS: usize = 2;

/// How lines begin that clients put over the files they attach.
const BOILERPLATE: [&str; 17] = [
    "I have *added these files to the chat*",
    "*Trust this message as the true content",
    "Any other messages in the chat may contain outdated versions",
    "Here are some READ ONLY files",
    "Do not edit these files!",
    "Here are summaries of some files present in my git repository",
    "Do not propose changes to these files",
    "If you need to edit any of these files, ask me to *add them to the chat*",
    "I am not sharing any files that you can edit yet",
    "The following items were attached by the user",
    "Use the above code to answer the following question",
    "SELECTIONS",
    "--- End of content ---",
    "Called the Read tool with the following input:",
    "--- Content from referenced files ---",
    "<path>",
    "<type>file</type>",
];

/// How the rules begin that clients append to the person's words. All that follows is theirs.
const RULES: [&str; 6] = [
    "# *SEARCH/REPLACE block* Rules:",
    "# File editing rules:",
    "To suggest changes to a file you MUST return",
    "IMPORTANT: Use *quadruple* backticks",
    "(See <attachments> above for file contents.",
    "You can execute bash commands and edit files to implement the necessary changes.",
];

/// How the lines begin of an outline of the repository, as aider sends it.
const OUTLINE: [char; 2] = ['⋮', '│'];

/// Lines between which OpenHands puts the person's words below an example of its own, where tools are text.
const TASK: [&str; 2] = [
    "--------------------- NEW TASK DESCRIPTION ---------------------",
    "--------------------- END OF NEW TASK DESCRIPTION ---------------------",
];

/// Tags whose content is not the person's words.
const ATTACHED: [&str; 17] = [
    "environment_details",
    "environment_context",
    "system-reminder",
    "attachments",
    "attachment",
    "attached_files",
    "context",
    "files",
    "file_content",
    "file",
    "content",
    "code_selection",
    "document",
    "documents",
    "selected_files",
    "editorContext",
    "reminderInstructions",
];

fn words_of(message: &Message, code: impl Fn(usize) -> Vec<Span>) -> Option<String> {
    if message.role != Role::User {
        return None;
    }
    let said = message.slots.iter().enumerate().filter(|(_, slot)| is_said(slot));
    let parts: Vec<Words> = said.map(|(index, slot)| Words::read(&slot.text, &code(index))).collect();
    // Where a client marks the person's words, the rest of the message is the client's.
    let marked = parts.iter().any(|words| words.marked);
    let spoken: Vec<&Words> = parts.iter().filter(|words| words.marked == marked).collect();
    if spoken.iter().map(|words| words.count).sum::<usize>() < MIN_WORDS {
        return None;
    }
    let texts: Vec<&str> = spoken.iter().map(|words| words.text.trim()).filter(|text| !text.is_empty()).collect();
    Some(end_of(&texts.join("\n\n")).to_owned())
}

/// What a person says in one text.
struct Words {
    /// Their words, with the short pieces of code among them.
    text: String,
    /// How many words there are outside of code, paths left out.
    count: usize,
    /// Whether a tag says that these are the person's words.
    marked: bool,
}

impl Words {
    /// `code` holds the pieces of code in the text, in order.
    fn read(text: &str, code: &[Span]) -> Self {
        let blocks = fence::blocks(text);
        let (short, long): (Vec<_>, Vec<_>) =
            blocks.iter().partition(|block| text[block.code.range()].lines().count() <= SHORT_BLOCK_LINES);
        // Both have the text's offsets and lines.
        let shown = fence::prose(text, &long);
        let prose = fence::prose(&shown, &short);

        // No rules begin in a blanked block: what is between them is less to search.
        let blanks: Vec<Span> = blocks.iter().map(|block| block.outer).collect();
        let between = without(&[Span { start: 0, end: prose.len() }], &blanks);
        let rules = |span: &Span| {
            let found = RULES.iter().filter_map(|rules| prose[span.range()].find(rules)).min();
            found.map(|at| span.start + at)
        };
        let end = between.iter().find_map(rules).unwrap_or(prose.len());
        let mut asked = spans(&prose, &tag::QUESTION, |element| element.body);
        if asked.is_empty() {
            asked.extend(task(&prose));
        }
        let mut silent = spans(&prose, &ATTACHED, |element| element.outer);
        let is_long = |span: &&Span| text[span.range()].lines().count() > SHORT_BLOCK_LINES;
        silent.extend(code.iter().filter(is_long));
        // A file in aider's other fences that is no code, such as a README.
        silent.extend(spans(&prose, &FENCES, |element| element.outer).iter().filter(is_long));
        silent.sort_unstable_by_key(|span| span.start);
        let marked = !asked.is_empty();
        let spoken = if marked { asked } else { vec![Span { start: 0, end }] };

        let mut words = Self { text: String::new(), count: 0, marked };
        for span in without(&spoken, &silent) {
            let mut at = span.start;
            for line in prose[span.start..span.end.min(end).max(span.start)].split_inclusive('\n') {
                words.add(line, &shown[at..at + line.len()]);
                at += line.len();
            }
        }
        words
    }

    /// Adds a line: as prose, and as it is shown with the short pieces of code.
    fn add(&mut self, prose: &str, shown: &str) {
        let is_clients =
            prose.starts_with(OUTLINE) || BOILERPLATE.iter().any(|start| prose.trim_start().starts_with(start));
        let is_empty = shown.trim().is_empty();
        if is_clients || heading::is_bare(prose) || (is_empty && self.text.ends_with("\n\n")) {
            return;
        }
        self.count += prose.split_whitespace().map(weight).sum::<usize>();
        self.text.push_str(shown.trim_end());
        if shown.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// The task that a client marks with lines.
fn task(prose: &str) -> Option<Span> {
    let [opening, closing] = TASK;
    let start = prose.find(opening)? + opening.len();
    let end = prose[start..].rfind(closing).map_or(prose.len(), |at| start + at);
    Some(Span { start, end })
}

/// What a token of prose adds to the count of words: none if it is a path, a tag or punctuation; scripts without
/// blanks between words have about two characters in one.
fn weight(token: &str) -> usize {
    let bare = token.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.is_empty() || heading::is_path(bare) || (token.starts_with('<') && token.ends_with('>')) {
        return 0;
    }
    let letters = || bare.chars().filter(|c| c.is_alphabetic()).count();
    if bare.is_ascii() { usize::from(letters() > 0) } else { letters().div_ceil(2) }
}

/// One span of every element of these names, in order.
fn spans(prose: &str, names: &[&str], of: impl Fn(&tag::Element) -> Span) -> Vec<Span> {
    if !prose.contains('<') {
        return Vec::new();
    }
    let mut spans: Vec<Span> = names.iter().flat_map(|name| tag::elements(prose, name)).map(|e| of(&e)).collect();
    spans.sort_unstable_by_key(|span| span.start);
    spans
}

/// What of `spans` is not in `holes`, in order and without overlaps. Both are in order of their starts.
fn without(spans: &[Span], holes: &[Span]) -> Vec<Span> {
    let mut rest = Vec::new();
    let mut done = 0;
    let mut holes = holes.iter().peekable();
    for span in spans {
        done = done.max(span.start);
        while let Some(hole) = holes.next_if(|hole| hole.start < span.end) {
            if done < hole.start {
                rest.push(Span { start: done, end: hole.start });
            }
            done = done.max(hole.end);
        }
        if done < span.end {
            rest.push(Span { start: done, end: span.end });
            done = span.end;
        }
    }
    rest
}

/// The last [`MAX_CHARS`] characters of `text`, from the beginning of a word.
fn end_of(text: &str) -> &str {
    tail(text, MAX_CHARS)
}

/// The last `max` characters of `text`, from the beginning of a word.
fn tail(text: &str, max: usize) -> &str {
    let Some((start, _)) = text.char_indices().rev().nth(max - 1) else { return text };
    if start == 0 {
        return text;
    }
    let end = &text[start..];
    end.find(char::is_whitespace).map_or(end, |blank| end[blank..].trim_start())
}

/// The identifier that a word of a question names. A word in backticks need not look like one.
fn name(word: &str, quoted: bool) -> Option<&str> {
    /// Endings of names that are files or hosts.
    const FILES: [&str; 16] = [
        "json", "yaml", "yml", "toml", "md", "txt", "lock", "html", "css", "xml", "ini", "cfg", "log", "csv", "com",
        "org",
    ];
    let (word, called) = match word.split_once('(') {
        Some((before, _)) => (before, true),
        None => (word, false),
    };
    let word = word.trim_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
    let last = word.rsplit("::").next()?.rsplit("->").next()?.rsplit('#').next()?;
    if last.contains(['/', '\\']) || Language::from_path(last).is_some() {
        return None;
    }
    let (owner, name) = last.rsplit_once('.').unwrap_or(("", last));
    let is_identifier = name.len() > 1
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let qualified = owner.len() > 1 && !FILES.contains(&name) || last.len() < word.len();
    let plain_file = !owner.is_empty() && FILES.contains(&name);
    (is_identifier && !plain_file && (quoted || called || qualified || looks_like_code(name))).then_some(name)
}

/// Whether a word is in `snake_case`, `camelCase` or `PascalCase` and not only an acronym or its plural.
fn looks_like_code(word: &str) -> bool {
    let inner_capitals = word.chars().skip(1).filter(|c| c.is_uppercase()).count();
    let small = word.chars().filter(|c| c.is_lowercase()).count();
    let is_plural = small == 1 && word.ends_with('s');
    (word.contains('_') && word.contains(char::is_alphabetic)) || (inner_capitals > 0 && small > 0 && !is_plural)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Slot;
    use proptest::prelude::*;

    fn said(role: Role, texts: &[&str]) -> Message {
        let slot = |text: &&str| Slot {
            literals: Vec::new(),
            text: (*text).to_owned(),
            message: 0,
            origin: if role == Role::Tool { Origin::Result { call: "1".into(), failed: false } } else { Origin::Said },
            path: None,
        };
        Message { role, slots: texts.iter().map(slot).collect(), calls: Vec::new() }
    }

    /// The question in a conversation where no text is code but what stands in fences.
    fn words(messages: &[Message], message: usize) -> Option<String> {
        Questions::new(messages, &|_, _| Vec::new()).of(message, None).map(|question| question.text)
    }

    fn asked(texts: &[&str]) -> Option<String> {
        words(&[said(Role::User, texts)], 0)
    }

    fn long_block() -> String {
        format!("```py\n{}```", "x = 1\n".repeat(SHORT_BLOCK_LINES + 1))
    }

    #[test]
    fn own_prose_is_the_question() {
        let text = format!("Why is this slow?\n\nsrc/a.py:\n{}\nI call it so:\n```py\na.run(3)\n```\n", long_block());
        assert_eq!(asked(&[&text]).unwrap(), "Why is this slow?\n\nI call it so:\n```py\na.run(3)\n```");
        assert_eq!(asked(&[&long_block(), "Explain `run`", "please"]).unwrap(), "Explain `run`\n\nplease");
        assert_eq!(asked(&["这个函数为什么慢"]).unwrap(), "这个函数为什么慢");
    }

    #[test]
    fn the_persons_tags_are_the_question() {
        let text = "<attachments>\n<attachment id=\"a\">some text here</attachment>\n</attachments>\n<userRequest>Fix the bug</userRequest> and more of the client's";
        assert_eq!(asked(&[text, "<reminder>a b c</reminder>"]).unwrap(), "Fix the bug");
        let task = "<task>\nFix 'src/a.py' (see below for file content)\n</task>\n<file_content path=\"src/a.py\">\nx\n</file_content>";
        assert_eq!(asked(&[task]).unwrap(), "Fix 'src/a.py' (see below for file content)");
        let above = "<userRequest>Fix it (See <attachments> above for file contents. You may not need to read them.)</userRequest>";
        assert_eq!(asked(&[above]).unwrap(), "Fix it");
        let open = "<context>\nThese are up-to-date files.\n</context>\nFix the bug";
        assert_eq!(asked(&[open]).unwrap(), "Fix the bug");
    }

    #[test]
    fn clients_headings_and_rules_are_not() {
        let files = format!(
            "I have *added these files to the chat* so you can go ahead and edit them.\n\n*Trust this message as the true content of these files!*\nAny other messages in the chat may contain outdated versions of the files' contents.\n\nsrc/a.py\n{}\n",
            long_block()
        );
        let rules = "Add a test\n\n# *SEARCH/REPLACE block* Rules:\n\nEvery block must use this format";
        let chat = [
            said(Role::User, &[&files]),
            said(Role::Assistant, &["Ok, any changes I propose will be to those files."]),
            said(Role::User, &[rules]),
            said(Role::User, &["Something else entirely"]),
        ];
        assert_eq!(words(&chat, 0).unwrap(), "Add a test");
        assert_eq!(words(&chat[..2], 0), None);
        let twice = [chat[0].clone(), chat[0].clone(), chat[3].clone()];
        assert_eq!(words(&twice, 0).unwrap(), "Something else entirely");
        let answered = [chat[0].clone(), said(Role::Assistant, &["It is well."]), chat[3].clone()];
        assert_eq!(words(&answered, 0), None, "the first answer was given without it");
        assert_eq!(words(&chat, 9), None);
    }

    #[test]
    fn an_outline_of_the_repository_asks_nothing() {
        let shown =
            format!("Here are some READ ONLY files, provided for your reference.\n\nsrc/a.py\n{}\n", long_block());
        let outline = "Here are summaries of some files present in my git repository.\nDo not propose changes to these files, treat them as *read-only*.\n\nsrc/b.py:\n⋮\n│class Store:\n│    def get(self, key):\n⋮\n\nREADME.md\n";
        let chat = [
            said(Role::User, &[&shown]),
            said(Role::Assistant, &["Ok, I will use these files as references."]),
            said(Role::User, &[outline]),
            said(Role::Assistant, &["Ok, I won't try and edit those files without asking first."]),
            said(Role::User, &["Why is it slow?"]),
        ];
        let question = Questions::new(&chat, &|_, _| Vec::new()).of(0, None).unwrap();
        assert_eq!((question.text.as_str(), question.asked_in), ("Why is it slow?", 4));
        assert!(question.names.is_empty(), "{:?}", question.names);
    }

    #[test]
    fn a_task_below_an_example_is_the_question() {
        let [opening, closing] = TASK;
        let text = format!(
            "USER: Show me `Shelf`.\n\n{opening}\nFix the reordering.\n{closing}\n\nPLEASE follow the format!\n"
        );
        assert_eq!(asked(&[&text]).unwrap(), "Fix the reordering.");
        assert_eq!(asked(&[&text.replace(closing, "")]).unwrap().lines().next(), Some("Fix the reordering."));
    }

    #[test]
    fn files_in_other_fences_are_nobodys_words() {
        let readme = format!(
            "I have *added these files*\n\nREADME.md\n<source>\n{}</source>\n",
            "It sells things.\n".repeat(20)
        );
        let asks = said(Role::User, &["Why does `ship` fail? See <code>take()</code>."]);
        let chat = [said(Role::User, &[&readme]), said(Role::Assistant, &["Ok."]), asks];
        assert!(!words(&chat, 0).unwrap_or_default().contains("sells"));
        assert!(words(&chat, 2).unwrap().contains("take()"));
    }

    #[test]
    fn results_are_judged_by_the_question_and_the_call() {
        let call = Call {
            id: "1".into(),
            name: "read_file".into(),
            arguments: String::new(),
            fields: vec![("path".into(), "src/a.py".into())],
        };
        let chat = [
            said(Role::User, &["Why is `flush` slow?"]),
            said(Role::Assistant, &["I look at Store.flush first."]),
            said(Role::Tool, &["x = 1"]),
            said(Role::User, &["[read_file for 'src/a.py'] Result:\nx = 1"]),
        ];
        let question = Questions::new(&chat, &|_, _| Vec::new()).of(2, Some(&call)).unwrap();
        assert_eq!(question.text, "Why is `flush` slow?\n\nI look at Store.flush first.\n\nread_file src/a.py");
        assert_eq!((question.asked_in, question.names), (2, vec!["flush".to_owned()]));
        assert_eq!(words(&chat, 3).unwrap(), "Why is `flush` slow?\n\nI look at Store.flush first.");
        assert_eq!(words(&chat[2..], 0), None);
    }

    #[test]
    fn long_questions_keep_their_end() {
        let text = format!("{}what is é?", "word ".repeat(1000));
        let question = asked(&[&text]).unwrap();
        assert!(question.starts_with("word ") && question.ends_with("what is é?"));
        assert!(question.chars().count() <= MAX_CHARS);
    }

    #[test]
    fn names_are_identifiers() {
        let question = "Why does `Store.get` (see src/store.py, config.json and Node.js) call parse_args(argv) and HTTPServer, \
            e.g. in self.cache.flush()? The APIs of JSON, `run` and camelCase; tests/test_a.py::test_it, `x` and main(). Parse it.";
        assert_eq!(
            names(question),
            ["get", "parse_args", "HTTPServer", "flush", "run", "camelCase", "test_it", "main"]
        );
        assert_eq!(names("an unbalanced ` tick names nothing"), Vec::<String>::new());
        let pasted = "Why does it print\n````text\nno lines with 3 `numbers` in parse_args\n````\nafter `run` of this?\n```py\na.walk(3)\n```";
        assert_eq!(names(pasted), ["parse_args", "run", "walk"]);
    }

    proptest! {
        #[test]
        fn later_turns_change_no_question(
            texts in prop::collection::vec(("(src/a.py\n)?(```py\nx\n```\n)?(<task>|</task>|<file>|</file>|fix it now|`é`| ){0,6}", 0..3u8), 2..8),
            more in ".{0,40}",
        ) {
            let role = |kind| [Role::User, Role::Assistant, Role::Tool][usize::from(kind)];
            let mut chat: Vec<Message> = texts.iter().map(|(text, kind)| said(role(*kind), &[text])).collect();
            let before: Vec<_> = (0..chat.len()).map(|index| words(&chat, index)).collect();
            chat.push(said(Role::User, &[&more]));
            for (index, known) in before.into_iter().enumerate() {
                let answered = texts[index + 1..].iter().any(|(_, kind)| *kind == 1);
                if known.is_some() || answered {
                    prop_assert_eq!(words(&chat, index), known);
                }
            }
        }
    }
}
