//! What each key accepts: one row a key, the same for a file, an environment variable and a flag.

use std::path::Path;
use std::time::Duration;

use http::Uri;
use toml::de::DeValue;

use super::{Config, EMBEDDED, Fine, Method, Mode};
use crate::text::Tokens;

/// A key of `lopper.toml`.
pub(super) struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// Checks a value and stores it; an error says what the value must be.
    set: fn(&mut Config, &Value<'_>) -> Result<(), String>,
}

/// A value as it was written.
pub(super) enum Value<'a> {
    /// In an environment variable or a flag: only text, whatever the key's type.
    Plain(&'a str),
    /// In a file in this folder.
    Toml(&'a DeValue<'a>, &'a Path),
}

/// All keys, in the order of `config/lopper.toml`.
pub(super) const KEYS: &[Key] = &[
    key("server", "listen", |c, v| {
        let address = v.text()?.parse();
        store(&mut c.server.listen, address.map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8787"))
    }),
    key("server", "drain_timeout", |c, v| store(&mut c.server.drain_timeout, v.duration())),
    key("upstream", "base_url", |c, v| store(&mut c.upstream.base_url, base_url(v.text()?))),
    key("upstream", "api_key_env", |c, v| store(&mut c.upstream.api_key_env, variable_name(v.text()?).map(Some))),
    key("upstream", "connect_timeout", |c, v| store(&mut c.upstream.connect_timeout, v.duration().and_then(some_time))),
    key("compression", "mode", |c, v| {
        store(&mut c.compression.mode, v.one_of(&[("on", Mode::On), ("off", Mode::Off)]))
    }),
    key("compression", "ratio", |c, v| {
        let ratio = Some(v.number()?).filter(|ratio| *ratio > 0.0 && *ratio <= 1.0);
        store(&mut c.compression.ratio, ratio.ok_or("it must be above 0 and at most 1"))
    }),
    key("compression", "min_tokens", |c, v| store(&mut c.compression.min_tokens, v.integer().map(Tokens))),
    key("compression", "min_saving", |c, v| {
        let saving = Some(v.number()?).filter(|saving| (0.0..1.0).contains(saving));
        store(&mut c.compression.min_saving, saving.ok_or("it must be at least 0 and below 1"))
    }),
    key("compression", "fine", |c, v| {
        store(&mut c.compression.fine, v.one_of(&[("auto", Fine::Auto), ("on", Fine::On), ("off", Fine::Off)]))
    }),
    key("scorer", "model", |c, v| {
        let path = Path::new(some_text(v.text()?)?);
        store(&mut c.scorer.model, Ok::<_, String>(Some(v.folder().join(path))))
    }),
    key("scorer", "method", |c, v| store(&mut c.scorer.method, v.one_of(&[("longcodezip", Method::LongCodeZip)]))),
    key("scorer", "threads", |c, v| store(&mut c.scorer.threads, v.integer())),
    key("scorer", "gpu_layers", |c, v| store(&mut c.scorer.gpu_layers, v.integer().map(Some))),
    key("scorer", "deadline_ms", |c, v| {
        store(&mut c.scorer.deadline, v.integer().map(Duration::from_millis).and_then(some_time))
    }),
    key("model", "repository", |c, v| {
        let parts: Vec<&str> = v.text()?.split('/').collect();
        let fits = parts.len() == 2 && parts.iter().all(|part| is_path_part(part));
        store(&mut c.model.repository, fits.then(|| parts.join("/")).ok_or("it must be OWNER/NAME, as on the hub"))
    }),
    key("model", "file", |c, v| {
        let file = Some(v.text()?).filter(|file| file.split('/').all(is_path_part) && file.ends_with(".gguf"));
        store(&mut c.model.file, file.map(str::to_owned).ok_or("it must be a file in the repository, ending in .gguf"))
    }),
    key("model", "revision", |c, v| store(&mut c.model.revision, some_text(v.text()?).map(str::to_owned))),
    key("model", "sha256", |c, v| {
        let sum = Some(v.text()?.to_ascii_lowercase()).filter(|sum| is_sha256(sum));
        store(&mut c.model.sha256, sum.map(Some).ok_or("it must have 64 hexadecimal digits"))
    }),
    key("limits", "body_bytes", |c, v| {
        let bytes = Some(v.integer()?).filter(|bytes| *bytes > 0);
        store(&mut c.limits.body_bytes, bytes.ok_or("it must be above 0"))
    }),
];

const fn key(section: &'static str, name: &'static str, set: fn(&mut Config, &Value<'_>) -> Result<(), String>) -> Key {
    Key { section, name, set }
}

fn store<T, E: Into<String>>(field: &mut T, value: Result<T, E>) -> Result<(), String> {
    *field = value.map_err(Into::into)?;
    Ok(())
}

impl Key {
    /// Sets the key.
    ///
    /// # Errors
    /// A sentence with the key, its value and what it must be.
    pub(super) fn set(&self, config: &mut Config, value: &Value<'_>) -> Result<(), String> {
        (self.set)(config, value).map_err(|why| {
            let shown = value.shown();
            // What stands here in error may be a key or a password.
            let shown = if self.name == "api_key_env" || shown.contains('@') { "wrong".into() } else { shown };
            format!("{}.{} is {shown}; {why}", self.section, self.name)
        })
    }

    /// The environment variable that sets the key.
    pub(super) fn variable(&self) -> String {
        format!("LOPPER_{}_{}", self.section, self.name).to_ascii_uppercase()
    }
}

impl Value<'_> {
    fn text(&self) -> Result<&str, String> {
        match self {
            Self::Plain(text) => Ok(text),
            Self::Toml(value, _) => value.as_str().ok_or_else(|| "it must be text, in quotation marks".into()),
        }
    }

    fn number(&self) -> Result<f64, String> {
        let text = match self {
            Self::Plain(text) => Some(*text),
            Self::Toml(DeValue::Float(float), _) => Some(float.as_str()),
            Self::Toml(DeValue::Integer(integer), _) if integer.radix() == 10 => Some(integer.as_str()),
            Self::Toml(..) => None,
        };
        let number = text.and_then(|text| text.parse().ok()).filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| "it must be a number, such as 0.4".into())
    }

    fn integer<N: TryFrom<u64>>(&self) -> Result<N, String> {
        let integer = match self {
            Self::Plain(text) => text.parse::<u64>().ok(),
            Self::Toml(DeValue::Integer(integer), _) => {
                u64::from_str_radix(integer.as_str().trim_start_matches('+'), integer.radix()).ok()
            }
            Self::Toml(..) => None,
        };
        let integer = integer.ok_or("it must be a whole number, 0 or above")?;
        N::try_from(integer).map_err(|_| "that is too much".into())
    }

    /// `10s`, `500ms`, `2m`.
    fn duration(&self) -> Result<Duration, String> {
        let needed = || "it must be a time with its unit, such as \"10s\", \"500ms\" or \"2m\"".to_owned();
        let text = self.text().map_err(|_| needed())?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| needed())?;
        match text[digits..].trim_start() {
            "ms" => Ok(Duration::from_millis(number)),
            "s" => Ok(Duration::from_secs(number)),
            "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
            _ => Err(needed()),
        }
    }

    fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let chosen = self.text().ok().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            format!("it must be {}", names.join(" or "))
        })
    }

    /// What a relative path is relative to.
    fn folder(&self) -> &Path {
        match self {
            Self::Plain(_) => Path::new(""),
            Self::Toml(_, folder) => folder,
        }
    }

    /// The value for a message.
    fn shown(&self) -> String {
        match self {
            Self::Plain(text) => format!("{text:?}"),
            Self::Toml(DeValue::String(text), _) => format!("{text:?}"),
            Self::Toml(DeValue::Integer(integer), _) => integer.to_string(),
            Self::Toml(DeValue::Float(float), _) => float.to_string(),
            Self::Toml(DeValue::Boolean(boolean), _) => boolean.to_string(),
            Self::Toml(other, _) => format!("of type {}", other.type_str()),
        }
    }
}

fn base_url(text: &str) -> Result<String, String> {
    if text == EMBEDDED {
        return Ok(text.to_owned());
    }
    let uri: Option<Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| {
        let plain = uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
        plain && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    if fits {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(format!("it must be \"{EMBEDDED}\" or a URL such as https://api.openai.com/v1, without user name or query"))
    }
}

fn variable_name(text: &str) -> Result<String, String> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(text.to_owned())
    } else {
        Err("it must be the name of an environment variable that holds the key, not the key itself".into())
    }
}

fn some_time(time: Duration) -> Result<Duration, String> {
    if time.is_zero() { Err("it must be above 0".into()) } else { Ok(time) }
}

fn some_text(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("it must not be empty".into()) } else { Ok(text) }
}

/// Whether `part` is a plain name, so that a path made of such parts stays inside its folder.
fn is_path_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['\\', '?', '#', ' '])
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
