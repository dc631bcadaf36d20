//! A client of Mastodon through the example's proxy.

#![allow(clippy::expect_used, reason = "what tests share fails as they do: by panicking")]

use std::{env, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};
use tollgate_tests::{Port, Tollgate, addons::Fediverse};

/// For one section of the script: it has a patience of its own, which is shorter.
const PATIENCE: Duration = Duration::from_mins(3);

#[tokio::test]
async fn masto_reads_timelines_and_streams_without_repeats() {
    let folder = env::var_os("TOLLGATE_E2E_MASTO");
    let folder = folder.expect("TOLLGATE_E2E_MASTO names a folder with masto: `cargo xtask e2e` sets it");
    let mut server = Fediverse::start().await;
    let port = Port::reserve();
    let address = port.address();
    let mut tollgate: Option<Tollgate> = Some(server.proxy(port.number()).start().await);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("js/mastodon.mjs");
    let mut client = Command::new("node");
    client.arg(script).args([format!("http://{address}"), server.url()]).arg(folder);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut client = client.spawn().expect("Node.js runs");
    let mut wishes = BufReader::new(client.stdout.take().expect("a pipe")).lines();
    let mut answers = client.stdin.take().expect("a pipe");
    let mut errors = client.stderr.take().expect("a pipe");
    let said = tokio::spawn(async move {
        let mut said = String::new();
        let _ = errors.read_to_string(&mut said).await;
        said
    });
    let mut last = String::new();
    while let Some(wish) = timeout(PATIENCE, wishes.next_line()).await.expect("a line in time").expect("text") {
        match wish.as_str() {
            "stop" => {
                let mut running = tollgate.take().expect("a proxy that runs");
                running.terminate();
                assert!(running.ended().await.success(), "{}", running.logs());
            }
            "start" => tollgate = Some(server.proxy(port.number()).start().await),
            "end" => server.end().await,
            _ => {
                last = wish;
                continue;
            }
        }
        answers.write_all(b"so it is\n").await.expect("a script that waits");
    }
    let status = timeout(PATIENCE, client.wait()).await.expect("an end").expect("a child");
    let said = said.await.expect("text");
    assert!(status.success() && last == "done", "{status}: {said}");
    let logs = tollgate.expect("a proxy that runs").logs();
    assert!(!logs.contains("-token") && !logs.contains("access_token"), "{logs}");
}
