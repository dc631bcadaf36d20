//! Bodies whose content codings cannot be taken off, parts of wholes, and answers that tell of a body without having it.
#![cfg(test)]

use std::io::Write as _;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde_json::{Value, json};
use tollgate_tests::{Client, RawClient, RawOrigin, Response, Version, WireError, addons::Hosted, empty, eventually};

const TEXT: &str = "{\"versions\":[\"v1.1\",\"v1.2\"]} and so on, and so on, and so on";

/// Ways to code a body: a name in Content-Encoding, `raw` for a deflate without its zlib frame.
const WAYS: [&str; 5] = ["gzip", "deflate", "raw", "br", "zstd"];

fn code(way: &str, body: &[u8]) -> Vec<u8> {
    let level = Compression::default();
    let coded = match way {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        "raw" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(body).and_then(|()| encoder.finish())
        }
        "br" => {
            let mut coded = Vec::new();
            brotli::BrotliCompress(&mut &*body, &mut coded, &brotli::enc::BrotliEncoderParams::default()).map(|_| coded)
        }
        "zstd" => zstd::encode_all(body, 3),
        _ => unreachable!("{way}"),
    };
    coded.expect("coded")
}

fn name(way: &str) -> &str {
    if way == "raw" { "deflate" } else { way }
}

