//! A homeserver as a child process.

mod config;

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::{net::TcpStream, sync::OnceCell};
use tollgate_tests::{Client, Port, Version, eventually};

/// The name of homeservers that speak with nobody but their clients.
const NAME: &str = "localhost";

/// File that its standard output and error go to.
const OUTPUT: &str = "output";

/// Synapse, but one that ends, and removes its directory, when nobody holds the other end of its standard input: not even a
/// killed test leaves it behind.
const LAUNCHER: &str = "\
import os, shutil, threading
from synapse.app.homeserver import main

def end_with_parent(directory):
    os.read(0, 1)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)

threading.Thread(target=end_with_parent, args=[os.getcwd()], daemon=True).start()
main()
";

static SHARED: OnceCell<Synapse> = OnceCell::const_new();
static SECOND: OnceCell<Synapse> = OnceCell::const_new();

/// A homeserver with an empty database, open registration and no limits of rates. It speaks with nobody but its clients, unless
/// it federates.
pub struct Synapse {
    child: Child,
    port: Port,
    directory: TempDir,
}

/// How a homeserver reaches others.
#[derive(Debug, Clone)]
pub struct Federating {
    /// Its own name, by which others reach it.
    pub name: String,
    /// URL of the forward proxy through which all of it goes.
    pub proxy: String,
    /// PEM file of the authority that it trusts, and no other.
    pub ca: PathBuf,
}

impl Synapse {
    /// The one that the tests of a program share; it ends with the program.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(Port::reserve(), None)).await
    }

    /// Another one, shared as well.
    pub async fn second() -> &'static Self {
        SECOND.get_or_init(|| Self::start(Port::reserve(), None)).await
    }

    /// One of its own that federates, at this port.
    pub async fn federating(port: Port, federating: &Federating) -> Self {
        Self::start(port, Some(federating)).await
    }

    async fn start(port: Port, federating: Option<&Federating>) -> Self {
        let mut synapse = Self::spawn(port, federating);
        assert!(synapse.comes_up().await, "Synapse does not start: {}{}", synapse.log(OUTPUT), synapse.last_words());
        synapse
    }

    fn spawn(port: Port, federating: Option<&Federating>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        generate_config(directory.path(), federating.map_or(NAME, |federating| &federating.name));
        config::write(directory.path(), port.number(), federating);
        let output = fs::File::create(directory.path().join(OUTPUT)).expect("a file");
        let mut command = python(directory.path());
        command.args(["-c", LAUNCHER, "-c", "homeserver.yaml", "-c", config::OVERRIDES]);
        command.stdin(Stdio::piped()).stdout(output.try_clone().expect("a file")).stderr(output);
        Self { child: command.spawn().expect("Python starts"), port, directory }
    }

    /// Waits until it serves; false if it ends instead.
    async fn comes_up(&mut self) -> bool {
        let address = self.address();
        eventually(|| {
            let is_over = self.is_over();
            async move { is_over || TcpStream::connect(address).await.is_ok() }
        })
        .await;
        !self.is_over() && Client::fetch(Version::Http1, address, "/health").await.text() == "OK"
    }

    fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// URL of its root.
    #[must_use]
    pub fn url(&self) -> String {
        self.port.url()
    }

    /// Lines with this text about the requests that have reached it, as `127.0.0.1 - 8008 - Received request: GET /health`. They
    /// are written before the request is answered.
    #[must_use]
    pub fn received(&self, text: &str) -> Vec<String> {
        let log = self.log(config::ACCESS_LOG);
        log.lines().filter(|line| line.contains("Received request: ") && line.contains(text)).map(str::to_owned).collect()
    }

    /// The end of what it told about itself.
    #[must_use]
    pub fn last_words(&self) -> String {
        let log = self.log(config::LOG);
        let start = log.char_indices().rev().nth(5_000).map_or(0, |(start, _)| start);
        log[start..].to_owned()
    }

    fn log(&self, name: &str) -> String {
        fs::read(self.directory.path().join(name)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of defaults, and keys.
fn generate_config(directory: &Path, name: &str) {
    let mut command = python(directory);
    command.args(["-m", "synapse.app.homeserver", "--generate-config", "--report-stats=no"]);
    command.args(["--server-name", name, "--config-path", "homeserver.yaml", "--data-directory", "."]);
    let output = command.stdin(Stdio::null()).output().expect("Python starts");
    assert!(output.status.success(), "Synapse makes no configuration: {}", String::from_utf8_lossy(&output.stderr));
}

/// The Python that has Synapse, without the settings of whoever runs the tests.
fn python(directory: &Path) -> Command {
    let path = env::var_os("TOLLGATE_E2E_PYTHON");
    let path = path.expect("TOLLGATE_E2E_PYTHON names a Python with Synapse: `cargo xtask e2e` sets it");
    let mut command = Command::new(path);
    command.arg("-I").current_dir(directory);
    command
}
