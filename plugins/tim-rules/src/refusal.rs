//! How requests are refused.

use tollgate_sdk::{MadeResponse, Refusal, Request};

use crate::{options::Settings, query};

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

/// What a Content-Type has of a form.
const FORMS: [&str; 2] = ["x-www-form-urlencoded", "form-data"];

/// No guests: `?kind=guest` however it is written, and however often `kind` is there. Nor forms, whose fields homeservers take for
/// parts of the query.
pub(crate) fn guests(settings: &Settings, request: &Request) -> Result<(), Refused> {
    if !settings.rules.guests {
        return Ok(());
    }
    let is_form = |field: &Vec<u8>| {
        let field = String::from_utf8_lossy(field).to_ascii_lowercase();
        FORMS.iter().any(|form| field.contains(form))
    };
    if request.header_values("Content-Type").iter().any(is_form) {
        return Err(Refused::new(415, "M_UNRECOGNIZED", "a form does not register anybody"));
    }
    let is_guest = |(name, value): &(String, String)| name == "kind" && value.eq_ignore_ascii_case("guest");
    if query::pairs(request).iter().any(is_guest) { Err(Refused::forbidden(&settings.texts.guests)) } else { Ok(()) }
}

/// No body is judged that goes on otherwise than it is read here: homeservers do not look at Content-Encoding.
pub(crate) fn coded(request: &Request) -> Result<(), Refused> {
    let is_none = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"identity") || coding.trim_ascii().is_empty();
    let fields = request.header_values("Content-Encoding");
    if fields.iter().flat_map(|field| field.split(|byte| *byte == b',')).all(is_none) {
        Ok(())
    } else {
        Err(Refused::new(415, "M_UNRECOGNIZED", "a body with a Content-Encoding is not taken here"))
    }
}
