//! The file: made, continued, moved aside, and never put in the place of another.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;
use tollgate_tests::{Client, RawOrigin, Tollgate, Version, eventually, har};

fn urls(entries: &[Value]) -> Vec<&str> {
    let urls = entries.iter().map(|entry| entry["request"]["url"].as_str().expect("a URL"));
    urls.map(|url| url.rsplit('/').next().expect("a path")).collect()
}

#[tokio::test]
async fn the_file_is_for_its_owner_and_whole_from_the_start() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().start().await;
    assert_eq!(tollgate.recorded(0).await, Vec::<Value>::new());
    assert_eq!(fs::metadata(tollgate.har()).expect("a file").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_stop_leaves_nothing_out() {
    let origin = RawOrigin::ok().await;
    let mut tollgate = Tollgate::builder().upstream(&origin.url()).record().start().await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    for number in 0..50 {
        client.get(&format!("/{number}")).await;
    }
    drop(client);
    tollgate.terminate();
    assert!(tollgate.ended().await.success());
    let entries = har::read(&tollgate.har()).expect("a recording");
    let expected: Vec<_> = (0..50).map(|number: u32| number.to_string()).collect();
    assert_eq!(urls(&entries), expected);
}

#[tokio::test]
async fn a_recording_is_continued_and_nothing_else() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kept.har");
    let record =
        || Tollgate::builder().upstream(&origin.url()).set("record.file", format!("{:?}", file.to_str().expect("a path")));
    for round in ["a", "b", "c"] {
        let mut tollgate = record().start().await;
        Client::fetch(Version::Http1, tollgate.address(), &format!("/{round}")).await;
        if round == "a" {
            let other = record().run().await;
            assert_eq!(other.status.code(), Some(1), "{}", other.stderr);
            assert!(other.stderr.contains("another process records there"), "{}", other.stderr);
        }
        tollgate.terminate();
        tollgate.ended().await;
        if round == "b" {
            // As a crash in the middle of a write leaves it.
            let text = fs::read(&file).expect("a file");
            fs::write(&file, &text[..text.len() - 20]).expect("a file");
        }
    }
    assert_eq!(urls(&har::read(&file).expect("a recording")), ["a", "c"]);
    fs::write(&file, "mine").expect("a file");
    let refused = record().run().await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("kept.har") && refused.stderr.contains("is not overwritten"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&file).expect("a file"), "mine");
}

#[tokio::test]
async fn a_full_file_makes_room() {
    const LIMIT: u64 = 8 << 10;
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).record().set("record.max_bytes", LIMIT).start().await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    let aside = tollgate.har().with_extension("har.1");
    let mut count = 0;
    while !aside.exists() {
        client.get(&format!("/{count}")).await;
        count += 1;
        assert!(count < 100, "the file is full");
        let all = || [&tollgate.har(), &aside].iter().filter_map(|path| har::read(path).ok()).map(|all| all.len()).sum::<usize>();
        eventually(async || all() == count).await;
        assert!(fs::metadata(tollgate.har()).expect("a file").len() <= LIMIT);
    }
    let (old, new) = (har::read(&aside).expect("a recording"), har::read(&tollgate.har()).expect("a recording"));
    assert_eq!((old.len(), new.len()), (count - 1, 1));
    assert_eq!(urls(&new), [(count - 1).to_string()]);
    let room = LIMIT - fs::metadata(&aside).expect("a file").len();
    assert!(room < fs::metadata(tollgate.har()).expect("a file").len(), "there was room for it");
    assert_eq!(fs::metadata(tollgate.har()).expect("a file").permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn nothing_is_made_where_nothing_is_recorded() {
    let origin = RawOrigin::ok().await;
    let tollgate = Tollgate::builder().upstream(&origin.url()).start().await;
    Client::fetch(Version::Http1, tollgate.address(), "/").await;
    assert!(!tollgate.har().exists());
    let config = tollgate.config_path();
    let (config, file) = (config.to_str().expect("a path"), tollgate.har());
    let setting = format!("record.file={:?}", file.to_str().expect("a path"));
    let checked = Tollgate::run(&["check", "--config", config, "--set", &setting]).await;
    assert!(checked.status.success() && !file.exists(), "{}", checked.stderr);
}
