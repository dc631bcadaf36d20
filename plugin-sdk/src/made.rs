//! Responses that an addon makes.

use serde::Serialize;

/// A header field: name and value.
pub type Header = (String, Vec<u8>);

/// A response that an addon makes. The core adds Content-Length and Date.
///
/// A status outside 200 to 599, an illegal field or one that belongs to the core fails the hook that returns it.
///
/// ```
/// use tollgate_sdk::MadeResponse;
///
/// let teapot = MadeResponse::text(418, "short and stout").header("X-Handle", "left");
/// # assert_eq!(teapot.headers.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeResponse {
    /// 200 to 599.
    pub status: u16,
    /// In order; several of one name allowed.
    pub headers: Vec<Header>,
    /// All of it. Left out by the core where an answer has none: to HEAD, and with status 204 or 304.
    pub body: Vec<u8>,
}

/// An error answer as Matrix and Mastodon clients read it: `application/json` `{"errcode":…,"error":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// 400 to 599; another status fails the hook.
    #[serde(skip)]
    pub status: u16,
    /// For programs, like `M_FORBIDDEN`.
    pub errcode: String,
    /// For people.
    pub error: String,
}

impl MadeResponse {
    /// Without body and fields.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// With this body and Content-Type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }.header("Content-Type", content_type)
    }

    /// `text/plain`, in UTF-8.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    /// `application/json`.
    ///
    /// # Errors
    ///
    /// If the value has no JSON, like a map whose keys are no strings.
    pub fn json(status: u16, value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::new(status, "application/json", serde_json::to_vec(value)?))
    }

    /// Adds a field at the end.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }
}

impl Refusal {
    /// An error answer: status (400 to 599), code for programs, text for people.
    pub fn new(status: u16, errcode: impl Into<String>, error: impl Into<String>) -> Self {
        Self { status, errcode: errcode.into(), error: error.into() }
    }

    /// The same as a response, to add fields to.
    #[must_use]
    pub fn into_response(self) -> MadeResponse {
        // Two strings always have a JSON.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        MadeResponse::new(self.status, "application/json", body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_become_json_answers() {
        let response = Refusal::new(405, "M_UNRECOGNIZED", "not \"so\"").into_response().header("Allow", "GET");
        assert_eq!(response.status, 405);
        assert_eq!(response.body, br#"{"errcode":"M_UNRECOGNIZED","error":"not \"so\""}"#);
        let fields = [("Content-Type".to_owned(), b"application/json".to_vec()), ("Allow".to_owned(), b"GET".to_vec())];
        assert_eq!(response.headers, fields);
    }
}
