//! The program that stands in for mitmdump in an image, with the arguments that complement-crypto gives.
#![cfg(test)]

use std::{path::Path, process::Stdio};

use http::Request;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};
use tollgate_tests::{
    Client, RawOrigin, Version,
    addons::{bundled, drop_in},
    full, within,
};

#[tokio::test]
async fn arguments_of_the_original_start_what_they_mean() {
    let origins = [RawOrigin::ok().await, RawOrigin::ok().await];
    let home = tempfile::tempdir().expect("a directory");
    drop_in(home.path(), "callback", &bundled("callback"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // target/debug/deps/test-0123
    let own = std::env::current_exe().expect("a program");
    let built = own.ancestors().nth(2).expect("a build directory").join("tollgate");
    let tollgate = std::env::var_os("TOLLGATE_BIN").unwrap_or_else(|| built.into());
    let mut command = Command::new(root.join("examples/callback/mitmdump"));
    for origin in &origins {
        command.args(["--mode", &format!("reverse:{}@0", origin.url())]);
    }
    command.args(["--mode", "regular@0", "-s", "/addons/__init__.py", "-w"]).arg(home.path().join("mitm.dump"));
    command.env("TOLLGATE", tollgate).env("PLUGINS", home.path()).env("XDG_CACHE_HOME", home.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut proxy = command.spawn().expect("a shell");
    let mut lines = BufReader::new(proxy.stdout.take().expect("its output")).lines();
    let mut ports = Vec::new();
    loop {
        let line = within(lines.next_line()).await.expect("a line").expect("more lines");
        if line == "loading complement crypto addons" {
            break;
        }
        ports.extend(line.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()));
    }
    let [first, second, forward] = ports.as_slice() else { panic!("three listeners: {ports:?}") };
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let lock = Request::post("http://mitm.code/options/lock").header("content-type", "application/json");
    let options = json!({"options": {"callback": {"send_error": {"count": 1, "status": 504}, "filter": format!("~u {}", origins[1].url())}}});
    let mut controller = Client::connect(Version::Http1, at(*forward)).await;
    let locked = controller.ask(lock.body(full(options.to_string())).expect("a request")).await;
    assert_eq!(locked.status, 200, "{}", locked.text());
    for (port, expected) in [(first, 200), (second, 504), (second, 200)] {
        assert_eq!(Client::fetch(Version::Http1, at(*port), "/").await.status.as_u16(), expected);
    }
    let pid = proxy.id().expect("a process").to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill").success());
    assert!(within(proxy.wait()).await.expect("a child").success());
    let recorded = std::fs::read_to_string(home.path().join("mitm.dump")).expect("a recording");
    assert_eq!(recorded.matches("startedDateTime").count(), 3);
}
