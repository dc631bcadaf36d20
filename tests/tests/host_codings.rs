//! Content codings: bodies shown without them, edited and coded anew, left alone byte for byte, and bombs.
#![cfg(test)]

use std::io::{Read as _, Write as _};

use flate2::{
    Compression, read,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde_json::{Value, json};
use tollgate_tests::{Client, Curl, RawClient, RawOrigin, Response, Version, addons::Hosted};

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

/// What a client makes of a body: `deflate` strictly with its zlib frame.
fn undo(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let undone = match coding {
        "gzip" => read::GzDecoder::new(body).read_to_end(&mut plain),
        "deflate" => read::ZlibDecoder::new(body).read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain),
        "zstd" => zstd::stream::read::Decoder::new(body).and_then(|mut decoder| decoder.read_to_end(&mut plain)),
        _ => unreachable!("{coding}"),
    };
    undone.expect(coding);
    plain
}

/// Name in Content-Encoding.
fn name(way: &str) -> &str {
    if way == "raw" { "deflate" } else { way }
}

/// Name in Content-Encoding, and the text with this coding.
fn coded() -> Vec<(&'static str, Vec<u8>)> {
    WAYS.iter().map(|way| (name(way), code(way, TEXT.as_bytes()))).collect()
}

/// A response with this body and its length.
fn response(fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn request(fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// Shows the body that it sees in a field of the same message.
fn showing(event: &str, body: &Value) -> Value {
    json!({"rules": [{"on": event, "body": body, "do": [{"set": ["X-Body", "{body} {cut}"]}]}]})
}

fn editing() -> Value {
    json!({"rules": [{"on": "response", "body": "full", "do": [{"set-body": "edited {body}"}]}]})
}

/// Asks with these values of Accept-Encoding, each in a field of its own.
async fn ask(host: &Hosted, accept: &[&str]) -> Response {
    let fields = accept.iter().fold(String::new(), |fields, value| fields + "Accept-Encoding: " + value + "\r\n");
    RawClient::ask(host.address(), format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await
}

#[tokio::test]
async fn coded_responses_are_shown_plain() {
    for (coding, body) in coded() {
        let origin = RawOrigin::answering(response(&format!("Content-Encoding: {coding}\r\n"), &body)).await;
        let host = Hosted::before(&origin.url()).scripted("a", &showing("response", &json!("full"))).start().await;
        assert_eq!(host.get("/").await.header("x-body"), Some(format!("{TEXT} false").as_str()), "{coding}");
    }
}

#[tokio::test]
async fn coded_requests_are_shown_plain() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!("full"))).start().await;
    for (coding, body) in coded() {
        RawClient::ask(host.address(), request(&format!("Content-Encoding: {coding}\r\n"), &body)).await;
        let seen = origin.requests().pop().expect("a request");
        assert_eq!(seen.fields.get("x-body"), Some(format!("{TEXT} false").as_str()), "{coding}");
    }
}

#[tokio::test]
async fn unedited_responses_pass_byte_for_byte() {
    for (coding, body) in coded() {
        let origin = RawOrigin::answering(response(&format!("ETag: \"strong\"\r\nContent-Encoding: {coding}\r\n"), &body)).await;
        let host = Hosted::before(&origin.url()).scripted("a", &showing("response", &json!("full"))).start().await;
        let answer = RawClient::ask(host.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(answer.body, body, "{coding}");
        assert_eq!((answer.fields.get("content-encoding"), answer.fields.get("etag")), (Some(coding), Some("\"strong\"")));
        assert_eq!(answer.fields.get("content-length"), Some(body.len().to_string().as_str()));
    }
}

#[tokio::test]
async fn unedited_requests_pass_byte_for_byte() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!("full"))).start().await;
    for (coding, body) in coded() {
        RawClient::ask(host.address(), request(&format!("Content-Encoding: {coding}\r\n"), &body)).await;
        let seen = origin.requests().pop().expect("a request");
        assert_eq!((seen.body, seen.fields.get("content-encoding")), (body, Some(coding)));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn unknown_codings_are_shown_as_they_are() {
    let origin = RawOrigin::answering(response("Content-Encoding: x-own\r\n", b"as it is")).await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("response", &json!("full"))).start().await;
    let answer = host.get("/").await;
    assert_eq!((answer.header("x-body"), answer.header("content-encoding")), (Some("as it is false"), Some("x-own")));
}

