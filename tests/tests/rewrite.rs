//! Listeners that stand for their upstreams: fields that name an origin.
#![cfg(test)]

use http::Request;
use tollgate_tests::{Answer, Builder, Client, RawOrigin, Tollgate, Version, addons::Hosted, empty};

/// Answers with its own URL wherever `SELF` stands, and with its host wherever `HOST` does.
async fn origin(head: &'static str) -> RawOrigin {
    RawOrigin::start(move |mut conversation| async move {
        while let Some(request) = conversation.request().await {
            let host = request.fields.get("host").unwrap_or_default().to_owned();
            let head =
                head.replace("SELF", &format!("http://{host}")).replace("HOST", host.split(':').next().unwrap_or_default());
            if conversation.send(format!("HTTP/1.1 302 Found\r\n{head}Content-Length: 0\r\n\r\n")).await.is_err() {
                return;
            }
        }
    })
    .await
}

const HEAD: &str = "Location: SELF/oauth/authorize?redirect_uri=SELF/x\r\nContent-Location: SELF/a\r\n\
    Link: <SELF/api/v1/timelines/home?max_id=1>; rel=\"next\", <https://elsewhere.test/a>; rel=\"prev\"\r\n\
    Set-Cookie: a=1; Domain=HOST; Secure; Path=/\r\nSet-Cookie: b=2; Path=/\r\nSet-Cookie: c=3; SameSite=None; Secure\r\n\
    Access-Control-Allow-Origin: SELF\r\nAlt-Svc: h3=\":443\"\r\nX-Own: SELF\r\n";

fn rewriting(origin: &RawOrigin) -> Builder {
    Tollgate::builder().upstream(&origin.url()).set("listener.main.rewrite", "true")
}

async fn ask(tollgate: &Tollgate, version: Version, fields: &[(&str, &str)]) -> Answer {
    let request = fields.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
    Client::connect(version, tollgate.address()).await.ask(request.body(empty()).expect("a request")).await
}

fn all(answer: &Answer, name: &str) -> Vec<String> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn clients_see_the_proxy_in_place_of_the_upstream() {
    let origin = origin(HEAD).await;
    let tollgate = rewriting(&origin).start().await;
    let (upstream, own) = (origin.url(), tollgate.url());
    for version in Version::BOTH {
        let answer = ask(&tollgate, version, &[]).await;
        for (name, expected) in [
            ("location", vec![format!("{own}/oauth/authorize?redirect_uri={upstream}/x")]),
            ("content-location", vec![format!("{own}/a")]),
            (
                "link",
                vec![format!("<{own}/api/v1/timelines/home?max_id=1>; rel=\"next\", <https://elsewhere.test/a>; rel=\"prev\"")],
            ),
            // The domain is an address, which both have.
            ("set-cookie", vec!["a=1; Domain=127.0.0.1; Path=/".to_owned(), "b=2; Path=/".to_owned(), "c=3".to_owned()]),
            ("access-control-allow-origin", vec![own.clone()]),
            ("alt-svc", vec![]),
            ("x-own", vec![upstream.clone()]),
        ] {
            assert_eq!(all(&answer, name), expected, "{version:?} {name}");
        }
    }
}

#[tokio::test]
async fn upstreams_see_themselves_in_place_of_the_proxy() {
    let origin = RawOrigin::ok().await;
    let tollgate = rewriting(&origin).start().await;
    let (upstream, own) = (origin.url(), tollgate.url());
    for (fields, expected) in [
        ([own.clone(), format!("{own}/web/home?a#b")], [upstream.clone(), format!("{upstream}/web/home?a#b")]),
        (
            ["https://evil.test".to_owned(), "https://evil.test/a".to_owned()],
            ["https://evil.test".to_owned(), "https://evil.test/a".to_owned()],
        ),
        (["null".to_owned(), "/a".to_owned()], ["null".to_owned(), "/a".to_owned()]),
    ] {
        ask(&tollgate, Version::Http1, &[("Origin", &fields[0]), ("Referer", &fields[1])]).await;
        let sent = origin.requests().pop().expect("a request");
        assert_eq!(["origin", "referer"].map(|name| sent.fields.get(name).unwrap_or_default().to_owned()), expected);
    }
}

