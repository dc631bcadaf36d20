//! Tollgate before Synapse.

use std::{fs, path::PathBuf};

use http::Method;
use tempfile::TempDir;
use tollgate_tests::{
    Builder, Client, Tollgate, Version,
    addons::{Admin, drop_in},
};

use crate::{components, synapse::Synapse, user::User, versions::Versions};

/// Name of the addon that most of this is about.
pub const CLAMP: &str = "version-clamp";

/// Name of the addon with event hooks.
const POLICY: &str = "policy";

/// A proxy of its own for each test, before the homeserver that all share. If a test fails, the logs of both are shown.
pub struct Stage {
    /// The proxy.
    pub tollgate: Tollgate,
    /// The homeserver.
    pub synapse: &'static Synapse,
    home: TempDir,
}

impl Stage {
    /// Without addons.
    pub async fn bare() -> Self {
        Self::with(&[]).await
    }

    /// With version-clamp in force.
    pub async fn clamped() -> Self {
        Self::with(&[(CLAMP, components::bundled(CLAMP))]).await
    }

    /// With the addon `policy` in force by this document, as it is written; it may consult services on this machine.
    pub async fn policed(policy: &str) -> Self {
        let granted = |builder: Builder| {
            let builder = builder.set("addon.policy.http", "[\"private\"]").set("addon.policy.kv", "true");
            builder.set("addon.policy.calls", "1000")
        };
        let stage = Self::with_settings(&[(POLICY, components::bundled(POLICY))], granted).await;
        let answer = stage.admin().send(Method::PUT, "/addons/policy/options", policy.to_owned()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        stage
    }

    async fn with(addons: &[(&str, Vec<u8>)]) -> Self {
        Self::with_settings(addons, |builder| builder).await
    }

    async fn with_settings(addons: &[(&str, Vec<u8>)], settings: impl FnOnce(Builder) -> Builder) -> Self {
        let synapse = Synapse::shared().await;
        let home = tempfile::tempdir().expect("a directory");
        let plugins = home.path().join("plugins");
        fs::create_dir(&plugins).expect("a directory");
        for (name, component) in addons {
            drop_in(&plugins, name, component);
        }
        let tollgate = settings(Tollgate::builder().plugins(&plugins).upstream(&synapse.url())).start().await;
        let stage = Self { tollgate, synapse, home };
        for (name, component) in addons {
            stage.admin().in_force(name, component).await;
        }
        stage
    }

    /// The directory of addons.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.home.path().join("plugins")
    }

    /// Puts an addon into the directory at once.
    pub fn drop_in(&self, name: &str, component: &[u8]) {
        drop_in(&self.plugins(), name, component);
    }

    /// The admin listener.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::at(self.tollgate.admin())
    }

    /// Someone new, through the proxy.
    pub async fn user(&self, version: Version, name: &str) -> User {
        User::register(version, self.tollgate.address(), name).await
    }

    /// What the proxy says of versions.
    pub async fn versions(&self) -> Versions {
        Versions::read(&Client::fetch(Version::Http1, self.tollgate.address(), Versions::PATH).await)
    }

    /// What the homeserver itself says of versions.
    pub async fn own_versions(&self) -> Versions {
        Versions::read(&Client::fetch(Version::Http1, self.synapse.address(), Versions::PATH).await)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the log of Synapse\n{}---", self.synapse.last_words());
        }
    }
}