#[tokio::test]
async fn edited_responses_lose_their_coding() {
    let editing = json!({"rules": [{"on": "response", "body": "full", "do": [{"set-body": "edited {body}"}]}]});
    for (coding, body) in coded() {
        let fields = format!("ETag: \"strong\"\r\nContent-Encoding: {coding}\r\nContent-MD5: x\r\nX-Kept: 1\r\n");
        let origin = RawOrigin::answering(response(&fields, &body)).await;
        let host = Hosted::before(&origin.url()).scripted("a", &editing).start().await;
        let answer = RawClient::ask(host.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let expected = format!("edited {TEXT}");
        assert_eq!(answer.text(), expected, "{coding}");
        assert_eq!(answer.fields.get("content-length"), Some(expected.len().to_string().as_str()));
        assert_eq!((answer.fields.get("etag"), answer.fields.get("x-kept")), (Some("W/\"strong\""), Some("1")));
        assert!(!answer.fields.has("content-encoding") && !answer.fields.has("content-md5"), "{:?}", answer.fields);
    }
}

#[tokio::test]
async fn edited_requests_lose_their_coding() {
    let origin = RawOrigin::ok().await;
    let editing = json!({"rules": [{"on": "request", "body": "full", "do": [{"set-body": "edited {body}"}]}]});
    let host = Hosted::before(&origin.url()).scripted("a", &editing).start().await;
    for (coding, body) in coded() {
        RawClient::ask(host.address(), request(&format!("Content-Encoding: {coding}\r\n"), &body)).await;
        let seen = origin.requests().pop().expect("a request");
        assert_eq!((seen.text(), seen.fields.has("content-encoding")), (format!("edited {TEXT}"), false));
    }
    origin.assert_strict();
}

#[tokio::test]
async fn caps_count_what_codings_hide() {
    let zeros = vec![b'0'; 1 << 20];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&zeros).expect("gzip");
    let bomb = gzip.finish().expect("gzip");
    let origin = RawOrigin::answering(response("Content-Encoding: gzip\r\n", &bomb)).await;
    let host = Hosted::before(&origin.url())
        .scripted(
            "a",
            &json!({"rules": [
                {"on": "response", "filter": "~p ^/refuse", "body": {"refuse": 100_000}},
                {"on": "response", "filter": "~p ^/cut", "body": {"truncate": 10}, "do": [{"set": ["X-Body", "{body} {cut}"]}]},
            ]}),
        )
        .start()
        .await;
    assert_eq!(host.get("/refuse").await.status, 502);
    let answer = host.get("/cut").await;
    assert_eq!((answer.header("x-body"), answer.body.as_ref()), (Some("0000000000 true"), bomb.as_slice()));
}

#[tokio::test]
async fn edited_responses_are_coded_anew() {
    for (way, body) in WAYS.iter().map(|way| (way, code(way, TEXT.as_bytes()))) {
        let coding = name(way);
        let fields = format!("ETag: \"strong\"\r\nContent-Encoding: {coding}\r\n");
        let origin = RawOrigin::answering(response(&fields, &body)).await;
        let host = Hosted::before(&origin.url()).scripted("a", &editing()).start().await;
        let answer = ask(&host, &["gzip, deflate", "br, zstd"]).await;
        assert_eq!(answer.fields.get("content-encoding"), Some(coding), "{way}");
        assert_eq!(undo(coding, &answer.body), format!("edited {TEXT}").as_bytes(), "{way}");
        assert_eq!(answer.fields.get("content-length"), Some(answer.body.len().to_string().as_str()), "{way}");
        assert_eq!((answer.fields.get("etag"), answer.fields.get("vary")), (Some("W/\"strong\""), Some("Accept-Encoding")));
    }
}

