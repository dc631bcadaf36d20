use std::fmt::Write as _;

use serde_json::Value;

use super::*;

fn parsed(text: &str) -> Lenient {
    read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn places(remarks: &[Remark]) -> Vec<(usize, usize, &str)> {
    remarks.iter().map(|remark| (remark.line, remark.column, remark.path.as_str())).collect()
}

fn syntax(text: &str) -> Remark {
    match read(text.as_bytes()) {
        Err(Error::Syntax(remark)) => remark,
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn digits_and_order_stay() {
    let text = "{ \"b\" : [ 12345678901234567890 , 1.10,\t1e400 ,-0 ] ,\r\n\"a\":\"x\\u0041\\n \" }";
    let json = parsed(text).json;
    assert_eq!(json.to_string(), "{\"b\":[12345678901234567890,1.10,1e400,-0],\"a\":\"xA\\n \"}");
    assert_eq!(parsed(&json.to_string()).json, json);
    assert_eq!(parsed(&format!("{json:#}")).json, json);
}

#[test]
fn indented_documents_look_as_those_of_serde() {
    let text = "{\"a\":[1,{\"b\":[]},{}],\"c\":\"d\"}";
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(format!("{:#}", parsed(text).json), format!("{value:#}"));
}

#[test]
fn trailing_commas_are_forgiven() {
    let lenient = parsed("{\n  \"a\": [1, 2 ,\n ],\n  \"b\": {\"c\": [],},\n}\n");
    assert_eq!(lenient.json.to_string(), "{\"a\":[1,2],\"b\":{\"c\":[]}}");
    assert_eq!(places(&lenient.warnings), [(2, 14, "a"), (4, 16, "b"), (4, 18, "")]);
    for text in ["[,]", "{,}", "[1,,]", "[1,,2]", "{\"a\":1,,}", ",", "1,", "{\"a\":,}"] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn unknown_escapes_are_backslashes() {
    let lenient = parsed(r#"{"e\d": ["^a\.b\\.\/\"\é"]}"#);
    assert_eq!(lenient.json.to_string(), r#"{"e\\d":["^a\\.b\\./\"\\é"]}"#);
    assert_eq!(places(&lenient.warnings), [(1, 4, ""), (1, 13, "e\\d[0]"), (1, 23, "e\\d[0]")]);
    for text in ["\"\\", "\"\\\"", "\"\\\n\"", r#""\u12g4""#, r#""\u123""#, r#""\uD800""#, r#""\ud800\u0041""#, r#""\udc00""#] {
        assert!(read(text.as_bytes()).is_err(), "{text:?}");
    }
    assert_eq!(parsed(r#""\ud83d\uDE00\u0000""#).json.to_string(), "\"\u{1f600}\\u0000\"");
}

#[test]
fn byte_order_marks_are_skipped() {
    assert_eq!(parsed("\u{feff}[1]").json.to_string(), "[1]");
    assert!(read("[\u{feff}1]".as_bytes()).is_err());
    assert!(read("\u{feff}\u{feff}1".as_bytes()).is_err());
}

#[test]
fn errors_name_their_place() {
    for (text, line, column, path) in [
        ("", 1, 1, ""),
        ("{\"a\": ", 1, 7, "a"),
        ("[1 2]", 1, 4, "[1]"),
        ("{\"a\": [1, {\"b\" 2}]}", 1, 16, "a[1].b"),
        ("[\n1, // one\n2]", 2, 4, "[1]"),
        ("# x\n1", 1, 1, ""),
        ("[1]\n]", 2, 1, ""),
        ("[\"\u{e4}\u{e4}\", x]", 1, 8, "[1]"),
        ("[\"a\nb\"]", 1, 4, "[0]"),
        ("[\"ab", 1, 2, "[0]"),
        ("[01]", 1, 3, "[0]"),
        ("[1.]", 1, 4, "[0]"),
        ("[+1]", 1, 2, "[0]"),
        ("[-]", 1, 3, "[0]"),
        ("[1e]", 1, 4, "[0]"),
        ("['a']", 1, 2, "[0]"),
        ("{a: 1}", 1, 2, ""),
        ("[NaN]", 1, 2, "[0]"),
        ("[True]", 1, 2, "[0]"),
        ("[nul]", 1, 2, "[0]"),
    ] {
        let remark = syntax(text);
        assert_eq!((remark.line, remark.column, remark.path.as_str()), (line, column, path), "{text}: {remark}");
    }
    assert!(syntax("[1, // one\n2]").problem.contains("no comments"));
    let remark = read(b"[\"a\n\xff\"]").expect_err("not UTF-8").to_string();
    assert!(remark.contains("line 2, column 1: this is not UTF-8"), "{remark}");
}

#[test]
fn keys_that_are_there_twice_are_refused() {
    let text = "{\"a\": 1,\n \"rules\": [{}, {\"x\": 1, \"y\": 2,\n \"x\": 3, \"\\u0078\": 4}],\n \"a\": 2}";
    match read(text.as_bytes()) {
        Err(Error::Ambiguous(remarks)) => {
            assert_eq!(places(&remarks), [(3, 2, "rules[1].x"), (3, 10, "rules[1].x"), (4, 2, "a")]);
            assert!(remarks[0].problem.contains("in line 2"), "{}", remarks[0]);
        }
        other => panic!("{other:?}"),
    }
    assert!(read(b"{\"a\": {\"a\": {\"a\": 1}}, \"A\": 1, \"\": {\"\": 2}}").is_ok());
    assert!(matches!(read(b"{\"\": 1, \"\": 2}"), Err(Error::Ambiguous(remarks)) if remarks.len() == 1));
}

#[test]
fn depth_holds_below_at_above() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (depth, is_read) in [(126, true), (127, true), (128, false), (1 << 20, false)] {
        assert_eq!(read(nested(depth).as_bytes()).is_ok(), is_read, "{depth}");
        assert_eq!(serde_json::from_str::<Value>(&nested(depth)).is_ok(), is_read, "{depth}");
    }
}

#[test]
fn remarks_are_limited() {
    let commas = format!("[{}]", ["[1,]"; 101].join(","));
    assert_eq!(parsed(&commas).warnings.len(), 100);
    let twice = format!("{{\"a\":0{}}}", ",\"a\":0".repeat(101));
    assert!(matches!(read(twice.as_bytes()), Err(Error::Ambiguous(remarks)) if remarks.len() == 100));
}

/// Numbers that look random and are the same each time (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("a small number")
    }
}

/// A document, at times with mistakes.
fn document(dice: &mut Dice, depth: usize, out: &mut String, mistakes: bool) {
    let plain = ["0", "-1.5e3", "12", "true", "null", "\"\"", "\"a b\"", "\"\\u00e4\\n\"", "\"\u{e4}\"", "1E+2"];
    let odd = ["01", "1.", "tru", "\"\\.\"", "\"\\ud800\"", "\"", ",", "]", "}", "//", "\u{0}", "\\", "-"];
    let space = [" ", "", "", "", "\n"];
    out.push_str(space[dice.below(space.len())]);
    match dice.below(if depth == 0 { 2 } else { 4 }) {
        0 | 1 if mistakes && dice.below(12) == 0 => out.push_str(odd[dice.below(odd.len())]),
        0 | 1 => out.push_str(plain[dice.below(plain.len())]),
        kind => {
            let (open, close) = if kind == 2 { ('[', ']') } else { ('{', '}') };
            out.push(open);
            let count = dice.below(4);
            for place in 0..count {
                if kind == 3 {
                    let number = if mistakes { dice.below(8) } else { place };
                    let _ = write!(out, "{}\"k{number}\" :", space[dice.below(space.len())]);
                }
                document(dice, depth - 1, out, mistakes);
                if place + 1 < count || (mistakes && dice.below(12) == 0) {
                    out.push(',');
                }
            }
            out.push(close);
        }
    }
    out.push_str(space[dice.below(space.len())]);
}

#[test]
fn what_is_strict_comes_out_equal() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..5_000 {
        let mut text = String::new();
        document(&mut dice, 5, &mut text, false);
        let lenient = parsed(&text);
        let shown = lenient.json.to_string();
        assert_eq!(serde_json::from_str::<Value>(&shown).ok(), serde_json::from_str::<Value>(&text).ok(), "{text}");
        assert!(lenient.warnings.is_empty() && serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
}

#[test]
fn what_has_mistakes_is_told_or_forgiven_and_then_strict() {
    let mut dice = Dice(0x0dd_ba11);
    let (mut forgiven, mut refused, mut twice) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut text = String::new();
        document(&mut dice, 4, &mut text, true);
        let strict = serde_json::from_str::<Value>(&text);
        match read(text.as_bytes()) {
            Ok(lenient) => {
                let read = serde_json::from_str::<Value>(&lenient.json.to_string()).expect("strict JSON");
                if lenient.warnings.is_empty() {
                    assert_eq!(strict.expect("strict JSON"), read, "{text}");
                } else {
                    assert!(strict.is_err(), "{text}");
                    forgiven += 1;
                }
            }
            Err(Error::Syntax(_)) => {
                assert!(strict.is_err(), "{text}");
                refused += 1;
            }
            Err(Error::Ambiguous(_)) => twice += 1,
        }
    }
    assert!(forgiven > 100 && refused > 100 && twice > 100, "{forgiven} {refused} {twice}");
}

#[test]
fn arbitrary_bytes_are_read_or_refused() {
    let mut dice = Dice(0xfeed_f00d);
    let alphabet = b"{}[],:\"\\u0d8e+-.x \n\xff\xc3\xa4\xef\xbb\xbf\x00/";
    for _ in 0..50_000 {
        let bytes: Vec<u8> = (0..dice.below(24)).map(|_| alphabet[dice.below(alphabet.len())]).collect();
        let is_strict = serde_json::from_slice::<Value>(&bytes).is_ok();
        let read = read(&bytes);
        assert!(!is_strict || matches!(read, Ok(_) | Err(Error::Ambiguous(_))), "{bytes:?}");
    }
}
