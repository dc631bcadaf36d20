use std::{io::Write as _, sync::Arc};

use super::*;
use crate::http::{Field, Holdings};

const STYLE: Style = Style { bodies: 64, has_secrets: false };
const OPEN: Style = Style { bodies: 64, has_secrets: true };

fn fields(mime: &str, coding: &str) -> Headers {
    let fields = [("Content-Type", mime), ("Content-Encoding", coding)].into_iter().filter(|(_, value)| !value.is_empty());
    fields.map(|(name, value)| Field::new(name, value.to_owned()).expect("a field")).collect()
}

fn taken(bytes: &[u8], style: Style) -> Taken {
    Taken::of(bytes, style.bodies, &Arc::new(Holdings::new(1 << 20)))
}

fn shown_as(bytes: &[u8], mime: &str, coding: &str, style: Style) -> Shown {
    show(&taken(bytes, style), &fields(mime, coding), style)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).expect("room");
    encoder.finish().expect("room")
}

#[test]
fn text_is_text_and_all_else_is_base64() {
    for (bytes, mime, text, is_base64) in [
        (&b"hello"[..], "text/plain", "hello", false),
        (b"hello", "", "hello", false),
        (b"{\"a\":1}", "application/octet-stream", "{\"a\":1}", false),
        (b"<a/>", "image/svg+xml", "<a/>", false),
        (b"\xff\xfe\x00", "image/png", "//4A", true),
        ("\u{e9}".as_bytes(), "text/html; charset=UTF-8", "\u{e9}", false),
        (b"\xe9", "text/html; charset=\"iso-8859-1\"", "\u{e9}", false),
        (b"h\x00i\x00", "text/plain;charset=utf-16le", "hi", false),
    ] {
        for style in [STYLE, OPEN] {
            let shown = shown_as(bytes, mime, "", style);
            assert_eq!((shown.text.as_deref(), shown.is_base64), (Some(text), is_base64), "{bytes:?} {mime}");
            assert_eq!((shown.size, shown.comment), (Some(bytes.len() as u64), None));
        }
    }
}

