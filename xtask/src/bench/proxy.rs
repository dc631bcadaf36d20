//! A peer that runs.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{command, run},
    servers::{GLANCE, Server},
};

use super::{Bench, ports::Port, processes::Tree};

/// How long a proxy may take to listen: mitmproxy is not fast.
const PATIENCE: Duration = Duration::from_mins(1);

/// Connections that a proxy may have.
pub(crate) const CONNECTIONS: u32 = 12_000;

/// What is asked of a proxy, of whatever kind.
#[derive(Clone, Copy)]
pub(crate) struct Wants<'a> {
    /// Name in tables; of its directory, too.
    pub(crate) label: &'static str,
    pub(crate) upstream: SocketAddr,
    /// As `taskset` has it.
    pub(crate) cores: &'a str,
    /// Without TLS; clients begin with it.
    pub(crate) speaks_http2: bool,
    pub(crate) certificate: Option<&'a Certificate>,
    /// Thousands come at one time: Tollgate's limits are as by default otherwise.
    pub(crate) is_crowd: bool,
}

/// A certificate that signed itself, and its key.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

/// A running proxy. It ends with this value.
pub(crate) struct Proxy {
    // Dropped first: its ports are not free before.
    server: Server,
    pub(crate) label: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) speaks_http2: bool,
    pub(crate) tree: Tree,
    scheme: &'static str,
    _ports: Vec<Port>,
}

/// A directory and ports for a proxy to be.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    ports: Vec<Port>,
}

impl Place {
    pub(crate) fn reserve(bench: &Bench, label: &str) -> Result<Self> {
        let name: String = label.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
        let folder = bench.run.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (port, admin) = (Port::reserve()?, Port::reserve()?);
        Ok(Self { folder, address: port.address(), admin: admin.address(), ports: vec![port, admin] })
    }

    /// Writes a file of the configuration.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Proxy {
    /// Starts a program on its cores and waits until it listens.
    pub(crate) fn start(place: Place, wants: &Wants<'_>, has_admin: bool, program: &Command) -> Result<Self> {
        let mut server = Server::start(wants.label, &mut pinned(wants.cores, program, &place.folder.join("log"))?)?;
        let start = Instant::now();
        while TcpStream::connect(place.address).is_err() {
            server.check()?;
            if start.elapsed() > PATIENCE {
                bail!("{} does not listen after {} s", wants.label, PATIENCE.as_secs());
            }
            sleep(GLANCE);
        }
        Ok(Self {
            tree: Tree::of(server.id())?,
            server,
            label: wants.label,
            address: place.address,
            admin: has_admin.then_some(place.admin),
            speaks_http2: wants.speaks_http2,
            scheme: if wants.certificate.is_some() { "https" } else { "http" },
            _ports: place.ports,
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.server.check()
    }
}

impl Certificate {
    /// For an elliptic curve, as most are today.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let made = Self { chain: folder.join("cert.pem"), key: folder.join("key.pem") };
        let mut openssl = command("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
        openssl.args(["-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,IP:127.0.0.1"]);
        openssl.arg("-keyout").arg(&made.key).arg("-out").arg(&made.chain);
        run(openssl.stderr(std::process::Stdio::null()))?;
        Ok(made)
    }
}

/// This program on these cores, with its output in a file.
pub(crate) fn pinned(cores: &str, program: &Command, log: &Path) -> Result<Command> {
    let mut taskset = command("taskset");
    taskset.args(["-c", cores]).arg(program.get_program()).args(program.get_args());
    // Settings of whoever runs this are not meant for it.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
        taskset.env_remove(name);
    }
    let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    taskset.stdout(log.try_clone()?).stderr(log);
    Ok(taskset)
}
