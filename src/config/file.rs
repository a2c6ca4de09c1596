//! What a settings file sets, and all that is wrong in it, each mistake with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, MATCHERS, PRICE, PRICES, RULE, SETTINGS};
use super::loaded::{Draft, Origin, shown_name};
use super::problem::nearest;
use super::value::{Value, any_of};
use super::{Price, Problem, Rule};
use crate::base::text::LineIndex;

/// What is wrong, and the byte of the file it is wrong at.
type Found = Vec<(usize, String)>;

/// Applies the `text` of the file at `path`, which may be anything.
pub(super) fn apply(draft: &mut Draft, path: &Path, text: &str) {
    let lines = LineIndex::new(text);
    let name = shown_name(path);
    let line = |byte: usize| lines.line_of(byte) + 1;
    let place = |byte: usize| format!("{name}:{}", line(byte));
    let folder = path.parent().unwrap_or(Path::new(""));

    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was read beside a syntax error may be something else than what was meant.
        draft.problems.extend(errors.iter().map(|error| {
            let byte = error.span().map_or(0, |span| span.start);
            Problem::new(place(byte), error.message())
        }));
        return;
    }
    // A table has the order of its names; a person reads from top to bottom.
    let mut found = Found::new();
    for (section, content) in document.get_ref() {
        let section_byte = section.span().start;
        let section: &str = section.get_ref();
        if section == RULE {
            let read = |byte, entries: &DeTable<'_>, found: &mut Found| rule(byte, line(byte), entries, folder, found);
            draft.config.rules = tables(RULE, content, &mut found, read);
            continue;
        }
        if section == PRICE {
            let read = |byte, entries: &DeTable<'_>, found: &mut Found| price(byte, entries, folder, found);
            draft.config.prices = tables(PRICE, content, &mut found, read);
            continue;
        }
        if !KEYS.iter().any(|key| key.section == section) {
            found.push((section_byte, unknown_section(section, content.get_ref())));
            continue;
        }
        let DeValue::Table(entries) = content.get_ref() else {
            found.push((section_byte, format!("\"{section}\" is a section; write [{section}] and its keys below")));
            continue;
        };
        for (name, value) in entries {
            let byte = name.span().start;
            let keys = KEYS.iter().filter(|key| key.section == section);
            let result = match keys.clone().find(|key| key.name == *name.get_ref()) {
                Some(key) => draft.set(key, &Value::Toml(value.get_ref(), folder), Origin::File(place(byte))),
                None => Err(unknown_key(name.get_ref(), &format!("[{section}]"), keys.map(|key| key.name))),
            };
            found.extend(result.err().map(|message| (byte, message)));
        }
    }
    found.sort();
    draft.problems.extend(found.into_iter().map(|(byte, message)| Problem::new(place(byte), message)));
}

