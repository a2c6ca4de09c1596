//! How Continue is pointed at Lopper: the `apiBase` of its models of OpenAI in `config.yaml`.

use std::path::PathBuf;

use super::edit::{Edit, Refusal, line_end};
use super::yaml::{self, Line, MARK};
use super::{Assistant, Target, home};

/// Continue.
pub struct Continue;

impl Assistant for Continue {
    fn name(&self) -> &'static str {
        "Continue"
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        Ok(home()?.join(".continue/config.yaml"))
    }

    fn snippet(&self, url: &str) -> String {
        with_model(&format!("apiBase: {url}"))
    }

    fn edits(&self, text: &str, target: &Target) -> Result<Vec<Edit>, Refusal> {
        if text.trim().is_empty() {
            let whole = with_model(&format!("apiBase: {}  {MARK}", target.url));
            return Ok(vec![Edit { at: 0..text.len(), new: whole }]);
        }
        let lines = yaml::lines(text)?;
        let line_end = line_end(text);
        let (mut edits, mut elsewhere, mut is_there) = (Vec::new(), None, false);
        for model in models(&lines)? {
            let Some(provider) = model.provider.filter(|line| line.value() == "openai") else { continue };
            match model.base {
                Some(base) if base.value() == target.url => is_there = true,
                Some(base) if base.is_marked() || base.value().is_empty() || target.is_upstream(base.value()) => {
                    edits.extend(base.set(&target.url));
                }
                Some(base) => elsewhere = Some(base.value()),
                None => {
                    let indent = " ".repeat(provider.column());
                    let line = format!("{indent}apiBase: {}  {MARK}", target.url);
                    edits.push(match provider.end(text) {
                        (at, true) => Edit::insert(at, line + line_end),
                        (at, false) => Edit::insert(at, format!("{line_end}{line}")),
                    });
                }
            }
        }
        match elsewhere {
            _ if is_there || !edits.is_empty() => Ok(edits),
            Some(url) => Err(Refusal(format!(
                "its models of the provider openai go to {url}, while Lopper forwards to {}; set upstream.base_url in \
                 lopper.toml if they are to go through Lopper",
                target.upstream
            ))),
            None => Err(Refusal("it has no model with `provider: openai`".into())),
        }
    }

    fn urls(&self, text: &str) -> Vec<String> {
        yaml::marked(text)
    }

    fn notes(&self, before: &str, target: &Target) -> Vec<String> {
        let mut notes = vec!["The key stays where it is, and is forwarded as it is.".to_owned()];
        notes.push(match before.trim().is_empty() {
            true => "Change the model's name to yours; the key is the secret OPENAI_API_KEY in Continue.".to_owned(),
            false => "apiBase belongs to each model with `provider: openai`.".to_owned(),
        });
        let lines = yaml::lines(before).unwrap_or_default();
        for model in models(&lines).unwrap_or_default() {
            let is_openai = model.provider.is_some_and(|line| line.value() == "openai");
            let base = model.base.filter(|base| is_openai && !base.is_marked()).map(Line::value);
            if let Some(base) = base.filter(|base| !base.is_empty() && *base != target.url && !target.is_upstream(base))
            {
                notes.push(format!(
                    "A model that goes to {base} is left as it is: Lopper forwards to {}.",
                    target.upstream
                ));
            }
        }
        notes
    }
}

/// The file as examples/continue.md has it, with this line.
fn with_model(base: &str) -> String {
    format!(
        "name: Lopper\nversion: 0.0.1\nschema: v1\nmodels:\n  - name: gpt-4o through Lopper\n    provider: openai\n    \
         model: gpt-4o\n    {base}\n    apiKey: ${{{{ secrets.OPENAI_API_KEY }}}}\n    roles: [chat, edit, apply]\n"
    )
}

/// The lines of a model that matter here.
#[derive(Default, Clone, Copy)]
struct Model<'a> {
    provider: Option<&'a Line<'a>>,
    base: Option<&'a Line<'a>>,
}

fn models<'a>(lines: &'a [Line<'a>]) -> Result<Vec<Model<'a>>, Refusal> {
    let Some(at) = lines.iter().position(|line| line.is_key(0, "models")) else { return Ok(Vec::new()) };
    if !matches!(lines[at].value(), "" | "[]") {
        return Err(Refusal("its models are written in brackets".into()));
    }
    let is_in = |line: &&Line| line.indent > 0 || line.is_item;
    let block: Vec<&Line> = lines[at + 1..].iter().take_while(is_in).collect();
    let Some(first) = block.first().filter(|line| line.is_item) else { return Ok(Vec::new()) };
    let (dash, mut column, mut models) = (first.indent, 0, Vec::new());
    for line in block {
        if line.is_item && line.indent == dash {
            if line.key.is_none() {
                return Err(Refusal("a model in it does not begin with a key in the line of its dash".into()));
            }
            column = line.column();
            models.push(Model::default());
        }
        let (Some(model), true) = (models.last_mut(), line.column() == column) else { continue };
        match line.key {
            Some("provider") => model.provider = Some(line),
            Some("apiBase") => model.base = Some(line),
            _ => {}
        }
    }
    Ok(models)
}
