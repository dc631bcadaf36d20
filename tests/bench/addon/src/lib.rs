//! What `cargo xtask bench` has hooks do, one thing at a time.
//!
//! Options: `{"does": "rules", "filter": "…"}`; what else it can do is told at `Does`. `rules` is what the filter in
//! `tests/bench/filter` does for Envoy, and the addon in `tests/bench/mitmproxy` for mitmproxy: who changes one, changes all three.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use tollgate_sdk::{
    Addon, Chunk, ChunkVerdict, Error, Event, Flow, OptionErrors, OverCap, Request, RequestVerdict, Response, ResponseVerdict,
    Subscription, WebsocketMessage, WebsocketVerdict,
    serde_json::{Map, Value},
};

/// Path, User-Agent, host, method with query.
const RULES: [&str; 4] = [
    r"^/(?:_matrix|api)/v[0-9]+/rooms/[^/]+/(?:send|state)/",
    r"(?i)\b(?:sqlmap|nikto|masscan)\b",
    r"^(?:[a-z0-9-]+\.)*blocked\.example$",
    r"^(?:PUT|DELETE) (?:[^&]*&)*force=(?:1|true)(?:&|$)",
];

/// What the rules are tried on once, so that instances begin with what a regular expression keeps of its searches: without it, each
/// begins with an empty cache.
const USUAL: [&str; 4] =
    ["/_matrix/client/v3/sync?since=s1", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)", "www-1.example.com", "GET a=b&limit=10"];

/// Bytes of a piece that a hook is shown.
const PIECE: u64 = 16 * 1024;

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Does {
    /// Judges each request by [`RULES`] and edits a header field of each message.
    Rules,
    /// Edits the same two fields, and judges nothing.
    Edits,
    /// Is called for both messages, and does nothing.
    Passes,
    /// Edits a field of the response, whose body streams past.
    Head,
    /// Reads a body of JSON into values and writes it anew.
    Json,
    /// Reads a body of JSON, keeps what the members of the outermost object are as it was written, and writes it anew: what the bundled
    /// addons do.
    Members,
    /// Is shown each piece of a response.
    Looks,
    /// Puts the same bytes in the place of each piece.
    Replaces,
    /// Is shown messages of WebSockets.
    Messages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    does: Does,
    /// Of all subscriptions. Default: every flow.
    #[serde(default)]
    filter: String,
}

struct Bench {
    options: Options,
    rules: Vec<Regex>,
}

impl Bench {
    /// A digit for each rule: whether it finds something.
    fn judge(&self, request: &Request) -> String {
        let path_and_query = request.path_and_query();
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let agent = request.header_str("user-agent").unwrap_or_default();
        let authority = request.authority();
        let call = format!("{} {query}", request.method());
        let subjects = [path, &agent, &authority, &call];
        self.rules.iter().zip(subjects).map(|(rule, subject)| if rule.is_match(subject) { '1' } else { '0' }).collect()
    }
}

impl Addon for Bench {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        let mut errors = OptionErrors::default();
        let mut rules = Vec::new();
        if options.does == Does::Rules {
            for rule in RULES {
                match Regex::new(rule) {
                    Ok(rule) => {
                        for subject in USUAL {
                            rule.is_match(subject);
                        }
                        rules.push(rule);
                    }
                    Err(error) => errors.push("does", error.to_string()),
                }
            }
        }
        errors.or_ok(Self { options, rules })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let to = |event| Subscription::to(event).filter(self.options.filter.as_str());
        match self.options.does {
            Does::Rules | Does::Edits | Does::Passes => vec![to(Event::Request), to(Event::Response)],
            Does::Head => vec![to(Event::Response)],
            Does::Json | Does::Members => vec![to(Event::Response).with_body()],
            Does::Looks | Does::Replaces => vec![to(Event::ResponseChunk).with_body_up_to(PIECE, OverCap::Refuse)],
            Does::Messages => vec![to(Event::WebsocketMessage)],
        }
    }

    fn request(&mut self, _flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        match self.options.does {
            Does::Rules => request.set_header("X-Judged", self.judge(request))?,
            Does::Edits => request.set_header("X-Judged", "0000")?,
            _ => {}
        }
        Ok(RequestVerdict::Next)
    }

    fn response(&mut self, _flow: &Flow, _request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        match self.options.does {
            Does::Json => {
                let mut document: Map<String, Value> = response.json()?;
                document.insert("seen_by".to_owned(), "bench".into());
                response.set_json(&document)?;
            }
            Does::Members => {
                let mut document: BTreeMap<String, Box<RawValue>> = response.json()?;
                document.insert("seen_by".to_owned(), to_raw_value("bench")?);
                response.set_json(&document)?;
            }
            Does::Rules | Does::Edits | Does::Head => response.set_header("X-Seen-By", "bench")?,
            _ => {}
        }
        Ok(ResponseVerdict::Next)
    }

    fn response_chunk(&mut self, _: &Flow, _: &Request, _: &Response, chunk: Chunk) -> Result<ChunkVerdict, Error> {
        match self.options.does {
            Does::Replaces => Ok(ChunkVerdict::replace(chunk.data)),
            _ => Ok(ChunkVerdict::pass()),
        }
    }

    fn websocket_message(&mut self, _: &Flow, _: &Request, _: WebsocketMessage) -> Result<WebsocketVerdict, Error> {
        Ok(WebsocketVerdict::Pass)
    }
}

tollgate_sdk::export!(Bench);

#[cfg(test)]
mod tests {
    use tollgate_sdk::{
        serde_json::json,
        testing::{Harness, TestRequest, TestResponse},
    };

    use super::*;

    fn judged(request: TestRequest) -> String {
        let harness = Harness::<Bench>::configure(json!({"does": "rules"})).expect("legal options");
        let done = harness
            .exchange(request, |sent| TestResponse::new(200).with_header("X-Saw", sent.header("x-judged").unwrap_or_default()));
        assert_eq!(done.response().header("x-seen-by"), Some("bench"));
        done.response().header("x-saw").unwrap_or_default().to_owned()
    }

    #[test]
    fn each_rule_finds_its_own() {
        assert_eq!(judged(TestRequest::get("/v1/thing.json?page=2")), "0000");
        assert_eq!(judged(TestRequest::get("/api/v3/rooms/a/send/b")), "1000");
        assert_eq!(judged(TestRequest::get("/").with_header("User-Agent", "SQLmap/1.5")), "0100");
        assert_eq!(judged(TestRequest { authority: "a.blocked.example".to_owned(), ..TestRequest::get("/") }), "0010");
        assert_eq!(judged(TestRequest::new("DELETE", "/thing?a=b&force=true")), "0001");
        assert_eq!(judged(TestRequest::get("/thing?force=true")), "0000");
    }

    #[test]
    fn json_is_written_anew() {
        for (does, written) in
            [("json", r#"{"a":{"b":1},"seen_by":"bench"}"#), ("members", r#"{"a":{"b": 1},"seen_by":"bench"}"#)]
        {
            let harness = Harness::<Bench>::configure(json!({"does": does})).expect("legal options");
            let done = harness.exchange(TestRequest::get("/"), |_| TestResponse::new(200).with_body(r#"{"a": {"b": 1}}"#));
            assert_eq!(done.response().text(), written);
        }
    }
}
