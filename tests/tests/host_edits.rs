//! Edits of messages: which are taken, which are not, and that a failed hook leaves none behind.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawClient, RawOrigin,
    addons::{Hosted, guest},
};

/// Tries all of these in the request hook, and tells in a field how each ended.
fn trying(edits: &[Value]) -> Value {
    json!({"rules": [{"on": "request", "do": tried(edits)}]})
}

fn tried(edits: &[Value]) -> Value {
    let mut actions: Vec<Value> = edits.iter().map(|edit| json!({"try": edit})).collect();
    actions.push(json!({"set": ["X-Tried", "{tried}"]}));
    Value::Array(actions)
}

/// How the edits of a request ended, and the request that the origin got.
async fn try_on_request(edits: &[Value]) -> (Vec<String>, tollgate_tests::Request) {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &trying(edits)).start().await;
    assert_eq!(host.post("/path?query", "body").await.status, 200);
    let request = origin.only_request();
    let tried = request.fields.get("x-tried").expect("a field").split('|').map(str::to_owned).collect();
    (tried, request)
}

/// Edits of everything, and then this.
fn editing_and(last: &Value) -> Value {
    json!([
        {"set-method": "PUT"}, {"set-target": "/edited"}, {"set": ["X-Set", "1"]}, {"remove": "X-Kept"}, {"set-body": "edited"},
        {"set-upstream": "http://127.0.0.1:1"}, {"note": ["left", "1"]}, last
    ])
}

/// What fails a hook.
fn failures() -> [Value; 4] {
    [json!("trap"), json!({"panic": "oh no"}), json!({"fail": "no"}), json!({"respond": [99, [], ""]})]
}

#[tokio::test]
async fn failed_request_hooks_leave_no_edit() {
    for failure in failures() {
        let origin = RawOrigin::ok().await;
        let failing = json!({"rules": [{"on": "request", "body": "full", "do": editing_and(&failure)}]});
        let looking = json!({"rules": [{"on": "request", "do": [{"set": ["X-Note", "{note:left}"]}]}]});
        let host = Hosted::before(&origin.url())
            .scripted("a", &failing)
            .set("addon.a.on_error", "open")
            .scripted("b", &looking)
            .start()
            .await;
        let mut client = RawClient::connect(host.address()).await;
        client.send("POST /path HTTP/1.1\r\nHost: h\r\nX-Kept: 1\r\nContent-Length: 4\r\n\r\nbody").await;
        assert_eq!(client.response().await.status, 200);
        let seen = origin.only_request();
        assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.text().as_str()), ("POST", "/path", "body"), "{failure}");
        assert_eq!((seen.fields.get("x-kept"), seen.fields.get("x-set")), (Some("1"), None), "{failure}");
        assert_eq!(seen.fields.get("x-note"), Some("none"), "{failure}");
    }
}

#[tokio::test]
async fn failed_response_hooks_leave_no_edit() {
    for failure in failures() {
        let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok").await;
        let failing = json!({"rules": [{"on": "response", "body": "full", "do": [
            {"set-status": 201}, {"set": ["X-Set", "1"]}, {"remove": "X-Kept"}, {"set-body": "edited"}, {"note": ["left", "1"]}, failure
        ]}]});
        let looking = json!({"rules": [{"on": "response", "do": [{"set": ["X-Note", "{note:left}"]}]}]});
        let host = Hosted::before(&origin.url())
            .scripted("a", &looking)
            .scripted("b", &failing)
            .set("addon.b.on_error", "open")
            .start()
            .await;
        let answer = host.get("/").await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"), "{failure}");
        assert_eq!((answer.header("x-kept"), answer.header("x-set")), (Some("1"), None), "{failure}");
        assert_eq!(answer.header("x-note"), Some("none"), "{failure}");
    }
}

