//! Reads a settings file: every mistake in it with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Key, Table};
use super::kind::Raw;
use super::loaded::{Draft, Origin, shown_name};
use super::price::{PRICE, Price};
use super::problem::{Problem, any_of, did_you_mean, nearest};
use super::rule::{RULE, Rule, setting_keys};
use super::settings::{self, REMOVED, SECTIONS, removed};
use crate::base::text::LineIndex;

/// Applies the `text` of the file at `path`, which may be anything.
pub(super) fn apply(draft: &mut Draft, path: &Path, text: &str) {
    let lines = LineIndex::new(text);
    let name = shown_name(path);
    let line = |byte: usize| lines.line_of(byte) + 1;
    let place = |byte: usize| format!("{name}:{}", line(byte));

    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was read beside a syntax error may be something else than what was meant.
        draft.problems.extend(errors.iter().map(|error| {
            let byte = error.span().map_or(0, |span| span.start);
            Problem::new(place(byte), error.message())
        }));
        return;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut reader = Reader { folder, problems: Vec::new(), warnings: Vec::new() };
    for (heading, content) in document.get_ref() {
        let byte = heading.span().start;
        let heading: &str = heading.get_ref();
        let section = SECTIONS.iter().find(|section| section.name == heading);
        match (section, content.get_ref()) {
            _ if heading == RULE.name => {
                draft.config.rules = reader.tables(RULE.name, content, |reader, byte, entries| Rule {
                    line: line(byte),
                    ..reader.rule(byte, entries)
                });
            }
            _ if heading == PRICE.name => draft.config.prices = reader.tables(PRICE.name, content, Reader::price),
            (Some(section), DeValue::Table(entries)) => {
                reader.entries(section, &format!("[{heading}]"), entries, |key, raw, byte| {
                    draft.set(key, raw, Origin::File(place(byte)))
                });
            }
            (Some(_), _) => {
                reader.wrong(byte, format!("\"{heading}\" is a section; write [{heading}] and its keys below"));
            }
            (None, content) => reader.wrong(byte, unknown_section(heading, content)),
        }
    }
    // A table has the order of its names; a person reads from top to bottom.
    let in_order = |mut found: Vec<(usize, String)>| {
        found.sort();
        found.into_iter().map(|(byte, message)| Problem::new(place(byte), message)).collect::<Vec<_>>()
    };
    draft.problems.extend(in_order(reader.problems));
    draft.warnings.extend(in_order(reader.warnings));
}

/// Reads tables, and collects mistakes with the bytes of the file that they are at.
struct Reader<'t> {
    folder: &'t Path,
    problems: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn wrong(&mut self, byte: usize, message: String) {
        self.problems.push((byte, message));
    }

    /// The tables `[[name]]`, each read by `read`, which is given the byte that it begins at.
    fn tables<T>(
        &mut self,
        name: &str,
        content: &Spanned<DeValue<'_>>,
        read: impl Fn(&mut Self, usize, &DeTable<'_>) -> T,
    ) -> Vec<T> {
        let form = || format!("{name}s are tables; write [[{name}]], with two brackets, and a {name}'s keys below");
        let DeValue::Array(tables) = content.get_ref() else {
            self.wrong(content.span().start, form());
            return Vec::new();
        };
        let mut all = Vec::new();
        for table in tables {
            let byte = table.span().start;
            match table.get_ref() {
                DeValue::Table(entries) => all.push(read(self, byte, entries)),
                _ => self.wrong(byte, form()),
            }
        }
        all
    }

    /// Sets each of the `entries` by `set`, which is given the byte of the key; whether all are right.
    fn entries<T>(
        &mut self,
        table: &Table<T>,
        heading: &str,
        entries: &DeTable<'_>,
        mut set: impl FnMut(&'static Key<T>, &Raw<'_>, usize) -> Result<(), String>,
    ) -> bool {
        let problems = self.problems.len();
        for (name, value) in entries {
            let byte = name.span().start;
            let name: &str = name.get_ref();
            if REMOVED.contains(&(table.name, name)) {
                self.warnings.push((byte, removed(table.name, name)));
                continue;
            }
            let result = match table.keys.iter().find(|key| key.name == name) {
                Some(key) => set(key, &Raw::Toml(value, self.folder), byte),
                None => Err(unknown_key(name, heading, table.keys.iter().map(|key| key.name))),
            };
            self.problems.extend(result.err().map(|message| (byte, message)));
        }
        self.problems.len() == problems
    }

    fn rule(&mut self, byte: usize, entries: &DeTable<'_>) -> Rule {
        let mut rule = Rule::default();
        let is_right = self.entries(&RULE, "[[rule]]", entries, |key, raw, _| key.set(&mut rule, raw));
        // A setting with a mistake in it is not yet set.
        if is_right && rule.settings().next().is_none() {
            let names: Vec<&str> = setting_keys().map(|key| key.name).collect();
            self.wrong(byte, format!("this rule sets nothing; give it {}", any_of(&names)));
        }
        rule
    }

    fn price(&mut self, byte: usize, entries: &DeTable<'_>) -> Price {
        let mut price = Price::default();
        let is_right = self.entries(&PRICE, "[[price]]", entries, |key, raw, _| key.set(&mut price, raw));
        if let Some(missing) = price.missing().filter(|_| is_right) {
            self.wrong(byte, format!("this price has no \"{missing}\"; it needs \"model\", \"input\" and \"output\""));
        }
        price
    }
}

