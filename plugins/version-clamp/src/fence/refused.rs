//! How the fence answers.

use tollgate_sdk::{MadeResponse, Refusal};

/// Why a request doesn't go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused<'a> {
    /// The path is outside of the table.
    Unknown,
    /// The path is known, but not with this method.
    Method {
        method: &'a str,
        /// The methods that are, as an `Allow` field has them.
        allow: String,
    },
    /// These query parameters are missing.
    Query(Vec<&'static str>),
    /// The table refuses it by name.
    Denied { status: u16, errcode: &'static str },
}

impl Refused<'_> {
    /// The answer. It may be read by scripts of any origin, as the Matrix specification wants of all of a server's answers:
    /// without that a client in a browser can't tell an unknown endpoint from a lost connection.
    pub(crate) fn into_response(self) -> MadeResponse {
        let response = match self {
            Self::Unknown => Refusal::new(404, "M_UNRECOGNIZED", "this path is not served here").into_response(),
            Self::Method { method, allow } => {
                let error = format!("this path does not take the method {method}");
                Refusal::new(405, "M_UNRECOGNIZED", error).into_response().header("Allow", allow)
            }
            Self::Query(names) => {
                let error = format!("missing query parameter: {}", names.join(", "));
                Refusal::new(400, "M_MISSING_PARAM", error).into_response()
            }
            Self::Denied { status, errcode } => Refusal::new(status, errcode, "this endpoint is closed here").into_response(),
        };
        response.header("Access-Control-Allow-Origin", "*")
    }
}