#[tokio::test]
async fn edits_of_earlier_addons_outlive_a_failure() {
    let origin = RawOrigin::ok().await;
    let editing = json!({"rules": [{"on": "request", "do": [{"set": ["X-Kept", "1"]}, {"note": ["kept", "1"]}]}]});
    let failing = json!({"rules": [{"on": "request", "do": [{"set": ["X-Kept", "2"]}, {"note": ["kept", "2"]}, "trap"]}]});
    let looking = json!({"rules": [{"on": "request", "do": [{"set": ["X-Note", "{note:kept}"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &editing)
        .scripted("b", &failing)
        .set("addon.b.on_error", "open")
        .scripted("c", &looking)
        .start()
        .await;
    host.get("/").await;
    let seen = origin.only_request();
    assert_eq!((seen.fields.get("x-kept"), seen.fields.get("x-note")), (Some("1"), Some("1")));
}

#[tokio::test]
async fn framing_fields_belong_to_the_core() {
    let names = [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "HTTP2-Settings",
    ];
    let edits: [fn(&str) -> Value; 3] =
        [|name| json!({"set": [name, "7"]}), |name| json!({"append": [name, "7"]}), |name| json!({"remove": name})];
    for edit in edits {
        let (ended, request) = try_on_request(&names.map(edit)).await;
        assert_eq!(ended, names.map(|name| format!("forbidden: {}", name.to_ascii_lowercase())));
        assert_eq!((request.fields.get("content-length"), request.text().as_str()), (Some("4"), "body"));
    }
}

#[tokio::test]
async fn host_belongs_to_the_core() {
    let (ended, request) = try_on_request(&[json!({"set": ["Host", "elsewhere"]})]).await;
    assert_eq!(ended, ["forbidden: host"]);
    assert_ne!(request.fields.get("host"), Some("elsewhere"));
}

#[tokio::test]
async fn framing_fields_of_responses_belong_to_the_core() {
    let origin = RawOrigin::ok().await;
    let edits = [
        json!({"set": ["Content-Length", "7"]}),
        json!({"append": ["Transfer-Encoding", "chunked"]}),
        json!({"set": ["Connection", "close"]}),
    ];
    let options = json!({"rules": [{"on": "response", "do": tried(&edits)}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.response().await;
        let told = "forbidden: content-length|forbidden: transfer-encoding|forbidden: connection";
        assert!(answer.fields.get("x-tried").is_some_and(|tried| tried.starts_with(told)), "{answer:?}");
        assert_eq!((answer.text().as_str(), answer.fields.get("content-length")), ("ok", Some("2")));
    }
}

#[tokio::test]
async fn illegal_values_are_told_to_the_guest() {
    let edits = [
        json!({"set": ["bad name", "1"]}),
        json!({"set": ["", "1"]}),
        json!({"set": ["X-A", "a\r\nX-B: c"]}),
        json!({"append": ["X-A", "a\u{0}"]}),
        json!({"set": ["X-A", " a"]}),
        json!({"set-method": "GE T"}),
        json!({"set-method": ""}),
        json!({"set-method": "CONNECT"}),
        json!({"set-target": "no-slash"}),
        json!({"set-target": "/a b"}),
        json!({"set-target": "/a#b"}),
        json!({"set-target": "/a\r\nX: y"}),
        json!({"set-upstream": "ftp://a"}),
        json!({"set-upstream": "http://a/path"}),
        json!({"set-upstream": "http://user@a"}),
        json!({"set-upstream": "127.0.0.1:80"}),
    ];
    let (ended, request) = try_on_request(&edits).await;
    assert_eq!(ended.len(), edits.len(), "{ended:?}");
    for (ended, edit) in ended.iter().zip(&edits) {
        assert!(ended.starts_with("not legal: "), "{edit}: {ended}");
    }
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/path?query"));
    assert!(!request.fields.has("x-a") && !request.fields.has("x-b"), "{:?}", request.fields);
}

#[tokio::test]
async fn odd_but_legal_values_are_taken() {
    let edits = [
        json!({"set": ["X-!#$%&'*+-.^_`|~", ""]}),
        json!({"set": ["X-Utf", "\u{e4}\u{20ac}"]}),
        json!({"set-method": "PURGE"}),
        json!({"set-target": "/%2F%00/?a=b?&%zz"}),
    ];
    let (ended, request) = try_on_request(&edits).await;
    assert_eq!(ended, ["done"; 4]);
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PURGE", "/%2F%00/?a=b?&%zz"));
    assert_eq!((request.fields.get("X-!#$%&'*+-.^_`|~"), request.fields.get("x-utf")), (Some(""), Some("\u{e4}\u{20ac}")));
}

#[tokio::test]
async fn illegal_statuses_are_told_to_the_guest() {
    let origin = RawOrigin::ok().await;
    let edits = [99, 100, 101, 199, 600, 999].map(|status| json!({"set-status": status}));
    let options = json!({"rules": [{"on": "response", "do": tried(&edits)}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let answer = host.get("/").await;
    let tried: Vec<_> = answer.header("x-tried").expect("a field").split('|').collect();
    assert!(tried.len() == 6 && tried.iter().all(|ended| ended.starts_with("not legal: status")), "{tried:?}");
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn order_and_case_of_fields_are_kept() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"set": ["x-SECOND", "new"]}, {"append": ["X-Fourth", "4"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    RawClient::ask(
        host.address(),
        "GET / HTTP/1.1\r\nHost: a\r\nX-fIRST: 1\r\nX-Second: 2\r\nx-third: 3\r\nX-Second: 2b\r\n\r\n",
    )
    .await;
    let seen = origin.only_request();
    let own: Vec<_> =
        seen.fields.names().filter(|name| name.to_ascii_lowercase().starts_with("x-") && !name.contains("Forwarded")).collect();
    assert_eq!(own, ["X-fIRST", "x-SECOND", "x-third", "X-Fourth"]);
    assert_eq!(seen.fields.get("x-second"), Some("new"));
}

#[tokio::test]
async fn impossible_verdicts_fail_the_hook() {
    let origin = RawOrigin::ok().await;
    let verdicts = [
        json!({"respond": [99, [], ""]}),
        json!({"respond": [101, [], ""]}),
        json!({"respond": [600, [], ""]}),
        json!({"respond": [200, [["Content-Length", "5"]], ""]}),
        json!({"respond": [200, [["Transfer-Encoding", "chunked"]], ""]}),
        json!({"respond": [200, [["X-A", "a\r\nb"]], ""]}),
        json!({"respond": [200, [["a b", "c"]], ""]}),
        json!({"refuse": [200, "M_X", "x"]}),
        json!({"refuse": [600, "M_X", "x"]}),
    ];
    let rules: Vec<_> = verdicts
        .iter()
        .enumerate()
        .map(|(number, verdict)| json!({"on": "request", "filter": format!("~p ^/{number}$"), "do": [verdict]}))
        .collect();
    let host = Hosted::before(&origin.url()).scripted("a", &json!({"rules": rules})).start().await;
    for (number, verdict) in verdicts.iter().enumerate() {
        assert_eq!(host.get(&format!("/{number}")).await.status, 503, "{verdict}");
    }
    assert_eq!(host.admin().counter("a", "impossible_verdicts").await, verdicts.len() as u64);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn requests_are_read_only_once_sent() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).guest("raw", &guest("raw"), &json!({})).start().await;
    let answer = host.get("/path").await;
    assert_eq!(answer.header("x-raw"), Some(["read-only"; 6].join(" ").as_str()));
    assert_eq!(origin.only_request().target, "/path");
    host.logged(&format!("in finish: {}", ["read-only"; 7].join(" "))).await;
}

#[tokio::test]
async fn requests_are_read_only_after_failures() {
    let host = Hosted::before("http://127.0.0.1:1").guest("raw", &guest("raw"), &json!({})).start().await;
    assert_eq!(host.get("/path").await.status, 502);
    host.logged(&format!("in upstream-error: {}", ["read-only"; 6].join(" "))).await;
}

/// Adds so many fields of so many bytes each to the request; how that ended, and how many came.
async fn flood(count: usize, bytes: usize) -> (String, usize) {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "request", "do": [{"try": {"flood": [count, bytes]}}, {"note": ["tried", "{tried}"]}]},
        {"on": "response", "do": [{"set": ["X-Tried", "{note:tried}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let answer = host.get("/").await;
    let came = origin.only_request().fields.names().filter(|name| name.starts_with("X-Flood-")).count();
    (answer.header("x-tried").unwrap_or_default().to_owned(), came)
}

#[tokio::test]
async fn fields_are_counted() {
    assert_eq!(flood(200, 1).await, ("done".to_owned(), 200));
    let (ended, came) = flood(300, 1).await;
    assert_eq!(ended, "too large: 257 header fields, limit 256");
    assert!((245..=256).contains(&came), "{came}");
}

#[tokio::test]
async fn bytes_of_fields_are_counted() {
    assert_eq!(flood(60, 1000).await, ("done".to_owned(), 60));
    let (ended, came) = flood(80, 1000).await;
    assert!(ended.starts_with("too large: ") && ended.ends_with(" bytes of header fields, limit 65536"), "{ended}");
    assert!((60..=65).contains(&came), "{came}");
}

#[tokio::test]
async fn notes_are_counted() {
    let edits = [
        json!({"note": ["k".repeat(256), "v"]}),
        json!({"note": ["k".repeat(257), "v"]}),
        json!({"note": ["k", "v".repeat(16_385)]}),
    ];
    let (ended, _) = try_on_request(&edits).await;
    let expected =
        ["done", "too large: 257 bytes in the key of a note, limit 256", "too large: 16385 bytes in a note, limit 16384"];
    assert_eq!(ended, expected);
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"notes": 64}, {"try": {"note": ["0", "again"]}}, {"try": {"note": ["64", "v"]}}, {"set": ["X-Tried", "{tried}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    host.get("/").await;
    assert_eq!(origin.only_request().fields.get("x-tried"), Some("done|too large: 65 notes, limit 64"));
}
