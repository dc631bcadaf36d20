//! Messages that tests write and read.

use serde::{Serialize, de::DeserializeOwned};

use super::rules;
use crate::{Header, MadeResponse, Origin, UpstreamFailure};

/// A request, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct TestRequest {
    /// Any token.
    pub method: String,
    /// `http` or `https`. Default: `http`.
    pub scheme: String,
    /// Host and port that the client asked for. Default: `tollgate.test`.
    pub authority: String,
    /// Percent-encoding as sent.
    pub path_and_query: String,
    /// `1.0`, `1.1` or `2`. Default: `1.1`.
    pub version: String,
    /// In order.
    pub headers: Vec<Header>,
    /// Content codings undone.
    pub body: Vec<u8>,
    /// Fields after the body, as the last call of the chunk hook sees them.
    pub trailers: Vec<Header>,
    /// Where it will go. Default: `http://upstream.test`.
    pub upstream: String,
    /// Hosts to which redirects are followed. Default: none.
    pub followed_hosts: Vec<String>,
}

/// A response, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct TestResponse {
    /// 200 to 599.
    pub status: u16,
    /// Who made it. Default: the upstream.
    pub origin: Origin,
    /// `1.0`, `1.1` or `2`. Default: `1.1`.
    pub version: String,
    /// In order.
    pub headers: Vec<Header>,
    /// Content codings undone.
    pub body: Vec<u8>,
    /// Fields after the body, as the last call of the chunk hook sees them.
    pub trailers: Vec<Header>,
}

/// What a test's upstream did with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It answered.
    Response(TestResponse),
    /// No response could be had.
    Failure(UpstreamFailure),
}

impl TestRequest {
    /// A request without fields and body.
    pub fn new(method: &str, path_and_query: &str) -> Self {
        Self {
            method: method.to_owned(),
            scheme: "http".to_owned(),
            authority: "tollgate.test".to_owned(),
            path_and_query: path_and_query.to_owned(),
            version: "1.1".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            upstream: "http://upstream.test".to_owned(),
            followed_hosts: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(path_and_query: &str) -> Self {
        Self::new("GET", path_and_query)
    }

    /// A POST.
    pub fn post(path_and_query: &str) -> Self {
        Self::new("POST", path_and_query)
    }

    /// A PUT.
    pub fn put(path_and_query: &str) -> Self {
        Self::new("PUT", path_and_query)
    }
}

impl TestResponse {
    /// A response of the upstream without fields and body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            origin: Origin::Upstream,
            version: "1.1".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    pub(crate) fn made(response: MadeResponse, origin: Origin) -> Self {
        Self { origin, headers: response.headers, body: response.body, ..Self::new(response.status) }
    }
}

macro_rules! message_methods {
    ($message:ident) => {
        impl $message {
            /// Adds a field at the end, as it came over the wire: any field is allowed.
            pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
                self.headers.push((name.to_owned(), value.as_ref().to_vec()));
                self
            }

            /// With this body.
            pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
                self.body = body.into();
                self
            }

            /// With this value's JSON as body, and Content-Type `application/json`.
            ///
            /// # Panics
            ///
            /// If the value has no JSON.
            pub fn with_json(self, value: &(impl Serialize + ?Sized)) -> Self {
                match serde_json::to_vec(value) {
                    Ok(body) => self.with_header("Content-Type", "application/json").with_body(body),
                    Err(error) => panic!("the value has no JSON: {error}"),
                }
            }

            /// Value of the first field of this name; none also where it is no UTF-8.
            #[must_use]
            pub fn header(&self, name: &str) -> Option<&str> {
                let (_, value) = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
                std::str::from_utf8(value).ok()
            }

            /// Values of all fields of this name, in order.
            #[must_use]
            pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                rules::values_of(&self.headers, name)
            }

            /// The body as text.
            ///
            /// # Panics
            ///
            /// If it is no UTF-8.
            #[must_use]
            pub fn text(&self) -> &str {
                match std::str::from_utf8(&self.body) {
                    Ok(text) => text,
                    Err(error) => panic!("the body is no text: {error}"),
                }
            }

            /// The body read as JSON.
            ///
            /// # Panics
            ///
            /// If it is no such JSON.
            #[must_use]
            pub fn json<T: DeserializeOwned>(&self) -> T {
                match serde_json::from_slice(&self.body) {
                    Ok(value) => value,
                    Err(error) => panic!("the body is no such JSON: {error}: {}", String::from_utf8_lossy(&self.body)),
                }
            }
        }
    };
}

message_methods!(TestRequest);
message_methods!(TestResponse);

impl From<TestResponse> for Answer {
    fn from(response: TestResponse) -> Self {
        Self::Response(response)
    }
}

impl From<UpstreamFailure> for Answer {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Failure(failure)
    }
}
