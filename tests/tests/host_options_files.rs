//! Options files as editors, deployments and accidents treat them, and who wins: the file or what was put.
#![cfg(test)]

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, guest, rebuilt, versioned},
    eventually,
};

async fn with_addon(origin: &RawOrigin) -> Hosted {
    Hosted::before(&origin.url()).scripted("a", &versioned("old")).start().await
}

async fn tag(host: &Hosted) -> String {
    host.answered().await.split(' ').next().unwrap_or_default().to_owned()
}

async fn is_tagged(host: &Hosted, wanted: &str) {
    eventually(async || tag(host).await == wanted).await;
}

#[tokio::test]
async fn files_may_be_written_in_place_and_replaced() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    let file = host.options_file("a");
    for round in 0..3 {
        // As an editor that keeps a backup: the old one is renamed, a new one made.
        let name = format!("renamed-{round}");
        fs::rename(&file, file.with_extension("bak")).expect("a name");
        fs::write(&file, versioned(&name).to_string()).expect("a file");
        is_tagged(&host, &name).await;
        let name = format!("in-place-{round}");
        fs::write(&file, versioned(&name).to_string()).expect("a file");
        is_tagged(&host, &name).await;
        let name = format!("aside-{round}");
        host.write_options("a", &versioned(&name));
        is_tagged(&host, &name).await;
    }
}

/// A volume as Kubernetes mounts a `ConfigMap`: `FILE -> ..data/FILE`, `..data -> ..REVISION`.
fn publish(volume: &Path, revision: &str, options: &Value) {
    let directory = volume.join(format!("..{revision}"));
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("policy.json"), options.to_string()).expect("a file");
    symlink(format!("..{revision}"), volume.join("..data_tmp")).expect("a link");
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).expect("a name");
}

#[tokio::test]
async fn links_that_are_switched_are_seen() {
    let origin = RawOrigin::ok().await;
    let volume = tempfile::tempdir().expect("a directory");
    publish(volume.path(), "1", &versioned("first"));
    let file = volume.path().join("policy.json");
    symlink("..data/policy.json", &file).expect("a link");
    let host = Hosted::before(&origin.url())
        .unknown("a", &guest("scripted"))
        .set("addon.a.options_file", format!("{file:?}"))
        .start()
        .await;
    assert_eq!(tag(&host).await, "first");
    for revision in ["2", "3", "4"] {
        publish(volume.path(), revision, &versioned(revision));
        is_tagged(&host, revision).await;
    }
    // A link to nowhere is a file that is gone for a while.
    fs::remove_file(volume.path().join("..data")).expect("a link");
    host.admin().until("a", |status| status["error"].as_str().is_some_and(|error| error.contains("cannot read"))).await;
    assert_eq!(tag(&host).await, "4");
    publish(volume.path(), "5", &versioned("5"));
    is_tagged(&host, "5").await;
    assert_eq!(host.admin().status("a").await["error"], Value::Null);
}

#[tokio::test]
async fn files_that_are_gone_are_waited_for() {
    let origin = RawOrigin::ok().await;
    let host = with_addon(&origin).await;
    for round in 0..2 {
        let before = tag(&host).await;
        fs::remove_file(host.options_file("a")).expect("a file");
        let wanted = |status: &Value| status["options"]["error"].as_str().is_some_and(|error| error.contains("cannot read"));
        let status = host.admin().until("a", wanted).await;
        assert_eq!((&status["options"]["source"], tag(&host).await), (&json!("file"), before));
        assert_eq!(host.admin().get("/health/ready").await.status, 503);
        let name = format!("back-{round}");
        fs::write(host.options_file("a"), versioned(&name).to_string()).expect("a file");
        is_tagged(&host, &name).await;
        assert_eq!(host.admin().get("/health/ready").await.status, 200);
    }
}

/// Has the watcher act upon the file once more: it stays what is in force.
async fn is_looked_at(host: &Hosted) {
    let path = host.options_file("a").with_file_name("b.json");
    let tag = format!("b-{:?}", fs::metadata(&path).and_then(|metadata| metadata.modified()));
    host.write_options("b", &versioned(&tag));
    let sha256 = |status: &Value| status["options"]["sha256"].clone();
    let before = sha256(&host.admin().status("b").await);
    host.admin().until("b", |status| sha256(status) != before).await;
}

#[tokio::test]
async fn changes_of_the_file_win_over_what_was_put() {
    let origin = RawOrigin::ok().await;
    let host = Hosted::before(&origin.url())
        .scripted("a", &versioned("old"))
        .scripted("b", &json!({}))
        .set("listener.main.addons", "[\"a\"]")
        .start()
        .await;
    let answer = host.admin().put_options("a", &versioned("put")).await.json();
    assert_eq!((&answer["options"]["source"], &answer["options"]["generation"]), (&json!("put"), &answer["generation"]));
    // Touched, written again with the same content, replaced by the same content, gone and back.
    let file = fs::File::options().write(true).open(host.options_file("a")).expect("a file");
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_hours(1)).expect("a time");
    is_looked_at(&host).await;
    assert_eq!(tag(&host).await, "put");
    fs::write(host.options_file("a"), versioned("old").to_string()).expect("a file");
    is_looked_at(&host).await;
    host.write_options("a", &versioned("old"));
    is_looked_at(&host).await;
    assert_eq!(tag(&host).await, "put");
    host.write_options("a", &versioned("changed"));
    is_tagged(&host, "changed").await;
    assert_eq!(host.admin().status("a").await["options"]["source"], "file");
    // A bad change takes nothing away, and what comes after it is a change.
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    fs::write(host.options_file("a"), "{").expect("a file");
    host.admin().until("a", |status| !status["error"].is_null()).await;
    assert_eq!(tag(&host).await, "put");
    host.drop_in("a", &rebuilt(3));
    host.admin().in_force("a", &rebuilt(3)).await;
    assert_eq!(tag(&host).await, "put");
    host.write_options("a", &versioned("changed"));
    is_tagged(&host, "changed").await;
}

#[tokio::test]
async fn changed_settings_win_over_what_was_put() {
    let origin = RawOrigin::ok().await;
    let inline = |tag: &str| {
        format!(
            "[addon.a.options]\ntag = \"{tag}\"\n[[addon.a.options.rules]]\non = \"response\"\ndo = [{{ set = [\"X-Answered\", \"{{tag}}\"] }}]\n"
        )
    };
    let host = Hosted::before(&origin.url())
        .unknown("a", &guest("scripted"))
        .with(|builder| builder.config_toml(&inline("inline")))
        .start()
        .await;
    assert_eq!(tag(&host).await, "inline");
    assert_eq!(host.admin().status("a").await["options"]["source"], "inline");
    assert_eq!(host.admin().put_options("a", &versioned("put")).await.status, 200);
    host.reload().await;
    assert_eq!(tag(&host).await, "put");
    fs::write(host.config_path(), host.config().replace("\"inline\"", "\"other\"")).expect("a file");
    host.reload().await;
    assert_eq!(tag(&host).await, "other");
}