/// A message with this first line, these fields and this body.
fn message(line: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("{line}\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

const OK: &str = "HTTP/1.1 200 OK";
const PART: &str = "HTTP/1.1 206 Partial Content";
const POST: &str = "POST / HTTP/1.1\r\nHost: a";
const RANGE: &str = "Content-Range: bytes 5-63/64\r\n";

/// Wants bodies without codings, whole or in pieces, and tells what it saw.
fn watching(event: &str) -> Value {
    let seen = if event.ends_with("chunk") { "{data}" } else { "{body}" };
    json!({"rules": [{"on": event, "body": "full", "do": [{"log": format!("saw {seen} end")}]}]})
}

async fn guarded(origin: &RawOrigin, script: &Value, policy: &str) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", script).set("addon.a.on_error", policy).start().await
}

async fn get(host: &Hosted) -> Result<Response, WireError> {
    let mut client = RawClient::connect(host.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.try_response("GET").await
}

const REFUSED: &str = "addon a cannot be shown the body";

/// An answer whose codings cannot be taken off passes no closed addon that wants them off, and every open one, unseen.
async fn assert_guarded(answer: &[u8], body: &[u8], case: &str) {
    let origin = RawOrigin::answering(answer.to_vec()).await;
    for event in ["response", "response-chunk"] {
        let host = guarded(&origin, &watching(event), "closed").await;
        let refused = get(&host).await.expect("a response");
        assert_eq!((refused.status, refused.json()["error"].as_str()), (503, Some(REFUSED)), "{case} {event}");
        let host = guarded(&origin, &watching(event), "open").await;
        let passed = get(&host).await.expect("a response");
        assert!(passed.body == body && passed.fields.has("content-encoding"), "{case} {event}: {passed:?}");
        host.logged("the body cannot be shown").await;
        assert_eq!(host.times_logged("saw "), 0, "{case} {event}");
    }
}

#[tokio::test]
async fn coded_parts_pass_no_closed_addon() {
    for way in WAYS {
        let whole = code(way, TEXT.as_bytes());
        let fields = format!("Content-Encoding: {}\r\n{RANGE}", name(way));
        assert_guarded(&message(PART, &fields, &whole[5..]), &whole[5..], way).await;
    }
    // Several parts at once have no Content-Range of their own.
    let fields = "Content-Encoding: gzip\r\nContent-Type: multipart/byteranges; boundary=x\r\n";
    assert_guarded(&message(PART, fields, b"--x"), b"--x", "multipart").await;
}

#[tokio::test]
async fn too_many_codings_pass_no_closed_addon() {
    let coded = (0..5).fold(TEXT.as_bytes().to_vec(), |body, _| code("gzip", &body));
    let fields = "Content-Encoding: gzip, gzip, gzip, gzip, gzip\r\n";
    assert_guarded(&message(OK, fields, &coded), &coded, "five codings").await;
}

#[tokio::test]
async fn coded_parts_of_uploads_pass_no_closed_addon() {
    let coded = code("zstd", TEXT.as_bytes());
    let upload = message(POST, &format!("Content-Encoding: zstd\r\n{RANGE}"), &coded[5..]);
    for event in ["request", "request-chunk"] {
        let origin = RawOrigin::ok().await;
        let host = guarded(&origin, &watching(event), "closed").await;
        let refused = RawClient::ask(host.address(), &upload).await;
        assert_eq!((refused.status, refused.json()["error"].as_str()), (503, Some(REFUSED)), "{event}");
        assert_eq!(origin.requests().len(), 0, "{event}");
        let host = guarded(&origin, &watching(event), "open").await;
        assert_eq!(RawClient::ask(host.address(), &upload).await.status, 200, "{event}");
        assert!(origin.only_request().body == coded[5..], "{event}: other bytes");
        assert_eq!(host.times_logged("saw "), 0, "{event}");
    }
}

#[tokio::test]
async fn plain_parts_are_shown() {
    for event in ["response", "response-chunk"] {
        let origin = RawOrigin::answering(message(PART, RANGE, b"part")).await;
        let host = guarded(&origin, &watching(event), "closed").await;
        let answer = get(&host).await.expect("a response");
        assert_eq!((answer.status, answer.text().as_str(), answer.fields.has("content-range")), (206, "part", true));
        host.logged("saw part end").await;
    }
}

/// A 206 that names no range, or one that is the whole, is whole: hooks see it without codings, and may replace it.
#[tokio::test]
async fn wholes_with_206_are_shown_and_replaced() {
    for way in WAYS {
        let body = code(way, TEXT.as_bytes());
        for range in [String::new(), format!("Content-Range: bytes 0-{}/{}\r\n", body.len() - 1, body.len())] {
            let fields = format!("Content-Encoding: {}\r\n{range}", name(way));
            let origin = RawOrigin::answering(message(PART, &fields, &body)).await;
            let host = guarded(&origin, &watching("response"), "closed").await;
            let answer = get(&host).await.expect("a response");
            assert_eq!((answer.status, answer.fields.has("content-range")), (206, !range.is_empty()), "{way} {range}");
            assert!(answer.body == body && answer.fields.has("content-encoding"), "{way} {range}: {answer:?}");
            host.logged(&format!("saw {TEXT} end")).await;
            // What takes its place is not what the range counts.
            let status = if range.is_empty() { 206 } else { 200 };
            for script in [
                json!({"rules": [{"on": "response", "body": "full", "do": [{"set-body": "no versions"}]}]}),
                json!({"rules": [{"on": "response-chunk", "body": "full", "do": [{"piece": "upper"}]}]}),
            ] {
                let host = guarded(&origin, &script, "closed").await;
                let answer = get(&host).await.expect("a response");
                assert_eq!((answer.status, answer.fields.has("content-range")), (status, false), "{way} {range} {script}");
                let expected = if script["rules"][0]["on"] == "response" { "no versions" } else { &TEXT.to_uppercase() };
                assert_eq!((answer.text().as_str(), answer.fields.has("content-encoding")), (expected, false), "{way} {range}");
            }
        }
    }
}

#[tokio::test]
async fn pieces_of_wholes_with_206_are_changed() {
    let script = json!({"rules": [{"on": "response-chunk", "do": [{"piece": "double"}]}]});
    let origin = RawOrigin::answering(message(PART, "", b"whole")).await;
    let answer = get(&guarded(&origin, &script, "closed").await).await.expect("a response");
    assert_eq!((answer.status, answer.text().as_str()), (206, "wholewhole"));
    // Not where a range counts them: the head has gone out before.
    let origin = RawOrigin::answering(message(PART, "Content-Range: bytes 0-4/5\r\n", b"whole")).await;
    let host = guarded(&origin, &script, "closed").await;
    assert!(get(&host).await.is_err());
    host.logged("nothing can be changed").await;
}

/// What is no coded body, with a name for it.
fn broken(way: &str) -> Vec<(String, Vec<u8>)> {
    let coded = code(way, TEXT.as_bytes());
    let cuts = [1, 5, coded.len() / 2, coded.len() - 1].map(|left| (format!("{way}, {left} bytes"), coded[..left].to_vec()));
    let others = [("then garbage", [&coded[..], b"garbage"].concat()), ("not at all", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9".to_vec())];
    cuts.into_iter().chain(others.map(|(what, body)| (format!("{way}, {what}"), body))).collect()
}

#[tokio::test]
async fn broken_codings_pass_no_closed_addon() {
    for way in WAYS {
        for (case, body) in broken(way) {
            let origin = RawOrigin::answering(message(OK, &format!("Content-Encoding: {}\r\n", name(way)), &body)).await;
            let host = guarded(&origin, &watching("response"), "closed").await;
            let refused = get(&host).await.expect("a response");
            assert_eq!((refused.status, refused.json()["error"].as_str()), (503, Some(REFUSED)), "{case}");
            assert_eq!(host.times_logged("saw "), 0, "{case}");
        }
    }
    let (case, body) = broken("gzip").swap_remove(2);
    let origin = RawOrigin::answering(message(OK, "Content-Encoding: gzip\r\n", &body)).await;
    let host = guarded(&origin, &watching("response"), "open").await;
    assert!(get(&host).await.expect("a response").body == body, "{case}");
    let upload = message(POST, "Content-Encoding: gzip\r\n", &body);
    let host = guarded(&origin, &watching("request"), "closed").await;
    assert_eq!(RawClient::ask(host.address(), &upload).await.status, 503, "{case}");
    assert_eq!(origin.requests().len(), 1, "{case}");
}

#[tokio::test]
async fn broken_codings_break_off_streams() {
    for way in WAYS {
        for (case, body) in broken(way) {
            let origin = RawOrigin::answering(message(OK, &format!("Content-Encoding: {}\r\n", name(way)), &body)).await;
            // What was taken off cannot be put on again, so that being open makes no difference.
            let host = guarded(&origin, &watching("response-chunk"), "open").await;
            let ended = get(&host).await;
            assert!(ended.is_err(), "{case}: {ended:?}");
            host.logged("its bytes are not what Content-Encoding says").await;
        }
    }
}

#[tokio::test]
async fn whole_codings_are_shown_however_they_are_made() {
    let gzip = |text: &str| code("gzip", text.as_bytes());
    let zstd = |text: &str| code("zstd", text.as_bytes());
    for (coding, body, plain) in [
        ("gzip", [gzip("one,"), gzip("two")].concat(), "one,two"),
        ("zstd", [zstd("one,"), zstd("two")].concat(), "one,two"),
        ("gzip", gzip(""), ""),
        ("gzip", Vec::new(), ""),
        ("br", Vec::new(), ""),
        ("zstd, gzip", code("gzip", &zstd("both")), "both"),
    ] {
        // In chunks: that it is empty is known at its end.
        let head = format!("{OK}\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let size = format!("{:x}\r\n", body.len());
        let chunk = if body.is_empty() { Vec::new() } else { [size.as_bytes(), &body, b"\r\n"].concat() };
        let origin = RawOrigin::answering([head.as_bytes(), &chunk, b"0\r\n\r\n"].concat()).await;
        let host = guarded(&origin, &watching("response"), "closed").await;
        assert!(get(&host).await.expect("a response").body == body, "{coding} {plain}");
        host.logged(&format!("saw {plain} end")).await;
        let host = guarded(&origin, &watching("response-chunk"), "closed").await;
        assert_eq!(get(&host).await.expect("a response").text(), plain, "{coding}");
    }
}

#[tokio::test]
async fn first_bytes_of_a_cut_body_are_plain() {
    // Hardly shrinks: what is collected of it comes to less than the cap.
    let noise: Vec<u8> = (0..4_000_u32).map(|place| b'a' + place.wrapping_mul(2_654_435_761).to_le_bytes()[3] % 26).collect();
    for way in WAYS {
        let body = code(way, &noise);
        let origin = RawOrigin::answering(message(OK, &format!("Content-Encoding: {}\r\n", name(way)), &body)).await;
        let cap = body.len() / 2;
        let script = json!({"rules": [{"on": "response", "body": {"truncate": cap}, "do": [{"log": "cut {cut} saw {body}"}]}]});
        let host = guarded(&origin, &script, "closed").await;
        assert!(get(&host).await.expect("a response").body == body, "{way}");
        host.logged("cut true saw ").await;
        let logs = host.logs();
        let seen = logs.split("cut true saw ").nth(1).and_then(|rest| rest.split(['\n', '"', ' ']).next()).unwrap_or_default();
        let seen = seen.trim_end_matches("\u{1b}[0m");
        assert!(String::from_utf8_lossy(&noise).starts_with(seen), "{way}: {seen:?}");
    }
}

#[tokio::test]
async fn parts_are_not_replaced() {
    let origin = RawOrigin::answering(message(PART, RANGE, b"part")).await;
    let script = |actions: Value| json!({"rules": [{"on": "response", "do": actions}]});
    let trying = script(json!([{"try": {"set-body": "new"}}, {"set": ["X-Tried", "{tried}"]}]));
    let answer = get(&guarded(&origin, &trying, "closed").await).await.expect("a response");
    assert_eq!(
        answer.fields.get("x-tried"),
        Some("not legal: body: a part of a whole cannot be replaced, unless the status is set before")
    );
    assert_eq!((answer.status, answer.text().as_str(), answer.fields.get("content-range")), (206, "part", Some("bytes 5-63/64")));
    // Who ignores that has failed.
    let host = guarded(&origin, &script(json!([{"set-body": "new"}])), "closed").await;
    assert_eq!(get(&host).await.expect("a response").status, 503);
    let host = guarded(&origin, &script(json!([{"set-status": 403}, {"set-body": "new"}])), "closed").await;
    let answer = get(&host).await.expect("a response");
    assert_eq!((answer.status, answer.text().as_str(), answer.fields.has("content-range")), (403, "new", false));
}

#[tokio::test]
async fn parts_of_uploads_are_not_replaced() {
    let upload = message(POST, RANGE, b"part");
    for (actions, status, body, range) in [
        (json!([{"set-body": "new"}]), 503, None, None),
        (json!([{"remove": "Content-Range"}, {"set-body": "new"}]), 200, Some("new"), None),
        (json!([]), 200, Some("part"), Some("bytes 5-63/64")),
    ] {
        let origin = RawOrigin::ok().await;
        let host = guarded(&origin, &json!({"rules": [{"on": "request", "do": actions}]}), "closed").await;
        assert_eq!(RawClient::ask(host.address(), &upload).await.status, status);
        let seen = origin.requests().pop();
        assert_eq!(seen.as_ref().map(tollgate_tests::Request::text).as_deref(), body);
        assert_eq!(seen.as_ref().and_then(|seen| seen.fields.get("content-range")), range);
    }
}

#[tokio::test]
async fn pieces_of_parts_are_not_changed() {
    for change in ["upper", "discard", "double"] {
        let script = |event: &str| json!({"rules": [{"on": event, "do": [{"piece": change}]}]});
        let origin = RawOrigin::answering(message(PART, RANGE, b"part")).await;
        let host = guarded(&origin, &script("response-chunk"), "closed").await;
        assert!(get(&host).await.is_err(), "{change}");
        host.logged("nothing can be changed").await;
        let host = guarded(&origin, &script("response-chunk"), "open").await;
        let answer = get(&host).await.expect("a response");
        assert_eq!((answer.text().as_str(), answer.fields.get("content-range")), ("part", Some("bytes 5-63/64")), "{change}");
        let origin = RawOrigin::ok().await;
        let upload = message(POST, RANGE, b"part");
        let host = guarded(&origin, &script("request-chunk"), "closed").await;
        assert_eq!(RawClient::ask(host.address(), &upload).await.status, 503, "{change}");
        let host = guarded(&origin, &script("request-chunk"), "open").await;
        assert_eq!(RawClient::ask(host.address(), &upload).await.status, 200, "{change}");
        assert_eq!(origin.only_request().text(), "part", "{change}");
    }
}

#[tokio::test]
async fn pieces_of_another_answer_are_changed() {
    // A hook made a whole of the part, which has no place in another any more.
    let origin = RawOrigin::answering(message(PART, RANGE, b"part")).await;
    let script =
        json!({"rules": [{"on": "response", "do": [{"set-status": 200}]}, {"on": "response-chunk", "do": [{"piece": "upper"}]}]});
    let answer = get(&guarded(&origin, &script, "closed").await).await.expect("a response");
    assert_eq!((answer.status, answer.text().as_str(), answer.fields.has("content-range")), (200, "PART", false));
}

const TOLD: &str = "ETag: \"strong\"\r\nContent-MD5: x\r\nDigest: y\r\nContent-Encoding: gzip\r\n";

/// The fields `ETag` and Content-Length, whether there is a digest, Content-Encoding, Vary.
type Fields = (Option<String>, Option<String>, bool, Option<String>, Option<String>);

async fn told(host: &Hosted, version: Version, method: &str) -> Fields {
    let mut client = Client::connect(version, host.address()).await;
    let answer = client.ask(http::Request::builder().method(method).uri("/").body(empty()).expect("a request")).await;
    let text = |name: &str| answer.header(name).map(str::to_owned);
    let has_digest = answer.header("content-md5").is_some() || answer.header("digest").is_some();
    (text("etag"), text("content-length"), has_digest, text("content-encoding"), text("vary"))
}

#[tokio::test]
async fn answers_without_a_body_tell_of_none_that_is_edited() {
    let some = |text: &str| Some(text.to_owned());
    let rule = |event: &str, body: Option<&str>| {
        let mut rule = json!({"on": event});
        if let Some(body) = body {
            rule["body"] = body.into();
        }
        json!({ "rules": [rule] })
    };
    let as_it_was = |length| (some("\"strong\""), length, true, some("gzip"), None);
    let weak = |coding: Option<&str>, vary: Option<&str>| {
        (some("W/\"strong\""), None, false, coding.map(Into::into), vary.map(Into::into))
    };
    for (method, line, length) in [("HEAD", OK, some("55")), ("GET", "HTTP/1.1 304 Not Modified", some("55"))] {
        let origin = RawOrigin::start(move |mut conversation| async move {
            while conversation.request().await.is_some() {
                let _ = conversation.send(format!("{line}\r\n{TOLD}Content-Length: 55\r\n\r\n")).await;
            }
        })
        .await;
        for (script, edit, expected) in [
            (rule("response", Some("full")), true, weak(Some("gzip"), None)),
            (rule("response-chunk", None), true, weak(Some("gzip"), None)),
            (rule("response-chunk", Some("full")), true, weak(None, Some("Accept-Encoding"))),
            (rule("response", None), true, weak(Some("gzip"), None)),
            (rule("response", None), false, as_it_was(length.clone())),
            (rule("response", Some("full")), false, as_it_was(length.clone())),
            (rule("response-chunk", None), false, as_it_was(length.clone())),
        ] {
            let host = Hosted::before(&origin.url()).scripted("a", &script).set("addon.a.edit", edit).start().await;
            for version in Version::BOTH {
                let told = told(&host, version, method).await;
                assert_eq!(told, expected, "{method} {version:?} {script} {edit}");
            }
        }
    }
}

#[tokio::test]
async fn head_tells_what_get_does() {
    // Of a streamed body that a hook may edit, HEAD and GET tell the same.
    let body = code("gzip", TEXT.as_bytes());
    let origin = RawOrigin::start(move |mut conversation| {
        let whole = message(OK, TOLD, &body);
        async move {
            while let Some(request) = conversation.request().await {
                let end = if request.method == "HEAD" {
                    whole.windows(4).position(|end| end == b"\r\n\r\n").map(|end| end + 4)
                } else {
                    None
                };
                let _ = conversation.send(&whole[..end.unwrap_or(whole.len())]).await;
            }
        }
    })
    .await;
    for rule in [json!({"on": "response-chunk"}), json!({"on": "response-chunk", "body": "full"})] {
        let host = Hosted::before(&origin.url()).scripted("a", &json!({"rules": [rule]})).start().await;
        for version in Version::BOTH {
            let (head, get) = (told(&host, version, "HEAD").await, told(&host, version, "GET").await);
            assert_eq!(head, get, "{version:?} {rule}");
            assert_eq!(head.0.as_deref(), Some("W/\"strong\""));
        }
    }
    eventually(async || origin.requests().len() >= 8).await;
}
