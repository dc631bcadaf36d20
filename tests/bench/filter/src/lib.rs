//! The rules of `tests/bench/addon` as a proxy-wasm filter for Envoy: compiled once for its VM, which all requests share.

use std::rc::Rc;

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel},
};
use regex::Regex;

/// Path, User-Agent, host, method with query.
const RULES: [&str; 4] = [
    r"^/(?:_matrix|api)/v[0-9]+/rooms/[^/]+/(?:send|state)/",
    r"(?i)\b(?:sqlmap|nikto|masscan)\b",
    r"^(?:[a-z0-9-]+\.)*blocked\.example$",
    r"^(?:PUT|DELETE) (?:[^&]*&)*force=(?:1|true)(?:&|$)",
];

mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(super::LogLevel::Warn);
        proxy_wasm::set_root_context(|_| Box::new(super::Root { rules: super::Rc::default() }));
    }}
}

struct Root {
    rules: Rc<Vec<Regex>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let rules: Result<Vec<_>, _> = RULES.iter().map(|rule| Regex::new(rule)).collect();
        rules.map(|rules| self.rules = Rc::new(rules)).is_ok()
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Exchange { rules: Rc::clone(&self.rules) }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A request and its response.
struct Exchange {
    rules: Rc<Vec<Regex>>,
}

impl Exchange {
    /// A digit for each rule: whether it finds something.
    fn judge(&self) -> String {
        let field = |name| self.get_http_request_header(name).unwrap_or_default();
        let path_and_query = field(":path");
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let agent = field("user-agent");
        let authority = field(":authority");
        let call = format!("{} {query}", field(":method"));
        let subjects = [path, &agent, &authority, &call];
        self.rules.iter().zip(subjects).map(|(rule, subject)| if rule.is_match(subject) { '1' } else { '0' }).collect()
    }
}

impl Context for Exchange {}

impl HttpContext for Exchange {
    fn on_http_request_headers(&mut self, _fields: usize, _is_end: bool) -> Action {
        self.set_http_request_header("x-judged", Some(&self.judge()));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _fields: usize, _is_end: bool) -> Action {
        self.set_http_response_header("x-seen-by", Some("bench"));
        Action::Continue
    }
}
