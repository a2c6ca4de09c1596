//! Routes requests by method and path: compress, answer here, or pass through.

use http::Method;

/// The handling of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Its body is compressed, and it is forwarded.
    Compress,
    /// The sidecar answers it, if there is one.
    Sidecar,
    /// It is forwarded as it arrives.
    Through,
}

/// A pattern for paths.
enum Path {
    Is(&'static str),
    /// Exactly one more segment follows.
    Below(&'static str),
    Has(&'static str),
    /// Before it stands the path of the client's base URL: `/v1`, a deployment's name, nothing.
    Ends(&'static str),
}

/// The first row that matches decides. All else passes through: `/messages/count_tokens`, `/responses/compact`,
/// `/responses/{id}`, `/embeddings`, files, audio and unknown paths.
static TABLE: &[(Method, Path, Route)] = &[
    (Method::POST, Path::Is("/v1/compress"), Route::Sidecar),
    (Method::POST, Path::Is("/v1/retrieve"), Route::Sidecar),
    (Method::GET, Path::Below("/v1/retrieve/"), Route::Sidecar),
    // The Assistants API adds single messages to a thread it keeps; none is a conversation.
    (Method::POST, Path::Has("/threads/"), Route::Through),
    (Method::POST, Path::Ends("/chat/completions"), Route::Compress),
    (Method::POST, Path::Ends("/responses"), Route::Compress),
    (Method::POST, Path::Ends("/messages"), Route::Compress),
    (Method::POST, Path::Ends("/completions"), Route::Compress),
];

impl Route {
    /// The route of a request for `path`, which has no query.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let row = TABLE.iter().find(|(of, pattern, _)| of == method && pattern.matches(path));
        row.map_or(Self::Through, |(_, _, route)| *route)
    }
}

impl Path {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Is(whole) => path == *whole,
            Self::Below(parent) => {
                path.strip_prefix(parent).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
            }
            Self::Has(part) => path.contains(part),
            Self::Ends(ending) => path.ends_with(ending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apis_of_assistants_are_compressed_under_any_prefix() {
        for path in ["/chat/completions", "/responses", "/messages", "/completions"] {
            for prefix in ["", "/v1", "/api/v1", "/openai/deployments/gpt", "/v1/", "/fim"] {
                assert_eq!(Route::of(&Method::POST, &format!("{prefix}{path}")), Route::Compress, "{prefix}{path}");
            }
            assert_eq!(Route::of(&Method::GET, path), Route::Through, "{path}");
            assert_eq!(Route::of(&Method::POST, &format!("{path}/")), Route::Through, "{path}/");
        }
    }

    #[test]
    fn all_else_passes_through() {
        for path in [
            "/v1/messages/count_tokens", "/v1/messages/batches", "/v1/responses/compact", "/v1/responses/resp_1",
            "/v1/responses/resp_1/cancel", "/v1/threads/t_1/messages", "/v1/embeddings", "/v1/files",
            "/v1/audio/transcriptions", "/v1/xcompletions", "/v1/compress/", "/v1", "/", "*",
        ] {
            assert_eq!(Route::of(&Method::POST, path), Route::Through, "{path}");
        }
    }

    #[test]
    fn the_sidecar_has_its_paths() {
        assert_eq!(Route::of(&Method::POST, "/v1/compress"), Route::Sidecar);
        assert_eq!(Route::of(&Method::GET, "/v1/retrieve/abc"), Route::Sidecar);
        assert_eq!(Route::of(&Method::POST, "/v1/retrieve"), Route::Sidecar);
        for (method, path) in [
            (Method::GET, "/v1/compress"),
            (Method::POST, "/v1/retrieve/abc"),
            (Method::GET, "/v1/retrieve/"),
            (Method::GET, "/v1/retrieve/a/b"),
        ] {
            assert_eq!(Route::of(&method, path), Route::Through, "{method} {path}");
        }
    }
}
