//! Options on a server: had at the start and again and again, and never worse than the last good ones.
#![cfg(test)]

use http::Method;
use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin, Tollgate,
    addons::{Hosted, Shelf, drop_in, guest, versioned},
    eventually,
};

const TOKEN: &str = "hunter2-hunter2";

async fn tag(host: &Hosted) -> String {
    host.answered().await.split(' ').next().unwrap_or_default().to_owned()
}

async fn is_tagged(host: &Hosted, wanted: &str) {
    eventually(async || tag(host).await == wanted).await;
}

fn refused() -> Value {
    let mut options = versioned("refused");
    options["refused"] = json!([["rules[1].on", "must not be"]]);
    options
}

/// Cannot be had or taken, for any of these reasons.
fn fail(shelf: &Shelf, how: usize) -> &'static str {
    match how {
        0 => shelf.put("{\"tag\": "),
        1 => shelf.put(refused()),
        2 => shelf.fail("500 Broken"),
        3 => shelf.fail("302 Found\r\nLocation: /elsewhere"),
        4 => shelf.fail("304 Not Modified"),
        5 => shelf.put("{\"tag\": \"a\", \"tag\": \"b\"}"),
        _ => shelf.put(" ".repeat((8 << 20) + 1)),
    }
    ["not JSON", "must not be", "status 500", "redirects are not followed", "", "already, in line 1", "over 8388608 bytes"][how]
}

#[tokio::test]
async fn documents_of_servers_are_in_force() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let trace = "trace,cranelift_codegen=info,wasmtime=info,regalloc2=info";
    let builder = shelf.before(&origin.url(), &format!("options_token = \"{TOKEN}\"")).with(|builder| builder.log(trace));
    let host = builder.start().await;
    assert_eq!(tag(&host).await, "one");
    let first = shelf.requests().remove(0);
    assert_eq!((first.method.as_str(), first.fields.get("authorization")), ("GET", Some(format!("Bearer {TOKEN}").as_str())));
    assert!(first.target.ends_with("?key=query-secret") && first.fields.get("if-none-match").is_none());
    shelf.asked(2).await;
    let etag = Shelf::etag(versioned("one"));
    assert_eq!(shelf.requests()[1].fields.get("if-none-match"), Some(etag.as_str()));
    let status = host.admin().until("a", |status| status["options"]["fetches"]["unchanged"].as_u64() > Some(0)).await;
    let options = &status["options"];
    for (key, value) in [
        ("source", json!("url")),
        ("url", json!(shelf.shown())),
        ("etag", json!(etag)),
        ("generation", json!(1)),
        ("is_copy", json!(false)),
        ("error", Value::Null),
        ("file", Value::Null),
    ] {
        assert_eq!(options[key], value, "{key}");
    }
    assert!(options["since_milliseconds"].as_u64() > Some(1_600_000_000_000) && options["age_seconds"].is_u64(), "{options}");
    assert_eq!(status["generation"], 1);
    let shown = host.admin().get("/addons/a/options").await;
    assert_eq!((shown.header("tollgate-source"), shown.header("tollgate-source-etag")), (Some("url"), Some(etag.as_str())));
    assert_eq!(shown.header("tollgate-generation"), Some("1"));
    shelf.put("{");
    host.admin().until("a", |status| !status["options"]["error"].is_null()).await;
    for page in ["/addons", "/addons/a/options", "/metrics", "/health/ready"] {
        let text = host.admin().get(page).await.text();
        assert!(!text.contains(TOKEN) && !text.contains("query-secret"), "{page}: {text}");
    }
    let logs = host.logs();
    assert!(!logs.contains(TOKEN) && !logs.contains("query-secret"), "there is a secret in the log");
}

#[tokio::test]
async fn changed_documents_take_over() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "").start().await;
    shelf.put(versioned("two"));
    is_tagged(&host, "two").await;
    shelf.put_plain(versioned("three"));
    is_tagged(&host, "three").await;
    let generation = host.admin().status("a").await["generation"].clone();
    // Without an ETag it comes whole each time, and is no change.
    shelf.asked(2).await;
    let status = host.admin().until("a", |status| status["options"]["fetches"]["unchanged"].as_u64() > Some(0)).await;
    assert_eq!((&status["generation"], &status["options"]["etag"]), (&generation, &Value::Null));
    let metrics = host.admin().get("/metrics").await.text();
    for line in [
        "tollgate_addon_options_fetches_total{addon=\"a\",outcome=\"new\"} 3",
        "tollgate_addon_options_fetches_total{addon=\"a\",outcome=\"failed\"} 0",
        "tollgate_addon_options_fetches_total{addon=\"a\",outcome=\"refused\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("tollgate_addon_options_age_seconds{addon=\"a\"} "), "{metrics}");
}

