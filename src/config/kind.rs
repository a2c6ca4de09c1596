//! Kinds of values: how a setting's value is read from a file, a variable or a flag, checked, and shown.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use serde::de::DeserializeOwned;
use strum::VariantNames;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::globs::Globs;
use super::problem::any_of;
use super::values::{HOLDOUT, Mode, ModeSetting};
use crate::base::text::Tokens;

/// The value of `upstream.base_url` with which the local model answers.
pub const EMBEDDED: &str = "embedded";

/// A value as it was written.
pub(super) enum Raw<'a> {
    /// In an environment variable or a flag: text, whatever the setting takes.
    Text(&'a str),
    /// In a file in this folder.
    Toml(&'a Spanned<DeValue<'a>>, &'a Path),
}

impl Raw<'_> {
    fn get<T: FromStr + DeserializeOwned>(&self, needed: &str) -> Result<T, String> {
        let value = match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(value, _) => T::deserialize(ValueDeserializer::from((*value).clone())).ok(),
        };
        value.ok_or_else(|| format!("it must be {needed}"))
    }

    fn text(&self) -> Result<String, String> {
        self.get("text, in quotation marks")
    }

    /// A text, or a list of at least one.
    fn texts(&self) -> Result<Vec<&str>, String> {
        let text = match self {
            Self::Text(text) => Some(*text),
            Self::Toml(value, _) => value.get_ref().as_str(),
        };
        match (text, self.list()) {
            (Some(text), _) => Ok(vec![text]),
            (None, None) => Err("it must be text in quotation marks, or a list of such texts".into()),
            (None, Some(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                texts.filter(|texts| !texts.is_empty()).ok_or_else(|| "its list must hold texts, at least one".into())
            }
        }
    }

    fn list(&self) -> Option<&[Spanned<DeValue<'_>>]> {
        match self {
            Self::Text(_) => None,
            Self::Toml(value, _) => value.get_ref().as_array().map(|items| &items[..]),
        }
    }

    /// The value for a message.
    pub(super) fn shown(&self) -> String {
        match (self, self.list(), self.texts()) {
            (Self::Text(text), ..) => format!("{text:?}"),
            (_, Some([]), _) => "[]".into(),
            (_, Some(_), Ok(texts)) => format!("{texts:?}"),
            (Self::Toml(value, _), ..) => match value.get_ref() {
                DeValue::String(text) => format!("{text:?}"),
                DeValue::Integer(integer) => integer.to_string(),
                DeValue::Float(float) => float.to_string(),
                DeValue::Boolean(boolean) => boolean.to_string(),
                other => format!("of type {}", other.type_str()),
            },
        }
    }
}

/// What a setting of type `T` or `Option<T>` takes.
pub(super) struct Kind<T: 'static> {
    takes: &'static str,
    choices: &'static [&'static str],
    /// Which values fit, such as "above 0"; empty where all do.
    pub range: &'static str,
    fits: fn(&T) -> bool,
    read: fn(&Raw<'_>) -> Result<T, String>,
    show: fn(&T) -> String,
    /// Whether a key may stand here in error, so that a wrong value is not repeated.
    pub names_secret: bool,
}

impl<T> Kind<T> {
    /// `takes` names the kind in the documentation; an error of `read` is a sentence that says what the value must be.
    const fn new(takes: &'static str, read: fn(&Raw<'_>) -> Result<T, String>, show: fn(&T) -> String) -> Self {
        Self { takes, choices: &[], range: "", fits: |_| true, read, show, names_secret: false }
    }

    /// Only values that fit, which are `range`, such as "above 0".
    pub(super) const fn within(self, range: &'static str, fits: fn(&T) -> bool) -> Self {
        Self { range, fits, ..self }
    }

    /// Reads a value; an error says what it must be.
    pub(super) fn read(&self, raw: &Raw<'_>) -> Result<T, String> {
        let value = (self.read)(raw)?;
        if (self.fits)(&value) { Ok(value) } else { Err(format!("it must be {}", self.range)) }
    }

    /// A value as a file would have it.
    pub(super) fn show(&self, value: &T) -> String {
        (self.show)(value)
    }

    /// Which values there are, for the documentation.
    pub(super) fn describe(&self) -> String {
        match (self.choices, self.range) {
            ([], "") => self.takes.into(),
            ([], range) => format!("{}, {range}", self.takes),
            (choices, _) => any_of(choices) + self.takes,
        }
    }
}

