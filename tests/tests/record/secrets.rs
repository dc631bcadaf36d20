//! Credentials: in no recording, unless somebody asks for them.

use http::Request;
use serde_json::json;
use tollgate_tests::{Client, RawOrigin, Tollgate, Version, full};

/// In all that is secret below.
const SECRET: &str = "hunter2";

/// Each a request and what it is answered, with the secret in one place.
const CASES: [(&str, &str); 30] = [
    ("GET / HTTP/1.1\r\nAuthorization: Bearer hunter2", ""),
    ("GET / HTTP/1.1\r\nCookie: session=hunter2; b=hunter2", ""),
    ("GET / HTTP/1.1\r\nX-Api-Key: hunter2", ""),
    ("GET / HTTP/1.1\r\nx-access-token: hunter2", ""),
    ("GET / HTTP/1.1\r\nProxy-Authorization: Basic hunter2", ""),
    ("GET / HTTP/1.1\r\nSec-WebSocket-Protocol: auth, hunter2", ""),
    ("GET /sync?since=1&access_token=hunter2&a=b HTTP/1.1", ""),
    ("GET /sync?ACCESS%5Ftoken=hunter2 HTTP/1.1", ""),
    ("GET / HTTP/1.1\r\nReferer: http://user:hunter2@h/?loginToken=hunter2", ""),
    ("GET / HTTP/1.1", "Set-Cookie: session=hunter2; Path=/\r\n\r\n"),
    ("GET / HTTP/1.1", "Location: http://h/callback?code=hunter2\r\n\r\n"),
    ("GET / HTTP/1.1", "Content-Type: application/json\r\n\r\n{\"access_token\":\"hunter2\",\"refresh_token\":\"hunter2\"}"),
    ("GET / HTTP/1.1", "Content-Type: text/html\r\n\r\n<a href=\"/?token=hunter2\">"),
    ("POST / HTTP/1.1\r\nContent-Type: application/json", "\r\n{\"auth\":{\"password\":\"hunter2\"}}"),
    ("POST / HTTP/1.1", "\r\n[{\"new_password\": \"hunter2\"}]"),
    ("POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded", "\r\nuser=u&password=hunter2"),
    ("POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b", "\r\n--b\r\n\r\nhunter2\r\n--b--"),
    ("GET /?access_token=ab'hunter2 HTTP/1.1", ""),
    ("GET /?a=b;access_token=ab'hunter2 HTTP/1.1", ""),
    ("GET / HTTP/1.1\r\nReferer: http://u:p'hunter2@h/", ""),
    ("GET / HTTP/1.1\r\nReferer: http://h/?token=p hunter2", ""),
    ("GET / HTTP/1.1\r\nLink: <http://h/?token=p'hunter2>; rel=next", ""),
    ("GET / HTTP/1.1", "Location: /callback?code=p<hunter2\r\n\r\n"),
    ("GET / HTTP/1.1", "Content-Type: application/json\r\n\r\n{\"u\":\"http://h/?token=p'hunter2\"}"),
    ("POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded", "\r\nuser=u&password=it's-hunter2"),
    ("POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded", "\r\npassword=a b<c#hunter2&user=u"),
    ("POST / HTTP/1.1\r\nContent-Type: text/plain", "\r\npassword=hunter2&user=u"),
    ("POST / HTTP/1.1\r\nContent-Type: text/plain", "\r\npassword=\"hunter2\"&user=u"),
    ("POST / HTTP/1.1\r\nContent-Type: application/octet-stream", "\r\nuser=u&password=hunter2"),
    ("POST / HTTP/1.1\r\nContent-Type: application/octet-stream", "\r\n\u{feff}{\"password\":\"hunter2\"}"),
];