fn unknown_section(name: &str, content: &DeValue<'_>) -> String {
    let is_table = |item: &Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    let repeated = [RULE.name, PRICE.name];
    let near = nearest(name, SECTIONS.iter().map(|section| section.name).chain(repeated));
    let near = near.map(|near| if repeated.contains(&near) { format!("[[{near}]]") } else { format!("[{near}]") });
    match content {
        DeValue::Table(_) => format!("unknown section [{name}]{}", did_you_mean(near)),
        DeValue::Array(items) if items.iter().any(is_table) => {
            format!("unknown tables [[{name}]]{}", did_you_mean(near))
        }
        _ => format!("key \"{name}\" stands outside of any section{}", in_other_section(name)),
    }
}

/// `heading` is the table as it is headed, `names` are its keys.
fn unknown_key(name: &str, heading: &str, names: impl Iterator<Item = &'static str>) -> String {
    let hint = match nearest(name, names) {
        Some(near) => did_you_mean(Some(format!("\"{near}\""))),
        None => in_other_section(name),
    };
    format!("unknown key \"{name}\" in {heading}{hint}")
}

/// A hint at the section that has a key of this name or one close to it.
fn in_other_section(name: &str) -> String {
    let near = nearest(name, settings::keys().map(|key| key.name));
    let key = near.and_then(|near| settings::keys().find(|key| key.name == near));
    did_you_mean(key.map(|key| format!("\"{}\" in [{}]", key.name, key.table)))
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
        let shown: Vec<_> = RULE.keys.iter().filter_map(|key| (key.get)(second)).collect();
        let expected = [
            "[\"*mini*\"]", "[\"py\"]", "[\"read*\"]", "[\"chat\", \"messages\"]", "\"audit\"", "1000", "0", "\"auto\"",
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
            "'on'", "0.5", "-1", "0", "9999999999999999999999", "nan", "true", "['a', \"*\"]", "[]", "{ a = 1 }",
            "'a['", "'{'", "1979-05-27", "'*.py'", "'chat'", "'1h'", "'18446744073709551615h'", "''", "'''",
        ];
        const HEADS: &[&str] = &[
            "[[rule]]", "[compression]", "[server]", "[ledger]", "[sidecar]", "[rule]", "[[server]]", "[[rule.path]]",
        ];
        let names = RULE.keys.iter().map(|key| key.name);
        let names: Vec<&str> =
            names.chain(settings::keys().map(|key| key.name)).chain(["nonsense", "\u{e9}"]).collect();
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
