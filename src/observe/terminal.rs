//! Formats a request as one short line for a terminal.

use std::time::Duration;

use super::record::Record;
use crate::base::status::Status;

/// A line such as `chat gpt-5 12,480 → 4,910 tokens −61 % 38 ms`; `None` for a request that passed through without an error.
pub fn line(record: &Record) -> Option<String> {
    let model = record.model.as_deref().unwrap_or("-");
    let mut parts = vec![record.api.to_owned(), shorten(model)];
    match (&record.outcome, record.tokens) {
        (Status::Passed, _) if record.status < 400 => return None,
        (Status::Passed, _) => parts.push(record.path.chars().take(60).collect()),
        (Status::Compressed, Some((before, after))) => {
            parts.push(format!("{} → {} tokens", thousands(before as u64), thousands(after as u64)));
            parts.push(format!("−{:.0} %", record.saved_share().unwrap_or_default() * 100.0));
        }
        (Status::Audited, Some((before, after))) => {
            parts.push(format!("{} tokens (audit: would be {})", thousands(before as u64), thousands(after as u64)));
        }
        (outcome, tokens) => {
            parts.extend(tokens.map(|(before, _)| format!("{} tokens", thousands(before as u64))));
            parts.push(outcome.to_string());
        }
    }
    if record.outcome != Status::Passed {
        parts.push(duration(record.took));
    }
    if record.status >= 400 {
        parts.push(format!("HTTP {}", record.status));
    }
    Some(parts.join(" "))
}

/// The client's name of a model without control characters, which could move the cursor, and not too long.
fn shorten(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// `12480` as `12,480`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

fn duration(time: Duration) -> String {
    match time.as_millis() {
        0 => "under 1 ms".into(),
        milliseconds @ ..10_000 => format!("{milliseconds} ms"),
        milliseconds => format!("{:.1} s", milliseconds as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::reason::Reason;
    use crate::observe::stats::tests::record;

    #[test]
    fn a_request_is_one_short_line() {
        let wide = Record { tokens: Some((12_480, 4_910)), ..record(Status::Compressed) };
        let mut passed = Record { api: "other", model: None, path: "/v1/models".into(), ..record(Status::Passed) };
        assert_eq!(line(&passed), None);
        passed.status = 502;
        let failed = record(Status::Failed("no model".into()));
        let odd = Record { model: Some("\u{1b}[2Jx".repeat(20)), ..record(Status::Unchanged) };
        let lines = [
            line(&wide),
            line(&passed),
            line(&failed),
            line(&odd),
            line(&record(Status::Audited)),
            line(&Record { took: Duration::from_micros(3), ..record(Status::Skipped(Reason::Small)) }),
            line(&Record { took: Duration::from_secs(14), status: 429, ..record(Status::Unchanged) }),
        ];
        let lines: Vec<String> = lines.into_iter().flatten().collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        chat gpt-5 12,480 → 4,910 tokens −61 % 38 ms
        other - /v1/models HTTP 502
        chat gpt-5 1,000 tokens failed:no model 38 ms
        chat [2Jx[2Jx[2Jx[2Jx[2Jx[2Jx[2Jx[2Jx[2Jx[2Jx 1,000 tokens unchanged 38 ms
        chat gpt-5 1,000 tokens (audit: would be 400) 38 ms
        chat gpt-5 1,000 tokens skipped:small under 1 ms
        chat gpt-5 1,000 tokens unchanged 14.0 s HTTP 429
        "#);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