/// Runs all cases; what was recorded, as text.
async fn recorded(secrets: bool) -> String {
    let answers: Vec<_> = CASES.iter().map(|(request, answer)| (request.starts_with("GET"), *answer)).collect();
    let origin = RawOrigin::start(move |mut conversation| {
        let answers = answers.clone();
        async move {
            while let Some(request) = conversation.request().await {
                let case = request.fields.get("x-case").and_then(|case| case.parse::<usize>().ok()).expect("a case");
                let (head, body) = match answers[case] {
                    (true, answer) => answer.split_once("\r\n\r\n").unwrap_or_default(),
                    (false, _) => ("", ""),
                };
                let head = if head.is_empty() { String::new() } else { format!("{head}\r\n") };
                let answer = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
                let _ = conversation.send(answer).await;
            }
        }
    })
    .await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.secrets", secrets).start().await;
    for (place, (request, answer)) in CASES.iter().enumerate() {
        let body = if request.starts_with("POST") { answer.trim_start() } else { "" };
        let head = format!("{request}\r\nHost: a.test\r\nX-Case: {place}\r\nContent-Length: {}\r\n\r\n", body.len());
        assert_eq!(tollgate_tests::RawClient::ask(tollgate.address(), head + body).await.status, 200, "{place}");
        tollgate.recorded(place + 1).await;
        let text = std::fs::read_to_string(tollgate.har()).expect("a file");
        let line = text.lines().nth(place + 1).expect("an entry");
        assert_eq!(line.contains(SECRET) || line.contains("base64"), secrets, "{request}: {text}");
    }
    std::fs::read_to_string(tollgate.har()).expect("a file")
}

#[tokio::test]
async fn credentials_are_not_recorded() {
    let text = recorded(false).await;
    assert!(!text.contains(SECRET), "{text}");
    // What is no secret stays.
    for kept in ["since=1&access_token=***&a=b", "user=u&password=***", "Bearer", "\\\"auth\\\":{\\\"password\\\""] {
        assert_eq!(text.contains(kept), kept != "Bearer", "{kept}");
    }
}

#[tokio::test]
async fn who_wants_credentials_gets_them() {
    let text = recorded(true).await;
    assert!(!text.contains("[redacted]") && !text.contains("***"), "{text}");
}

#[tokio::test]
async fn secrets_where_bodies_are_cut_are_not_recorded() {
    let origin = RawOrigin::ok().await;
    for cap in [15, 17, 18, 20, 26] {
        let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.bodies", cap).start().await;
        let request = Request::post("/").header("content-type", "application/json");
        let request = request.body(full(r#"{ "password" : "hunter2" }"#)).expect("a request");
        Client::connect(Version::Http1, tollgate.address()).await.ask(request).await;
        let entry = tollgate.recorded(1).await.remove(0);
        let text = entry["request"]["postData"]["text"].as_str().expect("text");
        assert!(text.starts_with(r#"{ "password" : "#) && !text.contains("hu"), "{cap}: {text}");
    }
}

#[tokio::test]
async fn flags_record_and_ask_for_credentials() {
    let origin = RawOrigin::ok().await;
    let upstream = format!("{}@0", origin.url());
    let run = |more: &'static [&'static str]| {
        let arguments = [&["run", "--reverse", upstream.as_str()][..], more].concat();
        async move { Tollgate::run(&arguments).await }
    };
    for (more, problem) in [
        (&["--record-secrets"][..], "record.file: is missing"),
        (&["--record", ""], "record.file = \"\": must be the path of a file"),
        (&["--set", "record.bodies=65m", "--set", "record.file=x"], "record.bodies = \"65m\": must be a size"),
        (&["--set", "record.max_bytes=4095", "--set", "record.file=x"], "record.max_bytes = 4095: must be a size"),
        (&["--set", "record.memory=1", "--set", "record.file=x"], "record.memory = 1: must be a size"),
    ] {
        let ended = run(more).await;
        assert_eq!(ended.status.code(), Some(2), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{more:?}: {}", ended.stderr);
    }
    let tollgate = Tollgate::builder().upstream(&origin.url()).env("TOLLGATE_RECORD", "flows.har").start().await;
    Client::fetch(Version::Http1, tollgate.address(), "/?access_token=hunter2").await;
    let entry = tollgate.recorded(1).await.remove(0);
    assert_eq!(entry["request"]["queryString"], json!([{"name": "access_token", "value": "[redacted]"}]));
}
