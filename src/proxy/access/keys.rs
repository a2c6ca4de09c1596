//! Client keys: reads them from requests, and keeps them from the upstream.

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::headers::KEY;
use crate::proxy::hop_by_hop;

/// Anthropic's header for a key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The keys that let a client in. They can't be printed.
#[derive(Clone)]
pub struct ClientKeys {
    /// Hashes, because comparing them takes the same time for any wrong key.
    hashes: Vec<blake3::Hash>,
}

impl ClientKeys {
    /// Reads keys that are separated by commas or white space; `None` if there are none.
    pub fn read(text: &str) -> Option<Self> {
        let keys = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|key| !key.is_empty());
        let hashes: Vec<_> = keys.map(|key| blake3::hash(key.as_bytes())).collect();
        (!hashes.is_empty()).then_some(Self { hashes })
    }

    /// The index of the key in a request; `None` if it has none. `x-lopper-key` comes first; without it, and where
    /// `takes_usual` because the client's usual key is not for the upstream, `Authorization: Bearer KEY` or `x-api-key`.
    pub(crate) fn of(&self, headers: &HeaderMap, takes_usual: bool) -> Option<usize> {
        let usual = || {
            let bearer = headers.get(AUTHORIZATION).and_then(bearer);
            bearer.or(headers.get(API_KEY).map(HeaderValue::as_bytes))
        };
        let given = match headers.get(&KEY.name) {
            Some(key) => Some(key.as_bytes()),
            None => usual().filter(|_| takes_usual),
        };
        self.index(given?)
    }

    /// Removes each header that holds one of these keys.
    pub(crate) fn remove(&self, headers: &mut HeaderMap) {
        let is_ours = |key: &[u8]| self.index(key).is_some();
        let held = [
            (AUTHORIZATION, headers.get_all(AUTHORIZATION).iter().filter_map(bearer).any(is_ours)),
            (API_KEY, headers.get_all(API_KEY).iter().map(HeaderValue::as_bytes).any(is_ours)),
        ];
        let held: Vec<HeaderName> = held.into_iter().filter(|(_, held)| *held).map(|(name, _)| name).collect();
        hop_by_hop::remove(headers, &held);
    }

    /// The index of `key`. All keys are compared, so that the time it takes does not depend on the index.
    fn index(&self, key: &[u8]) -> Option<usize> {
        let given = blake3::hash(key.trim_ascii());
        self.hashes.iter().enumerate().fold(None, |found, (i, hash)| if *hash == given { Some(i) } else { found })
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKeys({})", self.hashes.len())
    }
}

/// The key after `Bearer`, which is case-insensitive (RFC 9110, section 11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, key) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn keys_are_separated_by_commas_and_white_space() {
        assert!(ClientKeys::read(" ,\n").is_none());
        let keys = ClientKeys::read(" one,two\n three\t").unwrap();
        let number = |key| keys.of(&with(&[("x-lopper-key", key)]), false);
        assert_eq!(
            ["one", "two", "three", " two ", "", "four", "one,two"].map(number),
            [Some(0), Some(1), Some(2), Some(1), None, None, None]
        );
        assert_eq!(format!("{keys:?}"), "ClientKeys(3)");
    }

    #[test]
    fn the_usual_places_count_where_the_upstream_has_a_key_of_its_own() {
        let keys = ClientKeys::read("k").unwrap();
        for (fields, by_own, by_usual) in [
            (&[][..], false, false),
            (&[("authorization", "Bearer k")], false, true),
            (&[("authorization", "bearer  k")], false, true),
            (&[("authorization", "Basic k")], false, false),
            (&[("authorization", "k")], false, false),
            (&[("x-api-key", "k")], false, true),
            (&[("authorization", "Bearer x"), ("x-api-key", "k")], false, false),
            (&[("x-lopper-key", "k"), ("authorization", "Bearer x")], true, true),
            (&[("x-lopper-key", "x"), ("authorization", "Bearer k")], false, false),
        ] {
            let headers = with(fields);
            assert_eq!(
                (keys.of(&headers, false).is_some(), keys.of(&headers, true).is_some()),
                (by_own, by_usual),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_header_that_holds_a_key_of_ours_goes_no_further() {
        let keys = ClientKeys::read("k").unwrap();
        for (fields, left) in [
            (&[("authorization", "Bearer k"), ("x-api-key", "sk-1"), ("a", "b")][..], &["x-api-key", "a"][..]),
            (&[("authorization", "Bearer sk-1"), ("x-api-key", "k")], &["authorization"]),
            (&[("authorization", "Basic k"), ("x-other", "k")], &["authorization", "x-other"]),
        ] {
            let mut headers = with(fields);
            keys.remove(&mut headers);
            assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), left);
        }
    }
}
