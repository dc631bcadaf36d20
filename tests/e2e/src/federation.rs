//! Two messenger services as `examples/tim` sets them up: each a homeserver behind a Tollgate of its own, through which others
//! come in, and through which it goes out to them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tim_registration_service::Service;
use tokio::net::TcpListener;
use tollgate_tests::{
    Authority, Builder, Client, Port, Tollgate, Version,
    addons::{Admin, drop_in},
};

use crate::{
    components,
    synapse::{Federating, Synapse},
    user::User,
};

/// Addons of the example, in its plugins directory.
const ADDONS: [&str; 4] = ["version-clamp", "federation", "tim-rules", "rawdata"];

/// Two of them, and what they share.
pub struct Federation {
    /// The first is named by a name, the second by an address.
    pub homes: [Home; 2],
    /// The registration service.
    pub registration: Registration,
    /// Whom servers on the internet prove themselves by.
    pub internet: Authority,
    _plugins: TempDir,
}

/// A messenger service.
pub struct Home {
    /// The homeserver's name, by which others find the listener `inbound`.
    pub name: String,
    /// The homeserver.
    pub synapse: Synapse,
    /// Its proxy.
    pub tollgate: Tollgate,
    internet: PathBuf,
    trust: Arc<rustls::ClientConfig>,
    ca: TempDir,
    _inbound: Port,
}

/// The registration service, and what it knows.
pub struct Registration {
    service: Arc<Service>,
    address: SocketAddr,
    directory: TempDir,
    version: AtomicU64,
}

impl Federation {
    /// Starts all of it, on the runtime that it is called on.
    pub async fn start() -> Self {
        let internet = Authority::new();
        let registration = Registration::start().await;
        let plugins = tempfile::tempdir().expect("a directory");
        for name in ADDONS {
            drop_in(plugins.path(), name, &components::bundled(name));
        }
        let gates = [Gate::at("localhost"), Gate::at("127.0.0.1")];
        registration.list(&[&gates[0].name, &gates[1].name]);
        let [one, other] = gates;
        // One after the other: what the first one compiles, the second one need not.
        let one = Home::start(("hs1", false), one, plugins.path(), &internet, &registration).await;
        let other = Home::start(("hs2", true), other, plugins.path(), &internet, &registration).await;
        Self { homes: [one, other], registration, internet, _plugins: plugins }
    }

    /// Writes the end of all logs to standard error.
    pub fn show_logs(&self) {
        for home in &self.homes {
            let log = home.tollgate.logs();
            let start = log.char_indices().rev().nth(20_000).map_or(0, |(start, _)| start);
            eprintln!("--- the logs of {}\n{}---\n{}---", home.name, &log[start..], home.synapse.last_words());
        }
    }
}

/// Where others find a homeserver.
struct Gate {
    name: String,
    port: Port,
}

impl Gate {
    fn at(host: &str) -> Self {
        let port = Port::reserve();
        Self { name: format!("{host}:{}", port.number()), port }
    }
}

