//! Bodies in whatever coding and framing.

use std::io::{Read as _, Write as _};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::Request;
use serde_json::{Value, json};
use tollgate_tests::{
    Client, Version,
    addons::{Guarded, Homeserver, Service, hooks},
    channel, full,
};

const BODY: &str = r#"{"z":12345678901234567890,"a":1.10,"text":"<&>é"}"#;
const MERGED: &str = r#"{"z":12345678901234567890,"a":1.10,"text":"<&>é","new":true}"#;

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("coded")
}

fn encode(coding: &str, text: &str) -> Vec<u8> {
    match coding {
        "gzip" => gzip(text),
        "zstd" => zstd::encode_all(text.as_bytes(), 3).expect("coded"),
        "br" => {
            let mut coded = Vec::new();
            brotli::CompressorWriter::new(&mut coded, 4096, 5, 22).write_all(text.as_bytes()).expect("coded");
            coded
        }
        _ => text.as_bytes().to_vec(),
    }
}

/// Changes what is sent both ways, and tells a service about both.
fn changing(service: &Service) -> (Value, String) {
    let number = service.told(r#"{"action":"pass.unmodified"}"#);
    let consult =
        json!({"action": "consult.RESTServiceURL", "RESTServiceURL": service.at(&format!("/told/{number}")), "matchRules": []});
    let request = json!({"action": "pass.modifiedRequest", "injectJSONIntoRequest": {"new": true}, "matchRules": []});
    let response = json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"new": true}, "matchRules": []});
    let policy = hooks(&[
        ("request", "beforeAnyRequest", request),
        ("response", "afterAnyRequest", response),
        ("told", "afterAnyRequest", consult),
    ]);
    (policy, format!("/told/{number}"))
}

#[tokio::test]
async fn coded_bodies_are_merged_and_told_in_the_clear() {
    let service = Service::start().await;
    for coding in ["gzip", "br", "zstd"] {
        let homeserver = Homeserver::answering(move |_| {
            let body = encode(coding, BODY);
            let head = format!("Content-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {}", body.len());
            [format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(), &body].concat()
        })
        .await;
        let (policy, told) = changing(&service);
        let guarded = Guarded::before(homeserver, &policy).await;
        for version in Version::BOTH {
            for accepted in ["identity", coding] {
                let request = Request::put("/")
                    .header("content-type", "application/json")
                    .header("content-encoding", coding)
                    .header("accept-encoding", accepted)
                    .body(full(encode(coding, BODY)));
                let mut client = Client::connect(version, guarded.host.address()).await;
                let answer = client.ask(request.expect("a request")).await;
                let case = format!("{version:?} {coding} {accepted}");
                let body = match answer.header("content-encoding") {
                    None => answer.text(),
                    Some("gzip") => {
                        let mut text = String::new();
                        GzDecoder::new(&answer.body[..]).read_to_string(&mut text).expect("gzip");
                        text
                    }
                    Some("zstd") => String::from_utf8(zstd::decode_all(&answer.body[..]).expect("zstd")).expect("text"),
                    Some("br") => {
                        let mut text = String::new();
                        brotli::Decompressor::new(&answer.body[..], 4096).read_to_string(&mut text).expect("brotli");
                        text
                    }
                    Some(other) => panic!("{case}: {other}"),
                };
                assert_eq!((answer.status.as_u16(), body.as_str()), (200, MERGED), "{case}");
                let arrived = guarded.homeserver.last_request();
                assert_eq!((arrived.text().as_str(), arrived.fields.get("content-encoding")), (MERGED, None), "{case}");
                let told = service.asked(&told).pop().expect("a consultation");
                assert_eq!(
                    (&told["request"]["payload"], &told["response"]["payload"]),
                    (&json!(MERGED), &json!(MERGED)),
                    "{case}"
                );
            }
        }
    }
}

#[tokio::test]
async fn bodies_in_pieces_are_merged_whole() {
    let homeserver = Homeserver::answering(|_| {
        let pieces =
            BODY.as_bytes().chunks(7).map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        let pieces: Vec<u8> = pieces.collect::<Vec<_>>().concat();
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), pieces, b"0\r\n\r\n".to_vec()].concat()
    })
    .await;
    let service = Service::start().await;
    let guarded = Guarded::before(homeserver, &changing(&service).0).await;
    for version in Version::BOTH {
        let (sender, body) = channel();
        let request = Request::put("/").header("content-type", "application/json").body(body).expect("a request");
        let mut client = Client::connect(version, guarded.host.address()).await;
        let response = client.start(request);
        let sending = async {
            for piece in BODY.as_bytes().chunks(5) {
                sender.send(piece.to_vec()).await;
            }
            drop(sender);
        };
        let (response, ()) = tokio::join!(response, sending);
        let answer = tollgate_tests::Answer::read(response.expect("a response")).await.expect("a body");
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, MERGED), "{version:?}");
        assert_eq!(guarded.homeserver.last_request().text(), MERGED, "{version:?}");
    }
    guarded.homeserver.origin().assert_strict();
}