#[tokio::test]
async fn what_clients_know_is_configured_or_told_by_whom_is_trusted() {
    let origin = origin(HEAD).await;
    let forwarded = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "social.test")];
    let cookies = |answer: &Answer| all(answer, "set-cookie");
    // Told by nobody who is trusted.
    let tollgate = rewriting(&origin).start().await;
    let answer = ask(&tollgate, Version::Http1, &forwarded).await;
    assert!(answer.header("location").is_some_and(|location| location.starts_with(&tollgate.url())));
    // Told by somebody who is.
    let tollgate = rewriting(&origin).set("listener.main.trust_forwarded", "\"loopback\"").start().await;
    let answer = ask(&tollgate, Version::Http1, &forwarded).await;
    assert!(answer.header("location").is_some_and(|location| location.starts_with("https://social.test/oauth")));
    assert_eq!(cookies(&answer), ["a=1; Secure; Path=/", "b=2; Path=/", "c=3; SameSite=None; Secure"]);
    for odd in ["gopher", "", "https, http"] {
        let answer = ask(&tollgate, Version::Http1, &[("X-Forwarded-Proto", odd), ("X-Forwarded-Host", "social.test")]).await;
        let expected = if odd.starts_with("https") { "https://social.test/" } else { &origin.url() };
        assert!(
            answer.header("location").is_some_and(|location| location.starts_with(expected)),
            "{odd}: {:?}",
            answer.header("location")
        );
    }
    // Configured.
    let tollgate = rewriting(&origin).set("listener.main.public_url", "\"https://public.test:8443\"").start().await;
    let answer = ask(&tollgate, Version::Http1, &forwarded).await;
    assert!(answer.header("location").is_some_and(|location| location.starts_with("https://public.test:8443/oauth")));
}

#[tokio::test]
async fn without_the_setting_nothing_is_touched() {
    let origin = origin(HEAD).await;
    let tollgate = Tollgate::before(&origin.url()).await;
    let answer = ask(&tollgate, Version::Http1, &[("Origin", &tollgate.url())]).await;
    assert_eq!(answer.header("content-location").map(str::to_owned), Some(format!("{}/a", origin.url())));
    assert_eq!(all(&answer, "set-cookie")[0], "a=1; Domain=127.0.0.1; Secure; Path=/");
    assert_eq!(answer.header("alt-svc"), Some("h3=\":443\""));
}

/// They see what went over the wire on the other side. What they make of an answer is rewritten as the answer is, what they make
/// without one stays.
#[tokio::test]
async fn addons_see_the_upstream_as_it_is() {
    let origin = origin(HEAD).await;
    let script = serde_json::json!({"rules": [
        {"on": "response", "filter": "~p ^/replaced$", "do": [{"respond": [206, [["Link", format!("<{}/a>", origin.url())]], "x"]}]},
        {"on": "response", "filter": "~p ^/$", "do": [{"set": ["X-Seen", "{header:content-location}"]}]},
        {"on": "request", "filter": "~p ^/made$", "do": [{"respond": [302, [["Location", format!("{}/made", origin.url())]], ""]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &script).set("listener.main.rewrite", "true").start().await;
    let seen = host.get("/").await;
    assert_eq!(seen.header("x-seen").map(str::to_owned), Some(format!("{}/a", origin.url())));
    assert!(seen.header("content-location").is_some_and(|location| !location.starts_with(&origin.url())));
    let replaced = host.get("/replaced").await;
    assert_eq!(replaced.status, 206);
    assert!(
        replaced.header("link").is_some_and(|link| link.ends_with("/a>") && !link.contains(&origin.url())),
        "{:?}",
        replaced.headers
    );
    let made = host.get("/made").await;
    assert_eq!(made.header("location").map(str::to_owned), Some(format!("{}/made", origin.url())));
}
