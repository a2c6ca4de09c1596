//! How aider is pointed at Lopper: the option `openai-api-base` in `.aider.conf.yml`.

use std::path::PathBuf;

use super::edit::{Edit, Refusal, line_end};
use super::yaml::{self, MARK};
use super::{Assistant, Target, home};

const KEY: &str = "openai-api-base";

/// aider.
pub struct Aider;

impl Assistant for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        Ok(home()?.join(".aider.conf.yml"))
    }

    fn snippet(&self, url: &str) -> String {
        format!("{KEY}: {url}\n")
    }

    fn edits(&self, text: &str, target: &Target) -> Result<Vec<Edit>, Refusal> {
        let lines = yaml::lines(text)?;
        match lines.iter().find(|line| line.is_key(0, KEY)) {
            Some(line) if line.value() == target.url => Ok(Vec::new()),
            Some(line) => Ok(line.set(&target.url)),
            None => {
                let line_end = line_end(text);
                let line = format!("{KEY}: {}  {MARK}{line_end}", target.url);
                let is_ended = text.is_empty() || text.ends_with('\n');
                Ok(vec![match lines.first() {
                    // Not at the end: an end of the last line may become a part of a text there.
                    Some(first) if !is_ended => Edit::insert(first.start(), line),
                    None if !is_ended => Edit::insert(text.len(), format!("{line_end}{line}")),
                    _ => Edit::insert(text.len(), line),
                }])
            }
        }
    }

    fn urls(&self, text: &str) -> Vec<String> {
        yaml::marked(text)
    }

    fn notes(&self, before: &str, target: &Target) -> Vec<String> {
        let mut notes = vec![
            "Name the model with the prefix openai/, as in `aider --model openai/gpt-4o`: without it aider picks the \
             provider by the name. The key stays where it is, and is forwarded as it is."
                .to_owned(),
            "A .aider.conf.yml in the repository or the working folder is stronger than this one.".to_owned(),
        ];
        let lines = yaml::lines(before).unwrap_or_default();
        let was = lines.iter().find(|line| line.is_key(0, KEY) && !line.is_marked()).map(|line| line.value());
        if let Some(was) = was.filter(|was| !was.is_empty() && *was != target.url && !target.is_upstream(was)) {
            notes.push(format!(
                "{KEY} was {was}, and Lopper forwards to {}: if that is to go on, set upstream.base_url in lopper.toml.",
                target.upstream
            ));
        }
        if std::env::var_os("AIDER_OPENAI_API_BASE").is_some() {
            notes.push("AIDER_OPENAI_API_BASE is set in the environment, and is stronger than the file.".to_owned());
        }
        notes
    }
}