#[tokio::test]
async fn answers_without_a_body_stay_without() {
    let homeserver = Homeserver::answering(|request| match request.target.as_str() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n".to_vec(),
    })
    .await;
    let response = json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"new": true},
        "injectHeadersIntoResponse": {"X-New": "1"}, "matchRules": []});
    let guarded = Guarded::before(homeserver, &hooks(&[("response", "afterAnyRequest", response)])).await;
    for version in Version::BOTH {
        for (method, target, status) in [("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200)] {
            let answer = guarded.ask_over(version, method, target, None, "").await;
            let found = (answer.status.as_u16(), answer.header("x-new"), answer.body.len());
            assert_eq!(found, (status, Some("1"), 0), "{version:?} {method} {target}");
        }
    }
}

#[tokio::test]
async fn bodies_that_no_hook_needs_are_not_held() {
    // Over the addon's `max_body`, which would be refused if it were collected.
    let large = "x".repeat((10 << 20) + 1);
    let length = large.len();
    let homeserver = Homeserver::answering(move |_| Homeserver::response(200, &large)).await;
    let reject = json!({"action": "reject", "rejectionErrorCode": "M_X", "rejectionErrorMessage": "",
        "matchRules": [{"type": "matrixUserID", "regex": "^@nobody:"}]});
    let header = json!({"action": "pass.modifiedResponse", "injectHeadersIntoResponse": {"X-New": "1"}, "matchRules": []});
    let policy = hooks(&[("reject", "beforeAnyRequest", reject), ("header", "afterAnyRequest", header)]);
    let guarded = Guarded::before(homeserver, &policy).await;
    let body = "y".repeat(length);
    let answer = guarded.ask("PUT", "/", None, &body).await;
    assert_eq!((answer.status.as_u16(), answer.body.len(), answer.header("x-new")), (200, length, Some("1")));
    assert_eq!(guarded.homeserver.last_request().body.len(), length);
}

#[tokio::test]
async fn parts_of_wholes_are_refused() {
    let homeserver = Homeserver::answering(|request| match request.method.as_str() {
        "GET" => b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/4\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
        _ => Homeserver::response(200, "{}"),
    })
    .await;
    let service = Service::start().await;
    let guarded = Guarded::before(homeserver, &changing(&service).0).await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, guarded.host.address()).await;
        let mut request = Guarded::request("PUT", "/", None, "{}");
        request.headers_mut().insert("content-range", http::HeaderValue::from_static("bytes 0-1/4"));
        let answer = client.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.json()["errcode"].as_str()), (400, Some("M_UNKNOWN")), "{version:?}");
    }
    assert!(guarded.homeserver.requests().is_empty());
    let only_after = json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"new": true}, "matchRules": []});
    let answer = guarded.host.admin().put_options("policy", &hooks(&[("response", "afterAnyRequest", only_after)])).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(guarded.ask("GET", "/", None, "").await.status, 502);
}

/// Within the CPU that a hook has by default.
#[tokio::test]
async fn large_bodies_are_changed_and_told() {
    let text = |length: usize| format!(r#"{{"chunk":[{}"é"],"end":1}}"#, r#"{"type":"m.x","n":1.50},"#.repeat(length / 24));
    let flat = format!(r#"{{{}"":1}}"#, r#""":1,"#.repeat(200_000));
    let answers = [text(2 << 20), text(2 << 20), flat, text(60 << 10)];
    let own = answers.clone();
    let homeserver = Homeserver::answering(move |request| {
        let number = request.target.trim_start_matches('/').parse::<usize>().unwrap_or_default();
        Homeserver::response(200, own.get(number).map_or("{}", String::as_str))
    })
    .await;
    let service = Service::start().await;
    let number = service.told(r#"{"action":"pass.unmodified"}"#);
    let told = format!("/told/{number}");
    let rule = |regex: &str| json!([{"type": "route", "regex": regex}]);
    let inject =
        json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"new": true, "": 2}, "matchRules": rule("^/[12]$")});
    let mut policy = vec![
        (
            "told".to_owned(),
            json!({"action": "consult.RESTServiceURL", "RESTServiceURL": service.at(&told), "matchRules": rule("^/0$")}),
        ),
        ("injected".to_owned(), inject),
    ];
    let many = |number: usize| json!({"action": "pass.modifiedResponse", "injectJSONIntoResponse": {"last": number}, "matchRules": rule("^/3$")});
    policy.extend((0..500).map(|number| (format!("many-{number}"), many(number))));
    let policy: Vec<(&str, &str, Value)> =
        policy.iter().map(|(id, hook)| (id.as_str(), "afterAnyRequest", hook.clone())).collect();
    let guarded = Guarded::before(homeserver, &hooks(&policy)).await;
    guarded.host.admin().frozen("policy").await;
    let answer = guarded.ask("GET", "/0", None, "").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, answers[0].clone()));
    assert_eq!(service.asked(&told).pop().expect("a consultation")["response"]["payload"], json!(answers[0]));
    for (number, added) in [(1, r#""new":true,"":2"#), (3, r#""last":499"#)] {
        let answer = guarded.ask("GET", &format!("/{number}"), None, "").await;
        let wanted = format!("{},{added}}}", &answers[number][..answers[number].len() - 1]);
        assert!(answer.status == 200 && answer.text() == wanted, "{number}: {}", answer.status);
    }
    let answer = guarded.ask("GET", "/2", None, "").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"":2,"new":true}"#));
}
