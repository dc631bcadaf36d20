//! The client under Element, with Tollgate before its homeserver.

use std::{env, path::Path, process::Stdio};

use tokio::process::Command;
use tollgate_e2e::Stage;
use tollgate_tests::within;

#[tokio::test]
async fn element_sdk_talks_encrypted_through_the_fence() {
    let stage = Stage::clamped().await;
    let folder = env::var_os("TOLLGATE_E2E_JS_SDK");
    let folder = folder.expect("TOLLGATE_E2E_JS_SDK names a folder with the SDK: `cargo xtask e2e` sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("js/talk.mjs");
    let mut talk = Command::new("node");
    talk.arg(script).arg(stage.tollgate.url()).arg(folder);
    let output = within(talk.stdin(Stdio::null()).kill_on_drop(true).output()).await.expect("Node.js runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "meet me at the toll gate\n", "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);

    // Nothing that the SDK asked for was kept from the homeserver.
    let logs = stage.tollgate.logs();
    let mut paths: Vec<_> = logs.lines().filter_map(|line| line.split("request.path=").nth(1)?.split(' ').next()).collect();
    paths.sort_unstable();
    paths.dedup();
    assert!(paths.len() > 10, "{paths:?}");
    paths.retain(|path| stage.synapse.received(path).is_empty());
    assert_eq!(paths, Vec::<&str>::new());
}
