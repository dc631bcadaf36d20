//! Rules of the policy addon, once as filters that the proxy evaluates and once in the addon: both have to say the same, or a
//! flow would pass a hook unseen. This is the one test that looks inside of both.
#![cfg(test)]

use bytes::Bytes;
use http::Method;
use policy::Policy;
use tollgate::{
    filter::{Answer, Filter, Seen, View},
    http::{Headers, RequestHead, Scheme, Version},
};
use tollgate_sdk::{
    Event, RequestVerdict,
    serde_json::{Value, json},
    testing::{Harness, TestRequest},
};

/// Regular expressions as policies have them, and some that are meant to be read in two ways.
const PATTERNS: [&str; 48] = [
    "",
    "a",
    "^/_matrix/client/r0/createRoom",
    "^/_matrix/client/r0/rooms/([^/]+)/ban$",
    "^/_matrix/client/r0/rooms/!some-room:server/ban",
    "^/_matrix/client/(r0|v1|v3)/rooms/[^/]+/send/m.room.message/[^/]+$",
    "^/_matrix/client/(r0|v\\d+)/.*",
    "(?i)^/_MATRIX",
    "(?i:R0)/(?s:.)",
    "(?U)a+",
    "(?m)^b$",
    "(?P<version>v\\d)",
    "^[[:alpha:]/_]+$",
    "[[a]",
    "[]a]",
    "[^]a/]",
    "[a&&b]",
    "[a~~b]",
    "[a-z&~[]",
    "[+--]",
    "a{1,2}b",
    "a{b",
    "{",
    "a{,2}",
    "a{2}{",
    "\\Qa.b{\\E",
    "\\<a\\>",
    "a\"b",
    "a'b",
    "a~b",
    "a b",
    "a\\\\b",
    "a\\.b",
    "\\x61\\x{62}",
    "\\ba\\b",
    "\\s",
    "\\W",
    "a\nb",
    "a.b",
    "a\tb",
    "ä",
    "^/[^/][^/]$",
    "%2F",
    "%",
    "\\?",
    "POST|PUT",
    "^P",
    "(|&!) ~all",
];

const TARGETS: [&str; 35] = [
    "/",
    "/a",
    "/ab",
    "/aab",
    "/A",
    "/b",
    "/a.b",
    "/a.b%7B",
    "/axb",
    "/a%0Ab",
    "/a%09b",
    "/a%20b",
    "/a%22b",
    "/a%27b",
    "/a~b",
    "/a%5Cb",
    "/a%7Bb",
    "/a%7B,2%7D",
    "/aa%7B",
    "/%5B",
    "/%5D",
    "/&",
    "/+",
    "/-",
    "/a%2Fb",
    "/a%252Fb",
    "/%zz",
    "/%C3%A4",
    "/%FF",
    "/a?b=%0A",
    "/_matrix/client/r0/createRoom?x",
    "/_matrix/client/r0/rooms/!some-room%3Aserver/ban",
    "/_matrix/client/v3/rooms/%21a:b/send/m.room.message/1",
    "/_MATRIX/client/V3/x",
    "/(%7C&!)%20~all",
];

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "post", "Post", "A~b", "OPTIONS"];

/// The addon with a hook that rejects what these rules match, and the filters with which it asks for requests because of it.
fn hooked(rules: &Value) -> (Harness<Policy>, Vec<Filter>) {
    let harness = |hooks: Value| Harness::<Policy>::configure(json!({ "hooks": hooks })).unwrap();
    let always = harness(json!([]));
    let always: Vec<_> = always.subscriptions().iter().map(tollgate_sdk::Subscription::filter_text).collect();
    let hooked = harness(json!([{
        "id": "h", "eventType": "beforeAnyRequest", "matchRules": rules, "action": "reject",
        "rejectionErrorCode": "M_MATCHED", "rejectionErrorMessage": "",
    }]));
    let requests = hooked.subscriptions().iter().filter(|one| one.event() == Event::Request);
    // What is sent back since its path is not tidy is matched, too: that is not about rules.
    let own =
        requests.map(tollgate_sdk::Subscription::filter_text).filter(|text| !always.contains(text) && !text.contains("//|"));
    let filters = own.map(|text| Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))).collect();
    (hooked, filters)
}

fn is_asked_for(filters: &[Filter], method: &str, target: &str) -> bool {
    let request = RequestHead {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        scheme: Scheme::Http,
        authority: "ex.org".parse().unwrap(),
        target: Bytes::copy_from_slice(target.as_bytes()),
        version: Version::Http11,
        headers: Headers::new(),
    };
    let view = View {
        listener: "main",
        peer: "192.0.2.1:1".parse().unwrap(),
        upstream: &"http://hs:8008".parse().unwrap(),
        request: &request,
        request_body: Seen::Unknown,
        response: None,
        response_body: Seen::Absent,
        has_error: false,
        is_websocket: false,
    };
    filters.iter().any(|filter| filter.evaluate(&view) == Answer::Yes)
}

fn is_rejected(harness: &Harness<Policy>, method: &str, target: &str) -> bool {
    let verdict = harness.request(TestRequest::new(method, target)).verdict.unwrap();
    matches!(verdict, RequestVerdict::Respond(response) if response.body.windows(9).any(|text| text == b"M_MATCHED"))
}

#[track_caller]
fn agree(rules: &Value, targets: &[&str], methods: &[&str]) -> usize {
    let (harness, filters) = hooked(rules);
    let mut matches = 0;
    for (method, target) in methods.iter().flat_map(|method| targets.iter().map(move |target| (method, target))) {
        let is_match = is_rejected(&harness, method, target);
        assert_eq!(is_asked_for(&filters, method, target), is_match, "{method} {target}: {rules}");
        matches += usize::from(is_match);
    }
    matches
}

#[test]
fn routes_match_in_filters_as_in_the_addon() {
    for pattern in PATTERNS {
        let count = |invert: bool| agree(&json!([{ "type": "route", "regex": pattern, "invert": invert }]), &TARGETS, &["GET"]);
        assert_eq!(count(false) + count(true), TARGETS.len(), "{pattern}");
    }
}

#[test]
fn methods_match_in_filters_as_in_the_addon() {
    for pattern in PATTERNS {
        let count = |invert: bool| agree(&json!([{ "type": "method", "regex": pattern, "invert": invert }]), &["/a"], &METHODS);
        // All but OPTIONS, which is for no hook.
        assert_eq!(count(false) + count(true), METHODS.len() - 1, "{pattern}");
    }
}

#[test]
fn rules_match_together_in_filters_as_in_the_addon() {
    for (left, right) in PATTERNS.iter().zip(PATTERNS.iter().rev()) {
        for inversions in 0..4 {
            let rules = json!([
                { "type": "route", "regex": left, "invert": inversions & 1 == 1 },
                { "type": "route", "regex": right, "invert": inversions & 2 == 2 },
                { "type": "method", "regex": "^(GET|post)$" },
            ]);
            agree(&rules, &TARGETS, &["GET", "POST"]);
        }
    }
}
