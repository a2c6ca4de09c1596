//! What the words of an outcome mean, and what can be done about it.

/// A sentence about the reason for which a piece of code, or a request, was left alone; `None` for words unknown here.
pub fn of(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "apply-prompt" => "a prompt of the client that wants the code back as it is",
        "blocks" => "more code came before it than limits.blocks",
        "busy" => "as many requests as limits.queue were being scored",
        "completion" => "a completion at the cursor, and no rule says mode = \"on\"",
        "deadline" => "scorer.deadline_ms passed before every unit had a score",
        "edit-block" => "SEARCH/REPLACE blocks around it: an edit must match",
        "edit-result" => "the file as it is after an edit",
        "edited-before" => "a tool call edited the file before",
        "encoding" => "the body is in a coding that is not known",
        "example" => "code in an example",
        "failed-edit" => "an edit of the file has just failed",
        "fence-in-fence" => "fences inside fences: it is not clear what is code",
        "few-units" => "fewer than two functions or types to choose from",
        "heredoc" => "a here document",
        "holdout" => "its conversation is held out, to be compared (compression.mode)",
        "instruction-comment" => "a comment in it is an order for the assistant",
        "instructions" => "code in rules for the assistant",
        "nesting" => "its JSON is nested deeper than limits.nesting",
        "no-code" => "no code in a known language where code may be changed",
        "no-query" => "nobody asks anything that it could be judged by",
        "not-chat" => "the body has no messages, input or prompt",
        "off" => "compression.mode is \"off\"",
        "patch" => "a diff",
        "pinned" => "an edit of the file failed before, or an answer repeated a marker",
        "pruned-already" | "summarized" => "it has omission markers, or its client shortened it",
        "question" => "code in the user's own question",
        "ranged-read" => "it is a part of a file already",
        "rate" => "the client was past limits.scored_tokens_per_minute",
        "read-before" => "the file was shown before",
        "repo-map" | "outline" => "a summary of files",
        "report" => "a traceback or a compiler's errors",
        "rule" => "a rule or header says mode = \"off\"",
        "score-tokens" => "more code came before it than limits.score_tokens",
        "small" => "fewer tokens than compression.min_tokens, or than its rule's",
        "syntax" => "it does not parse cleanly or in time, or is over 512 KiB",
        "terminal" => "a shell session",
        "whole-file" => "a message asks for the whole file back",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_the_readme_has_is_explained() {
        let readme = include_str!("../../../docs/headers-and-status.md");
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| `skipped:"));
        let words = rows.flat_map(|row| row.split('|').next().unwrap_or_default().split(", "));
        let words: Vec<&str> = words.map(|word| word.trim().trim_matches('`')).collect();
        assert!(words.len() > 25, "{words:?}");
        for word in words {
            assert!(of(word).is_some(), "{word}");
        }
        assert_eq!(of("nonsense"), None);
    }
}