#[tokio::test]
async fn client_s_wishes_decide_the_coding() {
    let stacked = code("br", &code("gzip", TEXT.as_bytes()));
    let origin = RawOrigin::answering(response("Content-Encoding: gzip\r\nContent-Encoding: br\r\n", &stacked)).await;
    // What a hook makes of Accept-Encoding is between it and the upstream.
    let options = json!({"rules": [
        {"on": "request", "do": [{"set": ["Accept-Encoding", "zstd"]}]},
        {"on": "response", "body": "full", "do": [{"set-body": "edited {body}"}, {"set": ["Content-Encoding", "zstd"]}]},
    ]});
    let host = Hosted::before(&origin.url()).scripted("a", &options).start().await;
    for (accept, expected) in [
        (&["gzip, br"][..], Some("br")),
        (&["gzip", "br;q=0.1"], Some("br")),
        (&["gzip"], Some("gzip")),
        (&["gzip, br;q=0"], Some("gzip")),
        (&["*"], Some("br")),
        (&["*, br;q=0"], Some("gzip")),
        (&["zstd"], None),
        (&["identity"], None),
        (&[""], None),
        (&[], None),
        (&["identity;q=0, zstd, deflate;q=0.5"], Some("zstd")),
    ] {
        let answer = ask(&host, accept).await;
        let coding = answer.fields.get("content-encoding");
        assert_eq!(coding, expected, "{accept:?}");
        let plain = coding.map_or_else(|| answer.body.clone(), |coding| undo(coding, &answer.body));
        assert_eq!(plain, format!("edited {TEXT}").as_bytes(), "{accept:?}");
        assert_eq!(answer.fields.all("vary").collect::<Vec<_>>(), ["Accept-Encoding"], "{accept:?}");
    }
    assert_eq!(origin.requests()[0].fields.get("accept-encoding"), Some("zstd"));
}

#[tokio::test]
async fn plain_responses_stay_plain() {
    let origin = RawOrigin::answering(response("Vary: Origin\r\n", TEXT.as_bytes())).await;
    let host = Hosted::before(&origin.url()).scripted("a", &editing()).start().await;
    let answer = ask(&host, &["gzip"]).await;
    assert_eq!(answer.text(), format!("edited {TEXT}"));
    assert_eq!((answer.fields.get("content-encoding"), answer.fields.get("vary")), (None, Some("Origin")));
}

#[tokio::test]
async fn curl_reads_what_was_coded_anew() {
    for way in WAYS {
        // Large enough to be coded aside.
        let text = TEXT.repeat(2000);
        let origin =
            RawOrigin::answering(response(&format!("Content-Encoding: {}\r\n", name(way)), &code(way, text.as_bytes()))).await;
        let host = Hosted::before(&origin.url()).scripted("a", &editing()).set("limits.decode_ratio", 10_000).start().await;
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = Curl::new(&format!("http://{}/", host.address())).args(&[version, "--compressed"]).run().await;
            assert_eq!((answer.code, answer.status), (0, 200), "{way} {version}: {}", answer.stderr);
            assert!(answer.body == format!("edited {text}").as_bytes(), "{way} {version}: {} bytes", answer.body.len());
        }
    }
}

/// Answers requests with these bytes and fields; a second addon, nearer to the client, looks at the answer.
async fn making(fields: &Value, body: &[u8], looking: &Value) -> Hosted {
    let made = json!({"rules": [{"on": "request", "do": [{"respond-bytes": [200, fields, body]}]}]});
    Hosted::before("http://127.0.0.1:1").scripted("a", looking).scripted("b", &made).start().await
}