impl Home {
    async fn start(
        (config, verifies): (&str, bool),
        gate: Gate,
        plugins: &Path,
        internet: &Authority,
        registration: &Registration,
    ) -> Self {
        let ca = tempfile::tempdir().expect("a directory");
        let file = |name: &str| ca.path().join(name);
        let made = Tollgate::run(&["ca", "init", "--ca", &text(&file("ca.pem")), "--key", &text(&file("ca.key"))]).await;
        assert!(made.status.success(), "{}", made.stderr);
        let (Gate { name, port: inbound }, port) = (gate, Port::reserve());
        let identity = internet.localhost();
        let quoted = |path: &Path| format!("{:?}", text(path));
        // The example as it is, but for its ports and its files, and for what examples/tim/README.md says.
        let tollgate = Tollgate::builder()
            .file(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/tim/{config}.toml")))
            .set("plugins", quoted(plugins))
            .set("cache", quoted(&components::cache()))
            .set("state", format!("redb:{}", text(&file("state.redb"))))
            .set("log.level", "\"info,tollgate=debug\"")
            .set("admin.listen", "127.0.0.1:0")
            .set("admin.recent_flows", 10_000)
            .set("listener.inbound.bind", inbound.address())
            .set("listener.inbound.upstream", port.url())
            .set("listener.inbound.tls", format!("{{cert = {}, key = {}}}", quoted(&identity.cert), quoted(&identity.key)))
            .set("listener.outbound.bind", "127.0.0.1:0")
            .set("listener.outbound.tls", format!("{{ca = {}, key = {}}}", quoted(&file("ca.pem")), quoted(&file("ca.key"))))
            .set("listener.outbound.upstream_ca", quoted(&internet.ca()))
            .set("listener.outbound.targets.connect_ports", "any")
            .set("dependency.0.url", format!("{}/health", port.url()))
            .set("dependency.1.cache", "100ms")
            .set("dependency.1.url", registration.url("/actuator/health/readiness"))
            .set("addon.federation.http", "[\"private\"]")
            .set("addon.federation.options.url", registration.url("/backend/federation"))
            .set("addon.federation.options.interval", "1s")
            .set("addon.federation.options.server_name", format!("{name:?}"))
            .set("addon.rawdata.outbox", "[\"private\"]")
            .set("addon.rawdata.options.url", registration.url("/add-performance-data"))
            .set("addon.rawdata.options.home_domain", format!("{name:?}"))
            .set("listener.inbound.route.1.upstream", registration.url(""))
            // Where keys of servers come from is verified, too.
            .env("SSL_CERT_FILE", &text(&internet.ca()));
        // Of the first one the homeserver alone checks signatures, as the example has it.
        let tollgate = if verifies { tollgate.set("addon.federation.options.verify_signatures", "true") } else { tollgate };
        let tollgate: Tollgate = Builder::start(tollgate).await;
        let federating = Federating { name: name.clone(), proxy: tollgate.url_of("outbound"), ca: file("ca.pem") };
        let synapse = Synapse::federating(port, &federating).await;
        let trust = internet.client_config(&["http/1.1"]);
        Self { name, synapse, tollgate, internet: internet.ca(), trust, ca, _inbound: inbound }
    }

    /// Someone new, who comes in by the listener `inbound`.
    pub async fn user(&self, name: &str) -> User {
        User::register_over_tls(self.tollgate.address_of("inbound"), Arc::clone(&self.trust), name).await
    }

    /// A connection to the listener `inbound`.
    pub async fn client(&self) -> Client {
        Client::connect_tls(self.tollgate.address_of("inbound"), Arc::clone(&self.trust)).await.expect("TLS")
    }

    /// The authority that its proxy mints certificates by.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.ca.path().join("ca.pem")
    }

    /// The authority of servers on the internet.
    #[must_use]
    pub fn internet(&self) -> &Path {
        &self.internet
    }

    /// The admin listener.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::at(self.tollgate.admin())
    }

    /// The flows of a listener that have ended and whose path begins like this: method, path and status of each, the newest first.
    pub async fn flows(&self, listener: &str, path: &str) -> Vec<String> {
        let page = Client::fetch(Version::Http1, self.tollgate.admin(), "/flows").await.json();
        let flows = page["flows"].as_array().cloned().unwrap_or_default();
        let is_one =
            |flow: &&Value| flow["listener"] == listener && flow["path"].as_str().is_some_and(|own| own.starts_with(path));
        let line = |flow: &Value| format!("{} {} {}", flow["method"].as_str().unwrap_or_default(), flow["path"], flow["status"]);
        flows.iter().filter(is_one).map(line).collect()
    }
}

impl Registration {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("registration.json");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let service = Service::new(file, false);
        let registration = Self { service: Arc::clone(&service), address, directory, version: AtomicU64::new(1) };
        registration.list(&[]);
        tokio::spawn(service.serve(listener));
        registration
    }

    /// URL of one of its pages.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Lists these domains, and no others, as a new version.
    pub fn list(&self, domains: &[&str]) {
        let entry = |domain: &&str| json!({ "domain": domain, "isInsurance": false, "telematikID": format!("1-{domain}") });
        let list: Vec<Value> = domains.iter().map(entry).collect();
        let support = json!({ "hs1": { "contacts": [], "support_page": "https://hs1.example/helps" } });
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        self.write(&json!({ "federation": { "version": version, "domainList": list }, "support": support }));
    }

    /// Has it answer 503 until the next list.
    pub fn break_down(&self) {
        self.write(&json!({}));
    }

    fn write(&self, document: &Value) {
        let aside = self.directory.path().join("aside");
        fs::write(&aside, document.to_string()).expect("a file");
        fs::rename(aside, self.directory.path().join("registration.json")).expect("a name");
    }

    /// The reports that came.
    #[must_use]
    pub fn reports(&self) -> Vec<Value> {
        self.service.reports()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
