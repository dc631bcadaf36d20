//! A suite as it would be written for a client of Matrix; the client is a few requests here, and the server the sample origin.
#![cfg(test)]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use callback_example::{CallbackServer, Lock, PATIENCE, ask};
use serde_json::{Value, json};

const UPLOAD: &str = "/_matrix/client/v3/keys/upload";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// A server, the proxy before it, and a client that is logged in.
struct Stage {
    /// The server, through the proxy.
    hs1: SocketAddr,
    forward: SocketAddr,
    token: String,
    programs: [Child; 2],
}

impl Stage {
    fn new() -> Self {
        Self::with("suite.toml", &[])
    }

    fn with(config: &str, settings: &[&str]) -> Self {
        let (origin, mut lines) = start(program("sample-origin").arg("0"));
        let listening = lines.next().expect("a line").expect("text");
        let upstream = listening.rsplit(' ').next().expect("a URL");
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(config);
        let mut command = program("tollgate");
        command.arg("run").arg("--config").arg(config).args(["--set", &format!("listener.hs1.upstream={upstream:?}")]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let (proxy, lines) = start(&mut command);
        let addresses: Vec<(String, SocketAddr)> = lines
            .map(|line| line.expect("text"))
            .take_while(|line| line != "ready")
            .filter_map(|line| {
                let (name, url) = line.split_once(' ')?;
                Some((name.to_owned(), url.rsplit('/').next()?.parse().ok()?))
            })
            .collect();
        let find = |name: &str| {
            let found = addresses.iter().find(|(other, _)| other == name);
            found.unwrap_or_else(|| panic!("no {name}: is plugins/callback.wasm built? {addresses:?}")).1
        };
        let (hs1, forward) = (find("hs1"), find("forward"));
        let user = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "any"});
        let (status, login) = ask(hs1, "POST", "/_matrix/client/v3/login", "", &user);
        assert_eq!(status, 200, "{login}");
        let token = login["access_token"].as_str().expect("a token").to_owned();
        Self { hs1, forward, token, programs: [proxy, origin] }
    }

    fn ask(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        ask(self.hs1, method, target, &self.token, body)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// A program of this workspace: beside the tests, where `cargo build` puts it, or what the variable `TOLLGATE_BIN` names.
fn program(name: &str) -> Command {
    let beside = || std::env::current_exe().ok()?.ancestors().nth(2).map(|folder| folder.join(name));
    let chosen = std::env::var_os("TOLLGATE_BIN").filter(|_| name == "tollgate").map(PathBuf::from);
    Command::new(chosen.or_else(beside).expect("a path"))
}

fn start(command: &mut Command) -> (Child, std::io::Lines<BufReader<ChildStdout>>) {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}: run `cargo build` first"));
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    (child, lines)
}

#[test]
fn a_sync_is_held_while_others_go_on() {
    let stage = Stage::new();
    let (arrived, arrivals) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (arrived, released) = (Mutex::new(arrived), Mutex::new(released));
    let server = CallbackServer::start(move |callback| {
        arrived.lock().expect("a lock").send(callback.told).expect("a test");
        // Until the test says so, or is over.
        let _ = released.lock().expect("a lock").recv_timeout(PATIENCE);
        json!({})
    });
    let options = json!({"callback_response_url": server.url("/response"), "filter": "~u /sync ~m GET"});
    let _lock = Lock::take(stage.forward, &json!({ "callback": options }));
    thread::scope(|scope| {
        let sync = scope.spawn(|| stage.ask("GET", "/_matrix/client/v3/sync?timeout=0", &Value::Null));
        let told = arrivals.recv_timeout(PATIENCE).expect("a callback");
        assert_eq!(
            (&told["method"], &told["access_token"], &told["response_code"]),
            (&json!("GET"), &json!(stage.token), &json!(200))
        );
        assert_eq!(stage.ask("GET", WHOAMI, &Value::Null).0, 200);
        assert!(!sync.is_finished());
        release.send(()).expect("a server");
        let (status, answer) = sync.join().expect("a client");
        assert_eq!((status, &answer), (200, &told["response_body"]));
    });
}

#[test]
fn two_failed_key_uploads_are_tried_again() {
    let stage = Stage::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = CallbackServer::start(move |_| match counted.fetch_add(1, SeqCst) {
        0 | 1 => json!({"respond_status_code": 504, "respond_body": {"error": "on purpose"}}),
        _ => json!({}),
    });
    let options = json!({"callback_request_url": server.url("/request"), "filter": "~u /keys/upload ~m POST"});
    let _lock = Lock::take(stage.forward, &json!({ "callback": options }));
    let keys = json!({"one_time_keys": {"signed_curve25519:A": {"key": "a"}}});
    let attempts: Vec<(u16, Value)> = (0..3).map(|_| stage.ask("POST", UPLOAD, &keys)).collect();
    let statuses: Vec<u16> = attempts.iter().map(|(status, _)| *status).collect();
    assert_eq!((statuses, calls.load(SeqCst)), (vec![504, 504, 200], 3));
    // The server has seen the third alone.
    assert_eq!(attempts[2].1, json!({"one_time_key_counts": {"signed_curve25519": 1}}));
}

#[test]
fn errors_are_counted_as_the_files_are() {
    let free = ["hs1", "hs2", "forward"].map(|name| format!("listener.{name}.bind=\"127.0.0.1:0\""));
    let free = free.each_ref().map(String::as_str);
    for (config, settings) in [("suite.toml", [].as_slice()), ("tollgate.toml", &free)] {
        let stage = Stage::with(config, settings);
        let options = json!({"send_error": {"count": 2, "status": 504}, "filter": "~u whoami"});
        let _lock = Lock::take(stage.forward, &json!({ "callback": options }));
        let statuses = [0; 3].map(|_| stage.ask("GET", WHOAMI, &Value::Null).0);
        assert_eq!(statuses, [504, 504, 200], "{config}");
    }
}

#[test]
fn what_a_lock_did_ends_with_it() {
    let stage = Stage::new();
    let server = CallbackServer::start(|_| json!({"respond_status_code": 418}));
    let options = json!({"callback": {"callback_request_url": server.url("/request")}});
    let lock = Lock::take(stage.forward, &options);
    assert_eq!(stage.ask("GET", WHOAMI, &Value::Null).0, 418);
    drop(lock);
    assert_eq!(stage.ask("GET", WHOAMI, &Value::Null).0, 200);
    // And the next test can have it.
    drop(Lock::take(stage.forward, &options));
}
