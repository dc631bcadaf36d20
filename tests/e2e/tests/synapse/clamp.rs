//! What clients see of versions.

use http::{Request, header};
use serde_json::json;
use tollgate_e2e::{Stage, Versions};
use tollgate_tests::{Client, Curl, Version, empty};

const MAX: (u32, u32) = (1, 11);

#[tokio::test]
async fn nothing_is_clamped_without_addon() {
    let stage = Stage::bare().await;
    let direct = Client::fetch(Version::Http1, stage.synapse.address(), Versions::PATH).await;
    for version in Version::BOTH {
        let answer = Client::fetch(version, stage.tollgate.address(), Versions::PATH).await;
        assert_eq!(answer.body, direct.body, "{version:?}");
    }
}

#[tokio::test]
async fn versions_are_clamped_however_asked() {
    let stage = Stage::clamped().await;
    let own = stage.own_versions().await;
    let expected = own.clamped_to(MAX);
    assert!(
        expected.versions.len() < own.versions.len() && !own.unstable_features.is_empty(),
        "there is nothing to clamp: {own:?}"
    );
    assert!(expected.versions.iter().any(|version| version == "v1.11"), "too old to test with: {own:?}");
    for version in Version::BOTH {
        let mut client = Client::connect(version, stage.tollgate.address()).await;
        for coding in ["identity", "gzip", "gzip, deflate, br"] {
            for query in ["", "?", "?a=b&c=%2F"] {
                let request = Request::get(format!("{}{query}", Versions::PATH)).header(header::ACCEPT_ENCODING, coding);
                let answer = client.ask(request.body(empty()).expect("a request")).await;
                assert_eq!(Versions::read(&answer), expected, "{version:?} {coding} {query}");
                assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{coding} {query}");
            }
        }
    }
}

#[tokio::test]
async fn homeserver_does_compress_versions() {
    // Else the case above would not mean much.
    let stage = Stage::bare().await;
    let request = Request::get(Versions::PATH).header(header::ACCEPT_ENCODING, "gzip").body(empty()).expect("a request");
    let answer = Client::connect(Version::Http1, stage.tollgate.address()).await.ask(request).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(Versions::read(&answer), stage.own_versions().await);
}

#[tokio::test]
async fn curl_sees_clamped_versions() {
    let stage = Stage::clamped().await;
    let expected = stage.own_versions().await.clamped_to(MAX);
    let url = format!("{}{}", stage.tollgate.url(), Versions::PATH);
    for arguments in [&["--compressed"][..], &["--http2-prior-knowledge", "--compressed"], &["--http2"], &["--http1.0"]] {
        let answer = Curl::new(&url).args(arguments).run().await;
        assert_eq!((answer.code, answer.status), (0, 200), "{arguments:?}: {}", answer.stderr);
        assert_eq!(Versions::parse(&answer.body), expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn options_move_the_clamp_at_once() {
    let stage = Stage::clamped().await;
    let own = stage.own_versions().await;
    let answer = stage.admin().put_options("version-clamp", &json!({ "max": "v1.5" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stage.versions().await, own.clamped_to((1, 5)));
    let answer = stage.admin().put_options("version-clamp", &json!({ "max": "latest" })).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(stage.versions().await, own.clamped_to((1, 5)));
}
