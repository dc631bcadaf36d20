//! What a recording does when there is too much, no room, or a sudden end: never anything to flows.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Request;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, Tollgate, Version,
    addons::{Admin, Load},
    eventually, full, har, within,
};

/// The value of this line of the metrics; 0 if there is none.
async fn metric(tollgate: &Tollgate, line: &str) -> u64 {
    let text = Admin::at(tollgate.admin()).get("/metrics").await.text();
    let value = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a number"))
}

async fn post(tollgate: &Tollgate, body: impl Into<Bytes>) {
    let request = Request::post("/").header("content-type", "text/plain").body(full(body)).expect("a request");
    assert_eq!(Client::connect(Version::Http1, tollgate.address()).await.ask(request).await.status, 200);
}

#[tokio::test]
async fn bodies_are_recorded_up_to_the_cap() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.bodies", "\"1KiB\"").start().await;
    for (place, (length, kept, comment)) in
        [(1023, 1023, Value::Null), (1024, 1024, Value::Null), (1025, 1024, json!("the first 1024 of 1025 bytes"))]
            .into_iter()
            .enumerate()
    {
        post(&tollgate, vec![b'x'; length]).await;
        let entry = tollgate.recorded(place + 1).await.remove(place);
        let sent = &entry["request"]["postData"];
        assert_eq!((sent["text"].as_str().map(str::len), &sent["comment"]), (Some(kept), &comment));
        assert_eq!(entry["request"]["bodySize"], length);
    }
}

#[tokio::test]
async fn bodies_can_be_left_out() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.bodies", 0).start().await;
    post(&tollgate, "abc").await;
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!((&entry["request"]["postData"]["text"], &entry["request"]["bodySize"]), (&json!(""), &json!(3)));
    assert!(entry["response"]["content"]["text"].is_null() && entry["response"]["content"]["comment"].is_string(), "{entry}");
}

