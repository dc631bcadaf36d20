//! How requests are refused.

use tollgate_sdk::{MadeResponse, Refusal, Request};

use crate::options::Settings;

/// Why a request doesn't go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A rule says so.
    Rule(Refusal),
    /// The homeserver itself would say so.
    Relayed(MadeResponse),
}

impl Refused {
    pub(crate) fn new(status: u16, errcode: &str, error: impl Into<String>) -> Self {
        Self::Rule(Refusal::new(status, errcode, error))
    }

    pub(crate) fn bad_json(error: impl Into<String>) -> Self {
        Self::new(400, "M_BAD_JSON", error)
    }

    pub(crate) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(403, "M_FORBIDDEN", error)
    }

    /// The answer. Scripts of any origin may read it, as the Matrix specification wants of all of a server's answers.
    pub(crate) fn into_response(self) -> MadeResponse {
        match self {
            Self::Rule(refusal) => refusal.into_response().header("Access-Control-Allow-Origin", "*"),
            Self::Relayed(response) => response,
        }
    }
}

/// No guests: `?kind=guest` however it is written, and however often `kind` is there.
pub(crate) fn guests(settings: &Settings, request: &Request) -> Result<(), Refused> {
    let is_guest = request.query().get_all("kind").any(|kind| kind.eq_ignore_ascii_case("guest"));
    if settings.rules.guests && is_guest { Err(Refused::forbidden(&settings.texts.guests)) } else { Ok(()) }
}
