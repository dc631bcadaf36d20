//! Many at one time, and policies that change meanwhile.

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{
    Client, Version,
    addons::{Guarded, Homeserver, Load, Service, hooks},
    eventually, within,
};

const AT_ONCE: usize = 200;

#[tokio::test]
async fn two_hundred_consultations_wait_side_by_side() {
    let service = Service::start().await;
    let number = service.told(r#"{"action":"pass.unmodified"}"#);
    let held = format!("/held/{number}");
    let consult = json!({"action": "consult.RESTServiceURL", "RESTServiceURL": service.at(&held), "matchRules": []});
    let guarded = Guarded::by(&hooks(&[("held", "beforeAnyRequest", consult)])).await;
    let mut clients = JoinSet::new();
    for index in 0..AT_ONCE {
        let version = if index % 2 == 0 { Version::Http1 } else { Version::Http2 };
        let address = guarded.host.address();
        clients.spawn(async move {
            let mut client = Client::connect(version, address).await;
            client.ask(Guarded::request("PUT", "/", None, "{}")).await
        });
    }
    // None is answered before all have asked: were they to wait for each other, this would never come.
    eventually(async || service.asked(&held).len() == AT_ONCE).await;
    assert!(clients.try_join_next().is_none() && guarded.homeserver.requests().is_empty());
    service.release();
    while let Some(answer) = within(clients.join_next()).await {
        let answer = answer.expect("a client");
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, Homeserver::ANSWER));
    }
    assert_eq!(guarded.homeserver.requests().len(), AT_ONCE);
}

/// Answers with this number, before and after in one.
fn numbered(number: usize) -> Value {
    let header = number.to_string();
    hooks(&[
        (
            "before",
            "beforeAnyRequest",
            json!({"action": "pass.modifiedRequest", "injectHeadersIntoRequest": {"X-Before": header}, "matchRules": []}),
        ),
        (
            "after",
            "afterAnyRequest",
            json!({"action": "pass.modifiedResponse", "injectHeadersIntoResponse": {"X-After": header},
                "injectJSONIntoResponse": {"after": number}, "matchRules": []}),
        ),
    ])
}

#[tokio::test]
async fn policies_are_replaced_under_load_without_loss() {
    let homeserver = Homeserver::answering(|request| {
        let before = request.fields.get("x-before").unwrap_or("none");
        Homeserver::response(200, &json!({ "before": before }).to_string())
    })
    .await;
    let guarded = Guarded::before(homeserver, &numbered(0)).await;
    let load = Load::start(guarded.host.address(), 8, "/", |answer| {
        let (page, after) = (answer.json(), answer.header("x-after").unwrap_or("none"));
        let number = page["after"].to_string();
        let is_one = answer.status == 200 && page["before"] == after && number == after;
        if is_one { Ok(()) } else { Err(format!("{} {after}: {page}", answer.status)) }
    });
    let admin = guarded.host.admin();
    for number in 1..=30 {
        let answer = admin.put_options("policy", &numbered(number)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = guarded.ask("GET", "/", None, "").await.json();
        assert_eq!(page["after"], number, "the next flow has the new policy");
        if number % 5 == 0 {
            let refused = admin.put_options("policy", &json!({"hooks": [null]})).await;
            assert_eq!(refused.status, 400, "{}", refused.text());
        }
        load.more(20).await;
    }
    load.stop_unharmed().await;
}

#[tokio::test]
async fn flows_under_way_keep_their_policy() {
    let service = Service::start().await;
    let number = service.told(r#"{"action":"pass.unmodified"}"#);
    let held = format!("/held/{number}");
    let mut policy = numbered(1);
    let consult = json!({"action": "consult.RESTServiceURL", "RESTServiceURL": service.at(&held), "matchRules": []});
    let waiting = hooks(&[("held", "beforeAnyRequest", consult)]);
    policy["hooks"].as_array_mut().expect("hooks").extend(waiting["hooks"].as_array().expect("hooks").clone());
    let guarded = Guarded::by(&policy).await;
    let mut client = Client::connect(Version::Http1, guarded.host.address()).await;
    let waiting = tokio::spawn(client.start(Guarded::request("GET", "/", None, "")));
    eventually(async || service.asked(&held).len() == 1).await;
    assert_eq!(guarded.host.admin().put_options("policy", &numbered(2)).await.status, 200);
    assert_eq!(guarded.ask("GET", "/", None, "").await.header("x-after"), Some("2"));
    service.release();
    let response = within(waiting).await.expect("a task").expect("a response");
    assert_eq!(response.headers()["x-after"], "1");
}
