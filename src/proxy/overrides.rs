//! What a client asks for in the headers of one request: `x-lopper-mode`, `-ratio`, `-budget` and `-deadline-ms`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::access::keys::KEY;
use super::error::ProxyError;
use super::headers;
use crate::base::text::Tokens;
use crate::config::Mode;
use crate::pipeline::Overrides;

const MODE: HeaderName = HeaderName::from_static("x-lopper-mode");
const RATIO: HeaderName = HeaderName::from_static("x-lopper-ratio");
const BUDGET: HeaderName = HeaderName::from_static("x-lopper-budget");
const DEADLINE: HeaderName = HeaderName::from_static("x-lopper-deadline-ms");

/// How much of a bad value is shown, in characters.
const SHOWN: usize = 80;

/// Reads the settings that `headers` have for one request.
///
/// # Errors
/// [`ProxyError::Header`] for a value out of its range and for a header that stands there twice.
pub(crate) fn read(headers: &HeaderMap) -> Result<Overrides, ProxyError> {
    let positive = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    Ok(Overrides {
        mode: value(headers, MODE, "`on`, `off` or `audit`", mode)?,
        ratio: value(headers, RATIO, "a number above 0 and at most 1", |text| {
            text.parse().ok().filter(|ratio| *ratio > 0.0 && *ratio <= 1.0)
        })?,
        budget: value(headers, BUDGET, "a whole number of tokens, at least 1", |text| {
            positive(text).map(|tokens| Tokens(tokens as usize))
        })?,
        allowance: None,
        // 32 bits hold 49 days: later deadlines are as good as none, and can't be added to every clock.
        deadline: value(headers, DEADLINE, "a whole number of milliseconds, from 1 to 4294967295", |text| {
            positive(text).map(|milliseconds| Duration::from_millis(milliseconds.into()))
        })?,
    })
}

/// Removes these headers: they are for Lopper alone.
pub(crate) fn remove(headers: &mut HeaderMap) {
    headers::remove(headers, &[MODE, RATIO, BUDGET, DEADLINE, KEY]);
}

fn mode(text: &str) -> Option<Mode> {
    let modes = [("on", Mode::On), ("off", Mode::Off), ("audit", Mode::Audit)];
    modes.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, mode)| mode)
}

fn value<T>(
    headers: &HeaderMap,
    name: HeaderName,
    must: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ProxyError> {
    let values: Vec<&HeaderValue> = headers.get_all(&name).iter().collect();
    let parsed = match values[..] {
        [] => return Ok(None),
        [one] => one.to_str().ok().and_then(|text| parse(text.trim())),
        _ => None,
    };
    if parsed.is_none() {
        let shown: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let shown = shown.join(", ").chars().take(SHOWN).collect();
        return Err(ProxyError::Header { name, shown, must });
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(fields: &[(HeaderName, &str)]) -> Result<Overrides, ProxyError> {
        let fields =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| {
            headers.append(name, value);
        });
        read(&headers)
    }

    #[test]
    fn values_in_their_range_are_taken() {
        let read = with(&[(MODE, "audit"), (RATIO, "0.25"), (BUDGET, "900"), (DEADLINE, "1500")]).unwrap();
        assert_eq!((read.mode, read.ratio, read.budget), (Some(Mode::Audit), Some(0.25), Some(Tokens(900))));
        assert_eq!(read.deadline, Some(Duration::from_millis(1500)));
        assert_eq!(with(&[(MODE, "On")]).unwrap().mode, Some(Mode::On));
        assert_eq!(with(&[(RATIO, "1")]).unwrap().ratio, Some(1.0));
        let none = with(&[]).unwrap();
        assert!(none.mode.is_none() && none.ratio.is_none() && none.budget.is_none() && none.deadline.is_none());
    }

    #[test]
    fn other_values_are_named() {
        for (name, value) in [
            (MODE, ""),
            (MODE, "auto"),
            (RATIO, "0"),
            (RATIO, "-0.5"),
            (RATIO, "1.01"),
            (RATIO, "NaN"),
            (RATIO, "inf"),
            (RATIO, "40%"),
            (BUDGET, "0"),
            (BUDGET, "1.5"),
            (BUDGET, "99999999999"),
            (DEADLINE, "-1"),
            (DEADLINE, "2s"),
            (DEADLINE, "é"),
        ] {
            let said = with(&[(name.clone(), value)]).unwrap_err().to_string();
            assert!(said.contains(name.as_str()) && said.contains(&format!("`{value}`")), "{said}");
        }
        let twice = with(&[(RATIO, "0.5"), (RATIO, "0.4")]).unwrap_err().to_string();
        assert!(twice.contains("0.5, 0.4"), "{twice}");
    }

    proptest! {
        #[test]
        fn what_is_taken_is_in_range(value in "[ -~]{0,12}|[0-9.eE+-]{1,8}") {
            if let Ok(read) = with(&[(RATIO, &value)]) {
                prop_assert!(read.ratio.is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0));
            }
            if let Ok(read) = with(&[(BUDGET, &value), (DEADLINE, &value)]) {
                prop_assert!(read.budget.is_some_and(|budget| budget.0 > 0));
                prop_assert!(read.deadline.is_some_and(|deadline| !deadline.is_zero()));
            }
        }
    }
}
