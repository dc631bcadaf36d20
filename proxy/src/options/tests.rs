use std::time::Duration;

use serde_json::json;
use tokio::{task::yield_now, time::timeout};

use super::*;
use crate::{addons::Settings, json::read};

/// Without any addon.
async fn registry(home: &tempfile::TempDir) -> Arc<Registry> {
    let addons = addons::Registry::start(Settings::new(home.path(), home.path().join("cache"))).await.expect("an addon host");
    Registry::new(Arc::new(ArcSwap::from_pointee(core::Options::default())), addons)
}

fn options(text: &str) -> Vec<(String, Json)> {
    match read(text.as_bytes()).expect(text).json {
        Json::Object(options) => options,
        other => panic!("{other}"),
    }
}

fn wanted(text: &str) -> Request {
    Request { options: options(text), ..Request::default() }
}

fn configured(text: &str) -> core::Options {
    core::Options::default().with(&serde_json::from_str(text).expect(text)).expect(text)
}

fn value(registry: &Registry, name: &str) -> Value {
    registry.core().value(name).expect(name)
}

async fn end(registry: &Arc<Registry>, id: &Id) -> Lost {
    registry.unlock(Key::Id(Some(id.reveal().to_owned()))).await.expect("unlocked")
}

#[tokio::test]
async fn what_is_configured_meanwhile_waits_for_the_unlock() {
    let home = tempfile::tempdir().expect("a directory");
    let registry = registry(&home).await;
    registry.set(options(r#"{"log_level": "warn"}"#)).await.expect("taken");
    let id = registry.lock(wanted(r#"{"body_size_limit": "1k"}"#)).await.expect("a lock");
    registry.configure(configured(r#"{"body_size_limit": "5k", "anticache": true}"#)).await.expect("taken");
    // What is locked stays so, what is new in the configuration is in force, what was put and is not new there stays.
    let now = ["body_size_limit", "anticache", "log_level"].map(|name| value(&registry, name));
    assert_eq!(now, [json!("1k"), json!(true), json!("warn")]);
    assert_eq!(end(&registry, &id).await, Lost::new());
    assert_eq!(value(&registry, "body_size_limit"), json!("5k"));
    // The same configuration again changes nothing, another one does.
    registry.set(options(r#"{"anticache": false}"#)).await.expect("taken");
    registry.configure(configured(r#"{"body_size_limit": "5k", "anticache": true}"#)).await.expect("taken");
    assert_eq!(value(&registry, "anticache"), json!(false));
    registry.configure(configured("{}")).await.expect("taken");
    assert_eq!((value(&registry, "anticache"), value(&registry, "body_size_limit")), (json!(false), Value::Null));
}

#[tokio::test]
async fn a_lock_that_nobody_waits_for_is_not_kept() {
    let home = tempfile::tempdir().expect("a directory");
    let registry = registry(&home).await;
    let turn = registry.turn.lock().await;
    let asked = Arc::clone(&registry);
    // It waits for its turn, and nobody waits for it any more.
    let lock = asked.lock(wanted(r#"{"anticache": true}"#));
    assert!(timeout(Duration::from_millis(20), lock).await.is_err());
    drop(turn);
    // Whoever comes next finds none: this one was queued before.
    let next = async {
        loop {
            match registry.lock(wanted("{}")).await {
                Ok(id) => break id,
                Err(Error::Held) => yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let id = timeout(Duration::from_secs(20), next).await.expect("nobody has the lock");
    end(&registry, &id).await;
    assert_eq!((value(&registry, "anticache"), registry.holder()), (json!(false), None));
}

#[tokio::test]
async fn observers_are_told_of_changes_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let registry = registry(&home).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    registry.observe(Box::new(move |core| tell.lock().push(core.value("log_level"))));
    let id = registry.lock(wanted(r#"{"log_level": "debug"}"#)).await.expect("a lock");
    registry.set(options("{}")).await.expect("taken");
    assert!(
        matches!(registry.set(options(r#"{"log_level": "info"}"#)).await, Err(Error::Locked(names)) if names == ["log_level"])
    );
    assert!(matches!(registry.set(options(r#"{"log_level": "x"}"#)).await, Err(Error::Refused(_))));
    end(&registry, &id).await;
    assert_eq!(*told.lock(), [Some(Value::Null), Some(json!("debug")), Some(Value::Null)]);
}
