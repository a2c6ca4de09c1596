//! How Codex is pointed at Lopper: a provider of its own in `config.toml`.

use std::ops::Range;
use std::path::PathBuf;

use toml_edit::{Document, Item};

use super::edit::{Edit, Refusal, apply, line_end};
use super::{Assistant, Target, home};

/// The provider's name.
const PROVIDER: &str = "lopper";

/// Codex (OpenAI's, on the command line).
pub struct Codex;

impl Assistant for Codex {
    fn name(&self) -> &'static str {
        "Codex"
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        let folder = std::env::var_os("CODEX_HOME").filter(|folder| !folder.is_empty());
        Ok(folder.map_or(home()?.join(".codex"), PathBuf::from).join("config.toml"))
    }

    fn snippet(&self, url: &str) -> String {
        format!("model_provider = \"{PROVIDER}\"\n\n{}", table(url))
    }

    fn edits(&self, text: &str, target: &Target) -> Result<Vec<Edit>, Refusal> {
        let document = Document::parse(text).map_err(|error| {
            let line = 1 + text[..error.span().map_or(0, |span| span.start)].matches('\n').count();
            Refusal(format!("it is no valid TOML (line {line}: {})", error.message()))
        })?;
        let line_end = line_end(text);
        let mut edits = Vec::new();
        match document.get("model_provider") {
            Some(item) if item.as_str() == Some(PROVIDER) => {}
            Some(item) => edits.push(Edit { at: span(item)?, new: format!("\"{PROVIDER}\"") }),
            None => edits.push(chosen_provider(text, &document, line_end)),
        }
        match document.get("model_providers").and_then(|providers| providers.get(PROVIDER)) {
            None => {
                let gap = if text.is_empty() || text.ends_with('\n') { "" } else { line_end };
                edits.push(Edit::insert(text.len(), format!("{gap}\n{}", table(&target.url)).replace('\n', line_end)));
            }
            Some(provider) => match provider.get("base_url") {
                Some(url) if url.as_str() == Some(&target.url) => {}
                Some(url) => edits.push(Edit { at: span(url)?, new: format!("\"{}\"", target.url) }),
                None => return Err(Refusal(format!("its [model_providers.{PROVIDER}] has no base_url"))),
            },
        }
        edits.sort_by_key(|edit| edit.at.start);
        let new = apply(text, &edits);
        if self.others(&new).is_none() || self.others(&new) != self.others(text) || self.urls(&new) != [&*target.url] {
            return Err(Refusal("its model_providers are written in a form that can't be added to".into()));
        }
        Ok(edits)
    }

    fn urls(&self, text: &str) -> Vec<String> {
        let table = text.parse::<toml::Table>().unwrap_or_default();
        let url = table.get("model_providers").and_then(|all| all.get(PROVIDER)?.get("base_url")?.as_str());
        url.map(str::to_owned).into_iter().collect()
    }

    fn is_lopper_in(&self, text: &str) -> bool {
        let Ok(table) = text.parse::<toml::Table>() else { return false };
        table.get("model_provider").and_then(toml::Value::as_str) == Some(PROVIDER)
            || table.get("model_providers").is_some_and(|all| all.get(PROVIDER).is_some())
    }

    fn others(&self, text: &str) -> Option<String> {
        let mut table = text.parse::<toml::Table>().ok()?;
        table.remove("model_provider");
        if let Some(providers) = table.get_mut("model_providers").and_then(toml::Value::as_table_mut) {
            providers.remove(PROVIDER);
            if providers.is_empty() {
                table.remove("model_providers");
            }
        }
        Some(table.to_string())
    }

    fn notes(&self, before: &str, _: &Target) -> Vec<String> {
        let mut notes = vec![
            "Codex takes the key from OPENAI_API_KEY in its environment; it is forwarded as it is. A login with ChatGPT \
             is not used for this provider."
                .to_owned(),
        ];
        let chosen = before.parse::<toml::Table>().ok().and_then(|mut table| table.remove("model_provider"));
        if let Some(chosen) = chosen.as_ref().and_then(toml::Value::as_str).filter(|name| *name != PROVIDER) {
            notes.push(format!(
                "model_provider was {chosen:?}. Lopper forwards to upstream.base_url of its own settings: see that it is \
                 the same API."
            ));
        }
        notes
    }
}

/// The provider, as examples/codex has it.
fn table(url: &str) -> String {
    format!(
        "[model_providers.{PROVIDER}]\nname = \"Lopper\"\nbase_url = \"{url}\"\nenv_key = \"OPENAI_API_KEY\"\n\
         wire_api = \"responses\"\n"
    )
}

/// The line that chooses the provider: below the one that chooses the model, else at the top, where no table has begun.
fn chosen_provider(text: &str, document: &Document<&str>, line_end: &str) -> Edit {
    let line = format!("model_provider = \"{PROVIDER}\"{line_end}");
    let model = document.get("model").filter(|model| model.is_str()).and_then(Item::span);
    let below = model.and_then(|span| Some(span.end + text[span.end..].find('\n')? + 1));
    match below {
        Some(at) => Edit::insert(at, line),
        None if text.is_empty() || text.starts_with(['\n', '\r']) => Edit::insert(0, line),
        // A comment or a table at the top is about what follows it.
        None if text.starts_with(['#', '[']) => Edit::insert(0, line + line_end),
        None => Edit::insert(0, line),
    }
}

fn span(item: &Item) -> Result<Range<usize>, Refusal> {
    item.as_value()
        .and_then(toml_edit::Value::span)
        .ok_or_else(|| Refusal("it has a table where a value belongs".into()))
}
