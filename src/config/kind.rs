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
    fn get<T: FromStr + DeserializeOwned>(&self) -> Option<T> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(value, _) => T::deserialize(ValueDeserializer::from((*value).clone())).ok(),
        }
    }

    /// A text, or a list of at least one.
    fn texts(&self) -> Result<Vec<&str>, String> {
        let value = match self {
            Self::Text(text) => return Ok(vec![text]),
            Self::Toml(value, _) => value.get_ref(),
        };
        match (value.as_str(), value.as_array()) {
            (Some(text), _) => Ok(vec![text]),
            (None, None) => Err("it must be text in quotation marks, or a list of such texts".into()),
            (None, Some(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
                texts.filter(|texts| !texts.is_empty()).ok_or_else(|| "its list must hold texts, at least one".into())
            }
        }
    }

    /// The value for a message.
    pub(super) fn shown(&self) -> String {
        let value = match self {
            Self::Text(text) => return quoted(text),
            Self::Toml(value, _) => value.get_ref(),
        };
        match value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(integer) => integer.to_string(),
            DeValue::Float(float) => float.to_string(),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Array(items) if items.is_empty() => "[]".into(),
            other => {
                self.texts().map_or_else(|_| format!("of type {}", other.type_str()), |texts| format!("{texts:?}"))
            }
        }
    }
}

/// What a setting of type `T` or `Option<T>` takes.
pub(super) struct Kind<T: 'static> {
    /// What a value must be; after `choices`, if there are any.
    must_be: &'static str,
    choices: &'static [&'static str],
    /// Which values fit, such as "above 0"; empty where all do.
    pub range: &'static str,
    fits: fn(&T) -> bool,
    read: Read<T>,
    show: fn(&T) -> String,
    /// Whether a key may stand here in error, so that a wrong value is not repeated.
    pub names_secret: bool,
}

