//! Grants: what an addon may ask for when it is loaded, and read, write and decide when it runs.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    RawClient, RawOrigin,
    addons::{Hosted, guest},
};

const NOWHERE: &str = "http://127.0.0.1:1";

/// A subscription that does nothing, or with these keys more.
fn rule(event: &str, more: &Value) -> Value {
    let mut rule = json!({"on": event});
    rule.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    rule
}

/// Why an addon with these rules and settings is not loaded.
async fn refused(rules: &Value, settings: &[(&str, &str)]) -> String {
    let builder = Hosted::before(NOWHERE).scripted("a", &json!({"rules": rules}));
    let host = settings.iter().fold(builder, |builder, (key, value)| builder.set(&format!("addon.a.{key}"), value));
    let host = host.start().await;
    let error = host.admin().refused("a").await;
    assert_eq!(host.admin().status("a").await["state"], "failed");
    assert_eq!(host.admin().get("/health/ready").await.status, 503);
    error
}

/// A proxy before this origin that has one addon with these rules and settings.
async fn granted(origin: &RawOrigin, rules: &Value, settings: &[(&str, &str)]) -> Hosted {
    let builder = Hosted::before(&origin.url()).scripted("a", &json!({"rules": rules}));
    settings.iter().fold(builder, |builder, (key, value)| builder.set(&format!("addon.a.{key}"), value)).start().await
}

#[tokio::test]
async fn ungranted_events_refuse_the_addon() {
    let rules = json!([rule("request", &json!({})), rule("response", &json!({})), rule("finish", &json!({}))]);
    let error = refused(&rules, &[("events", "[\"request\"]")]).await;
    let each = "asks for what it is not granted: [1] response: the event is not granted (events); \
                [2] finish: the event is not granted (events)";
    assert_eq!(error, each);
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &rules, &[("events", "[\"request\", \"response\", \"finish\"]")]).await;
    assert_eq!(host.admin().status("a").await["error"], Value::Null);
}

#[tokio::test]
async fn ungranted_bodies_refuse_the_addon() {
    let rules = json!([
        rule("request", &json!({"body": "full"})),
        rule("request", &json!({"body": {"truncate": 1}, "filter": "~bq x"})),
        rule("response", &json!({"filter": "~p /"})),
    ]);
    let error = refused(&rules, &[("bodies", "false")]).await;
    for part in [
        "[0] request: bodies are not granted (bodies)",
        "[1] request: bodies are",
        "[1] request: the filter looks at bodies (~b, ~bq, ~bs)",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("[2]"), "{error}");
}

#[tokio::test]
async fn old_generations_outlive_greedy_ones() {
    let origin = RawOrigin::ok().await;
    let modest = json!([rule("response", &json!({"do": [{"set": ["X-Seen", "1"]}]}))]);
    let host = granted(&origin, &modest, &[("events", "[\"response\"]")]).await;
    let greedy = json!({"rules": [rule("request", &json!({}))]});
    let answer = host.admin().put_options("a", &greedy).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("[0] request: the event is not granted (events)"), "{}", answer.text());
    assert_eq!(host.get("/").await.header("x-seen"), Some("1"));
    host.write_options("a", &greedy);
    assert!(host.admin().refused("a").await.contains("not granted"));
    assert_eq!(host.get("/").await.header("x-seen"), Some("1"));
}

#[tokio::test]
async fn grants_change_with_the_configuration() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &json!([rule("response", &json!({"do": [{"try": {"set": ["X-Seen", "1"]}}]}))]), &[]).await;
    assert_eq!(host.get("/").await.header("x-seen"), Some("1"));
    std::fs::write(host.config_path(), host.config() + "\nedit = false\n").expect("a file");
    host.reload().await;
    assert_eq!(host.admin().status("a").await["read_only"], true);
    assert_eq!(host.get("/").await.header("x-seen"), None);
}

