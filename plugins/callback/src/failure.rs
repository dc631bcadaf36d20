//! Why a callback failed.

use std::fmt;

use tollgate_sdk::{EditError, MadeResponse, Refusal, http};

/// Why there is nothing to be done: one text for people, which quotes nothing that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn from_error(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// The callback server did not answer.
    pub(crate) fn from_http(error: http::Error) -> Self {
        match error {
            http::Error::Busy(_) => Self(format!("{error}: the addon's `calls` says how many may be under way")),
            http::Error::TooLarge(_) => Self(format!("{error}: the addon's `max_body`")),
            error => Self(error.to_string()),
        }
    }

    /// What was answered can't be done to the message.
    pub(crate) fn from_edit(what: &str, error: &EditError) -> Self {
        Self(format!("{what} can't be changed: {error}"))
    }

    /// What the client is told.
    pub(crate) fn made(&self, what: &str) -> MadeResponse {
        Refusal::new(502, "M_UNKNOWN", format!("{what} callback failed: {self}")).into_response()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