#[tokio::test]
async fn made_answers_keep_their_coding() {
    for (coding, body) in coded() {
        let fields = json!([["Content-Encoding", coding], ["ETag", "\"strong\""]]);
        let host = making(&fields, &body, &showing("response", &json!("full"))).await;
        let answer = ask(&host, &[]).await;
        assert!(answer.body == body, "{coding}: other bytes");
        assert_eq!((answer.fields.get("content-encoding"), answer.fields.get("etag")), (Some(coding), Some("\"strong\"")));
        assert_eq!(answer.fields.get("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(answer.fields.get("x-body"), Some(format!("{TEXT} false").as_str()), "{coding}");
    }
}

#[tokio::test]
async fn made_answers_are_coded_anew_when_edited() {
    let host = making(&json!([["Content-Encoding", "gzip"]]), &code("gzip", TEXT.as_bytes()), &editing()).await;
    for (accept, coding) in [(&["gzip"][..], Some("gzip")), (&["br"], None)] {
        let answer = ask(&host, accept).await;
        assert_eq!(answer.fields.get("content-encoding"), coding);
        let plain = coding.map_or_else(|| answer.body.clone(), |coding| undo(coding, &answer.body));
        assert_eq!(plain, format!("edited {TEXT}").as_bytes());
    }
}

#[tokio::test]
async fn made_answers_are_seen_by_filters() {
    let looking =
        json!({"rules": [{"on": "response", "filter": "~bs versions", "body": "full", "do": [{"set": ["X-Seen", "yes"]}]}]});
    let host = making(&json!([]), TEXT.as_bytes(), &looking).await;
    let answer = ask(&host, &[]).await;
    assert_eq!((answer.text().as_str(), answer.fields.get("x-seen")), (TEXT, Some("yes")));
}

/// Zeros with these codings, the first one innermost.
fn bomb(ways: &[&str], size: usize) -> Vec<u8> {
    ways.iter().fold(vec![b'0'; size], |body, way| code(way, &body))
}

/// What a subscription may choose for a body over its cap.
const CHOICES: [&str; 3] = ["refuse", "pass-unseen", "truncate"];

/// Before an origin that answers with this body: a guest that asks for all of it, and has another choice for each path.
async fn exploding(ways: &[&str], body: &[u8], ratio: Option<u32>) -> (RawOrigin, Hosted) {
    let codings: Vec<&str> = ways.iter().map(|way| name(way)).collect();
    let origin = RawOrigin::answering(response(&format!("Content-Encoding: {}\r\n", codings.join(", ")), body)).await;
    let rules = CHOICES.map(|choice| {
        json!({"on": "response", "filter": format!("~p ^/{choice}"), "body": {choice: 8 << 20},
            "do": [{"set": ["X-Seen", "{length} {cut}"]}]})
    });
    // Megabytes on their way into a guest take their time in a debug build.
    let mut builder = Hosted::before(&origin.url()).scripted("a", &json!({"rules": rules})).set("addon.a.cpu", "10s");
    if let Some(ratio) = ratio {
        builder = builder.set("limits.decode_ratio", ratio);
    }
    (origin, builder.start().await)
}

/// Status for each choice, and what the hook saw.
async fn exploded(ways: &[&str], body: &[u8], ratio: Option<u32>) -> Vec<(u16, Option<String>)> {
    let (_origin, host) = exploding(ways, body, ratio).await;
    let mut came = Vec::new();
    for choice in CHOICES {
        let answer = host.get(&format!("/{choice}")).await;
        assert!(answer.status != 200 || answer.body == body, "{choice}: other bytes");
        came.push((answer.status.as_u16(), answer.header("x-seen").map(str::to_owned)));
    }
    came
}

#[tokio::test]
async fn bombs_count_as_over_the_cap() {
    for ways in [&["gzip"][..], &["deflate"], &["raw"], &["br"], &["zstd"], &["gzip", "zstd"], &["br", "gzip"], &["gzip", "gzip"]]
    {
        let body = bomb(ways, 4 << 20);
        let shown = (body.len() * 200).max(65_536);
        let expected = [(502, None), (200, None), (200, Some(format!("{shown} true")))];
        assert_eq!(exploded(ways, &body, None).await, expected, "{ways:?}");
    }
}

#[tokio::test]
async fn ratios_hold_below_at_above() {
    for way in WAYS {
        for (size, is_whole) in [(65_535, true), (65_536, true), (65_537, false)] {
            let expected = if is_whole {
                [(200, Some(format!("{size} false"))), (200, Some(format!("{size} false"))), (200, Some(format!("{size} false")))]
            } else {
                [(502, None), (200, None), (200, Some("65536 true".to_owned()))]
            };
            assert_eq!(exploded(&[way], &bomb(&[way], size), Some(1)).await, expected, "{way} {size}");
        }
    }
}

#[tokio::test]
async fn ratios_are_set() {
    let body = bomb(&["gzip"], 1 << 20);
    let seen = Some("1048576 false".to_owned());
    assert_eq!(exploded(&["gzip"], &body, Some(2000)).await, [(200, seen.clone()), (200, seen.clone()), (200, seen)]);
}

#[tokio::test]
async fn uploaded_bombs_are_refused() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url()).scripted("a", &showing("request", &json!("full"))).start().await;
    let body = bomb(&["gzip"], 4 << 20);
    assert_eq!(RawClient::ask(host.address(), request("Content-Encoding: gzip\r\n", &body)).await.status, 413);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn crowds_of_bombs_leave_the_proxy_well() {
    let body = bomb(&["gzip"], 6 << 20);
    let (_origin, host) = exploding(&["gzip"], &body, Some(10_000)).await;
    let crowd = (0..32).map(|number| {
        let address = host.address();
        tokio::spawn(async move {
            let choice = CHOICES[number % CHOICES.len()];
            Client::fetch(Version::Http1, address, &format!("/{choice}")).await
        })
    });
    for answer in crowd.collect::<Vec<_>>() {
        let answer = answer.await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.header("x-seen")), (200, Some("6291456 false")));
    }
    assert_eq!(host.get("/").await.status, 200);
}
