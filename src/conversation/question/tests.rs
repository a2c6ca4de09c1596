//! Questions in conversations of several clients.

use proptest::prelude::*;

use super::super::user_prose::{MAX_CHARS, SHORT_BLOCK_LINES, TASK};
use super::*;
use crate::wire::{Origin, Slot};

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
    let above =
        "<userRequest>Fix it (See <attachments> above for file contents. You may not need to read them.)</userRequest>";
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
    let shown = format!("Here are some READ ONLY files, provided for your reference.\n\nsrc/a.py\n{}\n", long_block());
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
    let text =
        format!("USER: Show me `Shelf`.\n\n{opening}\nFix the reordering.\n{closing}\n\nPLEASE follow the format!\n");
    assert_eq!(asked(&[&text]).unwrap(), "Fix the reordering.");
    assert_eq!(asked(&[&text.replace(closing, "")]).unwrap().lines().next(), Some("Fix the reordering."));
}

#[test]
fn files_in_other_fences_are_nobodys_words() {
    let readme =
        format!("I have *added these files*\n\nREADME.md\n<source>\n{}</source>\n", "It sells things.\n".repeat(20));
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
