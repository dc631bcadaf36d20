//! Who is called when, with which message, and what verdicts do to the rest of the chain.
#![cfg(test)]

use serde_json::{Value, json};
use tollgate_tests::{
    Answer, Client, Echo, RawClient, RawOrigin, Version,
    addons::{Hosted, guest},
    eventually,
};

/// Adds its name to a field of the request and of the response.
fn signing(name: &str) -> Value {
    json!({"rules": [
        {"on": "request", "do": [{"append": ["X-Order", name]}]},
        {"on": "response", "do": [{"append": ["X-Order", name]}]},
    ]})
}

/// As [`signing`], and then does this in the request hook.
fn signing_and(name: &str, action: &Value) -> Value {
    let mut options = signing(name);
    options["rules"][0]["do"].as_array_mut().expect("actions").push(action.clone());
    options
}

fn order(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("x-order").iter().filter_map(|value| value.to_str().ok()).collect()
}

fn sent_order(origin: &RawOrigin) -> Vec<String> {
    origin.only_request().fields.all("x-order").map(str::to_owned).collect()
}

async fn chain_of_three(origin: &RawOrigin, second: &Value) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &signing("a")).scripted("b", second).scripted("c", &signing("c")).start().await
}

#[tokio::test]
async fn requests_pass_first_addon_to_last() {
    let origin = RawOrigin::ok().await;
    let host = chain_of_three(&origin, &signing("b")).await;
    host.get("/").await;
    assert_eq!(sent_order(&origin), ["a", "b", "c"]);
}

#[tokio::test]
async fn responses_pass_last_addon_to_first() {
    let origin = RawOrigin::ok().await;
    let host = chain_of_three(&origin, &signing("b")).await;
    assert_eq!(order(&host.get("/").await), ["c", "b", "a"]);
}