/// Tries everything that a hook of this event can edit, and logs how that ended.
fn trying_all(event: &str) -> Value {
    let edits = [
        json!({"set": ["X-A", "1"]}),
        json!({"append": ["X-A", "1"]}),
        json!({"remove": "X-Kept"}),
        json!({"set-body": "edited"}),
        if event == "request" { json!({"set-method": "PUT"}) } else { json!({"set-status": 201}) },
        json!({"set-target": "/edited"}),
        json!({"set-upstream": NOWHERE}),
        json!({"note": ["left", "1"]}),
    ];
    let mut actions: Vec<Value> = edits.iter().map(|edit| json!({"try": edit})).collect();
    actions.push(json!({"log": format!("{event} tried {{tried}} note {{note:left}} end")}));
    rule(event, &json!({"body": "full", "do": actions}))
}

#[tokio::test]
async fn readers_edit_nothing() {
    let origin = RawOrigin::ok().await;
    let host = granted(&origin, &json!([trying_all("request"), trying_all("response")]), &[("edit", "false")]).await;
    let answer = host.ask("GET", "/path", &[("X-Kept", "1")]).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.header("x-a")), (200, "ok", None));
    let seen = origin.only_request();
    assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.text().as_str()), ("GET", "/path", ""));
    assert_eq!((seen.fields.get("x-kept"), seen.fields.get("x-a")), (Some("1"), None));
    let all = ["the message is read-only in this hook"; 8].join("|");
    host.logged(&format!("request tried {all} note none end")).await;
    // The second hook tells of both.
    host.logged(&format!("response tried {all}|{all} note none end")).await;
    let status = host.admin().status("a").await;
    assert_eq!((&status["read_only"], &status["grants"]["edit"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn readers_can_only_go_on() {
    let origin = RawOrigin::ok().await;
    let verdicts = json!([["respond", [200, [], "mine"]], ["refuse", [403, "M_X", "no"]]]);
    let mut rules = Vec::new();
    for event in ["request", "response"] {
        for verdict in verdicts.as_array().expect("verdicts") {
            let action = json!([{ verdict[0].as_str().expect("a name"): verdict[1] }]);
            let filter = format!("~p ^/{event}/{}$", verdict[0].as_str().expect("a name"));
            rules.push(rule(event, &json!({"filter": filter, "do": action})));
        }
        rules.push(rule(event, &json!({"filter": format!("~p ^/{event}/drop$"), "do": ["drop"]})));
    }
    rules.push(rule("request", &json!({"filter": "~p ^/request/end-chain$", "do": ["end-chain"]})));
    let host = granted(&origin, &json!(rules), &[("edit", "false")]).await;
    let paths = ["request/respond", "request/refuse", "request/drop", "request/end-chain"];
    let paths = paths.into_iter().chain(["response/respond", "response/refuse", "response/drop"]);
    for (path, count) in paths.zip(1..) {
        assert_eq!(host.get(&format!("/{path}")).await.status, 503, "{path}");
        assert_eq!(host.admin().counter("a", "impossible_verdicts").await, count, "{path}");
    }
    host.logged("to do anything but to go on is not granted (edit)").await;
    assert_eq!(host.get("/other").await.text(), "ok");
}

#[tokio::test]
async fn readers_answer_no_failure() {
    let rules = json!([rule("upstream-error", &json!({"do": [{"respond": [200, [], "mine"]}]}))]);
    for (edit, status) in [("true", 200), ("false", 503)] {
        let host = Hosted::before(NOWHERE).scripted("a", &json!({"rules": rules})).set("addon.a.edit", edit).start().await;
        assert_eq!(host.get("/").await.status, status, "edit = {edit}");
    }
}

/// Fields with secrets, two of them of one name.
const SECRETS: [(&str, &str); 5] =
    [("X-First", "1"), ("Authorization", "Bearer hunter2"), ("Cookie", "a=hunter2"), ("X-Between", "2"), ("Cookie", "b=hunter2")];

#[tokio::test]
async fn withheld_values_are_not_shown() {
    let origin = RawOrigin::ok().await;
    let shown = "{fields} alone {header:aUTHORIZATION} end";
    let actions = json!([{"log": shown}, {"set": ["X-Edited", "1"]}, {"append": ["X-Edited", "2"]}, {"remove": "X-Between"}]);
    let rules = json!([
        rule("request", &json!({"do": actions})),
        rule("response", &json!({"do": [{"log": "then {fields} sent {sent:authorization} end"}, {"set": ["X-Edited", "1"]}]})),
        rule("finish", &json!({"do": [{"log": "last {fields} end"}]})),
    ]);
    let host = granted(&origin, &rules, &[("withhold_headers", "[\"authorization\", \"COOKIE\", \"content-l*\"]")]).await;
    let mut client = RawClient::connect(host.address()).await;
    let fields = SECRETS.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
    let answer = client.response().await;
    assert_eq!((answer.text().as_str(), answer.fields.get("x-edited")), ("ok", Some("1")));
    // The real ones go on, whatever else was edited, in their places.
    let seen = origin.only_request();
    let is_kept = |name: &&str| ["x-first", "authorization", "cookie"].contains(name);
    let names: Vec<_> = seen.fields.names().map(str::to_ascii_lowercase).collect();
    assert_eq!(
        names.iter().map(String::as_str).filter(is_kept).collect::<Vec<_>>(),
        ["x-first", "authorization", "cookie", "cookie"]
    );
    assert_eq!(seen.fields.all("cookie").collect::<Vec<_>>(), ["a=hunter2", "b=hunter2"]);
    assert_eq!(seen.fields.all("authorization").collect::<Vec<_>>(), ["Bearer hunter2"]);
    assert_eq!(seen.fields.all("x-edited").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen.fields.get("x-between"), None);
    host.logged("X-First=1,Authorization=[withheld],Cookie=[withheld],X-Between=2,Cookie=[withheld]").await;
    host.logged("alone [withheld] end").await;
    host.logged("sent [withheld] end").await;
    host.logged("last ").await;
    assert!(!host.logs().contains("hunter2"), "{}", host.logs());
}

#[tokio::test]
async fn unreadable_values_are_not_shown() {
    let origin = RawOrigin::ok().await;
    let rules = json!([rule("request", &json!({"do": [{"log": "{fields} end"}]}))]);
    let settings = [("read_headers", "[\"x-*\", \"authorization\"]"), ("withhold_headers", "[\"X-First\"]")];
    let host = granted(&origin, &rules, &settings).await;
    host.ask("GET", "/", &SECRETS).await;
    let said = "x-first=[withheld],authorization=Bearer hunter2,cookie=[withheld],cookie=[withheld],x-between=2";
    host.logged(said).await;
}

/// The response as the guest tries these edits on the request, and the request that the origin got.
async fn tried(edits: &[Value], settings: &[(&str, &str)]) -> (Vec<String>, tollgate_tests::Request) {
    let origin = RawOrigin::ok().await;
    let actions: Vec<Value> = edits.iter().map(|edit| json!({"try": edit})).collect();
    let rules =
        json!([rule("request", &json!({"do": actions})), rule("response", &json!({"do": [{"set": ["X-Tried", "{tried}"]}]})),]);
    let host = granted(&origin, &rules, settings).await;
    let answer = host.ask("GET", "/", &SECRETS).await;
    let tried = answer.header("x-tried").expect("a field").split('|').map(str::to_owned).collect();
    (tried, origin.only_request())
}

#[tokio::test]
async fn the_mark_of_withholding_is_never_sent() {
    let edits = [
        json!({"set": ["Authorization", "{header:authorization}"]}),
        json!({"append": ["Cookie", "c=[withheld]"]}),
        json!({"set": ["X-Free", "[withheld]"]}),
        json!({"set": ["Cookie", "c=new"]}),
    ];
    let (ended, seen) = tried(&edits, &[("withhold_headers", "[\"authorization\", \"cookie\"]")]).await;
    let mark = |name: &str| format!("not legal: value of {name}: it holds the mark of a withheld one");
    assert_eq!(ended, [mark("Authorization"), mark("Cookie"), "done".to_owned(), "done".to_owned()]);
    assert_eq!((seen.fields.get("authorization"), seen.fields.get("cookie")), (Some("Bearer hunter2"), Some("c=new")));
}

#[tokio::test]
async fn only_granted_fields_are_written() {
    let edits = [
        json!({"set": ["X-First", "new"]}),
        json!({"append": ["x-more", "1"]}),
        json!({"set": ["Accept", "1"]}),
        json!({"append": ["Accept", "1"]}),
        json!({"remove": "Authorization"}),
        json!({"set": ["Connection", "close"]}),
    ];
    let (ended, seen) = tried(&edits, &[("write_headers", "[\"X-*\"]")]).await;
    let denied = |name: &str| format!("forbidden: {name}, which is not granted");
    let expected = ["done", "done", &denied("accept"), &denied("accept"), &denied("authorization"), "forbidden: connection"];
    assert_eq!(ended, expected);
    assert_eq!((seen.fields.get("x-first"), seen.fields.get("accept")), (Some("new"), None));
    assert_eq!((seen.fields.get("x-more"), seen.fields.get("authorization")), (Some("1"), Some("Bearer hunter2")));
}

#[tokio::test]
async fn made_responses_have_granted_fields_alone() {
    let origin = RawOrigin::ok().await;
    let respond = |name: &str, value: &str| json!({"do": [{"respond": [200, [[name, value]], "mine"]}]});
    for (event, name, value, status) in [
        ("request", "X-Mine", "1", 200),
        ("response", "x-mine", "1", 200),
        ("request", "Set-Cookie", "a=b", 503),
        ("response", "Set-Cookie", "a=b", 503),
        ("request", "X-Secret", "[withheld]", 503),
        ("request", "X-Secret", "new", 200),
    ] {
        let settings = [("write_headers", "[\"X-*\"]"), ("withhold_headers", "[\"x-secret\"]")];
        let host = granted(&origin, &json!([rule(event, &respond(name, value))]), &settings).await;
        let answer = host.get("/").await;
        assert_eq!(answer.status, status, "{event} {name} {value}");
        let is_refused = status == 503;
        assert_eq!(host.admin().counter("a", "impossible_verdicts").await, u64::from(is_refused), "{event} {name} {value}");
        assert_eq!(answer.header(name), (!is_refused).then_some(value));
    }
}

#[tokio::test]
async fn filters_tell_nothing_that_is_withheld() {
    let rules = json!([
        rule("request", &json!({"filter": "~m GET & ~hq hunter2"})),
        rule("response", &json!({"filter": "!~ts html"})),
        rule("response", &json!({"filter": "~a"})),
        rule("request", &json!({"filter": "~p /a"})),
    ]);
    let error = refused(&rules, &[("withhold_headers", "[\"authorization\"]")]).await;
    assert!(error.contains("[0] request: the filter looks at header fields (~h, ~hq, ~hs)"), "{error}");
    assert!(["[1]", "[2]", "[3]"].iter().all(|other| !error.contains(other)), "{error}");
    let error = refused(&rules, &[("read_headers", "[\"x-*\"]")]).await;
    for part in ["[0] request: the filter looks at header fields", "[1] response: the filter looks at content types", "[2]"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("[3]"), "{error}");
}

#[tokio::test]
async fn grants_are_shown() {
    let host = Hosted::before(NOWHERE)
        .scripted("a", &json!({}))
        .set("addon.a.events", "[\"finish\", \"request\"]")
        .set("addon.a.bodies", "false")
        .set("addon.a.write_headers", "[\"X-*\"]")
        .unknown("b", &guest("scripted"))
        .start()
        .await;
    let page = host.admin().get("/addons").await.json();
    let grants = json!({
        "events": ["request", "finish"], "edit": true, "bodies": false,
        "read_headers": ["*"], "write_headers": ["x-*"], "withhold_headers": [], "http": [], "upstreams": ["private"],
        "outbox": [], "kv": false, "dns": false,
    });
    assert_eq!((&page["addons"][0]["grants"], &page["addons"][0]["read_only"]), (&grants, &json!(false)));
    assert_eq!(page["addons"][1]["grants"]["events"].as_array().map(Vec::len), Some(9));
}

/// A request in pieces, with trailers.
const IN_PIECES: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Secret: hunter2\r\n\
                         X-Open: 1\r\n\r\n";

#[tokio::test]
async fn readers_let_pieces_go_on() {
    let uncoded = json!([rule("request-chunk", &json!({"body": "full"}))]);
    let error = refused(&uncoded, &[("edit", "false")]).await;
    assert!(error.contains("[0] request-chunk: pieces without content codings change the message"), "{error}");
    for (actions, is_let) in [
        (json!([{"log": "saw {data}"}, {"piece": "done"}]), true),
        (json!([{"piece": "upper"}]), false),
        (json!([{"piece": "discard"}]), false),
        (json!([{"piece": {"last": [{"piece": {"trailer": ["X-Open", "2"]}}]}}]), false),
    ] {
        let origin = RawOrigin::ok().await;
        let host = granted(&origin, &json!([rule("request-chunk", &json!({"do": actions}))]), &[("edit", "false")]).await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(IN_PIECES).await;
        assert_eq!(client.response().await.status == 200, is_let, "{actions}");
        if is_let {
            let seen = origin.only_request();
            assert_eq!((seen.text().as_str(), seen.trailers.get("x-open")), ("body", Some("1")));
        }
    }
}

#[tokio::test]
async fn trailers_keep_to_the_grants() {
    let origin = RawOrigin::ok().await;
    let last = json!([{"log": "saw {trailer:x-secret} {trailer:x-open}"}, {"piece": {"trailer": ["X-Open", "2"]}}]);
    let rules = json!([rule("request-chunk", &json!({"do": [{"piece": {"last": last}}]}))]);
    let settings = [("withhold_headers", "[\"x-secret\"]"), ("write_headers", "[\"x-open\"]")];
    let host = granted(&origin, &rules, &settings).await;
    let mut client = RawClient::connect(host.address()).await;
    client.send(IN_PIECES).await;
    assert_eq!(client.response().await.status, 200);
    let seen = origin.only_request();
    assert_eq!((seen.trailers.get("x-secret"), seen.trailers.get("x-open")), (Some("hunter2"), Some("2")));
    host.logged("saw [withheld] 1").await;
    for (name, value, said) in [("X-Other", "1", "forbidden: x-other"), ("X-Secret", "[withheld]", "x-secret, which is not")] {
        let rules =
            json!([rule("request-chunk", &json!({"do": [{"piece": {"last": [{"piece": {"trailer": [name, value]}}]}}]}))]);
        let origin = RawOrigin::ok().await;
        let host = granted(&origin, &rules, &settings).await;
        let mut client = RawClient::connect(host.address()).await;
        client.send(IN_PIECES).await;
        assert_ne!(client.response().await.status, 200, "{name}");
        host.logged(said).await;
    }
}

#[tokio::test]
async fn hashes_of_unseen_bodies_are_withheld() {
    let origin = RawOrigin::ok().await;
    let editing = json!({"rules": [rule("response", &json!({"body": "full", "do": [{"set-body": "pin 1234"}]}))]});
    let watching = json!({"rules": [rule("finish", &json!({"do": [{"log": "changed {mutations} end"}]}))]});
    for (bodies, said) in [("false", "body Response 2:[withheld]>8:[withheld]"), ("true", "body Response 2:2689367b205c16ce32")] {
        let host = Hosted::before(&origin.url())
            .scripted("a", &editing)
            .scripted("b", &watching)
            .set("addon.b.bodies", bodies)
            .start()
            .await;
        assert_eq!(host.get("/").await.text(), "pin 1234");
        host.logged(said).await;
    }
}

#[tokio::test]
async fn readers_leave_bodies_as_they_are() {
    let response = "HTTP/1.1 200 OK\r\nETag: \"strong\"\r\nContent-MD5: x\r\nContent-Length: 5\r\n\r\nhello";
    let origin = RawOrigin::answering(response).await;
    let script = json!({"rules": [{"on": "request-chunk"}, {"on": "response-chunk", "do": [{"log": "saw {data}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.edit", false).start().await;
    let answer = host.post("/", "up").await;
    assert_eq!((answer.text().as_str(), answer.header("content-length")), ("hello", Some("5")));
    assert_eq!((answer.header("etag"), answer.header("content-md5")), (Some("\"strong\""), Some("x")));
    assert_eq!(origin.only_request().fields.get("content-length"), Some("2"));
    host.logged("saw hello").await;
}
