mod full;

use std::{fs, os::unix::fs::PermissionsExt as _, sync::atomic::Ordering::Relaxed};

use super::{
    super::{
        Op, Quota, Usage,
        conformance::{Addon, Bench, at, conformance, value},
    },
    backend::Faults,
    *,
};

fn bench() -> Bench {
    let directory = tempfile::tempdir().expect("a directory");
    let store = File::open(&directory.path().join("state"), 1 << 30).expect("a store");
    Bench { store: Arc::new(store), _held: Box::new(directory) }
}

conformance!(std::future::ready(bench()));

/// A directory with a store in it that can be closed and opened again.
struct Place {
    directory: tempfile::TempDir,
    most: u64,
    faults: Faults,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), most: 1 << 30, faults: Faults::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn length(&self) -> u64 {
        fs::metadata(self.path()).expect("a file").len()
    }

    fn try_open(&self) -> Result<File, OpenError> {
        File::with(opening::Place { path: self.path(), most: self.most, faults: self.faults.clone() })
    }

    /// Once the one before has let go of it.
    async fn open(&self) -> Bench {
        for _ in 0..2_000 {
            match self.try_open() {
                Err(OpenError::Taken(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                opened => return Bench { store: Arc::new(opened.expect("a store")), _held: Box::new(()) },
            }
        }
        panic!("the file stays taken");
    }

    /// What opening says, once the one before has let go of it.
    async fn refusal(&self) -> OpenError {
        for _ in 0..2_000 {
            match self.try_open() {
                Err(OpenError::Taken(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                opened => return opened.expect_err("a refusal"),
            }
        }
        panic!("the file stays taken");
    }
}

async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that");
}

async fn fill(addon: &Addon, key: &str, bytes: usize) -> Result<Answer, StoreError> {
    addon.run(key, Op::Set(vec![7; bytes].into(), None)).await
}

#[tokio::test]
async fn a_restart_keeps_values_times_and_quotas() {
    let place = Place::new();
    let small = Quota { bytes: 10_000, keys: 3 };
    let bench = place.open().await;
    let addon = bench.addon("small", small);
    addon.set("kept", "1").await;
    addon.run("soon", Op::Set(value("2"), Some(Duration::from_millis(300)))).await.expect("set");
    addon.run("later", Op::Set(value("3"), Some(Duration::from_hours(1)))).await.expect("set");
    let usage = addon.usage();
    bench.store.flush().await;
    drop((bench, addon));
    let bench = place.open().await;
    let addon = bench.addon("small", small);
    assert_eq!(
        (addon.usage().keys, addon.get("kept").await, addon.get("later").await),
        (usage.keys, Some(value("1")), Some(value("3")))
    );
    eventually(async || addon.get("soon").await.is_none()).await;
    // The quota is that of before: one place was left by what has expired, and no more.
    addon.set("new", "").await;
    assert!(matches!(addon.run("more", Op::Insert(value(""), None)).await, Err(StoreError::TooLarge(_))));
    let mode = fs::metadata(place.path()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_expires_is_swept_without_being_asked() {
    let bench = bench();
    let addon = bench.a();
    let short = Some(Duration::from_millis(20));
    for part in 0..10 {
        let entries = (0..250).map(|number| (at(&format!("{part}-{number}")), Op::Set(value(""), short)));
        addon.all(entries.collect()).await.expect("set");
    }
    addon.set("kept", "").await;
    // More than one sweep takes.
    eventually(async || addon.usage().keys == 1).await;
    assert_eq!(addon.usage(), Usage { bytes: 64 + 5, keys: 1 });
}

#[tokio::test]
async fn a_file_has_one_owner() {
    let place = Place::new();
    let bench = place.open().await;
    bench.a().set("k", "1").await;
    let refusal = place.try_open().expect_err("a refusal");
    assert!(matches!(refusal, OpenError::Taken(_)), "{refusal}");
    assert!(refusal.to_string().contains(&*place.path().to_string_lossy()), "{refusal}");
    assert_eq!(bench.a().get("k").await, Some(value("1")));
}

#[tokio::test]
async fn what_is_no_store_is_left_as_it_is() {
    let place = Place::new();
    for content in [b"something else".to_vec(), vec![0; 100_000], b"redb\x1a\x0a\xa9\x0d\x0a".repeat(1_000)] {
        fs::write(place.path(), &content).expect("a file");
        let refusal = place.refusal().await;
        assert!(refusal.to_string().starts_with(&*place.path().to_string_lossy()), "{refusal}");
        assert!(matches!(refusal, OpenError::Foreign(..) | OpenError::Damaged(..)), "{refusal:?}");
        assert_eq!(fs::read(place.path()).expect("a file"), content);
    }
    fs::remove_file(place.path()).expect("a file");
    let other = redb::Database::create(place.path()).expect("a database");
    let write = other.begin_write().expect("a transaction");
    write.open_table(redb::TableDefinition::<u64, u64>::new("others")).expect("a table").insert(1, 1).expect("a row");
    write.commit().expect("a commit");
    drop(other);
    let refusal = place.refusal().await;
    assert!(refusal.to_string().contains("a database of something else"), "{refusal}");
    fs::remove_file(place.path()).expect("a file");
    let newer = redb::Database::create(place.path()).expect("a database");
    let write = newer.begin_write().expect("a transaction");
    write.open_table(redb::TableDefinition::<&str, u64>::new("tollgate")).expect("a table").insert("version", 2).expect("a row");
    write.commit().expect("a commit");
    drop(newer);
    let refusal = place.refusal().await;
    assert!(refusal.to_string().contains("of layout 2, where this version reads 1"), "{refusal}");
    fs::remove_file(place.path()).expect("a file");
    fs::create_dir(place.path()).expect("a directory");
    assert!(matches!(place.refusal().await, OpenError::Io(..)));
}

#[tokio::test]
async fn damage_is_found_and_nothing_deleted() {
    let place = Place::new();
    let bench = place.open().await;
    let addon = bench.a();
    for number in 0..200 {
        fill(&addon, &format!("{number:03}"), 2_000).await.expect("set");
    }
    bench.store.flush().await;
    drop((addon, bench));
    // Closed, and so at rest.
    eventually(async || {
        let lock = fs::File::open(place.path()).expect("a file");
        lock.try_lock().is_ok()
    })
    .await;
    let sound = fs::read(place.path()).expect("a file");
    let (mut refused, mut whole) = (0, 0);
    // Wherever values are, which is nearly everywhere.
    for offset in (4_096..sound.len() - 4_096).step_by(sound.len() / 23) {
        let mut damaged = sound.clone();
        damaged.get_mut(offset..offset + 64).expect("bytes").fill(0xa5);
        fs::write(place.path(), &damaged).expect("a file");
        match place.try_open() {
            Err(error) => {
                assert!(error.to_string().starts_with(&*place.path().to_string_lossy()), "{error}");
                assert!(fs::metadata(place.path()).is_ok());
                refused += 1;
            }
            // A page that nobody uses.
            Ok(_) => whole += 1,
        }
        // The thread that may have it open goes on with a file without a name.
        fs::remove_file(place.path()).expect("a file");
    }
    assert!(refused > 0, "all {whole} were taken for sound");
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_then_it_is_not() {
    let place = Place::new();
    let bench = place.open().await;
    let addon = bench.a();
    addon.set("old", "1").await;
    bench.store.flush().await;
    place.faults.is_full.store(true, Relaxed);
    let large = vec![(at("1"), Op::Set(vec![7; 1 << 20].into(), None)), (at("2"), Op::Set(vec![7; 1 << 20].into(), None))];
    let is_refused =
        async || matches!(addon.all(large.clone()).await, Err(StoreError::Unavailable(text)) if text.contains("no room"));
    eventually(is_refused).await;
    // What was there is there, and can go; the proxy is ready, since clients can bring this about.
    assert_eq!((addon.get("old").await, bench.store.trouble()), (Some(value("1")), None));
    assert_eq!(addon.run("old", Op::Delete).await, Ok(Answer::Done(true)));
    place.faults.is_full.store(false, Relaxed);
    eventually(async || addon.all(large.clone()).await.is_ok()).await;
    bench.store.flush().await;
    drop((addon, bench));
    let bench = place.open().await;
    assert_eq!((bench.a().get("1").await.map(|value| value.len()), bench.a().get("old").await), (Some(1 << 20), None));
}

#[tokio::test]
async fn a_disk_that_fails_is_trouble_until_it_works_again() {
    let place = Place::new();
    let bench = place.open().await;
    let addon = bench.a();
    addon.set("old", "1").await;
    bench.store.flush().await;
    place.faults.is_broken.store(true, Relaxed);
    eventually(async || matches!(fill(&addon, "new", 10).await, Err(StoreError::Unavailable(_)))).await;
    eventually(async || bench.store.trouble().is_some_and(|why| why.contains("space"))).await;
    place.faults.is_broken.store(false, Relaxed);
    eventually(async || fill(&addon, "new", 10).await.is_ok()).await;
    assert_eq!((addon.get("old").await, bench.store.trouble()), (Some(value("1")), None));
}

#[tokio::test]
async fn trouble_names_no_path() {
    let place = Place::new();
    let bench = place.open().await;
    let addon = bench.a();
    place.faults.is_broken.store(true, Relaxed);
    eventually(async || fill(&addon, "new", 10).await.is_err() && bench.store.trouble().is_some()).await;
    let trouble = bench.store.trouble().expect("trouble");
    assert!(!trouble.contains(&*place.directory.path().to_string_lossy()), "{trouble}");
}

#[tokio::test]
async fn the_file_stays_within_its_size() {
    let mut place = Place::new();
    place.most = 16 << 20;
    let bench = place.open().await;
    let addon = bench.addon("large", Quota { bytes: 1 << 30, keys: 1_000 });
    let mut refused = None;
    for number in 0..40 {
        if let Err(error) = fill(&addon, &number.to_string(), 1 << 20).await {
            refused = Some((number, error));
            break;
        }
        bench.store.flush().await;
        assert!(place.length() <= 16 << 20);
    }
    // A million bytes take two million of the file at most.
    let Some((kept, StoreError::Unavailable(why))) = refused else { panic!("{refused:?}") };
    assert!(kept >= 2, "{kept}: {why}");
    eventually(
        async || matches!(fill(&addon, "over", 1 << 20).await, Err(StoreError::Unavailable(text)) if text.contains("no room")),
    )
    .await;
    assert!(place.length() <= 16 << 20);
    assert_eq!(addon.get("0").await.map(|value| value.len()), Some(1 << 20));
    // What goes makes room.
    for number in 0..kept {
        eventually(async || addon.run(&number.to_string(), Op::Delete).await.is_ok()).await;
    }
    eventually(async || fill(&addon, "again", 1 << 20).await.is_ok()).await;
    assert!(place.length() <= 16 << 20);
}
