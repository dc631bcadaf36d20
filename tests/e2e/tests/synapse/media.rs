//! Files that people share.

use http::{Request, header};
use serde_json::Value;
use tollgate_e2e::{Stage, User};
use tollgate_tests::{Version, full};

/// A picture of one point, as the smallest PNG.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\
\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

/// Uploads, and tells the place: `localhost/id`.
async fn upload(user: &mut User, name: &str, kind: &str, content: Vec<u8>) -> String {
    let request = Request::post(format!("/_matrix/media/v3/upload?filename={name}")).header(header::CONTENT_TYPE, kind);
    let answer = user.send(request.body(full(content)).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let uri = answer.json()["content_uri"].as_str().expect("a URI").to_owned();
    uri.strip_prefix("mxc://").expect("a Matrix URI").to_owned()
}

#[tokio::test]
async fn uploads_come_back_byte_for_byte() {
    let stage = Stage::clamped().await;
    // Bytes without a pattern, from a small generator.
    let mut seed = 1_u32;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    })
    .take(3 << 20)
    .collect();
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        let mut bob = stage.user(version, "bob").await;
        let place = upload(&mut alice, "noise.bin", "application/octet-stream", content.clone()).await;
        for name in ["", "/noise%20%2F.bin"] {
            let target = format!("/_matrix/client/v1/media/download/{place}{name}");
            let answer = bob.ask("GET", &target, &Value::Null).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, content.len()), "{version:?} {name}");
            assert!(answer.body == content, "{version:?} {name}: other bytes");
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
        }
    }
}

#[tokio::test]
async fn media_needs_the_token() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        let place = upload(&mut alice, "point.png", "image/png", PNG.to_vec()).await;
        let target = format!("/_matrix/client/v1/media/download/{place}");
        let refused = tollgate_tests::Client::fetch(version, stage.tollgate.address(), &target).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["errcode"]), (401, &Value::from("M_MISSING_TOKEN")));
        assert_eq!(alice.ask("GET", &target, &Value::Null).await.body, PNG);
    }
}

#[tokio::test]
async fn thumbnails_are_made() {
    let stage = Stage::clamped().await;
    for version in Version::BOTH {
        let mut alice = stage.user(version, "alice").await;
        let place = upload(&mut alice, "point.png", "image/png", PNG.to_vec()).await;
        let target = format!("/_matrix/client/v1/media/thumbnail/{place}?width=32&height=32&method=scale");
        let answer = alice.ask("GET", &target, &Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("image/png")), "{}", answer.text());
    }
}
