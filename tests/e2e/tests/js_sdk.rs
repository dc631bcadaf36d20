//! The client under Element, with Tollgate before its homeserver.

#![allow(clippy::expect_used, reason = "what tests share fails as they do: by panicking")]

use std::{env, path::Path, process::Stdio};

use serde_json::json;
use tokio::process::Command;
use tollgate_e2e::{Stage, Suite};
use tollgate_tests::within;

/// Two people talk in an encrypted room by what is at this URL, and the second reads what the first said.
async fn talk(url: &str) {
    let folder = env::var_os("TOLLGATE_E2E_JS_SDK");
    let folder = folder.expect("TOLLGATE_E2E_JS_SDK names a folder with the SDK: `cargo xtask e2e` sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("js/talk.mjs");
    let mut talk = Command::new("node");
    talk.arg(script).arg(url).arg(folder);
    let output = within(talk.stdin(Stdio::null()).kill_on_drop(true).output()).await.expect("Node.js runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "meet me at the toll gate\n", "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
}

#[tokio::test]
async fn element_sdk_talks_encrypted_through_the_fence() {
    let stage = Stage::clamped().await;
    talk(&stage.tollgate.url()).await;

    // Nothing that the SDK asked for was kept from the homeserver.
    let logs = stage.tollgate.logs();
    let mut paths: Vec<_> = logs.lines().filter_map(|line| line.split("request.path=").nth(1)?.split(' ').next()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert!(paths.len() > 10, "{paths:?}");
    paths.retain(|path| stage.synapse.received(path).is_empty());
    assert_eq!(paths, Vec::<&str>::new());
}

/// It tries once more by itself. The first upload is that of the one who will speak.
#[tokio::test]
async fn element_sdk_gets_over_a_failed_upload_of_keys() {
    let suite = Suite::start().await;
    let filter = "~m POST ~u /keys/upload";
    let locked = suite.lock(&json!({"send_error": {"count": 1, "status": 504}, "filter": filter})).await;
    talk(&suite.tollgate.url()).await;
    suite.unlock(&locked).await;
    let logs = suite.tollgate.logs();
    let failed: Vec<&str> = logs.lines().filter(|line| line.contains("response.status=504")).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let uploads = logs.lines().filter(|line| line.contains("request.path=/_matrix/client/v3/keys/upload "));
    assert!(uploads.count() >= 3, "{logs}");
}
