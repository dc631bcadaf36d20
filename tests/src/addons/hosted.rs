//! A proxy with guests.

use std::{
    fs,
    ops::{Deref, DerefMut},
    path::PathBuf,
};

use http::Request;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

use super::{Admin, components};
use crate::{
    body::{empty, full},
    client::{Answer, Client, Version},
    patience::eventually,
    tollgate::{Builder, Ended, Tollgate},
};

/// A running proxy whose addons are guests.
pub struct Hosted {
    tollgate: Tollgate,
    home: TempDir,
    held: Mutex<Option<String>>,
}

/// One to be: a listener named `main`, and the guests that it was given.
///
/// Compiled code is shared with all other tests, so that each guest is compiled once.
pub struct HostedBuilder {
    builder: Builder,
    home: TempDir,
}

impl Hosted {
    /// Before this upstream.
    #[must_use]
    pub fn before(upstream: &str) -> HostedBuilder {
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir(home.path().join("plugins")).expect("a directory");
        let cache = components::target().join("tmp").join("host-cache");
        let builder = Tollgate::builder().plugins(home.path().join("plugins")).cache(cache).upstream(upstream);
        HostedBuilder { builder, home }
    }

    /// The directory of addons.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.home.path().join("plugins")
    }

    /// The options file of an addon.
    #[must_use]
    pub fn options_file(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.json"))
    }

    /// The admin listener.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::at(self.tollgate.admin())
    }

    /// Puts a component into the directory at once.
    pub fn drop_in(&self, name: &str, component: &[u8]) {
        components::drop_in(&self.plugins(), name, component);
    }

    /// Replaces the content of an options file.
    pub fn write_options(&self, name: &str, options: &Value) {
        write_aside(&self.options_file(name), options);
    }

    /// What unlocks the lock that the test has.
    pub(super) const fn held(&self) -> &Mutex<Option<String>> {
        &self.held
    }

    /// What it occupies once the compiler has done all it has to do for an addon, which takes far more than a flow may. The peak
    /// counts from here.
    pub async fn settled(&self, name: &str) -> u64 {
        self.admin().frozen(name).await;
        let mut before = 0;
        eventually(async || std::mem::replace(&mut before, self.rss()).abs_diff(before) < 1 << 20).await;
        self.reset_peak();
        self.rss()
    }

    /// Asks for a path over a connection of its own.
    pub async fn get(&self, target: &str) -> Answer {
        Client::fetch(Version::Http1, self.address(), target).await
    }

    /// Sends a body over a connection of its own.
    pub async fn post(&self, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
        let request = Request::post(target).body(full(body)).expect("a request");
        Client::connect(Version::Http1, self.address()).await.ask(request).await
    }

    /// Asks without a body.
    pub async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(empty()).expect("a request");
        Client::connect(Version::Http1, self.address()).await.ask(request).await
    }

    /// How often its log holds this text.
    #[must_use]
    pub fn times_logged(&self, text: &str) -> usize {
        self.logs().matches(text).count()
    }
}

impl Deref for Hosted {
    type Target = Tollgate;

    fn deref(&self) -> &Tollgate {
        &self.tollgate
    }
}

impl DerefMut for Hosted {
    fn deref_mut(&mut self) -> &mut Tollgate {
        &mut self.tollgate
    }
}

impl HostedBuilder {
    /// The scripted guest under this name with these options, in a file. It may send flows to other servers of this machine.
    #[must_use]
    pub fn scripted(self, name: &str, options: &Value) -> Self {
        let key = format!("addon.{name}.upstreams");
        self.guest(name, &components::guest("scripted"), options).set(&key, "[\"private\"]")
    }

    /// This component under this name with these options, in a file.
    #[must_use]
    pub fn guest(self, name: &str, component: &[u8], options: &Value) -> Self {
        components::drop_in(&self.home.path().join("plugins"), name, component);
        self.options(name, options)
    }

    /// Options, in a file, for an addon that comes later.
    #[must_use]
    pub fn options(self, name: &str, options: &Value) -> Self {
        let file = self.home.path().join(format!("{name}.json"));
        write_aside(&file, options);
        self.with(|builder| builder.config_toml(&format!("[addon.{name}]\noptions_file = \"{}\"", file.display())))
    }

    /// This component under this name, of which the configuration knows nothing.
    #[must_use]
    pub fn unknown(self, name: &str, component: &[u8]) -> Self {
        components::drop_in(&self.home.path().join("plugins"), name, component);
        self
    }

    /// A forward listener named `forward`, with the controller.
    #[must_use]
    pub fn with_controller(self) -> Self {
        self.with(|builder| builder.forward("forward").set("admin.controller_host", "mitm.code"))
    }

    /// A setting, as `--set` takes it.
    #[must_use]
    pub fn set(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.with(|builder| builder.set(key, value))
    }

    /// Whatever else a proxy can be told.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Builder) -> Builder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Hosted {
        Hosted { tollgate: self.builder.start().await, home: self.home, held: Mutex::default() }
    }

    /// Starts it and waits for its end.
    pub async fn run(self) -> Ended {
        self.builder.run().await
    }
}

fn write_aside(path: &std::path::Path, options: &Value) {
    let aside = path.with_extension("aside");
    fs::write(&aside, options.to_string()).expect("a file");
    fs::rename(aside, path).expect("a name");
}