/// A setting's type: the kind's own, or that or nothing.
pub(super) trait Field<T> {
    fn value(&self) -> Option<&T>;
    fn put(&mut self, value: T);
}

impl<T> Field<T> for T {
    fn value(&self) -> Option<&T> {
        Some(self)
    }

    fn put(&mut self, value: T) {
        *self = value;
    }
}

impl<T> Field<T> for Option<T> {
    fn value(&self) -> Option<&T> {
        self.as_ref()
    }

    fn put(&mut self, value: T) {
        *self = Some(value);
    }
}

pub(super) const BOOLEAN: Kind<bool> = Kind::new("true or false", |raw| raw.get("true or false"), ToString::to_string);

pub(super) const NUMBER: Kind<f64> = Kind::new(
    "number",
    |raw| {
        let number = raw.get("a number, such as 0.4")?;
        if f64::is_finite(number) { Ok(number) } else { Err("it must be a number, such as 0.4".into()) }
    },
    ToString::to_string,
);

pub(super) const SHARE: Kind<f64> = NUMBER.within("above 0 and at most 1", |share| *share > 0.0 && *share <= 1.0);

/// A whole number, 0 included.
pub(super) const fn integer<N: TryFrom<u64> + Display>() -> Kind<N> {
    let read = |raw: &Raw<'_>| {
        let number: u64 = raw.get("a whole number, 0 or above")?;
        N::try_from(number).map_err(|_| "that is too much".into())
    };
    Kind::new("whole number", read, N::to_string)
}

/// A whole number above 0.
pub(super) const fn count<N: TryFrom<u64> + Display + Default + PartialEq>() -> Kind<N> {
    integer::<N>().within("above 0", |number| *number != N::default())
}

pub(super) const TOKENS: Kind<Tokens> =
    Kind::new("whole number", |raw| integer().read(raw).map(Tokens), |tokens| tokens.0.to_string());

pub(super) const SOME_TOKENS: Kind<Tokens> = TOKENS.within("above 0", |tokens| tokens.0 > 0);

pub(super) const DURATION: Kind<Duration> = Kind::new("time such as \"10s\"", duration, in_units);

pub(super) const SOME_TIME: Kind<Duration> = DURATION.within("above 0", |time| !time.is_zero());

pub(super) const fn choice<T: FromStr + VariantNames + Into<&'static str> + Copy>() -> Kind<T> {
    let read = |raw: &Raw<'_>| {
        let chosen = raw.text().ok().and_then(|text| text.parse().ok());
        chosen.ok_or_else(|| format!("it must be {}", any_of(T::VARIANTS)))
    };
    Kind { choices: T::VARIANTS, ..Kind::new("", read, |chosen| quoted((*chosen).into())) }
}

pub(super) const MODE: Kind<ModeSetting> = Kind {
    choices: Mode::VARIANTS,
    ..Kind::new(
        ", or \"holdout:10\"",
        |raw| match raw.text().ok().as_deref().and_then(|text| text.strip_prefix(HOLDOUT)) {
            None => choice::<Mode>().read(raw).map(Into::into).map_err(|why| format!("{why}, or \"{HOLDOUT}10\"")),
            Some(percent) => match percent.parse() {
                Ok(holdout_percent @ 1..=99) => Ok(ModeSetting { mode: Mode::On, holdout_percent }),
                _ => Err(format!("after \"{HOLDOUT}\" it must have a whole number from 1 to 99")),
            },
        },
        |mode| quoted(&mode.to_string()),
    )
};

pub(super) const ADDRESS: Kind<SocketAddr> = Kind::new(
    "IP address and port",
    |raw| raw.text()?.parse().map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8787".into()),
    |address| quoted(&address.to_string()),
);

pub(super) const ADDRESS_OR_OFF: Kind<Option<SocketAddr>> = Kind::new(
    "IP address and port, or \"off\"",
    |raw| match raw.text()?.as_str() {
        "off" => Ok(None),
        address => address
            .parse()
            .map(Some)
            .map_err(|_| "it must be an IP address and a port, such as 127.0.0.1:8788, or \"off\"".into()),
    },
    |address| quoted(&address.map_or_else(|| "off".to_owned(), |address| address.to_string())),
);

