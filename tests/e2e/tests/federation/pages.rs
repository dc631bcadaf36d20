//! What each proxy tells about itself and its homeserver.

use serde_json::{Value, json};
use tollgate_e2e::{Federation, Home, Versions};
use tollgate_tests::{Client, Version, eventually};

pub(crate) async fn probes_name_listeners_and_dependencies(federation: &Federation) {
    for home in &federation.homes {
        for path in ["/actuator/health/liveness", "/health/live"] {
            let page = Client::fetch(Version::Http1, home.tollgate.admin(), path).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            assert_eq!((&page["inbound"], &page["outbound"]), (&json!(true), &json!(true)), "{page}");
        }
        let page = Client::fetch(Version::Http1, home.tollgate.admin(), "/actuator/health/readiness").await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(page.json()["dependencies"], json!({ "homeserver": true, "registration-service": true }));
    }
}

pub(crate) async fn versions_end_with_the_fence(federation: &Federation) {
    for home in &federation.homes {
        let own = Versions::read(&Client::fetch(Version::Http1, home.synapse.address(), Versions::PATH).await);
        let shown = Versions::read(&home.client().await.get(Versions::PATH).await);
        assert_eq!(shown, own.clamped_to((1, 11)));
        assert!(shown.versions.len() < own.versions.len(), "{own:?}");
    }
}

pub(crate) async fn well_known_pages_are_not_the_homeserver_s(federation: &Federation) {
    let [one, other] = &federation.homes;
    for (home, port) in [(one, 8090), (other, 8190)] {
        // Clients ask for `localhost`; the port is that of the example.
        let page = home.client().await.get("/.well-known/matrix/server").await;
        assert_eq!((page.status.as_u16(), page.json()), (200, json!({ "m.server": format!("localhost:{port}") })));
    }
    let support = async |home: &Home| home.client().await.get("/.well-known/matrix/support").await.json();
    assert_eq!(support(one).await["support_page"], "https://hs1.example/helps");
    // The registration service does not know this one.
    assert_eq!(support(other).await["support_page"], "https://hs2.example/");
    for home in &federation.homes {
        assert_eq!(home.synapse.received("/.well-known/matrix/"), Vec::<String>::new());
    }
}

pub(crate) async fn reports_reach_the_service(federation: &Federation) {
    for home in &federation.homes {
        let mut alice = home.user("alice").await;
        alice.create_room(&json!({ "preset": "private_chat" })).await;
        eventually(async || {
            let reports = federation.registration.reports();
            let is_its = |report: &Value| report["message"]["M-Dom"] == home.name.as_str() && report["status"] == 200;
            reports.iter().any(|report| is_its(report) && report["message"]["Inst-ID"] == "TIM.UC_100 63_01")
        })
        .await;
    }
}

pub(crate) async fn readiness_knows_what_is_missing(federation: &Federation) {
    let readiness = async || {
        let page = Client::fetch(Version::Http1, federation.homes[0].tollgate.admin(), "/actuator/health/readiness").await;
        (page.status.as_u16(), page.json()["dependencies"]["registration-service"].clone())
    };
    assert_eq!(readiness().await, (200, json!(true)));
    federation.registration.break_down();
    eventually(async || readiness().await == (503, json!(false))).await;
    federation.registration.list(&[&federation.homes[0].name, &federation.homes[1].name]);
    eventually(async || readiness().await == (200, json!(true))).await;
}