#[tokio::test]
async fn memory_for_bodies_has_an_end() {
    const BODY: usize = 48 << 10;
    let go_on = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let gate = std::sync::Arc::clone(&go_on);
    let origin = RawOrigin::start(move |mut conversation| {
        let gate = std::sync::Arc::clone(&gate);
        async move {
            while let Some(request) = conversation.request().await {
                if request.target == "/held" {
                    gate.acquire().await.expect("a gate").forget();
                }
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let builder = Tollgate::builder().upstream(&origin.url()).record().set("record.bodies", BODY);
    let tollgate = builder.set("record.memory", "64KiB").start().await;
    let held = Request::post("/held").header("content-type", "text/plain").body(full(vec![b'x'; BODY])).expect("a request");
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    let answer = tokio::spawn(client.start(held));
    eventually(async || origin.requests().len() == 1).await;
    post(&tollgate, vec![b'y'; BODY]).await;
    let entry = tollgate.recorded(1).await.remove(0);
    let left_out = "the body is left out: other flows held all of record.memory";
    assert_eq!((&entry["request"]["postData"]["comment"], &entry["request"]["bodySize"]), (&json!(left_out), &json!(BODY)));
    // A response for which there is room is there.
    assert_eq!(entry["response"]["content"]["text"], "ok");
    go_on.add_permits(1);
    assert_eq!(within(answer).await.expect("a task").expect("a response").status(), 200);
    drop(client);
    let entry = tollgate.recorded(2).await.remove(1);
    assert_eq!(entry["request"]["postData"]["text"].as_str().map(str::len), Some(BODY));
    // What was held is free again.
    post(&tollgate, vec![b'z'; BODY]).await;
    assert_eq!(tollgate.recorded(3).await[2]["request"]["postData"]["text"].as_str().map(str::len), Some(BODY));
}

#[tokio::test]
async fn flows_go_on_without_memory_for_their_recording() {
    let origin = RawOrigin::start(|mut conversation| async move {
        conversation.request().await;
        std::future::pending::<()>().await;
    })
    .await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.memory", "64KiB").start().await;
    let mut clients = Vec::new();
    for number in 1..=64 {
        let mut client = Client::connect(Version::Http1, tollgate.address()).await;
        let request = Request::get("/held").body(full("")).expect("a request");
        tokio::spawn(client.start(request));
        clients.push(client);
        eventually(async || origin.requests().len() == number).await;
    }
    assert!(metric(&tollgate, "tollgate_unrecorded_flows_total{reason=\"memory\"}").await >= 32);
    tollgate.logged("other flows hold all of record.memory").await;
}

#[tokio::test]
async fn a_thousand_flows_at_once_are_there_once_each() {
    const FLOWS: usize = 1000;
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").record().start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect(Version::Http2, tollgate.address()).await);
    }
    let mut answers = Vec::new();
    for number in 0..FLOWS {
        let request = Request::post(format!("/{number}")).body(full(number.to_string())).expect("a request");
        let answer = clients[number % 20].start(request);
        answers.push(tokio::spawn(async move { within(answer).await.expect("a response").status() }));
    }
    for answer in answers {
        assert_eq!(answer.await.expect("a task"), 200);
    }
    let entries = tollgate.recorded(FLOWS).await;
    let urls: BTreeSet<_> = entries.iter().map(|entry| entry["request"]["url"].as_str().expect("a URL")).collect();
    let ids: BTreeSet<_> = entries.iter().map(|entry| entry["_id"].as_u64()).collect();
    assert_eq!((urls.len(), ids.len()), (FLOWS, FLOWS));
    for entry in &entries {
        let (url, text) = (entry["request"]["url"].as_str(), entry["request"]["postData"]["text"].as_str());
        assert_eq!(url.and_then(|url| url.rsplit('/').next()), text);
    }
    assert_eq!(metric(&tollgate, "tollgate_recorded_flows_total").await, FLOWS as u64);
}

#[tokio::test]
async fn a_sudden_end_leaves_what_was_recorded() {
    let origin = RawOrigin::ok().await;
    for round in 0..5 {
        let mut tollgate = Tollgate::builder().upstream(&origin.url()).log("info").record().start().await;
        let load = Load::start(tollgate.address(), 4, "/", |_| Ok(()));
        load.more(20 + round * 7).await;
        let before = metric(&tollgate, "tollgate_recorded_flows_total").await;
        load.more(3).await;
        tollgate.signal(Signal::KILL);
        tollgate.ended().await;
        drop(load);
        // The rule: a document that is not whole is so without its last line, and with what closes it.
        let entries = har::read(&tollgate.har()).or_else(|_| {
            let text = std::fs::read_to_string(tollgate.har()).expect("text");
            let end = text.rfind('\n').map_or(0, |end| end + 1);
            std::fs::write(tollgate.har(), format!("{}]}}}}\n", &text[..end])).expect("a file");
            har::read(&tollgate.har())
        });
        let entries = entries.expect("a recording");
        assert!(entries.len() as u64 >= before && before > 0, "{} of {before}", entries.len());
        let ids: BTreeSet<_> = entries.iter().map(|entry| entry["_id"].as_u64()).collect();
        assert_eq!(ids.len(), entries.len());
    }
}

#[tokio::test]
async fn a_flow_that_is_counted_survives_a_sudden_end() {
    let origin = RawOrigin::ok().await;
    for flows in [1, 5, 13] {
        let mut tollgate = Tollgate::builder().upstream(&origin.url()).record().start().await;
        let mut client = Client::connect(Version::Http1, tollgate.address()).await;
        for _ in 0..flows {
            client.get("/").await;
        }
        eventually(async || metric(&tollgate, "tollgate_recorded_flows_total").await == flows).await;
        tollgate.signal(Signal::KILL);
        tollgate.ended().await;
        assert_eq!(har::read(&tollgate.har()).expect("a recording").len() as u64, flows);
    }
}

#[tokio::test]
async fn a_full_disk_costs_no_flow() {
    const ROOM: u64 = 20_000;
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().start().await;
    let pid = Pid::from_raw(tollgate.pid());
    // No file of this process may be larger: a write that would make one so is cut there, and the next one fails.
    let limit = |bytes: Option<u64>| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a limit");
    limit(Some(ROOM));
    post(&tollgate, vec![b'a'; 5_000]).await;
    let before = tollgate.recorded(1).await;
    for _ in 0..5 {
        post(&tollgate, vec![b'b'; 20_000]).await;
    }
    let lost = "tollgate_unrecorded_flows_total{reason=\"disk\"}";
    eventually(async || metric(&tollgate, lost).await == 5).await;
    tollgate.logged("flows are not recorded").await;
    assert_eq!(har::read(&tollgate.har()).expect("a recording"), before);
    // What is small finds room, and when there is more, everything does.
    post(&tollgate, "c").await;
    assert_eq!(tollgate.recorded(2).await[1]["request"]["bodySize"], 1);
    limit(None);
    post(&tollgate, vec![b'd'; 20_000]).await;
    assert_eq!(tollgate.recorded(3).await[2]["request"]["bodySize"], 20_000);
}

#[tokio::test]
async fn a_flow_larger_than_a_file_is_left_out() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").record().set("record.max_bytes", "4KiB").start().await;
    // A flow that no file has room for, and others around it.
    post(&tollgate, vec![b'x'; 8 << 10]).await;
    post(&tollgate, "y").await;
    assert_eq!(tollgate.recorded(1).await[0]["request"]["bodySize"], 1);
    assert_eq!(metric(&tollgate, "tollgate_unrecorded_flows_total{reason=\"size\"}").await, 1);
    tollgate.logged("more than record.max_bytes").await;
}

#[tokio::test]
async fn a_file_that_is_taken_away_is_begun_again() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").record().start().await;
    let har = tollgate.har();
    post(&tollgate, "a").await;
    tollgate.recorded(1).await;
    std::fs::remove_file(&har).expect("a file");
    for body in ["b", "c", "d"] {
        post(&tollgate, body).await;
    }
    let sent =
        |entries: &[Value]| -> Vec<Value> { entries.iter().map(|entry| entry["request"]["postData"]["text"].clone()).collect() };
    eventually(async || har.exists()).await;
    assert_eq!(sent(&tollgate.recorded(3).await), ["b", "c", "d"]);
    tollgate.logged("a new one is begun").await;
    // As who puts recordings away does it.
    let kept = har.with_extension("kept");
    std::fs::rename(&har, &kept).expect("a name");
    post(&tollgate, "e").await;
    eventually(async || har.exists()).await;
    assert_eq!(sent(&tollgate.recorded(1).await), ["e"]);
    assert_eq!(har::read(&kept).expect("a recording").len(), 3);
    assert_eq!(metric(&tollgate, "tollgate_recorded_flows_total").await, 5);
}

#[tokio::test]
async fn flows_are_not_recorded_to_another_file() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).log("info").record().start().await;
    std::fs::remove_file(tollgate.har()).expect("a file");
    std::fs::write(tollgate.har(), "mine").expect("a file");
    post(&tollgate, "a").await;
    let lost = "tollgate_unrecorded_flows_total{reason=\"disk\"}";
    eventually(async || metric(&tollgate, lost).await == 1).await;
    tollgate.logged("there is another file by now").await;
    assert_eq!(std::fs::read_to_string(tollgate.har()).expect("a file"), "mine");
    assert_eq!(metric(&tollgate, "tollgate_recorded_flows_total").await, 0);
    std::fs::remove_file(tollgate.har()).expect("a file");
    post(&tollgate, "b").await;
    eventually(async || metric(&tollgate, "tollgate_recorded_flows_total").await == 1).await;
    assert_eq!(tollgate.recorded(1).await[0]["request"]["postData"]["text"], "b");
}
