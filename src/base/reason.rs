//! Reasons why code was left alone: the words, what they mean, and whether the request had code.

use strum::{Display, EnumMessage, EnumProperty, EnumString, IntoStaticStr, VariantArray};

/// Why a request, or a piece of code in it, was left as it is. The word that users see is the variant's name in kebab case;
/// the comment of a variant is what [`Self::meaning`] says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumMessage, EnumProperty, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// compression.mode is "off"
    #[strum(props(had_code = false))]
    Off,
    /// the gateway asked for its messages as they are
    #[strum(props(had_code = false))]
    Bypass,
    /// its conversation is held out for comparison (compression.mode)
    #[strum(props(had_code = false))]
    Holdout,
    /// the body is in a coding other than gzip, deflate, br and zstd, or does not decode
    #[strum(props(had_code = false))]
    Encoding,
    /// the body is not JSON with messages, input or prompt
    #[strum(props(had_code = false))]
    NotChat,
    /// its JSON is nested deeper than limits.nesting
    #[strum(props(had_code = false))]
    Nesting,
    /// no code in a known language where code may be changed
    #[strum(props(had_code = false))]
    NoCode,
    /// a rule or header says mode = "off"
    Rule,
    /// a completion at the cursor, and no rule says mode = "on"
    Completion,
    /// the file was shown before
    ReadBefore,
    /// a tool call edited the file before
    EditedBefore,
    /// an edit of the file failed before, or an answer repeated a marker
    Pinned,
    /// a comment in it instructs the assistant (AI!)
    InstructionComment,
    /// fewer tokens than compression.min_tokens, or than its rule's
    Small,
    /// no question to score it by: in its message, before a tool's result, or right after it
    #[strum(to_string = "no-query")]
    NoQuestion,
    /// fewer than two functions or types to choose from
    FewUnits,
    /// it does not parse cleanly or in time, or is over 512 KiB
    Syntax,
    /// scorer.deadline_ms passed before every unit had a score
    Deadline,
    /// as many requests as limits.queue were being scored
    Busy,
    /// the client was past limits.scored_tokens_per_minute
    Rate,
    /// more code came before it than limits.blocks
    Blocks,
    /// more code came before it than limits.score_tokens
    ScoreTokens,
    /// a message asks for the whole file back
    WholeFile,
    /// a client's "apply" or inline-edit prompt
    ApplyPrompt,
    /// it is already a part of a file
    RangedRead,
    /// it has omission markers
    PrunedAlready,
    /// its client shortened it
    Summarized,
    /// SEARCH/REPLACE blocks around it: an edit must match
    EditBlock,
    /// a diff
    Patch,
    /// an edit of the file has just failed
    FailedEdit,
    /// the file as it is after an edit
    EditResult,
    /// a traceback or compiler errors
    Report,
    /// a shell session
    Terminal,
    /// a summary of files
    RepoMap,
    /// a summary of files
    Outline,
    /// code in an example
    Example,
    /// code in rules for the assistant
    Instructions,
    /// code in the user's own question
    Question,
    /// a here document
    Heredoc,
    /// fences inside fences: it is not clear what is code
    FenceInFence,
}

impl Reason {
    /// The word that users see, such as `no-code`.
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// A sentence about it, without its full stop.
    pub fn meaning(self) -> &'static str {
        self.get_documentation().unwrap_or_default()
    }

    /// Whether a request left alone for this reason had code that was looked at: it counts for the alarm "nothing is being
    /// compressed". True unless the variant says otherwise.
    pub fn had_code(self) -> bool {
        self.get_bool("had_code").unwrap_or(true)
    }
}

/// All reasons as a Markdown table, for the documentation.
pub fn markdown_table() -> String {
    let row = |&reason: &Reason| {
        let counts = if reason.had_code() { "yes" } else { "no" };
        format!("| `skipped:{reason}` | {} | {counts} |\n", reason.meaning())
    };
    let rows: String = Reason::VARIANTS.iter().map(row).collect();
    format!("| status | meaning | had code |\n|---|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users count and filter by these words: none may change.
    const WORDS: &str = "off bypass holdout encoding not-chat nesting no-code rule completion read-before edited-before \
        pinned instruction-comment small no-query few-units syntax deadline busy rate blocks score-tokens whole-file \
        apply-prompt ranged-read pruned-already summarized edit-block patch failed-edit edit-result report terminal \
        repo-map outline example instructions question heredoc fence-in-fence";

    #[test]
    fn words_stay_and_have_a_meaning() {
        let words: Vec<&str> = Reason::VARIANTS.iter().map(|reason| reason.word()).collect();
        assert_eq!(words, WORDS.split_whitespace().collect::<Vec<_>>());
        for &reason in Reason::VARIANTS {
            assert_eq!(reason.word().parse(), Ok(reason));
            assert_eq!(reason.to_string(), reason.word());
            assert!(!reason.meaning().is_empty(), "{reason}");
        }
        assert!("nonsense".parse::<Reason>().is_err());
    }

    #[test]
    fn code_is_assumed_unless_said_otherwise() {
        let without = Reason::VARIANTS.iter().filter(|reason| !reason.had_code()).map(|reason| reason.word());
        let expected = ["off", "bypass", "holdout", "encoding", "not-chat", "nesting", "no-code"];
        assert_eq!(without.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        let table = markdown_table();
        assert_eq!(table.lines().count(), 2 + Reason::VARIANTS.len());
        assert!(
            table.contains("| `skipped:small` | fewer tokens than compression.min_tokens, or than its rule's | yes |")
        );
    }
}
