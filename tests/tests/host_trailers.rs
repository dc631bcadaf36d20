//! Trailers that chunk hooks edit, from any version to any other, both ways.
#![cfg(test)]

use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tollgate_tests::{Client, Echo, Version, addons::Hosted, channel, full};

/// Edits one trailer and adds another, whichever way the body goes.
fn editing() -> serde_json::Value {
    let actions = json!([{"piece": {"last": [
        {"piece": {"trailer": ["X-Sum", "{trailer:x-sum}+{pieces}"]}}, {"piece": {"trailer": ["X-New", "yes"]}},
    ]}}]);
    json!({"rules": [{"on": "request-chunk", "do": actions}, {"on": "response-chunk", "do": actions}]})
}

/// Proxies before both kinds of origins.
async fn hosts() -> Vec<(&'static str, Echo, Hosted)> {
    let mut hosts = Vec::new();
    for (protocol, origin) in [("http1", Echo::http1().await), ("h2", Echo::http2().await)] {
        let builder = Hosted::before(&origin.url()).scripted("a", &editing());
        let host = builder.set("listener.main.upstream_protocol", protocol).start().await;
        hosts.push((protocol, origin, host));
    }
    hosts
}

#[tokio::test]
async fn edited_trailers_of_requests_go_between_versions() {
    for (protocol, _origin, host) in hosts().await {
        for version in Version::BOTH {
            let (sender, body) = channel();
            let request = http::Request::post("/").header("trailer", "x-sum, x-kept").body(body).expect("a request");
            let mut client = Client::connect(version, host.address()).await;
            let answer = tokio::spawn(client.start(request));
            assert!(sender.send("one").await && sender.send("two").await);
            let trailers = [("x-sum", "1"), ("x-kept", "2")];
            let trailers = trailers.map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)));
            sender.trailers(HeaderMap::from_iter(trailers)).await;
            let answer = tollgate_tests::Answer::read(answer.await.expect("a task").expect("a response")).await;
            let echoed = answer.expect("an answer").echoed();
            let mut seen = echoed.trailers.clone();
            seen.sort();
            let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(echoed.length, 6, "{version:?} to {protocol}");
            // Bytes may come in one piece or two, and the end in one of its own.
            assert!(
                matches!(seen[..], [("x-kept", "2"), ("x-new", "yes"), ("x-sum", sum)] if sum.starts_with("1+")),
                "{version:?} to {protocol}: {seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn edited_trailers_of_responses_go_between_versions() {
    for (protocol, _origin, host) in hosts().await {
        for version in Version::BOTH {
            let request = http::Request::get("/trailers").header("te", "trailers").body(full("")).expect("a request");
            let answer = Client::connect(version, host.address()).await.ask(request).await;
            let sum = answer.trailers.get("x-sum").and_then(|sum| sum.to_str().ok()).unwrap_or("none");
            assert_eq!(
                (answer.text().as_str(), answer.trailers.get("x-new").map(HeaderValue::as_bytes)),
                ("ok", Some(&b"yes"[..]))
            );
            assert!(sum.starts_with("1+"), "{version:?} from {protocol}: {sum}");
        }
    }
}

/// A client that did not say that it takes trailers may get none: the body is whole all the same.
#[tokio::test]
async fn bodies_are_whole_for_those_who_take_no_trailers() {
    for (protocol, _origin, host) in hosts().await {
        for version in Version::BOTH {
            let request = http::Request::get("/trailers").body(full("")).expect("a request");
            let answer = Client::connect(version, host.address()).await.ask(request).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "ok"), "{version:?} from {protocol}");
        }
    }
}
