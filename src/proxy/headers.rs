//! Lopper's own headers: names, values and meaning. The tables in the documentation are made from this one.

use http::HeaderName;

/// A header that Lopper reads from a request or adds to a response.
#[derive(Debug)]
pub struct Header {
    /// The name, in lower case.
    pub name: HeaderName,
    /// Its values, in words that fit after "must be".
    pub values: &'static str,
    /// The meaning, one sentence.
    pub meaning: &'static str,
}

const fn header(name: &'static str, values: &'static str, meaning: &'static str) -> Header {
    Header { name: HeaderName::from_static(name), values, meaning }
}

/// Overrides `compression.mode` for one request.
pub static MODE: Header =
    header("x-lopper-mode", "`on`, `off` or `audit`", "Overrides `compression.mode` for this request.");
/// Overrides the share of tokens to keep.
pub static RATIO: Header = header(
    "x-lopper-ratio",
    "a number above 0 and at most 1",
    "Overrides `compression.ratio`: the share of the tokens of each piece of code to keep.",
);
/// Overrides the tokens to keep.
pub static BUDGET: Header = header(
    "x-lopper-budget",
    "a whole number of tokens, at least 1",
    "Overrides `compression.budget_tokens`: the tokens of each piece of code to keep, instead of a share.",
);
/// Overrides the time that scoring may take.
pub static DEADLINE: Header = header(
    "x-lopper-deadline-ms",
    // 32 bits hold 49 days: a later deadline is as good as none, and not every clock can add it.
    "a whole number of milliseconds, from 1 to 4294967295",
    "Overrides `scorer.deadline_ms`: the time that scoring may take for this request.",
);
/// Identifies the client.
pub static KEY: Header = header(
    "x-lopper-key",
    "one of the keys in the variable that `server.api_keys_env` names",
    "Identifies the client. Always accepted; where Lopper has the upstream's key, `authorization: Bearer KEY` and \
     `x-api-key` are accepted as well.",
);
/// Asks the sidecar for the messages as they are.
pub static BYPASS: Header = header(
    "x-headroom-bypass",
    "`true`",
    "On `POST /v1/compress` only: returns the messages as they are, with the status `skipped:bypass`.",
);
/// Names what was done with a request.
pub static STATUS: Header = header(
    "x-lopper-status",
    "`compressed`, `audited`, `unchanged`, `skipped:REASON` or `failed:CAUSE`",
    "The outcome of compression.",
);
/// Tokens before compression.
pub static TOKENS_BEFORE: Header = header(
    "x-lopper-tokens-before",
    "a number of tokens",
    "Tokens of the request's texts as the client sent them; absent where they were not counted.",
);
/// Tokens after compression.
pub static TOKENS_AFTER: Header = header(
    "x-lopper-tokens-after",
    "a number of tokens",
    "Tokens of the texts as they were sent to the upstream, or, in an audit, as they would have been.",
);
/// Time that compression took.
pub static MILLISECONDS: Header = header("x-lopper-ms", "a number of milliseconds", "The time that compression took.");

/// The headers that are read from requests.
pub static REQUEST: [&Header; 6] = [&MODE, &RATIO, &BUDGET, &DEADLINE, &KEY, &BYPASS];
/// The headers that are added to the responses to requests for a completion.
pub static RESPONSE: [&Header; 4] = [&STATUS, &TOKENS_BEFORE, &TOKENS_AFTER, &MILLISECONDS];

/// Both lists as Markdown tables, each under a heading of level 2.
pub fn markdown_table() -> String {
    let row = |header: &&Header| format!("| `{}` | {} | {} |\n", header.name, header.values, header.meaning);
    let table = |title: &str, headers: &[&Header]| {
        let rows: String = headers.iter().map(row).collect();
        format!("## {title}\n\n| Header | Value | Meaning |\n|---|---|---|\n{rows}")
    };
    format!("{}\n{}", table("Request headers", &REQUEST), table("Response headers", &RESPONSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_header() {
        let table = markdown_table();
        for header in REQUEST.iter().chain(&RESPONSE) {
            assert_eq!(table.matches(&format!("| `{}` |", header.name)).count(), 1, "{}", header.name);
        }
    }
}