#[tokio::test]
async fn responder_sees_its_own_response() {
    let origin = RawOrigin::ok().await;
    let second = signing_and("b", &json!({"respond": [202, [["X-Made", "by {tag}b"]], "made"]}));
    let host = chain_of_three(&origin, &second).await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.header("x-made")), (202, "made", Some("by b")));
    assert_eq!(order(&answer), ["b", "a"]);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn responses_tell_their_origin() {
    let origin = RawOrigin::ok().await;
    let telling = json!({"rules": [{"on": "response", "do": [{"set": ["X-Origin", "{origin}"]}]}]});
    let answering = json!({"rules": [{"on": "request", "filter": "~p ^/made$", "do": [{"respond": [200, [], ""]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &telling).scripted("maker", &answering).start().await;
    assert_eq!(host.get("/made").await.header("x-origin"), Some("addon maker"));
    assert_eq!(host.get("/else").await.header("x-origin"), Some("upstream"));
}

#[tokio::test]
async fn refusals_pass_the_response_hooks() {
    let origin = RawOrigin::ok().await;
    let second = signing_and("b", &json!({"refuse": [451, "M_GONE", "not \"here\""]}));
    let host = chain_of_three(&origin, &second).await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (451, Some("application/json")));
    assert_eq!(answer.json(), json!({"errcode": "M_GONE", "error": "not \"here\""}));
    assert_eq!(order(&answer), ["b", "a"]);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn ended_chains_skip_later_requests() {
    let origin = RawOrigin::ok().await;
    let host = chain_of_three(&origin, &signing_and("b", &json!("end-chain"))).await;
    let answer = host.get("/").await;
    assert_eq!(sent_order(&origin), ["a", "b"]);
    assert_eq!(order(&answer), ["c", "b", "a"]);
}

#[tokio::test]
async fn dropped_requests_get_no_answer() {
    let origin = RawOrigin::ok().await;
    let host = chain_of_three(&origin, &signing_and("b", &json!("drop"))).await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect_end().await;
    let mut client = Client::connect(Version::Http2, host.address()).await;
    assert!(client.try_ask(http::Request::get("/").body(tollgate_tests::empty()).expect("a request")).await.is_err());
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn dropped_responses_are_not_sent() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "response", "do": ["drop"]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.expect_end().await;
    assert_eq!(origin.only_request().target, "/");
}

#[tokio::test]
async fn responses_can_be_replaced_whole() {
    let origin = RawOrigin::ok().await;
    let replacing = json!({"rules": [{"on": "response", "do": [{"respond": [203, [["X-New", "1"]], "instead of {status}"]}]}]});
    let telling = json!({"rules": [{"on": "response", "do": [{"append": ["X-Origin", "{origin} {status}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &telling).scripted("b", &replacing).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.header("x-new")), (203, "instead of 200", Some("1")));
    assert_eq!(answer.header("x-origin"), Some("addon b 203"));
}

#[tokio::test]
async fn notes_travel_along_the_chain() {
    let origin = RawOrigin::ok().await;
    let leaving = json!({"rules": [
        {"on": "request", "do": [{"note": ["from-a", "1"]}]},
        {"on": "response", "do": [{"set": ["X-Notes", "{note:from-a} {note:from-b} {note:from-c}"]}]},
    ]});
    let passing = json!({"rules": [
        {"on": "request", "do": [{"note": ["from-b", "{note:from-a}2"]}]},
        {"on": "response", "do": [{"note": ["from-c", "{note:from-b}3"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &leaving).scripted("b", &passing).start().await;
    assert_eq!(host.get("/").await.header("x-notes"), Some("1 12 123"));
}

#[tokio::test]
async fn later_addons_see_the_edited_request() {
    let origin = RawOrigin::ok().await;
    let editing = json!({"rules": [{"on": "request", "do": [
        {"set-method": "PUT"}, {"set-target": "/new?q=1"}, {"set": ["X-Set", "1"]}, {"remove": "X-Gone"}, {"set-body": "new body"},
    ]}]});
    let looking = json!({"rules": [{"on": "request", "body": "full", "do": [
        {"set": ["X-Saw", "{method} {target} {header:x-set} {header:x-gone} {body}"]},
    ]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &editing).scripted("b", &looking).start().await;
    host.ask("GET", "/old", &[("X-Gone", "1")]).await;
    let request = origin.only_request();
    assert_eq!(request.fields.get("x-saw"), Some("PUT /new?q=1 1 none new body"));
    assert_eq!((request.method.as_str(), request.target.as_str(), request.text().as_str()), ("PUT", "/new?q=1", "new body"));
}

#[tokio::test]
async fn earlier_addons_see_the_edited_response() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nX-Gone: 1\r\nContent-Length: 2\r\n\r\nok").await;
    let editing = json!({"rules": [{"on": "response", "body": "full", "do": [
        {"set-status": 201}, {"set": ["X-Set", "1"]}, {"remove": "X-Gone"}, {"set-body": "{body}ay"},
    ]}]});
    let looking = json!({"rules": [{"on": "response", "body": "full", "do": [
        {"set": ["X-Saw", "{status} {header:x-set} {header:x-gone} {body}"]},
    ]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &looking).scripted("b", &editing).start().await;
    let answer = host.get("/").await;
    assert_eq!(answer.header("x-saw"), Some("201 1 none okay"));
    assert_eq!((answer.status.as_u16(), answer.text().as_str(), answer.header("x-gone")), (201, "okay", None));
}

#[tokio::test]
async fn response_hooks_see_the_sent_request() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "do": [{"set-target": "/sent"}, {"set": ["X-Key", "{id}"]}]},
        {"on": "response", "do": [{"set": ["X-Saw", "{method} {target} {sent:x-key} {id}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let answer = host.get("/asked").await;
    let id = origin.only_request().fields.get("x-key").expect("an id").to_owned();
    assert_eq!(answer.header("x-saw"), Some(format!("GET /sent {id} {id}").as_str()));
}

#[tokio::test]
async fn listeners_have_orders_of_their_own() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &signing("a"))
        .scripted("b", &signing("b"))
        .scripted("c", &signing("c"))
        .with(|builder| builder.listener("other", &origin.url()))
        .set("listener.other.addons", "[\"c\", \"a\"]")
        .start()
        .await;
    assert_eq!(order(&host.get("/").await), ["c", "b", "a"]);
    assert_eq!(order(&Client::fetch(Version::Http1, host.address_of("other"), "/").await), ["a", "c"]);
    let orders: Vec<Vec<String>> =
        origin.requests().iter().map(|request| request.fields.all("x-order").map(str::to_owned).collect()).collect();
    assert_eq!(orders, [vec!["a", "b", "c"], vec!["c", "a"]]);
}

#[tokio::test]
async fn changed_configuration_changes_the_order() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .with(|builder| builder.config_toml("addons = [\"a\", \"b\"]"))
        .scripted("a", &signing("a"))
        .scripted("b", &signing("b"))
        .start()
        .await;
    assert_eq!(order(&host.get("/").await), ["b", "a"]);
    std::fs::write(host.config_path(), host.config().replace("[\"a\", \"b\"]", "[\"b\", \"a\"]")).expect("a file");
    host.reload().await;
    assert_eq!(order(&host.get("/").await), ["a", "b"]);
}

#[tokio::test]
async fn unmatched_flows_create_no_instance() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/only$ & ~m POST", "do": [{"set": ["X-Seen", "1"]}]},
        {"on": "response", "filter": "~c 404"},
        {"on": "finish", "filter": "~p ^/only$"},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    for _ in 0..20 {
        assert_eq!(host.get("/only/not?/only").await.status, 200);
    }
    assert_eq!(host.admin().counter("a", "instances_created").await, 0);
    host.post("/only?x", "").await;
    assert_eq!(host.admin().counter("a", "instances_created").await, 1);
    assert_eq!(
        origin.requests().last().and_then(|request| request.fields.get("x-seen").map(str::to_owned)).as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn filters_know_the_listener() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "response", "filter": "~l other", "do": [{"set": ["X-Listener", "{listener}"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("a", &options)
        .with(|builder| builder.listener("other", &origin.url()))
        .start()
        .await;
    assert_eq!(host.get("/").await.header("x-listener"), None);
    let other = Client::fetch(Version::Http1, host.address_of("other"), "/").await;
    assert_eq!(other.header("x-listener"), Some("other"));
}

#[tokio::test]
async fn filters_see_earlier_edits() {
    let origin = RawOrigin::ok().await;
    let marking = json!({"rules": [{"on": "request", "do": [{"set": ["X-Mark", "yes"]}]}]});
    let looking = json!({"rules": [{"on": "request", "filter": "~hq \"X-Mark: yes\"", "do": [{"set": ["X-Seen", "1"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &marking).scripted("b", &looking).start().await;
    host.get("/").await;
    assert_eq!(origin.only_request().fields.get("x-seen"), Some("1"));
}

#[tokio::test]
async fn filters_can_look_into_bodies() {
    let origin = RawOrigin::ok().await;
    let options =
        json!({"rules": [{"on": "request", "filter": "~bq needle", "body": "full", "do": [{"set": ["X-Found", "{body}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    host.post("/", "hay").await;
    host.post("/", "hay needle hay").await;
    let found: Vec<_> = origin.requests().iter().map(|request| request.fields.get("x-found").map(str::to_owned)).collect();
    assert_eq!(found, [None, Some("hay needle hay".to_owned())]);
    assert_eq!(host.admin().counter("a", "instances_created").await, 1);
}

#[tokio::test]
async fn hooks_are_told_which_subscriptions_matched() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "request", "filter": "~m GET", "do": [{"append": ["X-Matched", "{matched}"]}]},
        {"on": "request", "filter": "~m POST"},
        {"on": "response"},
        {"on": "request", "filter": "~p ^/a"},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    host.get("/a").await;
    host.get("/b").await;
    let matched: Vec<_> = origin.requests().iter().map(|request| request.fields.get("x-matched").map(str::to_owned)).collect();
    assert_eq!(matched, [Some("0,3".to_owned()), Some("0".to_owned())]);
    // One call an event, however many subscriptions match.
    eventually(async || host.admin().counter("a", "calls").await == 4).await;
}

#[tokio::test]
async fn addons_can_choose_the_upstream() {
    let (origin, other) = (RawOrigin::ok().await, Echo::http1().await);
    let options = json!({"rules": [
        {"on": "request", "filter": "~p ^/other", "do": [{"set-upstream": other.url()}, {"set": ["X-Upstream", "{upstream}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    assert_eq!(host.get("/").await.text(), "ok");
    let echoed = host.get("/other?q").await.echoed();
    assert_eq!((echoed.target.as_str(), echoed.header("x-upstream")), ("/other?q", Some(other.url().as_str())));
    assert_eq!(echoed.header("host"), other.url().strip_prefix("http://"));
    assert_eq!(origin.targets(), ["/"]);
}

#[tokio::test]
async fn guests_know_the_facts_of_their_flow() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [
        {"on": "response", "do": [{"set": ["X-Facts", "{listener} {tls} {version} {authority} {peer}"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: example.org:80\r\n\r\n").await;
    let response = client.response().await;
    let facts = response.fields.get("x-facts").expect("facts");
    assert!(facts.starts_with("main false 1.1 example.org:80 127.0.0.1:"), "{facts}");
}

#[tokio::test]
async fn ids_of_flows_increase() {
    let origin = RawOrigin::ok().await;
    let options = json!({"rules": [{"on": "response", "do": [{"set": ["X-Id", "{id}"]}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    let mut last = 0;
    for _ in 0..5 {
        let id: u64 = host.get("/").await.header("x-id").and_then(|id| id.parse().ok()).expect("an id");
        assert!(id > last, "{id} after {last}");
        last = id;
    }
}

#[tokio::test]
async fn unknown_addons_join_by_name() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("b", &signing("b")).unknown("a", &guest("scripted")).start().await;
    assert_eq!(order(&host.get("/").await), ["b"]);
    assert_eq!(host.admin().put_options("a", &signing("a")).await.status, 200);
    assert_eq!(order(&host.get("/").await), ["b", "a"]);
}
