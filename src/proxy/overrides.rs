//! Settings for one request, from its headers: `x-lopper-mode`, `-ratio`, `-budget` and `-deadline-ms`.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::error::ProxyError;
use super::headers::{BUDGET, DEADLINE, Header, KEY, MODE, RATIO};
use super::hop_by_hop;
use crate::base::text::Tokens;
use crate::config::Mode;
use crate::pipeline::Overrides;

/// Characters of a bad value that an error quotes.
const MAX_QUOTED: usize = 80;

/// Reads the settings in `headers`.
///
/// # Errors
/// [`ProxyError::Header`] for a value out of range, or a header given twice.
pub(crate) fn read(headers: &HeaderMap) -> Result<Overrides, ProxyError> {
    let positive = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    Ok(Overrides {
        mode: value(headers, &MODE, mode)?,
        ratio: value(headers, &RATIO, |text| text.parse().ok().filter(|ratio| *ratio > 0.0 && *ratio <= 1.0))?,
        budget: value(headers, &BUDGET, |text| positive(text).map(|tokens| Tokens(tokens as usize)))?,
        allowance: None,
        deadline: value(headers, &DEADLINE, |text| {
            positive(text).map(|milliseconds| Duration::from_millis(milliseconds.into()))
        })?,
    })
}

/// Removes the headers that are for Lopper only.
pub(crate) fn remove(headers: &mut HeaderMap) {
    hop_by_hop::remove(headers, &[&MODE, &RATIO, &BUDGET, &DEADLINE, &KEY].map(|header| header.name.clone()));
}

fn mode(text: &str) -> Option<Mode> {
    let modes = [("on", Mode::On), ("off", Mode::Off), ("audit", Mode::Audit)];
    modes.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, mode)| mode)
}

fn value<T>(
    headers: &HeaderMap,
    header: &'static Header,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ProxyError> {
    let values: Vec<&HeaderValue> = headers.get_all(&header.name).iter().collect();
    let parsed = match values[..] {
        [] => return Ok(None),
        [one] => one.to_str().ok().and_then(|text| parse(text.trim())),
        _ => None,
    };
    if parsed.is_none() {
        let all: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        return Err(ProxyError::Header { header, value: all.join(", ").chars().take(MAX_QUOTED).collect() });
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(fields: &[(&Header, &str)]) -> Result<Overrides, ProxyError> {
        let fields =
            fields.iter().map(|(name, value)| (name.name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap()));
        let mut headers = HeaderMap::new();
        fields.for_each(|(name, value)| {
            headers.append(name, value);
        });
        read(&headers)
    }

    #[test]
    fn values_in_their_range_are_taken() {
        let read = with(&[(&MODE, "audit"), (&RATIO, "0.25"), (&BUDGET, "900"), (&DEADLINE, "1500")]).unwrap();
        assert_eq!((read.mode, read.ratio, read.budget), (Some(Mode::Audit), Some(0.25), Some(Tokens(900))));
        assert_eq!(read.deadline, Some(Duration::from_millis(1500)));
        assert_eq!(with(&[(&MODE, "On")]).unwrap().mode, Some(Mode::On));
        assert_eq!(with(&[(&RATIO, "1")]).unwrap().ratio, Some(1.0));
        let none = with(&[]).unwrap();
        assert!(none.mode.is_none() && none.ratio.is_none() && none.budget.is_none() && none.deadline.is_none());
    }

    #[test]
    fn other_values_are_named() {
        for (name, value) in [
            (&MODE, ""),
            (&MODE, "auto"),
            (&RATIO, "0"),
            (&RATIO, "-0.5"),
            (&RATIO, "1.01"),
            (&RATIO, "NaN"),
            (&RATIO, "inf"),
            (&RATIO, "40%"),
            (&BUDGET, "0"),
            (&BUDGET, "1.5"),
            (&BUDGET, "99999999999"),
            (&DEADLINE, "-1"),
            (&DEADLINE, "2s"),
            (&DEADLINE, "é"),
        ] {
            let said = with(&[(name, value)]).unwrap_err().to_string();
            assert!(said.contains(name.name.as_str()) && said.contains(&format!("`{value}`")), "{said}");
        }
        let twice = with(&[(&RATIO, "0.5"), (&RATIO, "0.4")]).unwrap_err().to_string();
        assert!(twice.contains("0.5, 0.4"), "{twice}");
    }

    proptest! {
        #[test]
        fn what_is_taken_is_in_range(value in "[ -~]{0,12}|[0-9.eE+-]{1,8}") {
            if let Ok(read) = with(&[(&RATIO, &value)]) {
                prop_assert!(read.ratio.is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0));
            }
            if let Ok(read) = with(&[(&BUDGET, &value), (&DEADLINE, &value)]) {
                prop_assert!(read.budget.is_some_and(|budget| budget.0 > 0));
                prop_assert!(read.deadline.is_some_and(|deadline| !deadline.is_zero()));
            }
        }
    }
}
