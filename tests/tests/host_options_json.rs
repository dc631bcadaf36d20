//! What is taken for a document of options, and what is told about one that is not.
#![cfg(test)]

use http::Method;
use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin, Tollgate,
    addons::{Hosted, drop_in, guest, versioned},
    eventually,
};

const NOWHERE: &str = "http://127.0.0.1:1";

async fn put(host: &Hosted, document: &str) -> (u16, Value) {
    let answer = host.admin().send(Method::PUT, "/addons/a/options", document.to_owned()).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn digits_and_order_reach_the_addon() {
    let host = Hosted::before(NOWHERE).guest("a", &guest("raw"), &json!({})).start().await;
    let numbers = "12345678901234567890, 1.10, 1e400, -0.0, 1E5, 0.30000000000000004";
    let document = |name: &str| format!("{{\"{name}\" : [{numbers}],\n\t\"b\": 1, \"a\": \" \\u00e4 \"}}\n");
    let expected =
        |name: &str| format!("configured with {{\"{name}\":[{}],\"b\":1,\"a\":\" \u{e4} \"}}", numbers.replace(' ', ""));
    std::fs::write(host.options_file("a"), document("echo-file")).expect("a file");
    host.logged(&expected("echo-file")).await;
    assert_eq!(put(&host, &document("echo-put")).await.0, 200);
    host.logged(&expected("echo-put")).await;
    let shown = host.admin().get("/addons/a/options").await.text();
    assert!(shown.contains("12345678901234567890,\n    1.10,\n    1e400,\n"), "{shown}");
    assert_eq!(put(&host, &shown).await.0, 200);
}

#[tokio::test]
async fn what_is_forgiven_is_told() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await;
    let document = |tag: &str| {
        format!(
            "\u{feff}{{\n  \"tag\": \"{tag}\\d\",\n  \"rules\": [{{\"on\": \"response\", \"do\": [{{\"set\": [\"X-Answered\", \"{{tag}}\"]}}]}},]\n}}"
        )
    };
    let place = |line: usize, column: usize| format!("line {line}, column {column}");
    let are_told = |warnings: &Value, tag: &str| {
        let warnings: Vec<&str> = warnings.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let places = [place(2, 11 + tag.len()), place(3, 73)];
        assert!(
            warnings.len() == 2 && warnings.iter().zip(&places).all(|(warning, place)| warning.starts_with(place)),
            "{warnings:?}"
        );
    };
    std::fs::write(host.options_file("a"), document("file")).expect("a file");
    eventually(async || host.answered().await == "file\\d").await;
    are_told(&host.admin().status("a").await["warnings"], "file");
    assert!(host.logs().contains(&place(2, 15)) && host.logs().contains(&place(3, 73)), "{}", host.logs());
    let (status, page) = put(&host, &document("put")).await;
    assert_eq!((status, host.answered().await.as_str()), (200, "put\\d"));
    are_told(&page["warnings"], "put");
    assert_eq!(put(&host, &versioned("strict").to_string()).await.1["warnings"], json!([]));
}

#[tokio::test]
async fn what_is_not_forgiven_has_its_place() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    let generation = host.admin().status("a").await["generation"].clone();
    for (document, errcode, errors) in [
        ("{\"tag\": \"a\" // comment\n}", "M_NOT_JSON", json!([["", "line 1, column 13: "]])),
        ("{\n \"rules\": [{\"on\": finish}]}", "M_NOT_JSON", json!([["rules[0].on", "line 2, column 19: "]])),
        ("{\"tag\": \"hunter2\n\"}", "M_NOT_JSON", json!([["tag", "line 1, column 17: "]])),
        ("[,]", "M_NOT_JSON", json!([["[0]", "line 1, column 2: "]])),
        (
            "{\"tag\": \"a\",\n\"rules\": [{\"on\": \"finish\", \"on\": \"request\"}],\n\"tag\": \"hunter2\"}",
            "M_BAD_JSON",
            json!([["rules[0].on", "line 2, column 28: "], ["tag", "line 3, column 1: "]]),
        ),
    ] {
        let (status, page) = put(&host, document).await;
        assert_eq!((status, &page["errcode"]), (400, &json!(errcode)), "{page}");
        let found = page["errors"].as_array().expect("errors");
        let wanted = errors.as_array().expect("errors");
        let is_told = |(found, wanted): (&Value, &Value)| {
            let message = found["message"].as_str().unwrap_or_default();
            found["path"] == wanted[0] && message.starts_with(wanted[1].as_str().unwrap_or("?"))
        };
        assert!(found.len() == wanted.len() && found.iter().zip(wanted).all(is_told), "{document}: {page}");
        assert!(!page.to_string().contains("hunter2"), "{page}");
    }
    assert_eq!(host.admin().status("a").await["generation"], generation);
}

#[tokio::test]
async fn what_options_lead_to_is_refused_with_reasons() {
    let host = Hosted::before(NOWHERE).scripted("a", &json!({})).start().await;
    let (status, page) =
        put(&host, "{\"rules\": [{\"on\": \"response\", \"filter\": \"(\"}, {\"on\": \"connect\", \"body\": \"full\"}]}").await;
    assert_eq!((status, &page["errcode"]), (400, &json!("M_INVALID_PARAM")), "{page}");
    assert_eq!(page["errors"].as_array().map(Vec::len), Some(2), "{page}");
    let (status, page) = put(&host, "{\"token\": \"[redacted]\"}").await;
    assert_eq!((status, &page["errors"][0]["path"]), (400, &json!("token")), "{page}");
}

#[tokio::test]
async fn bad_files_say_why_and_change_nothing() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await;
    for (document, part) in [
        ("{\"tag\": x}", "not JSON: line 1, column 9, at tag"),
        ("{\"tag\": \"a\",\n\"tag\": \"b\"}", "line 2, column 1, at tag"),
        ("{\"colour\": 1}", "colour"),
    ] {
        std::fs::write(host.options_file("a"), document).expect("a file");
        let wanted = |status: &Value| status["error"].as_str().is_some_and(|error| error.contains(part));
        let status = host.admin().until("a", wanted).await;
        assert_eq!(status["options"]["error"], status["error"]);
        assert!(host.answered().await.starts_with("old "), "{document}");
        host.logged(part).await;
    }
    host.write_options("a", &versioned("new"));
    let status = host.admin().until("a", |status| status["error"].is_null()).await;
    assert_eq!(status["options"]["error"], Value::Null);
}

#[tokio::test]
async fn check_tells_what_is_forgiven() {
    let home = tempfile::tempdir().expect("a directory");
    drop_in(home.path(), "a", &guest("scripted"));
    let file = home.path().join("a.json");
    let directory = home.path().to_str().expect("a path");
    let setting = format!("addon.a.options_file={file:?}");
    let arguments = ["check", "--reverse", "http://127.0.0.1:1@0", "--plugins", directory, "--set", &setting];
    std::fs::write(&file, "{\"tag\": \"\\.\",}").expect("a file");
    let ended = Tollgate::run(&arguments).await;
    assert!(
        ended.status.success() && ended.stdout.contains("ok     a\n       warning: line 1, column 10, at tag: "),
        "{ended:?}"
    );
    std::fs::write(&file, "{\"tag\": 1, \"tag\": 2}").expect("a file");
    let ended = Tollgate::run(&arguments).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("options_file") && ended.stderr.contains("line 1, column 12, at tag"), "{}", ended.stderr);
}
