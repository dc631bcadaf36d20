//! Addons that come, change and go while people talk.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_e2e::{CLAMP, Stage, Traffic, components};
use tollgate_tests::{
    Client, Version,
    addons::{drop_in_slowly, take_out},
    eventually, within,
};

/// Outside of Matrix v1.11, and there.
const FENCED: &str = "/_synapse/admin/v1/server_version";

/// Whether something from outside of v1.11 is kept out.
async fn is_fenced(stage: &Stage) -> bool {
    Client::fetch(Version::Http1, stage.tollgate.address(), FENCED).await.status == 404
}

#[tokio::test]
async fn dropped_addon_takes_running_traffic() {
    let stage = Stage::bare().await;
    let own = stage.own_versions().await;
    assert_eq!(stage.versions().await, own);
    assert!(!is_fenced(&stage).await);
    let traffic = Traffic::start(&stage).await;
    stage.drop_in(CLAMP, &components::bundled(CLAMP));
    eventually(async || stage.versions().await == own.clamped_to((1, 11))).await;
    assert!(is_fenced(&stage).await);
    traffic.goes_on().await;
    traffic.stop_unharmed().await;
}

#[tokio::test]
async fn slowly_copied_addon_takes_running_traffic() {
    let stage = Stage::bare().await;
    let own = stage.own_versions().await;
    let traffic = Traffic::start(&stage).await;
    drop_in_slowly(&stage.plugins(), CLAMP, &components::bundled(CLAMP), 4, Duration::from_millis(250)).await;
    eventually(async || stage.versions().await == own.clamped_to((1, 11))).await;
    assert!(is_fenced(&stage).await);
    traffic.goes_on().await;
    traffic.stop_unharmed().await;
}

#[tokio::test]
async fn addon_is_replaced_and_removed_in_flight() {
    let stage = Stage::clamped().await;
    let own = stage.own_versions().await;
    let traffic = Traffic::start(&stage).await;
    let bundled = components::bundled(CLAMP);

    // A newer build that does the same.
    let rebuilt = components::rebuilt(&bundled);
    stage.drop_in(CLAMP, &rebuilt);
    stage.admin().in_force(CLAMP, &rebuilt).await;
    assert_eq!(stage.versions().await, own.clamped_to((1, 11)));
    traffic.goes_on().await;

    // A newer build that does something else.
    let other = components::example("hello-header");
    stage.drop_in(CLAMP, &other);
    stage.admin().in_force(CLAMP, &other).await;
    let answer = Client::fetch(Version::Http2, stage.tollgate.address(), FENCED).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-hello")), (200, Some("from an addon")));
    assert_eq!(stage.versions().await, own);
    traffic.goes_on().await;

    // Back again, and with other options.
    stage.drop_in(CLAMP, &bundled);
    stage.admin().in_force(CLAMP, &bundled).await;
    assert!(is_fenced(&stage).await);
    let answer = stage.admin().put_options(CLAMP, &json!({ "max": "v1.5" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stage.versions().await, own.clamped_to((1, 5)));
    traffic.goes_on().await;

    take_out(&stage.plugins(), CLAMP);
    eventually(async || stage.versions().await == own).await;
    assert!(!is_fenced(&stage).await);
    traffic.goes_on().await;
    traffic.stop_unharmed().await;
}

#[tokio::test]
async fn broken_build_changes_nothing() {
    let stage = Stage::clamped().await;
    let own = stage.own_versions().await;
    let traffic = Traffic::start(&stage).await;
    let bundled = components::bundled(CLAMP);
    for broken in [&bundled[..bundled.len() / 2], b"", b"no component"] {
        stage.drop_in(CLAMP, broken);
        stage.admin().refused(CLAMP).await;
        assert_eq!(stage.versions().await, own.clamped_to((1, 11)));
        stage.drop_in(CLAMP, &bundled);
        stage.admin().until(CLAMP, |status| status["error"].is_null()).await;
    }
    traffic.goes_on().await;
    traffic.stop_unharmed().await;
}

#[tokio::test]
async fn waiting_sync_outlives_its_addon() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let own = stage.own_versions().await;
        stage.drop_in(CLAMP, &components::example("hello-header"));
        let hello = stage.admin().in_force(CLAMP, &components::example("hello-header")).await;
        assert_eq!(hello["error"], Value::Null);
        let mut alice = stage.user(version, "alice").await;
        let mut bob = stage.user(version, "bob").await;
        let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
        bob.join(&room).await;
        let since = bob.sync(None, 0).await["next_batch"].as_str().expect("a token").to_owned();
        let news = bob.waiting_sync(&stage, &since).await;

        take_out(&stage.plugins(), CLAMP);
        eventually(async || {
            let answer = Client::fetch(version, stage.tollgate.address(), FENCED).await;
            answer.header("x-hello").is_none()
        })
        .await;
        assert_eq!(stage.versions().await, own);
        alice.say(&room, "ping").await;

        // A flow keeps the generation that it started with.
        let answer = within(news).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-hello")), (200, Some("from an addon")), "{version:?}");
        assert!(answer.text().contains("ping"), "{}", answer.text());
    }
}
