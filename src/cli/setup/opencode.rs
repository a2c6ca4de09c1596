//! How OpenCode is pointed at Lopper: a provider of its own in `opencode.json`, and its model as the one to use.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;
use serde_json::value::RawValue;

use super::edit::{Edit, Refusal, apply, line_end};
use super::{Assistant, Target, home};

/// The provider's name.
const PROVIDER: &str = "lopper";
/// The model of examples/opencode, where the file names none.
const MODEL: &str = "gpt-4o";

/// OpenCode.
pub struct OpenCode;

impl Assistant for OpenCode {
    fn name(&self) -> &'static str {
        "OpenCode"
    }

    fn file(&self) -> anyhow::Result<PathBuf> {
        let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
        let folder = folder.map_or(home()?.join(".config"), PathBuf::from).join("opencode");
        // OpenCode takes either name.
        let usual = ["opencode.json", "opencode.jsonc"].map(|name| folder.join(name));
        Ok(usual.iter().find(|file| file.exists()).unwrap_or(&usual[0]).clone())
    }

    fn snippet(&self, url: &str) -> String {
        let members = ["\"$schema\": \"https://opencode.ai/config.json\"".into(), chosen(MODEL), provider(url, MODEL)];
        format!("{}\n", object(&members, "", "  "))
    }

    fn edits(&self, text: &str, target: &Target) -> Result<Vec<Edit>, Refusal> {
        if text.trim().is_empty() {
            return Ok(vec![Edit { at: 0..text.len(), new: self.snippet(&target.url) }]);
        }
        let root = Object::of(text, text.trim())?;
        if root.members.contains_key("providers") {
            return Err(Refusal("its `providers` are in the form of OpenCode 2".into()));
        }
        let (mut edits, mut to_add) = (Vec::new(), Vec::new());
        let mut model = MODEL.to_owned();
        match root.members.get("model").map(|model| serde_json::from_str::<String>(model.get())) {
            None => to_add.push(chosen(&model)),
            Some(Ok(name)) => {
                if let Some(name) = name.strip_prefix("openai/") {
                    model = name.to_owned();
                    edits.push(Edit { at: root.place("model"), new: quoted(&format!("{PROVIDER}/{name}")) });
                }
            }
            Some(Err(_)) => return Err(Refusal("its `model` is no text".into())),
        }
        match root.object("provider")? {
            None => to_add.push(provider(&target.url, &model)),
            Some(providers) => match providers.object(PROVIDER)? {
                None => edits.push(providers.add(&[inner(&target.url, &model)])),
                Some(ours) => {
                    let options = ours.object("options")?.filter(|options| options.members.contains_key("baseURL"));
                    let options =
                        options.ok_or_else(|| Refusal(format!("its provider {PROVIDER} has no options.baseURL")))?;
                    let at = options.place("baseURL");
                    if text[at.clone()] != quoted(&target.url) {
                        edits.push(Edit { at, new: quoted(&target.url) });
                    }
                }
            },
        }
        if !to_add.is_empty() {
            edits.push(root.add(&to_add));
        }
        edits.sort_by_key(|edit| edit.at.start);
        let new = apply(text, &edits);
        if self.others(&new).is_none() || self.others(&new) != self.others(text) || self.urls(&new) != [&*target.url] {
            return Err(Refusal("it is written in a form that can't be added to".into()));
        }
        Ok(edits)
    }

    fn urls(&self, text: &str) -> Vec<String> {
        let url = || {
            let file: Value = serde_json::from_str(text).ok()?;
            Some(file.pointer(&format!("/provider/{PROVIDER}/options/baseURL"))?.as_str()?.to_owned())
        };
        url().into_iter().collect()
    }

    fn is_lopper_in(&self, text: &str) -> bool {
        let file: Value = serde_json::from_str(text).unwrap_or_default();
        let has_provider = file.pointer(&format!("/provider/{PROVIDER}")).is_some();
        has_provider || file["model"].as_str().is_some_and(|model| model.starts_with(&format!("{PROVIDER}/")))
    }

    fn others(&self, text: &str) -> Option<String> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        let mut file: Value = serde_json::from_str(text).ok()?;
        let members = file.as_object_mut()?;
        members.remove("model");
        members.remove("$schema");
        if let Some(providers) = members.get_mut("provider").and_then(Value::as_object_mut) {
            providers.remove(PROVIDER);
            if providers.is_empty() {
                members.remove("provider");
            }
        }
        Some(file.to_string())
    }

    fn notes(&self, before: &str, _: &Target) -> Vec<String> {
        let file: Value = serde_json::from_str(before).unwrap_or_default();
        let key = "OpenCode takes the key from OPENAI_API_KEY in its environment; it is forwarded as it is.";
        let model = match file["model"].as_str() {
            Some(name) if name.starts_with(&format!("{PROVIDER}/")) => return vec![key.into()],
            Some(name) => match name.strip_prefix("openai/") {
                Some(name) => format!("Its model is then {PROVIDER}/{name} instead of openai/{name}."),
                None => format!(
                    "Its model stays {name}, which does not go through Lopper; choose {PROVIDER}/{MODEL} for what is to."
                ),
            },
            None => format!("Its model is then {PROVIDER}/{MODEL}."),
        };
        let more = format!("{model} Under `models` of the provider {PROVIDER} belong all that you use.");
        vec![key.into(), more]
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The member that chooses the model.
fn chosen(model: &str) -> String {
    format!("\"model\": {}", quoted(&format!("{PROVIDER}/{model}")))
}

/// The member with the provider, as in examples/opencode.
fn provider(url: &str, model: &str) -> String {
    format!("\"provider\": {}", object(&[inner(url, model)], "", "  "))
}

fn inner(url: &str, model: &str) -> String {
    let members = [
        "\"npm\": \"@ai-sdk/openai-compatible\"".to_owned(),
        "\"name\": \"Lopper\"".to_owned(),
        format!("\"options\": {{ \"baseURL\": {}, \"apiKey\": \"{{env:OPENAI_API_KEY}}\" }}", quoted(url)),
        format!("\"models\": {{ {}: {{}} }}", quoted(model)),
    ];
    format!("\"{PROVIDER}\": {}", object(&members, "", "  "))
}

/// An object of these members, each in lines of its own, `outer` before the last brace and `unit` more before the members.
fn object(members: &[String], outer: &str, unit: &str) -> String {
    let indent = format!("\n{outer}{unit}");
    let members: Vec<String> = members.iter().map(|member| member.replace('\n', &indent)).collect();
    format!("{{{indent}{}\n{outer}}}", members.join(&format!(",{indent}")))
}

/// An object in a text, and where it stands.
struct Object<'a> {
    text: &'a str,
    at: Range<usize>,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// The object that `slice`, a part of `text`, is.
    fn of(text: &'a str, slice: &'a str) -> Result<Self, Refusal> {
        let members = serde_json::from_str(slice).map_err(|error| {
            Refusal(format!("it can't be read as plain JSON, without comments and trailing commas ({error})"))
        })?;
        Ok(Self { text, at: place(text, slice), members })
    }

    /// Where the value of a member stands, which must be there.
    fn place(&self, name: &str) -> Range<usize> {
        self.members.get(name).map_or(self.at.clone(), |value| place(self.text, value.get()))
    }

    fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        self.members.get(name).map(|value| Object::of(self.text, value.get())).transpose()
    }

    /// Puts members in before the others, in the way that these are written.
    fn add(&self, new: &[String]) -> Edit {
        let (text, begin) = (self.text, self.at.start + 1);
        let line_end = line_end(text);
        let gap = &text[begin..self.at.end];
        let gap = &gap[..gap.len() - gap.trim_start().len()];
        let outer = indent_of(text, self.at.start);
        if self.members.is_empty() {
            let whole = object(new, outer, "  ").replace('\n', line_end);
            return Edit { at: self.at.clone(), new: whole };
        }
        match gap.rfind('\n') {
            Some(line) => {
                let indent = &gap[line + 1..];
                let unit = indent.strip_prefix(outer).filter(|unit| !unit.is_empty()).unwrap_or("  ");
                let lines = |member: &String| member.replace("  ", unit).replace('\n', &format!("{line_end}{indent}"));
                let members: String =
                    new.iter().map(|member| format!("{indent}{},{line_end}", lines(member))).collect();
                Edit::insert(begin + line + 1, members)
            }
            // All in one line.
            None => {
                let flat = |member: &String| member.lines().map(str::trim).collect::<Vec<_>>().join(" ");
                let members: String = new.iter().map(|member| format!("{}, ", flat(member))).collect();
                Edit::insert(begin + gap.len(), members)
            }
        }
    }
}

/// White space at the beginning of the line that a byte of `text` is in.
fn indent_of(text: &str, at: usize) -> &str {
    let line = &text[text[..at].rfind('\n').map_or(0, |at| at + 1)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// Where `slice`, a part of `text`, stands in it.
fn place(text: &str, slice: &str) -> Range<usize> {
    let start = slice.as_ptr() as usize - text.as_ptr() as usize;
    start..start + slice.len()
}
