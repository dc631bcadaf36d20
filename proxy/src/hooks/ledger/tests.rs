use super::{differences::*, *};
use crate::{
    hooks::{RequestMessage, StagedBody},
    http::{Field, Headers, RequestHead, Scheme, Version},
};

fn request(target: &'static str, fields: &[(&str, &str)], body: StagedBody) -> RequestMessage {
    let headers: Headers = fields
        .iter()
        .map(|(name, value)| Field::new(name.as_bytes().to_vec(), value.as_bytes().to_vec()).expect("a field"))
        .collect();
    let head = RequestHead {
        method: http::Method::GET,
        scheme: Scheme::Http,
        authority: "a".parse().expect("authority"),
        target: Bytes::from_static(target.as_bytes()),
        version: Version::Http11,
        headers,
    };
    RequestMessage { head, body, upstream: Arc::new("http://up".parse().expect("an origin")), guard: None, follow: None }
}

fn touching(names: &[&str]) -> Touched {
    let mut touched = Touched::new();
    for name in names {
        touched.note(Bytes::copy_from_slice(name.as_bytes()));
    }
    touched
}

fn only_fields(changes: &[Change]) -> FieldChanges {
    match changes {
        [Change::Fields(fields)] => fields.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_are_added_changed_or_removed() {
    let before = request("/", &[("A", "1"), ("B", "1"), ("C", "1"), ("D", "1")], StagedBody::Streaming);
    let after = request("/", &[("A", "1"), ("b", "2"), ("b", "3"), ("D", "1"), ("E", "1")], StagedBody::Streaming);
    let fields = only_fields(&of_requests(&before, &after, &touching(&["a", "B", "C", "E", "gone", "c"])));
    assert_eq!(
        (fields.added, fields.changed, fields.removed),
        (vec!["e".to_owned()], vec!["b".to_owned()], vec!["c".to_owned()])
    );
    assert_eq!((fields.message, fields.left_out), (MessageKind::Request, 0));
    assert!(of_requests(&before, &before, &touching(&["a", "B"])).is_empty());
}

#[test]
fn names_are_counted_below_at_above() {
    for (count, named, left_out) in [(63, 63, 0), (64, 64, 0), (65, 64, 1), (300, 64, 236)] {
        let names: Vec<String> = (0..count).map(|number| format!("x-{number:03}")).collect();
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        let touched = touching(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let (none, all) = (request("/", &[], StagedBody::Streaming), request("/", &fields, StagedBody::Streaming));
        let changes = only_fields(&of_requests(&none, &all, &touched));
        assert_eq!((changes.added.len(), changes.left_out), (named, left_out), "{count}");
        let changes = only_fields(&of_requests(&all, &none, &touched));
        assert_eq!((changes.removed.len(), changes.left_out), (named, left_out), "{count}");
    }
}

#[test]
fn names_and_paths_are_cut() {
    let long = "x".repeat(65);
    let before = request("/", &[], StagedBody::Streaming);
    let after = request("/", &[(&long, "v")], StagedBody::Streaming);
    assert_eq!(only_fields(&of_requests(&before, &after, &touching(&[&long]))).added, [long[..64].to_owned()]);
    let mut after = request("/", &[], StagedBody::Streaming);
    after.head.target = Bytes::from(format!("/{}?secret", "p".repeat(300)));
    let changes = of_requests(&before, &after, &touching(&[]));
    let [Change::Target { before, after, is_query_changed: true }] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!((before.as_str(), after.len()), ("/", 256));
}

#[test]
fn bodies_are_hashed_and_let_go() {
    let (old, new) = (Bytes::from_static(b"abc"), Bytes::from_static(b""));
    for (body, known) in [
        (StagedBody::Whole(old.clone()), true),
        (StagedBody::Replaced(old.clone()), true),
        (StagedBody::Truncated(old.clone()), false),
        (StagedBody::Streaming, false),
    ] {
        let (before, after) = (request("/", &[], body), request("/", &[], StagedBody::Replaced(new.clone())));
        let mut ledger = Ledger::default();
        for change in of_requests(&before, &after, &Touched::new()) {
            ledger.push("a", Event::Request, change);
        }
        assert_eq!((ledger.keeps_bodies(), ledger.kept_bytes()), (true, if known { 3 } else { 0 }));
        ledger.hash();
        assert_eq!((ledger.keeps_bodies(), ledger.kept_bytes()), (false, 0));
        let [Change::Body { message: MessageKind::Request, before, after }] = ledger.mutations()[0].changes.as_slice() else {
            panic!("{ledger:?}");
        };
        // FIPS 180-4, examples: "abc" and nothing.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(before.as_ref().map(|content| content.digest().sha256_hex()).as_deref(), known.then_some(abc));
        assert_eq!((after.digest().bytes, after.digest().sha256_hex().as_str()), (0, none));
    }
}

#[test]
fn entries_are_counted_below_at_above() {
    for (count, kept, left_out) in [(255, 255, 0), (256, 256, 0), (257, 256, 1)] {
        let mut ledger = Ledger::default();
        (0..count).for_each(|number| ledger.push(&number.to_string(), Event::Request, Change::Dropped));
        assert_eq!((ledger.mutations().len(), ledger.left_out()), (kept, left_out));
        ledger.push("0", Event::Request, Change::Dropped);
        assert_eq!((ledger.mutations().len(), ledger.left_out()), (kept, left_out), "room in an old entry");
    }
}

#[test]
fn changes_are_counted_below_at_above() {
    for (count, kept, left_out) in [(15, 15, 0), (16, 16, 0), (17, 16, 1)] {
        let mut ledger = Ledger::default();
        (0..count).for_each(|_| ledger.push("a", Event::Request, Change::Dropped));
        assert_eq!((ledger.mutations()[0].changes.len(), ledger.left_out()), (kept, left_out));
    }
}

#[test]
fn calls_of_one_event_are_one_entry() {
    let mut ledger = Ledger::default();
    for (key, bytes_in) in [("one", 1), ("two", 2), ("one", 3)] {
        let notes = |key: &str| Change::Notes { keys: vec![key.to_owned()], left_out: 0 };
        ledger.push("a", Event::ResponseChunk, notes(key));
        ledger.push("a", Event::ResponseChunk, Change::Streamed { message: MessageKind::Response, bytes_in, bytes_out: 0 });
        ledger.push("b", Event::ResponseChunk, notes(key));
    }
    assert_eq!(ledger.to_string(), "a:response-chunk:notes,streamed;b:response-chunk:notes");
    let [Change::Notes { keys, .. }, Change::Streamed { bytes_in: 6, .. }] = ledger.mutations()[0].changes.as_slice() else {
        panic!("{ledger:?}");
    };
    assert_eq!(keys, &["one", "two"]);
}

#[test]
fn keys_are_counted_below_at_above() {
    for (count, named, left_out) in [(63, 63, 0), (64, 64, 0), (65, 64, 1)] {
        let notes: Vec<(String, String)> = (0..count).map(|number| (number.to_string(), String::new())).collect();
        let mut ledger = Ledger::default();
        for place in 0..notes.len() {
            let change = of_notes(&notes[..place], &notes[..=place]).expect("a note");
            ledger.push("a", Event::ResponseChunk, change);
        }
        let [Change::Notes { keys, left_out: more }] = ledger.mutations()[0].changes.as_slice() else { panic!("{ledger:?}") };
        assert_eq!((keys.len(), *more), (named, left_out));
    }
}
