//! How a value is read and shown, whichever way it was written: in a file, an environment variable or a flag.

use std::path::Path;
use std::time::Duration;

use http::Uri;
use toml::de::DeValue;

use super::EMBEDDED;
use crate::base::text::Tokens;

/// A value as it was written.
pub(super) enum Value<'a> {
    /// In an environment variable or a flag: only text, whatever the key's type.
    Plain(&'a str),
    /// In a file in this folder.
    Toml(&'a DeValue<'a>, &'a Path),
}

impl Value<'_> {
    pub(super) fn text(&self) -> Result<&str, String> {
        match self {
            Self::Plain(text) => Ok(text),
            Self::Toml(value, _) => value.as_str().ok_or_else(|| "it must be text, in quotation marks".into()),
        }
    }

    /// A text, or a list of at least one.
    pub(super) fn texts(&self) -> Result<Vec<&str>, String> {
        let Self::Toml(DeValue::Array(items), _) = self else {
            let needed = |_| "it must be text in quotation marks, or a list of such texts".to_owned();
            return self.text().map(|text| vec![text]).map_err(needed);
        };
        let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
        texts.filter(|texts| !texts.is_empty()).ok_or_else(|| "its list must hold texts, at least one".into())
    }

    pub(super) fn number(&self) -> Result<f64, String> {
        let text = match self {
            Self::Plain(text) => Some(*text),
            Self::Toml(DeValue::Float(float), _) => Some(float.as_str()),
            Self::Toml(DeValue::Integer(integer), _) if integer.radix() == 10 => Some(integer.as_str()),
            Self::Toml(..) => None,
        };
        let number = text.and_then(|text| text.parse().ok()).filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| "it must be a number, such as 0.4".into())
    }

    /// Above 0, at most 1.
    pub(super) fn ratio(&self) -> Result<f64, String> {
        let ratio = Some(self.number()?).filter(|ratio| *ratio > 0.0 && *ratio <= 1.0);
        ratio.ok_or_else(|| "it must be above 0 and at most 1".into())
    }

    /// Of a million tokens; at least 0.
    pub(super) fn price(&self) -> Result<f64, String> {
        let price = Some(self.number()?).filter(|price| *price >= 0.0);
        price.ok_or_else(|| "it must be at least 0".into())
    }

    pub(super) fn integer<N: TryFrom<u64>>(&self) -> Result<N, String> {
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

    pub(super) fn boolean(&self) -> Result<bool, String> {
        let value = match self {
            Self::Plain(text) => text.parse().ok(),
            Self::Toml(value, _) => value.as_bool(),
        };
        value.ok_or_else(|| "it must be true or false".into())
    }

    /// A whole number above 0.
    pub(super) fn count<N: TryFrom<u64> + Default + PartialEq>(&self) -> Result<N, String> {
        self.integer().and_then(some_of)
    }

    pub(super) fn some_tokens(&self) -> Result<Tokens, String> {
        self.count().map(Tokens)
    }

    /// `10s`, `500ms`, `2m`, `1h`.
    pub(super) fn duration(&self) -> Result<Duration, String> {
        let needed = || "it must be a time with its unit, such as \"10s\", \"500ms\", \"2m\" or \"1h\"".to_owned();
        let text = self.text().map_err(|_| needed())?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().map_err(|_| needed())?;
        match text[digits..].trim_start() {
            "ms" => Ok(Duration::from_millis(number)),
            "s" => Ok(Duration::from_secs(number)),
            "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
            "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
            _ => Err(needed()),
        }
    }

    pub(super) fn one_of<T: Copy>(&self, choices: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
        let chosen = self.text().ok().and_then(|text| choices.iter().find(|choice| name(**choice) == text));
        chosen.copied().ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|choice| name(*choice)).collect();
            format!("it must be {}", any_of(&names))
        })
    }

    /// What a relative path is relative to.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Plain(_) => Path::new(""),
            Self::Toml(_, folder) => folder,
        }
    }

    /// The value for a message.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Plain(text) => format!("{text:?}"),
            Self::Toml(value, _) => shown(value),
        }
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::Float(float) => float.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Array(items) if items.iter().all(|item| item.get_ref().as_str().is_some()) => {
            let items: Vec<String> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        other => format!("of type {}", other.type_str()),
    }
}

/// `"on", "off" or "audit"`.
pub(super) fn any_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{:?}", word.as_ref())).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

/// A time as [`Value::duration`] reads it, in the largest unit that leaves no rest.
pub(super) fn in_units(time: Duration) -> String {
    let seconds = time.as_secs();
    let text = match () {
        () if time.subsec_nanos() > 0 => format!("{}ms", time.as_millis()),
        () if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        () if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        () => format!("{seconds}s"),
    };
    format!("\"{text}\"")
}

pub(super) fn base_url(text: &str) -> Result<String, String> {
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

pub(super) fn variable_name(text: &str) -> Result<String, String> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(text.to_owned())
    } else {
        Err("it must be the name of an environment variable that holds the key, not the key itself".into())
    }
}

/// Anything but 0.
pub(super) fn some_of<N: Default + PartialEq>(amount: N) -> Result<N, String> {
    if amount == N::default() { Err("it must be above 0".into()) } else { Ok(amount) }
}

pub(super) fn some_text(text: &str) -> Result<&str, String> {
    if text.is_empty() { Err("it must not be empty".into()) } else { Ok(text) }
}

/// Whether `part` is a plain name, so that a path made of such parts stays inside its folder.
pub(super) fn is_path_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['\\', '?', '#', ' '])
}

pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
