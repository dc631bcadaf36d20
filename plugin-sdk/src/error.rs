//! Errors of hooks and of edits.

use std::{error::Error as StdError, fmt};

/// Why a hook failed: one text for the operator.
///
/// A hook that returns it has done nothing: the message goes on as it was before the hook (failure policy `open`), or the
/// client is answered 503 (`closed`, the default). Later hooks of the flow are called only for events whose
/// policy is closed, in a fresh instance.
///
/// Every standard error converts into it, so `?` works; the text then holds the error and all its sources. Put no
/// credentials into it: the text is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    message: String,
}

/// Why an edit was not taken. The staged message is as it was before the call; the hook may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditError {
    /// The message can't be edited in this hook, or by this addon at all, or the body was truncated.
    ReadOnly,
    /// Not a legal value of its kind; the text names it (RFC 9110, 5.1 and 5.5; RFC 3986).
    Invalid(String),
    /// The field belongs to the core: Content-Length, Transfer-Encoding, Connection, Keep-Alive, Proxy-Connection, TE, Trailer,
    /// Upgrade, HTTP2-Settings, and Host of a request. Or it is none of those that the addon is granted to write. The text names
    /// it.
    Forbidden(String),
    /// Over a limit of the addon's budget; the text names limit and value.
    TooLarge(String),
}

impl Error {
    /// An error of one's own.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl<E: StdError> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message.push_str(": ");
            message.push_str(&error.to_string());
            source = error.source();
        }
        Self { message }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly => out.write_str("the message is read-only in this hook"),
            Self::Invalid(text) => write!(out, "not legal: {text}"),
            Self::Forbidden(text) => write!(out, "forbidden: {text}"),
            Self::TooLarge(text) => write!(out, "too large: {text}"),
        }
    }
}

impl StdError for EditError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(EditError);

    impl fmt::Display for Outer {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("no header set")
        }
    }

    impl StdError for Outer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn text_holds_the_whole_chain() {
        let error = Error::from(Outer(EditError::Forbidden("te".into())));
        assert_eq!(error.to_string(), "no header set: forbidden: te");
    }
}
