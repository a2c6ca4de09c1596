//! The effect of a tool call on files.

/// The effect of a tool call on files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It shows files.
    Read {
        /// Their paths, as written.
        paths: Vec<String>,
        /// Whether a part of the file was asked for.
        ranged: bool,
    },
    /// It changes files.
    Edit {
        /// Their paths, as far as the call names them.
        paths: Vec<String>,
    },
    /// Neither, as far as is known.
    Other,
}

/// The files that a patch in `text` names.
pub fn patched(text: &str) -> Vec<String> {
    const SIGNS: [&str; 5] = ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: ", "+++ b/"];
    // In arguments as they were written, line breaks are escaped.
    let lines = text.split('\n').flat_map(|line| line.split("\\n"));
    // The first may follow a quote: `{"input":"*** Update File: …`.
    let named = lines.filter_map(|line| SIGNS.iter().find_map(|sign| line.strip_prefix(sign)));
    named.map(|path| path.trim().trim_end_matches(['"', '}']).to_owned()).filter(|path| !path.is_empty()).collect()
}