pub(super) const PATH: Kind<PathBuf> = Kind::new(
    "path",
    |raw| {
        let path = some_text(raw.text()?)?;
        Ok(match raw {
            Raw::Text(_) => path.into(),
            Raw::Toml(_, folder) => folder.join(path),
        })
    },
    |path| quoted(&path.to_string_lossy()),
);

const fn text(takes: &'static str, read: fn(&Raw<'_>) -> Result<String, String>) -> Kind<String> {
    Kind::new(takes, read, |text| quoted(text))
}

pub(super) const ANY_TEXT: Kind<String> = text("text", |raw| some_text(raw.text()?));

pub(super) const BASE_URL: Kind<String> = text("URL, or \"embedded\"", |raw| {
    let text = raw.text()?;
    if text == EMBEDDED {
        return Ok(text);
    }
    base_url(&text).ok_or_else(|| {
        format!("it must be \"{EMBEDDED}\" or a URL such as https://api.openai.com/v1, without user name or query")
    })
});

pub(super) const COLLECTOR_URL: Kind<String> = text("URL", |raw| {
    let needed = "it must be the http or https URL of a collector, such as http://127.0.0.1:4318";
    base_url(&raw.text()?).ok_or_else(|| needed.into())
});

/// The name of an environment variable.
pub(super) const VARIABLE: Kind<String> = Kind {
    names_secret: true,
    ..text("name of a variable", |raw| {
        let name = raw.text()?;
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let fits = starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let needed = "it must be the name of an environment variable that holds the key, not the key itself";
        fits.then_some(name).ok_or_else(|| needed.into())
    })
};

pub(super) const REPOSITORY: Kind<String> = text("OWNER/NAME", |raw| {
    let name = raw.text()?;
    let fits = name.split('/').count() == 2 && name.split('/').all(is_path_part);
    fits.then_some(name).ok_or_else(|| "it must be OWNER/NAME, as on the hub".into())
});

pub(super) const MODEL_FILE: Kind<String> = text("path ending in .gguf", |raw| {
    let file = raw.text()?;
    let fits = file.split('/').all(is_path_part) && file.ends_with(".gguf");
    fits.then_some(file).ok_or_else(|| "it must be a file in the repository, ending in .gguf".into())
});

pub(super) const SHA256: Kind<String> = text("64 hexadecimal digits", |raw| {
    let sum = raw.text()?.to_ascii_lowercase();
    let fits = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then_some(sum).ok_or_else(|| "it must have 64 hexadecimal digits".into())
});

/// Patterns that `read` makes of texts.
pub(super) const fn patterns(read: fn(&Raw<'_>) -> Result<Globs, String>) -> Kind<Globs> {
    Kind::new("pattern, or list of patterns", read, |globs| format!("{:?}", globs.patterns()))
}

pub(super) const NAMES: Kind<Globs> = patterns(|raw| Globs::words(&raw.texts()?));
pub(super) const PATHS: Kind<Globs> = patterns(|raw| Globs::paths(&raw.texts()?));
pub(super) const LANGUAGES: Kind<Globs> = patterns(|raw| Globs::languages(&raw.texts()?));
pub(super) const APIS: Kind<Globs> = patterns(|raw| Globs::apis(&raw.texts()?));

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn some_text(text: String) -> Result<String, String> {
    if text.is_empty() { Err("it must not be empty".into()) } else { Ok(text) }
}

/// Reads `10s`, `500ms`, `2m` or `1h`.
fn duration(raw: &Raw<'_>) -> Result<Duration, String> {
    let needed = || "it must be a time with its unit, such as \"10s\", \"500ms\", \"2m\" or \"1h\"".to_owned();
    let text = raw.text().map_err(|_| needed())?;
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

/// A time as [`duration`] reads it, in the largest unit that leaves no rest.
fn in_units(time: &Duration) -> String {
    let seconds = time.as_secs();
    quoted(&match () {
        () if time.subsec_nanos() > 0 => format!("{}ms", time.as_millis()),
        () if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        () if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        () => format!("{seconds}s"),
    })
}

/// `text` without a slash at its end, if it is an `http` or `https` URL without user name and query.
fn base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let is_plain = uri.query().is_none() && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
    (is_plain && matches!(uri.scheme_str(), Some("http" | "https"))).then(|| text.trim_end_matches('/').to_owned())
}

/// Whether `part` is a plain name, so that a path made of such parts stays inside its folder.
fn is_path_part(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['\\', '?', '#', ' '])
}
