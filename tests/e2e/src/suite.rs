//! What complement-crypto sets up: two homeservers, one proxy with a port for each and one for the controller.

use http::{Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_tests::{
    Answer, Client, Tollgate, Version,
    addons::{Admin, drop_in},
    full,
};

use crate::{components, synapse::Synapse, user::User};

const CALLBACK: &str = "callback";

/// A proxy of its own for each test, before homeservers that all share.
pub struct Suite {
    /// The proxy: its listener `main` is for the first homeserver, `hs2` for the second, `forward` for the controller.
    pub tollgate: Tollgate,
    /// Behind `main` and `hs2`.
    pub servers: [&'static Synapse; 2],
    _home: TempDir,
}

impl Suite {
    /// With the addon `callback` in force, off until a lock says otherwise.
    pub async fn start() -> Self {
        let servers = [Synapse::shared().await, Synapse::second().await];
        let home = tempfile::tempdir().expect("a directory");
        let component = components::bundled(CALLBACK);
        drop_in(home.path(), CALLBACK, &component);
        let tollgate = Tollgate::builder()
            .plugins(home.path())
            .upstream(&servers[0].url())
            .listener("hs2", &servers[1].url())
            .forward("forward")
            .set("admin.controller_host", "mitm.code")
            .set("addon.callback.http", "[\"private\"]")
            .set("addon.callback.kv", "true")
            .set("addon.callback.calls", "1000")
            .start()
            .await;
        Admin::at(tollgate.admin()).in_force(CALLBACK, &component).await;
        Self { tollgate, servers, _home: home }
    }

    /// Someone new at the first (0) or second (1) homeserver, through the proxy.
    pub async fn user(&self, server: usize, name: &str) -> User {
        let address = if server == 0 { self.tollgate.address() } else { self.tollgate.address_of("hs2") };
        User::register(Version::Http1, address, name).await
    }

    /// Asks the controller as a client of the forward listener does.
    pub async fn control(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(format!("http://mitm.code{path}")).header("content-type", "application/json");
        let request = request.body(full(body.to_string())).expect("a request");
        Client::connect(Version::Http1, self.tollgate.address_of("forward")).await.ask(request).await
    }

    /// Locks with these options of the addon, and tells what unlocks again.
    pub async fn lock(&self, callback: &Value) -> Value {
        let answer = self.control("/options/lock", &json!({ "options": { "callback": callback } })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// Unlocks with what locking told.
    pub async fn unlock(&self, locked: &Value) {
        let answer = self.control("/options/unlock", locked).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({})));
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the logs of Synapse\n{}---\n{}---", self.servers[0].last_words(), self.servers[1].last_words());
        }
    }
}