/// How a value is read: `None` where it is not what it must be, or a sentence that says what is wrong.
enum Read<T: 'static> {
    Text(fn(&str) -> Option<T>),
    Value(fn(&Raw<'_>) -> Option<T>),
    Explained(fn(&Raw<'_>) -> Result<T, String>),
}

impl<T> Kind<T> {
    const fn new(must_be: &'static str, read: Read<T>, show: fn(&T) -> String) -> Self {
        Self { must_be, choices: &[], range: "", fits: |_| true, read, show, names_secret: false }
    }

    /// Only values that fit, which are `range`, such as "above 0".
    pub(super) const fn within(self, range: &'static str, fits: fn(&T) -> bool) -> Self {
        Self { range, fits, ..self }
    }

    /// Reads a value; an error says what it must be.
    pub(super) fn read(&self, raw: &Raw<'_>) -> Result<T, String> {
        let value = match self.read {
            Read::Text(read) => raw.get::<String>().and_then(|text| read(&text)),
            Read::Value(read) => read(raw),
            Read::Explained(read) => Some(read(raw)?),
        };
        let value = value.ok_or_else(|| format!("it must be {}", self.describe()))?;
        if (self.fits)(&value) { Ok(value) } else { Err(format!("it must be {}", self.range)) }
    }

    /// A value as a file would have it.
    pub(super) fn show(&self, value: &T) -> String {
        (self.show)(value)
    }

    /// What a value must be, but for its range.
    pub(super) fn describe(&self) -> String {
        any_of(self.choices) + self.must_be
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

pub(super) const BOOLEAN: Kind<bool> = Kind::new("true or false", Read::Value(|raw| raw.get()), bool::to_string);

pub(super) const NUMBER: Kind<f64> = Kind::new(
    "a number, such as 0.4",
    Read::Value(|raw| raw.get().filter(|number: &f64| number.is_finite())),
    f64::to_string,
);

pub(super) const SHARE: Kind<f64> = NUMBER.within("above 0 and at most 1", |share| *share > 0.0 && *share <= 1.0);

/// A whole number, 0 included.
pub(super) const fn integer<N: TryFrom<u64> + Display>() -> Kind<N> {
    let read = |raw: &Raw<'_>| {
        let number: u64 = raw.get().ok_or("it must be a whole number, 0 or above")?;
        N::try_from(number).map_err(|_| "that is too much".into())
    };
    Kind::new("a whole number", Read::Explained(read), N::to_string)
}

/// A whole number above 0.
pub(super) const fn count<N: TryFrom<u64> + Display + Default + PartialEq>() -> Kind<N> {
    integer::<N>().within("above 0", |number| *number != N::default())
}

pub(super) const TOKENS: Kind<Tokens> =
    Kind::new("a whole number", Read::Explained(|raw| integer().read(raw).map(Tokens)), |tokens| tokens.0.to_string());

pub(super) const SOME_TOKENS: Kind<Tokens> = TOKENS.within("above 0", |tokens| tokens.0 > 0);

pub(super) const DURATION: Kind<Duration> =
    Kind::new("a time with its unit, such as \"10s\", \"500ms\", \"2m\" or \"1h\"", Read::Text(duration), in_units);

pub(super) const SOME_TIME: Kind<Duration> = DURATION.within("above 0", |time| !time.is_zero());

pub(super) const fn choice<T: FromStr + VariantNames + AsRef<str>>() -> Kind<T> {
    Kind {
        choices: T::VARIANTS,
        ..Kind::new("", Read::Text(|text| text.parse().ok()), |chosen| quoted(chosen.as_ref()))
    }
}

/// A mode, and the share of conversations in percent that are left alone.
pub(super) const MODE: Kind<ModeSetting> = Kind {
    choices: Mode::VARIANTS,
    ..text(", or \"holdout:10\"", |text| match text.strip_prefix(HOLDOUT) {
        None => text.parse::<Mode>().ok().map(Into::into),
        Some(percent) => {
            let holdout_percent = percent.parse().ok().filter(|percent| (1..=99).contains(percent))?;
            Some(ModeSetting { mode: Mode::On, holdout_percent })
        }
    })
};

pub(super) const ADDRESS: Kind<SocketAddr> =
    text("an IP address and a port, such as 127.0.0.1:8787", |text| text.parse().ok());

/// `off` is none.
pub(super) const ADDRESS_OR_OFF: Kind<Option<SocketAddr>> = Kind::new(
    "an IP address and a port, such as 127.0.0.1:8788, or \"off\"",
    Read::Text(|text| if text == "off" { Some(None) } else { text.parse().ok().map(Some) }),
    |address| quoted(&address.map_or_else(|| "off".into(), |address| address.to_string())),
);

/// A path that is relative to the file's folder or, in a variable, to the current one.
pub(super) const PATH: Kind<PathBuf> = Kind::new(
    "a path",
    Read::Value(|raw| {
        let path = raw.get::<String>().filter(|path| !path.is_empty())?;
        Some(match raw {
            Raw::Text(_) => path.into(),
            Raw::Toml(_, folder) => folder.join(path),
        })
    }),
    |path| quoted(&path.to_string_lossy()),
);

const fn text<T: Display>(must_be: &'static str, read: fn(&str) -> Option<T>) -> Kind<T> {
    Kind::new(must_be, Read::Text(read), |value| quoted(&value.to_string()))
}

pub(super) const ANY_TEXT: Kind<String> =
    text("text, in quotation marks", |text| (!text.is_empty()).then(|| text.to_owned()));

pub(super) const BASE_URL: Kind<String> =
    text("\"embedded\" or a URL such as https://api.openai.com/v1, without user name or query", |text| {
        if text == EMBEDDED { Some(text.to_owned()) } else { base_url(text) }
    });

pub(super) const COLLECTOR_URL: Kind<String> =
    text("the http or https URL of a collector, such as http://127.0.0.1:4318", base_url);

pub(super) const VARIABLE: Kind<String> = Kind {
    names_secret: true,
    ..text("the name of an environment variable that holds the key, not the key itself", |name| {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let fits = starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        fits.then(|| name.to_owned())
    })
};

pub(super) const REPOSITORY: Kind<String> = text("OWNER/NAME, as on the hub", |name| {
    (name.split('/').count() == 2 && name.split('/').all(is_path_part)).then(|| name.to_owned())
});

pub(super) const MODEL_FILE: Kind<String> = text("a file in the repository, ending in .gguf", |file| {
    (file.split('/').all(is_path_part) && file.ends_with(".gguf")).then(|| file.to_owned())
});

pub(super) const SHA256: Kind<String> = text("64 hexadecimal digits", |sum| {
    (sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| sum.to_ascii_lowercase())
});

pub(super) const NAMES: Kind<Globs> = patterns(|raw| Globs::words(&raw.texts()?));
pub(super) const PATHS: Kind<Globs> = patterns(|raw| Globs::paths(&raw.texts()?));
pub(super) const LANGUAGES: Kind<Globs> = patterns(|raw| Globs::languages(&raw.texts()?));
pub(super) const APIS: Kind<Globs> = patterns(|raw| Globs::apis(&raw.texts()?));

const fn patterns(read: fn(&Raw<'_>) -> Result<Globs, String>) -> Kind<Globs> {
    Kind::new("a pattern, or a list of patterns", Read::Explained(read), |globs| format!("{:?}", globs.patterns()))
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Reads `10s`, `500ms`, `2m` or `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.saturating_mul(60))),
        "h" => Some(Duration::from_secs(number.saturating_mul(3600))),
        _ => None,
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