#[tokio::test]
async fn bad_documents_replace_nothing() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("good")).await);
    let host = shelf.before(&origin.url(), "").start().await;
    let mut last = tag(&host).await;
    for how in [0, 1, 2, 3, 5, 6] {
        let expected = fail(&shelf, how);
        let wanted = |status: &Value| status["options"]["error"].as_str().is_some_and(|error| error.contains(expected));
        let status = host.admin().until("a", wanted).await;
        assert_eq!((tag(&host).await, &status["error"]), (last, &Value::Null), "{expected}");
        // A server that fails takes no proxy out of service.
        assert_eq!(host.admin().get("/health/ready").await.status, 200);
        last = format!("good-{how}");
        shelf.put(versioned(&last));
        is_tagged(&host, &last).await;
        assert_eq!(host.admin().status("a").await["options"]["error"], Value::Null);
    }
    let fetches = host.admin().status("a").await["options"]["fetches"].clone();
    assert!(fetches["failed"].as_u64() > Some(0) && fetches["refused"].as_u64() > Some(0), "{fetches}");
}

#[tokio::test]
async fn documents_are_as_large_as_allowed() {
    let origin = RawOrigin::ok().await;
    for (bytes, is_had) in [((8 << 20) - 1, true), (8 << 20, true), ((8 << 20) + 1, false)] {
        let document = versioned("large").to_string();
        let shelf = Shelf::with(format!("{document}{}", " ".repeat(bytes - document.len()))).await;
        let host = shelf.before(&origin.url(), "").start().await;
        let status = host.admin().status("a").await;
        assert_eq!((tag(&host).await == "large", status["state"] != "failed"), (is_had, is_had), "{bytes}: {status}");
    }
}

#[tokio::test]
async fn the_last_good_copy_serves_a_start() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("good")).await);
    let cache = tempfile::tempdir().expect("a directory");
    let builder = || shelf.before(&origin.url(), "").with(|builder| builder.cache(cache.path()));
    let host = builder().start().await;
    // A bad one is in nobody's way, now and later.
    shelf.put(refused());
    host.admin().until("a", |status| !status["options"]["error"].is_null()).await;
    drop(host);
    let copies: Vec<_> = std::fs::read_dir(cache.path().join("options")).expect("a directory").flatten().collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&copies[0].metadata().expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let hour = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    for how in 0..5 {
        let file = std::fs::File::options().write(true).open(copies[0].path()).expect("a file");
        file.set_modified(hour).expect("a time");
        fail(&shelf, how);
        let host = builder().start().await;
        assert_eq!(tag(&host).await, "good", "{how}");
        let status = host.admin().status("a").await;
        assert_eq!((&status["options"]["is_copy"], &status["error"]), (&json!(true), &Value::Null), "{how}");
        assert!(!status["options"]["error"].is_null() && status["options"]["had_milliseconds"].is_u64(), "{how}: {status}");
        if how == 2 {
            assert!(status["options"]["age_seconds"].as_u64() >= Some(3600), "{status}");
        }
        assert!(host.logs().contains("the last good copy of the options is in force"), "{how}");
    }
    let host = builder().start().await;
    shelf.put(versioned("good"));
    host.admin().until("a", |status| status["options"]["is_copy"] == false && status["options"]["error"].is_null()).await;
    shelf.put(versioned("better"));
    is_tagged(&host, "better").await;
    // It is kept once it is in force.
    eventually(async || std::fs::read_to_string(copies[0].path()).is_ok_and(|copy| copy.contains("better"))).await;
    drop(host);
    shelf.fail("503 Down");
    assert_eq!(tag(&builder().start().await).await, "better");
    // What is not whole is no copy.
    std::fs::write(copies[0].path(), "{").expect("a file");
    assert_eq!(tag(&builder().start().await).await, "nobody");
}

