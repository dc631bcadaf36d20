//! Bodies as JSON.

use std::{error::Error, fmt};

use crate::EditError;

/// Why a body could not be read or written as JSON.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// No matched subscription asks for the body.
    NoBody,
    /// Only a part of the body is known.
    Truncated,
    /// Not JSON, or not of this shape; or a value that has no JSON.
    Json(serde_json::Error),
    /// The body can't be replaced.
    Edit(EditError),
}

impl fmt::Display for JsonError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoBody => "no subscription asks for the body",
            Self::Truncated => "the body is over its cap",
            Self::Json(_) => "the body is no such JSON",
            Self::Edit(_) => "the body can't be replaced",
        })
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoBody | Self::Truncated => None,
            Self::Json(error) => Some(error),
            Self::Edit(error) => Some(error),
        }
    }
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<EditError> for JsonError {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}
