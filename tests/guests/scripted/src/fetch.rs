//! Requests of the guest's own.

use std::time::Duration;

use serde::Deserialize;
use tollgate_sdk::{
    http::{Error, Request, Response},
    outbox,
};

/// A request to make. Texts are templates.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Fetch {
    /// Default: GET.
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    /// The body is so many bytes instead.
    fill: usize,
    /// In milliseconds.
    timeout: Option<u64>,
    redirects: u8,
    max_response: Option<u64>,
    /// How long it may be tried where it is sent later, in milliseconds.
    lifetime: Option<u64>,
    /// How often, if not once.
    times: usize,
}

/// What requests came to.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    ended: Vec<Result<Response, Error>>,
}

impl Fetch {
    fn request(&self, fill: impl Fn(&str) -> String) -> Request {
        let method = if self.method.is_empty() { "GET" } else { &self.method };
        let mut request = Request::new(method, fill(&self.url)).redirects(self.redirects);
        request = if self.fill > 0 { request.body(vec![b'f'; self.fill]) } else { request.body(fill(&self.body)) };
        for (name, value) in &self.headers {
            request = request.header(name, fill(value));
        }
        if let Some(timeout) = self.timeout {
            request = request.timeout(Duration::from_millis(timeout));
        }
        if let Some(bytes) = self.max_response {
            request = request.max_response(bytes);
        }
        request
    }

    /// Makes it, as often as it says; the last one's end.
    pub(crate) fn send(&self, fill: impl Fn(&str) -> String) -> Fetched {
        let request = self.request(fill);
        Fetched { ended: std::iter::repeat_with(|| request.send()).take(self.times.max(1)).collect() }
    }
}

impl Fetch {
    /// Has it sent later, as often as it says; how each of them ended.
    pub(crate) fn post(&self, fill: impl Fn(&str) -> String) -> Vec<Result<(), outbox::Error>> {
        let (request, lifetime) = (self.request(fill), self.lifetime.map(Duration::from_millis));
        std::iter::repeat_with(|| outbox::put(&request, lifetime)).take(self.times.max(1)).collect()
    }
}

impl Fetched {
    /// Why the last one has no response.
    pub(crate) fn error(self) -> Option<Error> {
        self.ended.into_iter().last()?.err()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.ended.extend(more.ended);
    }

    /// Of the last one: status and body or the error; a part of the response if one is named.
    pub(crate) fn show(&self, part: &str) -> String {
        if part == "ok" {
            return self.ended.iter().filter(|ended| ended.is_ok()).count().to_string();
        }
        match (self.ended.last(), part) {
            (None, _) => "nothing".to_owned(),
            (Some(Err(error)), _) => error.to_string(),
            (Some(Ok(response)), "") => format!("{} {}", response.status, response.text()),
            (Some(Ok(response)), "url") => response.url.clone(),
            (Some(Ok(response)), "version") => response.version.clone(),
            (Some(Ok(response)), "length") => response.body.len().to_string(),
            (Some(Ok(response)), "names") => names(&response.headers),
            (Some(Ok(response)), "trailers") => names(&response.trailers),
            (Some(Ok(response)), name) => response.header(name).unwrap_or("none").to_owned(),
        }
    }
}

fn names(headers: &[tollgate_sdk::Header]) -> String {
    headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect::<Vec<_>>().join(",")
}
