//! What each proxy tells about itself and its homeserver.

use serde_json::json;
use tollgate_e2e::{Federation, Versions};
use tollgate_tests::{Client, Version};

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
