use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

const PLENTY: u64 = 1 << 20;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.har");
    (directory, path)
}

fn open(path: &Path, max_bytes: u64) -> Document {
    Document::open(path, max_bytes).expect("a document")
}

/// Numbers of the entries of the whole document at the path.
#[track_caller]
fn entries(path: &Path) -> Vec<u64> {
    let text = fs::read(path).expect("a file");
    let har: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
    let log = &har["log"];
    assert_eq!((&log["version"], &log["creator"]["name"]), (&Value::from("1.2"), &Value::from("Tollgate")));
    log["entries"].as_array().expect("entries").iter().map(|entry| entry["n"].as_u64().expect("a number")).collect()
}

fn entry(number: u64) -> Vec<u8> {
    format!("{{\"n\":{number}}}\n").into_bytes()
}

#[test]
fn the_document_is_whole_after_each_entry() {
    let (_directory, path) = place();
    let mut document = open(&path, PLENTY);
    assert!(entries(&path).is_empty());
    for number in 0..5 {
        document.push(&entry(number)).expect("room");
        assert_eq!(entries(&path), (0..=number).collect::<Vec<_>>());
    }
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_recording_is_continued() {
    let (_directory, path) = place();
    fs::write(&path, "").expect("a file");
    for number in 0..4 {
        // With and without entries, each time by another process, as it were.
        drop(open(&path, PLENTY));
        open(&path, PLENTY).push(&entry(number)).expect("room");
    }
    assert_eq!(entries(&path), [0, 1, 2, 3]);
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_recording_that_was_cut_anywhere_is_made_whole() {
    let (_directory, path) = place();
    let mut document = open(&path, PLENTY);
    (0..3).for_each(|number| document.push(&entry(number)).expect("room"));
    drop(document);
    let whole = fs::read(&path).expect("a file");
    let first = first_line().len();
    for length in first..whole.len() {
        fs::write(&path, &whole[..length]).expect("a file");
        let mut document = open(&path, PLENTY);
        let kept = entries(&path);
        let lines = whole[first..length].split(|&byte| byte == b'\n').count() as u64 - 1;
        assert_eq!(kept, (0..lines.min(3)).collect::<Vec<_>>(), "{length}");
        document.push(&entry(9)).expect("room");
        assert_eq!(entries(&path), kept.into_iter().chain([9]).collect::<Vec<_>>(), "{length}");
    }
}

#[test]
fn what_is_no_recording_is_not_touched() {
    let (directory, path) = place();
    let other = r#"{"log":{"version":"1.2","creator":{"name":"Firefox","version":"1"},"entries":[]}}"#;
    for text in [other, "secrets", "{", "\n", &first_line()[..20]] {
        fs::write(&path, text).expect("a file");
        let error = Document::open(&path, PLENTY).expect_err(text).to_string();
        assert!(error.contains("a.har") && error.contains("no recording of Tollgate"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), text);
    }
    let error = Document::open(directory.path(), PLENTY).expect_err("a directory").to_string();
    assert!(error.contains("no regular file"), "{error}");
    let error = Document::open(&directory.path().join("none/a.har"), PLENTY).expect_err("nowhere").to_string();
    assert!(error.starts_with("record.file: ") && error.contains("none/a.har"), "{error}");
}

#[test]
fn one_process_records_to_a_file() {
    let (_directory, path) = place();
    let document = open(&path, PLENTY);
    let error = Document::open(&path, PLENTY).expect_err("in use").to_string();
    assert!(error.contains("another process records there"), "{error}");
    drop(document);
    open(&path, PLENTY);
}

#[test]
fn a_full_file_is_moved_aside() {
    let (_directory, path) = place();
    // A first line, two entries with a comma, and the closing line, to the byte.
    let exact = (first_line().len() + 2 * entry(0).len() + 1 + CLOSING.len()) as u64;
    for (max_bytes, here, aside_there) in
        [(exact + 1, vec![4], vec![2, 3]), (exact, vec![4], vec![2, 3]), (exact - 1, vec![4], vec![3])]
    {
        let _ = fs::remove_file(&path);
        let _ = fs::remove_file(aside(&path));
        let mut document = open(&path, max_bytes);
        for number in 0..5 {
            document.push(&entry(number)).expect("room");
            assert!(fs::metadata(&path).expect("a file").len() <= max_bytes);
        }
        assert_eq!((entries(&path), entries(&aside(&path))), (here, aside_there), "{max_bytes}");
    }
}

#[test]
fn an_entry_that_needs_more_than_a_file_is_left_out() {
    let (_directory, path) = place();
    let exact = (first_line().len() + entry(0).len() + CLOSING.len()) as u64;
    let mut document = open(&path, exact);
    document.push(&entry(1)).expect("room to the byte");
    assert!(matches!(document.push(&entry(10)), Err(PushError::TooLarge(needed)) if needed == exact + 1));
    assert_eq!(entries(&path), [1]);
    assert!(!aside(&path).exists());
}

#[test]
fn nothing_is_replaced_by_a_full_file_but_a_recording() {
    let (_directory, path) = place();
    let exact = (first_line().len() + entry(0).len() + CLOSING.len()) as u64;
    fs::write(aside(&path), "mine").expect("a file");
    let mut document = open(&path, exact);
    document.push(&entry(0)).expect("room");
    let error = document.push(&entry(1)).expect_err("no room").to_string();
    assert!(error.contains("a.har.1") && error.contains("no recording"), "{error}");
    assert_eq!((fs::read_to_string(aside(&path)).expect("a file").as_str(), entries(&path)), ("mine", vec![0]));
    fs::remove_file(aside(&path)).expect("a file");
    document.push(&entry(2)).expect("room");
    assert_eq!((entries(&aside(&path)), entries(&path)), (vec![0], vec![2]));
    // Somebody has put another file in its place.
    fs::rename(&path, path.with_extension("kept")).expect("a name");
    fs::write(&path, "mine").expect("a file");
    assert!(document.push(&entry(3)).is_err());
    assert_eq!(fs::read_to_string(&path).expect("a file"), "mine");
    fs::remove_file(&path).expect("a file");
    document.push(&entry(4)).expect("room");
    assert_eq!((entries(&path.with_extension("kept")), entries(&path)), (vec![2], vec![4]));
}

#[test]
fn a_file_that_is_gone_is_begun_again() {
    let (_directory, path) = place();
    let mut document = open(&path, PLENTY);
    document.push(&entry(0)).expect("room");
    fs::remove_file(&path).expect("a file");
    document.push(&entry(1)).expect("room");
    document.push(&entry(2)).expect("room");
    assert_eq!(entries(&path), [1, 2]);
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let error = Document::open(&path, PLENTY).expect_err("in use").to_string();
    assert!(error.contains("another process records there"), "{error}");
    // One with another name stays as it is there.
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).expect("a name");
    document.push(&entry(3)).expect("room");
    assert_eq!((entries(&kept), entries(&path)), (vec![1, 2], vec![3]));
    // Another recording is another file, too.
    fs::rename(&kept, &path).expect("a name");
    assert!(matches!(document.push(&entry(4)), Err(PushError::Replaced(there)) if there == path));
    assert_eq!(entries(&path), [1, 2]);
}
