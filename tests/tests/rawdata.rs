//! The addon `rawdata` at work: what it reports, and that no client feels it.
#![cfg(test)]

use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{Homeserver, Hosted, HostedBuilder, Service, bundled},
    eventually, full,
};

const PATH: &str = "/add-performance-data";

fn builder(homeserver: &Homeserver, url: &str) -> HostedBuilder {
    let options = json!({ "url": url, "profession_id": "1.2", "telematik_id": "5-2", "home_domain": "home" });
    Hosted::before(&homeserver.url()).guest("rawdata", &bundled("rawdata"), &options).set("addon.rawdata.outbox", "[\"private\"]")
}

async fn login(host: &Hosted, version: Version, body: &str) -> u16 {
    let agent = json!({ "Auspraegung": "Messenger-Client", "Plattform": "web", "OS": "Linux" }).to_string();
    let request = Request::post("/_matrix/client/v3/login").header("useragent", agent).body(full(body.to_owned()));
    Client::connect(version, host.address()).await.ask(request.expect("a request")).await.status.as_u16()
}

async fn outbox(host: &Hosted) -> Value {
    host.admin().status("rawdata").await["outbox"].clone()
}

#[tokio::test]
async fn requests_are_reported_once_they_are_over() {
    let (homeserver, service) = (Homeserver::start().await, Service::start().await);
    let host = builder(&homeserver, &service.at(PATH)).start().await;
    for (index, version) in [Version::Http1, Version::Http2].into_iter().enumerate() {
        assert_eq!(login(&host, version, "\u{1f600}\u{e4}").await, 200);
        eventually(async || service.asked(PATH).len() == index + 1).await;
        let report = service.asked(PATH).pop().expect("a report");
        let start = report["start"].as_str().unwrap_or_default().to_owned();
        assert!(start.len() == 24 && start.ends_with('Z') && humantime(&start), "{start}");
        assert!(report["durationInMs"].as_u64().is_some_and(|time| time < 60_000), "{report}");
        assert_eq!((&report["operation"], &report["status"]), (&json!("MP_CLIENT_LOGIN_REQUEST_ACCESS_TOKEN"), &json!(200)));
        let expected = json!({
            "Inst-ID": "TIM.UC_100 57_02", "M-Dom": "home", "UA-A": "Messenger-Client", "UA-OS": "Linux", "UA-P": "web",
            "profOID": "1.2", "Res": 200, "sizeIn": 6, "sizeOut": Homeserver::ANSWER.len(), "tID": "5-2",
        });
        assert_eq!(report["message"], expected);
    }
    let requests = service.origin().requests();
    let first = requests.first().expect("a request");
    assert_eq!((first.method.as_str(), first.fields.get("content-type")), ("POST", Some("application/json")));
    // Others are not.
    assert_eq!(host.get("/_matrix/client/v3/sync").await.status, 200);
    assert_eq!(host.admin().counter("rawdata", "calls").await, 2);
}

/// Whether it is a date and a time.
fn humantime(text: &str) -> bool {
    text.bytes()
        .zip(b"0000-00-00T00:00:00.000Z")
        .all(|(byte, like)| if *like == b'0' { byte.is_ascii_digit() } else { byte == *like })
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_felt_by_nobody() {
    let (homeserver, service) = (Homeserver::start().await, Service::start().await);
    let host = builder(&homeserver, &service.at("/held")).set("addon.rawdata.outbox_messages", "5").start().await;
    for _ in 0..20 {
        assert_eq!(login(&host, Version::Http1, "{}").await, 200);
    }
    // What there is no room for is dropped and counted, once all flows are over.
    host.admin().until("rawdata", |status| status["outbox"]["requests"]["full"] == 15).await;
    assert_eq!(outbox(&host).await["waiting"], 5);
    let status = host.admin().status("rawdata").await;
    assert_eq!((&status["errors"], &status["traps"], &status["deadlines"]), (&json!(0), &json!(0), &json!(0)));
    service.release();
    host.admin().until("rawdata", |status| status["outbox"]["requests"]["delivered"] == 5).await;
}

#[tokio::test]
async fn a_service_that_is_gone_is_felt_by_nobody() {
    let homeserver = Homeserver::start().await;
    let service = RawOrigin::start(|conversation| async move { conversation.close().await }).await;
    let host = builder(&homeserver, &service.url()).start().await;
    for _ in 0..5 {
        assert_eq!(login(&host, Version::Http1, "{}").await, 200);
    }
    host.logged("requests of an outbox wait").await;
    host.admin().until("rawdata", |status| status["outbox"]["waiting"] == 5).await;
    assert_eq!(host.admin().get("/health/ready").await.status, 200);
}

#[tokio::test]
async fn without_a_grant_requests_go_on() {
    let (homeserver, service) = (Homeserver::start().await, Service::start().await);
    let host = builder(&homeserver, &service.at(PATH)).set("addon.rawdata.outbox", "[]").start().await;
    assert_eq!(login(&host, Version::Http1, "{}").await, 200);
    host.logged("a report cannot be sent").await;
    assert_eq!(host.admin().status("rawdata").await["errors"], 0);
    assert_eq!(service.origin().connections(), 0);
}

#[tokio::test]
async fn invitations_are_told_apart() {
    let (homeserver, service) = (Homeserver::start().await, Service::start().await);
    let host = builder(&homeserver, &service.at(PATH)).start().await;
    let rows = [
        (r#"{"invite":["@a:home"]}"#, "MP_INVITE_WITHIN_ORGANISATION_INVITE"),
        (r#"{"invite":["@a:other"]}"#, "MP_INVITE_OUTSIDE_ORGANISATION_INVITE_SENDER"),
        ("no JSON", "MP_EXCHANGE_EVENT_WITHIN_ORGANISATION"),
    ];
    // With closed addons, too, a body that nobody can decode is the homeserver's affair.
    let coded = Request::post("/_matrix/client/v3/createRoom").header("content-encoding", "gzip").body(full("no gzip"));
    let answer = Client::connect(Version::Http1, host.address()).await.ask(coded.expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually(async || service.asked(PATH).len() == 1).await;
    for (index, (body, operation)) in rows.into_iter().enumerate() {
        assert_eq!(host.post("/_matrix/client/v3/createRoom", body).await.status, 200);
        eventually(async || service.asked(PATH).len() == index + 2).await;
        assert_eq!(service.asked(PATH).pop().expect("a report")["operation"], operation);
        assert_eq!(homeserver.last_request().text(), body);
    }
}
