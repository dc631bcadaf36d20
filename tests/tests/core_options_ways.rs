//! What options make of a listener's settings: its limits are never loosened, and connections are for those whose trust they
//! have. The settings are the library's own here: a configuration that is read again makes other ones, with no connections yet.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tollgate::{
    config::{Limits, Timeouts},
    flow::{Route, Site},
    http::{Authority, Body, Headers, RequestHead, Scheme, Version},
    http1::HeadLimits,
    metrics::Metrics,
    options::core::{self, Options},
    server::Sited,
    upstream::{Client, Lookups, Outgoing, Protocol, Reply, Settings, Upstreams, tls},
};
use tollgate_tests::{Authority as Issuer, Echo};

fn site(upstream: &str, issuer: &Issuer) -> Arc<Site> {
    let client = Client::new(Settings {
        identified: None,
        protocol: Protocol::Auto,
        tls: tls::client_config(Some(&issuer.ca()), Protocol::Auto).expect("TLS"),
        tls_http1: tls::client_config(Some(&issuer.ca()), Protocol::Http1).expect("TLS"),
        connect_timeout: Duration::from_secs(10),
        response_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_mins(1),
        max_idle: 10,
        max_kept: 10,
        lookups: Lookups::default(),
        head_limits: HeadLimits { count: 100, bytes: 1 << 16 },
        proxies: None,
    });
    Arc::new(Site {
        name: "main".into(),
        route: Route::Reverse(Arc::new(Upstreams::only(Arc::new(upstream.parse().expect("an origin"))))),
        routes: Arc::default(),
        client: Arc::new(client),
        preserve_host: false,
        trust: tollgate::config::Peers::default(),
        rewrite: None,
        via: None,
        limits: Limits { request_body: Some(1000), connections: 10, ..Limits::default() },
        timeouts: Timeouts::default(),
        half_close: false,
        metrics: Metrics::new().listener("main"),
        own: tollgate::upstream::OwnAddresses::default(),
        options: None,
    })
}

fn options(values: &serde_json::Value) -> Options {
    Options::default().with(values.as_object().expect("an object")).expect("legal values")
}

/// Sends a request and reads its response, so that the connection can be kept.
async fn ask(site: &Site) -> bool {
    let Route::Reverse(upstreams) = &site.route else { return false };
    let Some(origin) = upstreams.otherwise.clone() else { return false };
    let head = RequestHead {
        method: http::Method::GET,
        scheme: Scheme::Https,
        authority: Authority::default(),
        target: "/".into(),
        version: Version::Http11,
        headers: Headers::new(),
    };
    let outgoing = Outgoing {
        head,
        host: origin.authority.as_str().to_owned(),
        origin,
        expects_continue: false,
        upgrade: None,
        takes_trailers: false,
        interim: None,
        may_dial: None,
        marks: None,
    };
    match site.client.send(&outgoing, Body::empty()).await {
        Ok(Reply::Response(_, body)) => http_body_util::BodyExt::collect(body).await.is_ok(),
        _ => false,
    }
}

#[tokio::test]
async fn connections_are_kept_apart_by_trust() {
    for alpn in ["http/1.1", "h2"] {
        let issuer = Issuer::new();
        let echo = Echo::tls(&issuer.localhost(), &[alpn]).await;
        let live = Arc::default();
        let sited = Sited::new(site(&echo.url(), &issuer), Arc::clone(&live));
        for (values, connections) in [
            (json!({}), 1),
            (json!({"anticache": true}), 1),
            (json!({"ssl_insecure": true}), 2),
            (json!({}), 2),
            (json!({"ssl_insecure": true, "anticache": true}), 2),
        ] {
            core::put(&live, options(&values));
            assert!(ask(&sited.now()).await && ask(&sited.now()).await, "{alpn} {values}");
            assert_eq!(echo.connections(), connections, "{alpn} {values}");
        }
    }
}

#[tokio::test]
async fn settings_are_made_anew_for_new_options_only() {
    let base = site("https://up.test", &Issuer::new());
    let live = Arc::default();
    let sited = Sited::new(Arc::clone(&base), Arc::clone(&live));
    assert!(Arc::ptr_eq(&sited.now(), &base));
    core::put(&live, options(&json!({"anticache": true})));
    let (first, second) = (sited.now(), sited.now());
    assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &base));
    core::put(&live, options(&json!({"anticomp": true})));
    assert!(!Arc::ptr_eq(&sited.now(), &first));
    let other = site("https://other.test", &Issuer::new());
    sited.set(Arc::clone(&other));
    assert!(Arc::ptr_eq(&sited.now().metrics, &other.metrics));
    core::put(&live, Options::default());
    assert!(Arc::ptr_eq(&sited.now(), &other));
}

#[tokio::test]
async fn limits_are_tightened_and_never_loosened() {
    let base = site("https://up.test", &Issuer::new());
    let limits = |values: serde_json::Value| {
        let site = base.under(&Arc::new(options(&values)));
        let limits = &site.limits;
        (limits.request_body, limits.header_count, limits.header_bytes, limits.connections, site.response_body())
    };
    let before = (Some(1000), 100, 64 << 10, 10, None);
    assert_eq!(limits(json!({"anticache": true})), before);
    let looser =
        json!({"body_size_limit": 1001, "max_header_count": 101, "max_header_bytes": (64 << 10) + 1, "max_connections": 11});
    assert_eq!(limits(looser), (Some(1000), 100, 64 << 10, 10, Some(1001)));
    let tighter =
        json!({"body_size_limit": 999, "max_header_count": 99, "max_header_bytes": (64 << 10) - 1, "max_connections": 9});
    assert_eq!(limits(tighter), (Some(999), 99, (64 << 10) - 1, 9, Some(999)));
}
