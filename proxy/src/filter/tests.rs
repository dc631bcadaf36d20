//! Behaviour of filters, seen from outside.

mod agreement;
mod atoms;
mod bodies;
mod errors;
mod language;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{Answer, Filter, Seen, View};
use crate::http::{Field, Headers, Origin, RequestHead, ResponseHead, Scheme, Version};

/// What a view borrows from.
struct Flow {
    listener: &'static str,
    peer: &'static str,
    upstream: Origin,
    request: RequestHead,
    request_body: Option<Vec<u8>>,
    response: Option<ResponseHead>,
    response_body: Option<Vec<u8>>,
    has_error: bool,
    is_websocket: bool,
}

impl Flow {
    /// A GET of this URL without response, bodies not collected.
    fn get(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Self {
            listener: "matrix",
            peer: "192.0.2.7:50000",
            upstream: "http://hs1:8008".parse().unwrap(),
            request: RequestHead {
                method: Method::GET,
                scheme: if scheme == "https" { Scheme::Https } else { Scheme::Http },
                authority: if authority.is_empty() { crate::http::Authority::default() } else { authority.parse().unwrap() },
                target: Bytes::copy_from_slice(target.as_bytes()),
                version: Version::Http11,
                headers: Headers::new(),
            },
            request_body: None,
            response: None,
            response_body: None,
            has_error: false,
            is_websocket: false,
        }
    }

    fn method(mut self, method: &str) -> Self {
        self.request.method = Method::from_bytes(method.as_bytes()).unwrap();
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.request.headers.push(Field::from_static(name, value));
        self
    }

    fn answered(mut self, status: u16) -> Self {
        self.response = Some(ResponseHead::new(StatusCode::from_u16(status).unwrap()));
        self
    }

    /// After [`Flow::answered`].
    fn answer_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.response.as_mut().unwrap().headers.push(Field::from_static(name, value));
        self
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.request_body = Some(body.to_vec());
        self
    }

    fn answer_body(mut self, body: &[u8]) -> Self {
        self.response_body = Some(body.to_vec());
        self
    }

    fn view(&self) -> View<'_> {
        View {
            listener: self.listener,
            peer: self.peer.parse().unwrap(),
            upstream: &self.upstream,
            request: &self.request,
            request_body: self.request_body.as_deref().map_or(Seen::Unknown, Seen::Bytes),
            response: self.response.as_ref(),
            response_body: self.response_body.as_deref().map_or(Seen::Unknown, Seen::Bytes),
            has_error: self.has_error,
            is_websocket: self.is_websocket,
        }
    }

    fn answer(&self, filter: &str) -> Answer {
        Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).evaluate(&self.view())
    }

    /// Whether it matches, where that is known.
    fn matches(&self, filter: &str) -> bool {
        match self.answer(filter) {
            Answer::Yes => true,
            Answer::No => false,
            Answer::Unknown => panic!("{filter} is unknown"),
        }
    }

    fn expect(&self, is_match: bool, filters: &[&str]) {
        for filter in filters {
            assert_eq!(self.matches(filter), is_match, "{filter}");
        }
    }
}