/// The tables `[[name]]`, each read by `read`, which is given the byte that it begins at.
fn tables<T>(
    name: &str,
    content: &Spanned<DeValue<'_>>,
    found: &mut Found,
    read: impl Fn(usize, &DeTable<'_>, &mut Found) -> T,
) -> Vec<T> {
    let form = || format!("{name}s are tables; write [[{name}]], with two brackets, and a {name}'s keys below");
    let DeValue::Array(tables) = content.get_ref() else {
        found.push((content.span().start, form()));
        return Vec::new();
    };
    let mut all = Vec::new();
    for table in tables {
        let byte = table.span().start;
        match table.get_ref() {
            DeValue::Table(entries) => all.push(read(byte, entries, found)),
            _ => found.push((byte, form())),
        }
    }
    all
}

fn rule(byte: usize, line: usize, entries: &DeTable<'_>, folder: &Path, found: &mut Found) -> Rule {
    let mut rule = Rule { line, ..Rule::default() };
    let problems = found.len();
    for (name, value) in entries {
        let keys = MATCHERS.iter().chain(SETTINGS);
        let result = match keys.clone().find(|key| key.name == *name.get_ref()) {
            Some(key) => key.set(&mut rule, &Value::Toml(value.get_ref(), folder)),
            None => Err(unknown_key(name.get_ref(), "[[rule]]", keys.map(|key| key.name))),
        };
        found.extend(result.err().map(|message| (name.span().start, message)));
    }
    // A setting with a mistake in it is not yet set.
    if found.len() == problems && SETTINGS.iter().all(|key| (key.get)(&rule).is_none()) {
        let names: Vec<&str> = SETTINGS.iter().map(|key| key.name).collect();
        found.push((byte, format!("this rule sets nothing; give it {}", any_of(&names))));
    }
    rule
}

fn price(byte: usize, entries: &DeTable<'_>, folder: &Path, found: &mut Found) -> Price {
    let mut price = Price::default();
    let problems = found.len();
    for (name, value) in entries {
        let result = match PRICES.iter().find(|key| key.name == *name.get_ref()) {
            Some(key) => key.set(&mut price, &Value::Toml(value.get_ref(), folder)),
            None => Err(unknown_key(name.get_ref(), "[[price]]", PRICES.iter().map(|key| key.name))),
        };
        found.extend(result.err().map(|message| (name.span().start, message)));
    }
    if let Some(missing) = price.missing().filter(|_| found.len() == problems) {
        found.push((byte, format!("this price has no \"{missing}\"; it needs \"model\", \"input\" and \"output\"")));
    }
    price
}

fn unknown_section(name: &str, content: &DeValue<'_>) -> String {
    let is_table = |item: &Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    let nearest = nearest(name, KEYS.iter().map(|key| key.section).chain([RULE, PRICE]));
    let nearest =
        nearest.map(|near| if [RULE, PRICE].contains(&near) { format!("[[{near}]]") } else { format!("[{near}]") });
    match content {
        DeValue::Table(_) => format!("unknown section [{name}]{}", did_you_mean(nearest)),
        DeValue::Array(items) if items.iter().any(is_table) => {
            format!("unknown tables [[{name}]]{}", did_you_mean(nearest))
        }
        _ => format!("key \"{name}\" stands outside of any section{}", in_other_section(name)),
    }
}

/// `table` as it is headed, and the names of its keys.
fn unknown_key(name: &str, table: &str, names: impl Iterator<Item = &'static str>) -> String {
    let hint = match nearest(name, names) {
        Some(near) => did_you_mean(Some(format!("\"{near}\""))),
        None => in_other_section(name),
    };
    format!("unknown key \"{name}\" in {table}{hint}")
}

/// The section in which there is a key of this name or one close to it, as a hint.
fn in_other_section(name: &str) -> String {
    let near = nearest(name, KEYS.iter().map(|key| key.name));
    let key = near.and_then(|near| KEYS.iter().find(|key| key.name == near));
    did_you_mean(key.map(|key| format!("\"{}\" in [{}]", key.name, key.section)))
}

pub(super) fn did_you_mean(what: Option<String>) -> String {
    what.map_or_else(String::new, |what| format!("; did you mean {what}?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn applied(text: &str) -> Draft {
        let mut draft = Draft::default();
        apply(&mut draft, Path::new("./lopper.toml"), text);
        draft
    }

    fn problems(text: &str) -> String {
        applied(text).problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn rules_keep_their_order_and_lines() {
        let text = "[server]\n\n[[rule]]\npath = ['**/tests/**', '*_test.go']\nratio = 0.2\n# more\n[[rule]]\n\
            model = '*mini*'\nlanguage = 'py'\ntool = 'read*'\napi = ['chat', 'messages']\nmode = 'audit'\n\
            min_tokens = 0\nbudget_tokens = 1_000\nfine = 'auto'\n[limits]\nbody_bytes = 1\n";
        let draft = applied(text);
        assert_eq!(draft.problems, []);
        let [first, second] = &draft.config.rules[..] else { panic!("{:?}", draft.config.rules) };
        assert_eq!((first.line, second.line), (3, 7));
        assert_eq!(first.ratio, Some(0.2));
        assert_eq!(first.path.as_ref().unwrap().patterns(), ["**/tests/**", "*_test.go"]);
        let shown: Vec<_> = MATCHERS.iter().chain(SETTINGS).filter_map(|key| (key.get)(second)).collect();
        let expected = [
            "[\"*mini*\"]",
            "[\"py\"]",
            "[\"read*\"]",
            "[\"chat\", \"messages\"]",
            "\"audit\"",
            "1000",
            "0",
            "\"auto\"",
        ];
        assert_eq!(shown, expected);
        let inline = applied("rule = [{ mode = 'off' }]");
        assert_eq!(inline.config.rules, [Rule { line: 1, mode: Some(crate::config::Mode::Off), ..Rule::default() }]);
    }

    #[test]
    fn mistakes_in_rules_are_told_all_at_once() {
        let text = "[[rule]]\npath = 'a['\nratio = 0.5\n[[rule]]\nlanguage = 'go'\n[[rule]]\nlanguage = ['go', 'pyton']\n\
            api = 'edits'\nratio = 2\nbudget_tokens = 0\nfine = 'maybe'\n[[rule]]\nratoi = 0.3\nlisten = 1\n[[rule]]\n\
            mode = 'off'\ntool = []\nmodel = 3\npath = 'tests/'\n";
        insta::assert_snapshot!(problems(text), @r#"
        lopper.toml:2: rule.path is "a["; "a[" is not a pattern: unclosed character class; missing ']'
        lopper.toml:4: this rule sets nothing; give it "mode", "ratio", "budget_tokens", "min_tokens" or "fine"
        lopper.toml:7: rule.language is ["go", "pyton"]; "pyton" matches no language; did you mean "Python"?
        lopper.toml:8: rule.api is "edits"; "edits" matches no API; there is "chat", "responses", "messages" or "completions"
        lopper.toml:9: rule.ratio is 2; it must be above 0 and at most 1
        lopper.toml:10: rule.budget_tokens is 0; it must be above 0
        lopper.toml:11: rule.fine is "maybe"; it must be "auto", "on" or "off"
        lopper.toml:13: unknown key "ratoi" in [[rule]]; did you mean "ratio"?
        lopper.toml:14: unknown key "listen" in [[rule]]; did you mean "listen" in [server]?
        lopper.toml:17: rule.tool is []; its list must hold texts, at least one
        lopper.toml:18: rule.model is 3; it must be text in quotation marks, or a list of such texts
        lopper.toml:19: rule.path is "tests/"; "tests/" names a folder, not the files in it; write "**/tests/**"
        "#);
    }

    #[test]
    fn prices_are_read_and_their_mistakes_told() {
        let text = "[[price]]\nmodel = 'gpt*'\ninput = 1.25\noutput = 10\n[[price]]\nmodel = '*'\ninput = 2\n\
            [[price]]\nmodel = 'a'\ninput = -1\noutput = 'much'\nratio = 1\n";
        insta::assert_snapshot!(problems(text), @r#"
        lopper.toml:5: this price has no "output"; it needs "model", "input" and "output"
        lopper.toml:10: price.input is -1; it must be at least 0
        lopper.toml:11: price.output is "much"; it must be a number, such as 0.4
        lopper.toml:12: unknown key "ratio" in [[price]]; did you mean "ratio" in [compression]?
        "#);
        let draft = applied("[[price]]\nmodel = 'gpt*'\ninput = 1.25\noutput = 10\n");
        let price = Price::of(&draft.config.prices, "GPT-5").unwrap();
        assert_eq!((price.input, price.cached, price.output), (Some(1.25), None, Some(10.0)));
        assert!(Price::of(&draft.config.prices, "claude").is_none());
    }

    #[test]
    fn rules_in_another_form_are_told() {
        insta::assert_snapshot!(problems("rule = [1]\n"), @"lopper.toml:1: rules are tables; write [[rule]], with two brackets, and a rule's keys below");
        insta::assert_snapshot!(problems("[rule]\nmode = 'off'\n"), @"lopper.toml:1: rules are tables; write [[rule]], with two brackets, and a rule's keys below");
        insta::assert_snapshot!(problems("[[rules]]\nmode = 'off'\n[[compression]]\n"), @r#"
        lopper.toml:1: unknown tables [[rules]]; did you mean [[rule]]?
        lopper.toml:3: "compression" is a section; write [compression] and its keys below
        "#);
    }

    /// A line that a settings file is made of, or one that it is not.
    fn line() -> impl Strategy<Value = String> {
        const VALUES: &[&str] = &[
            "'on'",
            "0.5",
            "-1",
            "0",
            "9999999999999999999999",
            "nan",
            "true",
            "['a', \"*\"]",
            "[]",
            "{ a = 1 }",
            "'a['",
            "'{'",
            "1979-05-27",
            "'*.py'",
            "'chat'",
            "'1h'",
            "'18446744073709551615h'",
            "''",
            "'''",
        ];
        const HEADS: &[&str] = &[
            "[[rule]]",
            "[compression]",
            "[server]",
            "[ledger]",
            "[sidecar]",
            "[rule]",
            "[[server]]",
            "[[rule.path]]",
        ];
        let names = MATCHERS.iter().chain(SETTINGS).map(|key| key.name);
        let names: Vec<&str> = names.chain(KEYS.iter().map(|key| key.name)).chain(["nonsense", "\u{e9}"]).collect();
        let entry = (select(names), select(VALUES)).prop_map(|(name, value)| format!("{name} = {value}"));
        let head = select(HEADS).prop_map(str::to_owned);
        prop_oneof![3 => entry, 2 => head, 1 => "\\PC{0,12}", 1 => "[]\\[{}='\",.a\u{0}\r]{0,10}"]
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(lines in proptest::collection::vec(line(), 0..12)) {
            let text = lines.join("\n");
            let lines = text.lines().count();
            for problem in applied(&text).problems {
                let line: usize = problem.place.strip_prefix("lopper.toml:").unwrap().parse().unwrap();
                prop_assert!((1..=lines.max(1)).contains(&line), "{}", problem);
            }
        }
    }
}