#[test]
fn secrets_stay_where_they_are_wanted_alone() {
    let multipart = b"--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ns3\r\n--b--";
    for (bytes, mime, expected) in [
        (&br#"{"password":"s3"}"#[..], "application/json", Some(r#"{"password":"[redacted]"}"#)),
        (br#"{"password":"s3"}"#, "application/vnd.x+json", Some(r#"{"password":"[redacted]"}"#)),
        (br#"{"password":"s3"}"#, "text/plain", Some(r#"{"password":"[redacted]"}"#)),
        (br#"{"password":"s3"}"#, "application/octet-stream", Some(r#"{"password":"[redacted]"}"#)),
        (br#"{"password":"s3"}"#, "", Some(r#"{"password":"[redacted]"}"#)),
        (b"password=s3&a=1", "application/x-www-form-urlencoded", Some("password=***&a=1")),
        (b"data: {\"token\":\"s3\"}\n", "text/event-stream", Some("data: {\"token\":\"[redacted]\"}\n")),
        (multipart, "multipart/form-data; boundary=b", None),
        // UTF-16 that does not say so.
        (b"{\0\"\0p\0w\0d\0\"\0:\0\"\0s\0\x33\0\"\0", "application/json", None),
    ] {
        let shown = shown_as(bytes, mime, "", Style { bodies: 1 << 10, ..STYLE });
        assert_eq!(shown.text.as_deref(), expected, "{mime}");
        assert_eq!(shown.comment.is_some(), expected.is_none(), "{mime}");
        let open = shown_as(bytes, mime, "", Style { bodies: 1 << 10, ..OPEN });
        assert!(open.text.is_some_and(|text| text.contains("s3") || text.contains("s\u{0}3")), "{mime}");
    }
}

#[test]
fn bytes_are_looked_through_or_left_out() {
    let utf16 = |text: &str, mark: &[u16]| -> Vec<u8> {
        mark.iter().copied().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let document = r#"{"password":"s3"}"#;
    let redacted = r#"{"password":"[redacted]"}"#;
    for (bytes, mime, expected) in [
        (b"hello".to_vec(), "application/octet-stream", Some("hello")),
        (b"user=u&password=s3".to_vec(), "application/octet-stream", Some("user=u&password=***")),
        (b"user=u&password=s3".to_vec(), "image/png", Some("user=u&password=***")),
        (format!("\u{feff}{document}").into_bytes(), "application/octet-stream", Some(redacted)),
        (format!("\u{feff}{document}").into_bytes(), "text/plain", Some(redacted)),
        (utf16(document, &[0xfeff]), "application/octet-stream", Some(redacted)),
        (utf16(document, &[0xfeff]), "", Some(redacted)),
        (utf16(document, &[]), "application/octet-stream", None),
        (b"\xffpassword=s3".to_vec(), "application/octet-stream", None),
        (b"\x0a\x02s3\xff".to_vec(), "application/protobuf", None),
        (b"\xff\x00".to_vec(), "image/png", Some("/wA=")),
        (b"\xff\x00".to_vec(), "Application/WASM; a=b", Some("/wA=")),
        (b"\xff\x00".to_vec(), "application/zip", Some("/wA=")),
    ] {
        let shown = shown_as(&bytes, mime, "", STYLE);
        assert_eq!((shown.text.as_deref(), shown.comment.is_some()), (expected, expected.is_none()), "{bytes:?} {mime}");
        assert_eq!(shown.size, Some(bytes.len() as u64));
        let open = shown_as(&bytes, mime, "", OPEN);
        assert!(open.text.is_some() && open.comment.is_none(), "{bytes:?} {mime}");
    }
    // Half a character where it was cut.
    let cut = shown_as("password=s3&a=\u{e9}".as_bytes(), "application/x-a", "", Style { bodies: 15, ..STYLE });
    assert_eq!(cut.text.as_deref(), Some("password=***&a="));
}

#[test]
fn codings_are_taken_off() {
    let plain = br#"{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","password":"s3"}"#;
    let shown = shown_as(&gzip(plain), "application/json", "gzip", Style { bodies: 256, ..STYLE });
    let expected = r#"{"a":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","password":"[redacted]"}"#;
    assert_eq!((shown.text.as_deref(), shown.size, shown.comment), (Some(expected), Some(plain.len() as u64), None));
    for (bytes, coding) in [(&b"not gzip"[..], "gzip"), (b"{}", "aes128gcm"), (b"{}", "gzip, gzip, gzip, gzip, gzip")] {
        let shown = shown_as(bytes, "application/json", coding, STYLE);
        assert!(shown.text.is_none() && shown.comment.is_some() && shown.size.is_none(), "{coding}: {shown:?}");
        let open = shown_as(bytes, "application/json", coding, OPEN);
        assert!(open.is_base64 && open.text.is_some(), "{coding}: {open:?}");
    }
}

#[test]
fn bombs_make_no_more_than_the_cap() {
    let bomb = gzip(&vec![b'x'; 1 << 20]);
    let style = Style { bodies: 4 << 10, ..STYLE };
    assert!(bomb.len() < style.bodies);
    let shown = shown_as(&bomb, "text/plain", "gzip", style);
    assert_eq!(shown.text.map(|text| text.len()), Some(style.bodies));
    assert_eq!((shown.size, shown.comment.as_deref()), (None, Some("without codings cut after 4096 bytes")));
}

#[test]
fn what_is_cut_is_told() {
    let cut = |bytes: &[u8], mime, coding, bodies| shown_as(bytes, mime, coding, Style { bodies, ..STYLE });
    let at = cut(b"abcd", "text/plain", "", 4);
    assert_eq!((at.text.as_deref(), at.comment), (Some("abcd"), None));
    let over = cut(b"abcde", "text/plain", "", 4);
    assert_eq!((over.text.as_deref(), over.comment.as_deref()), (Some("abcd"), Some("the first 4 of 5 bytes")));
    // Half a character at the end is none.
    let half = cut("abc\u{e9}".as_bytes(), "text/plain", "", 4);
    assert_eq!((half.text.as_deref(), half.size), (Some("abc"), None));
    let secret = cut(br#"{"password":"s3cret"}"#, "application/json", "", 17);
    assert_eq!(secret.text.as_deref(), Some(r#"{"password":"[redacted]""#));
    let mut plain: Vec<u8> = (0..4000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for byte in &mut plain {
        *byte = b'a' + *byte % 26;
    }
    let coded = gzip(&plain);
    let part = cut(&coded, "text/plain", "gzip", coded.len() / 2);
    let text = part.text.expect("a part");
    assert!(!text.is_empty() && plain.starts_with(text.as_bytes()) && part.size.is_none(), "{}", text.len());
    assert!(part.comment.is_some_and(|comment| comment.starts_with("the first ")));
}

#[test]
fn nothing_of_a_body_is_told_too() {
    let off = show(&taken(b"abc", Style { bodies: 0, ..STYLE }), &Headers::new(), Style { bodies: 0, ..STYLE });
    assert!(off.text.is_none() && off.comment.is_some_and(|why| why.contains("record.bodies")));
    let empty = shown_as(b"", "text/plain", "", STYLE);
    assert_eq!(empty, Shown { size: Some(0), ..Shown::default() });
    let crowded = Taken::of(&[b'x'; 64], 64, &Arc::new(Holdings::new(1)));
    let shown = show(&crowded, &Headers::new(), STYLE);
    assert!(shown.text.is_none() && shown.comment.is_some_and(|why| why.contains("record.memory")));
}

#[test]
fn documents_whose_names_are_not_known_are_left_out() {
    for (bytes, mime) in [
        ("<login><password>s3</password></login>", "application/xml"),
        ("<login><password>s3</password></login>", "text/xml; charset=utf-8"),
        ("<a token='s3'/>", "application/soap+xml"),
        ("<?xml version=\"1.0\"?><password>s3</password>", ""),
        ("password: s3", "application/yaml"),
        ("password: s3", "text/x-yaml"),
        ("password = \"s3\"", "application/toml"),
    ] {
        let shown = shown_as(bytes.as_bytes(), mime, "", STYLE);
        assert!(shown.text.is_none() && shown.comment.is_some_and(|why| why.contains("left out")), "{mime}");
        assert_eq!(shown_as(bytes.as_bytes(), mime, "", OPEN).text.as_deref(), Some(bytes), "{mime}");
    }
}

#[test]
fn members_on_two_lines_are_members() {
    for mime in ["application/x-ndjson", "application/jsonl", "application/json-seq"] {
        let shown = shown_as(b"\x1e{\"a\":1,\"password\":\n\"s3\"}\n", mime, "", STYLE);
        assert_eq!(shown.text.as_deref(), Some("\u{1e}{\"a\":1,\"password\":\n\"[redacted]\"}\n"), "{mime}");
    }
}