#[tokio::test]
async fn without_a_copy_the_addon_is_not_in_force() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with("").await);
    shelf.fail("503 Down");
    let host = shelf.before(&origin.url(), "").set("listener.main.addons", "[\"a\"]").start().await;
    assert_eq!(host.get("/").await.status, 503);
    let status = host.admin().status("a").await;
    let error = format!("cannot get options from {}: status 503", shelf.shown());
    assert_eq!((&status["state"], &status["error"]), (&json!("failed"), &json!(error)), "{status}");
    assert_eq!(host.admin().get("/health/ready").await.status, 503);
    shelf.put(refused());
    let wanted = |status: &Value| status["error"].as_str().is_some_and(|error| error.contains("must not be"));
    host.admin().until("a", wanted).await;
    assert_eq!(host.get("/").await.status, 503);
    shelf.put(versioned("late"));
    is_tagged(&host, "late").await;
    assert_eq!(host.admin().get("/health/ready").await.status, 200);
    assert_eq!(host.admin().status("a").await["error"], Value::Null);
}

#[tokio::test]
async fn options_can_be_put_where_the_server_has_none() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with("").await);
    shelf.fail("503 Down");
    let host = shelf.before(&origin.url(), "").start().await;
    let answer = host.admin().put_options("a", &versioned("put")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["options"]["source"]), (200, &json!("put")), "{}", answer.text());
    assert_eq!((tag(&host).await.as_str(), host.admin().get("/health/ready").await.status.as_u16()), ("put", 200));
    shelf.put(versioned("served"));
    is_tagged(&host, "served").await;
}

#[tokio::test]
async fn later_changes_win_over_what_was_put() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "").start().await;
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    shelf.asked(2).await;
    // Without an ETag, it comes again and is the same.
    shelf.put_plain(versioned("one"));
    shelf.asked(2).await;
    assert_eq!(tag(&host).await, "put");
    shelf.put(versioned("two"));
    is_tagged(&host, "two").await;
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    shelf.put("{");
    host.admin().until("a", |status| !status["options"]["error"].is_null()).await;
    assert_eq!(tag(&host).await, "put");
    shelf.put(versioned("two"));
    is_tagged(&host, "two").await;
    assert_eq!(host.admin().status("a").await["options"]["source"], "url");
}

#[tokio::test]
async fn reloads_ask_at_once() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "options_interval = \"1h\"").start().await;
    shelf.put(versioned("two"));
    assert_eq!(host.admin().reload("a").await.status, 200);
    assert_eq!(tag(&host).await, "two");
    let generation = host.admin().status("a").await["generation"].as_u64();
    assert_eq!(host.admin().reload("a").await.status, 200);
    assert!(host.admin().status("a").await["generation"].as_u64() > generation);
    for (how, expected) in [(2, "status 500"), (1, "must not be"), (0, "not JSON")] {
        fail(&shelf, how);
        let answer = host.admin().reload("a").await;
        assert!(matches!(answer.status.as_u16(), 400 | 422) && answer.text().contains(expected), "{}", answer.text());
        assert_eq!(tag(&host).await, "two");
    }
}

#[tokio::test]
async fn new_code_is_configured_with_what_is_there() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "options_interval = \"1h\"").start().await;
    shelf.fail("503 Down");
    host.drop_in("a", &tollgate_tests::addons::rebuilt(1));
    host.admin().in_force("a", &tollgate_tests::addons::rebuilt(1)).await;
    assert!(host.answered().await.starts_with("one guest-build-00000001 "));
    assert_eq!(host.admin().status("a").await["options"]["source"], "url");
}

#[tokio::test]
async fn changed_tokens_and_urls_count_at_reload() {
    let (origin, one, two) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await, Shelf::with(versioned("two")).await);
    let hour = "options_interval = \"1h\"\n";
    let host = one.before(&origin.url(), hour).start().await;
    let file = host.directory().join("token");
    std::fs::write(&file, "first-token").expect("a file");
    let plain = host.config();
    let with_token = plain.replace(hour, &format!("{hour}options_token_file = {file:?}\n"));
    std::fs::write(host.config_path(), &with_token).expect("a file");
    host.reload().await;
    let asked_with = async |shelf: &Shelf, token: Option<&str>| {
        let wanted = token.map(|token| format!("Bearer {token}"));
        eventually(async || shelf.requests().last().is_some_and(|last| last.fields.get("authorization") == wanted.as_deref()))
            .await;
    };
    asked_with(&one, Some("first-token")).await;
    // A changed file is enough.
    std::fs::write(&file, "second-token-is-longer").expect("a file");
    asked_with(&one, Some("second-token-is-longer")).await;
    std::fs::write(host.config_path(), plain.replace(&one.url(), &two.url())).expect("a file");
    host.reload().await;
    assert_eq!(tag(&host).await, "two");
    asked_with(&two, None).await;
    // Nobody hears of a token that is not theirs.
    assert!(two.requests().iter().all(|request| request.fields.get("authorization").is_none()));
    one.put(versioned("three"));
    std::fs::write(host.config_path(), plain.replace(&one.url(), "http://127.0.0.1:1/nobody")).expect("a file");
    host.reload().await;
    assert_eq!(tag(&host).await, "two");
    std::fs::write(host.config_path(), &plain).expect("a file");
    host.reload().await;
    assert_eq!(tag(&host).await, "three");
}

#[tokio::test]
async fn own_listeners_are_never_asked() {
    let (origin, shelf) =
        (RawOrigin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "").start().await;
    for own in [host.url(), format!("{}/addons", host.url_of("admin"))] {
        let seen = origin.requests().len();
        std::fs::write(host.config_path(), host.config().replace(&shelf.url(), &own)).expect("a file");
        host.reload().await;
        let wanted = |status: &Value| status["options"]["error"].as_str().is_some_and(|error| error.contains("denied"));
        host.admin().until("a", wanted).await;
        assert_eq!(origin.requests().len(), seen);
        std::fs::write(host.config_path(), host.config().replace(&own, &shelf.url())).expect("a file");
        host.reload().await;
    }
}

#[tokio::test]
async fn silent_servers_hold_up_no_change() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "").start().await;
    shelf.fall_silent();
    eventually(async || shelf.waiting() == 1).await;
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    assert_eq!(tag(&host).await, "put");
    host.drop_in("a", &tollgate_tests::addons::rebuilt(2));
    host.admin().in_force("a", &tollgate_tests::addons::rebuilt(2)).await;
    let status = host.admin().until("a", |status| !status["options"]["error"].is_null()).await;
    assert!(status["options"]["error"].as_str().is_some_and(|error| error.contains("no document within 10s")), "{status}");
}

#[tokio::test]
async fn addons_that_come_and_go_are_followed() {
    let (origin, shelf) = (RawOrigin::ok().await, Shelf::with(versioned("one")).await);
    let host = shelf.before(&origin.url(), "").start().await;
    tollgate_tests::addons::take_out(&host.plugins(), "a");
    eventually(async || host.answered().await == "nobody").await;
    host.drop_in("a", &guest("scripted"));
    is_tagged(&host, "one").await;
    shelf.put(versioned("two"));
    is_tagged(&host, "two").await;
}

#[tokio::test]
async fn check_and_inspect_ask_the_server() {
    let plugins = tempfile::tempdir().expect("a directory");
    drop_in(plugins.path(), "a", &guest("scripted"));
    let directory = plugins.path().to_str().expect("a path");
    let shelf = Shelf::with("{\"tag\": \"x\\.y\",}").await;
    let url = format!("addon.a.options_url=\"{}\"", shelf.url());
    let arguments = ["check", "--reverse", "http://127.0.0.1:1@0", "--plugins", directory, "--set", &url];
    let ended = Tollgate::run(&arguments).await;
    assert!(ended.status.success() && ended.stdout.contains("ok     a\n"), "{ended:?}");
    assert!(ended.stdout.contains("warning: line 1, column 11, at tag: "), "{}", ended.stdout);
    assert!(ended.stdout.contains("warning: line 1, column 15: "), "{}", ended.stdout);
    let file = plugins.path().join("a.wasm");
    let ended = Tollgate::run(&["inspect", file.to_str().expect("a path"), "--set", &url]).await;
    assert!(ended.status.success() && shelf.requests().len() == 2, "{ended:?}");
    shelf.fail("404 Not Found");
    let ended = Tollgate::run(&arguments).await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.contains("FAILED a\n") && ended.stdout.contains("status 404"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("query-secret") && !ended.stderr.contains("query-secret"), "{ended:?}");
}

#[tokio::test]
async fn put_documents_are_as_large_as_allowed() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await;
    for (bytes, status) in [((8 << 20) - 1, 200), (8 << 20, 200), ((8 << 20) + 1, 413)] {
        let document = versioned(&bytes.to_string()).to_string();
        let padded = format!("{document}{}", " ".repeat(bytes - document.len()));
        let answer = host.admin().send(Method::PUT, "/addons/a/options", padded).await;
        assert_eq!(answer.status, status, "{bytes}: {}", answer.text());
        assert_eq!(tag(&host).await == bytes.to_string(), status == 200);
    }
}
