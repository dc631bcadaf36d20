//! A sample origin, the proxy, and the bundled addons before it.

use std::{env, net::SocketAddr, process::Stdio, thread::sleep, time::Duration};

use anyhow::{Context, Result, ensure};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    build,
    http::ask,
    process::{self, cargo, command, step},
    servers::{GLANCE, Server, free_port},
    workspace::Workspace,
};

/// Ports of the demo, where they are free.
const ORIGIN_PORT: u16 = 8008;
const PROXY_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 9900;

/// Compiling all addons on a slow machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Addons that keep something between flows.
const KEEPING: [&str; 3] = ["cache", "dedup", "policy"];

/// A path of Matrix v1.13.
const FENCED: &str = "/_matrix/client/v3/rooms/lobby/report";

/// When the demo ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With ctrl-c.
    UntilStopped,
    /// When it has seen what it tells people to look at.
    Once,
}

pub(crate) fn run(workspace: &Workspace, mode: Mode) -> Result<()> {
    build::addons(workspace)?;
    step("building the proxy and the sample origin (the first time takes some minutes)", || {
        process::run(cargo().args(["build", "--release", "--package", "tollgate", "--package", "sample-origin"]))
    })?;
    // From here on ctrl-c ends the servers first.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let mut demo = step("starting", || Demo::start(workspace))?;
    if mode == Mode::Once {
        return step("asking", || demo.check());
    }
    demo.explain(workspace);
    while signals.pending().next().is_none() {
        demo.origin.check()?;
        demo.proxy.check()?;
        sleep(GLANCE);
    }
    step("stopping", || {
        drop(demo);
        Ok(())
    })
}

struct Demo {
    // Fields are dropped in this order.
    proxy: Server,
    origin: Server,
    proxy_address: SocketAddr,
    origin_address: SocketAddr,
    admin_address: SocketAddr,
}

impl Demo {
    fn start(workspace: &Workspace) -> Result<Self> {
        let (origin, origin_address) = start_origin(workspace)?;
        let proxy_address = free_port(PROXY_PORT)?;
        let admin_address = free_port(ADMIN_PORT)?;
        let mut command = command(workspace.program("release", "tollgate"));
        // Settings of whoever runs the demo are not meant for it.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TOLLGATE_")) {
            command.env_remove(name);
        }
        command.arg("run").arg("--reverse").arg(format!("http://{origin_address}@{proxy_address}"));
        command.arg("--plugins").arg(workspace.root.join("plugins")).arg("--admin").arg(admin_address.to_string());
        for addon in KEEPING {
            command.arg("--set").arg(format!("addon.{addon}.kv=true"));
        }
        // What they keep ends with the demo.
        command.arg("--set").arg("state=\"memory:\"");
        let mut proxy = Server::start("proxy", &mut command)?;
        eprintln!("    the proxy compiles its addons");
        proxy.wait_until_ready(admin_address, "/health/ready", PATIENCE)?;
        Ok(Self { proxy, origin, proxy_address, origin_address, admin_address })
    }

    fn explain(&self, workspace: &Workspace) {
        let (proxy, origin, admin) = (self.proxy_address, self.origin_address, self.admin_address);
        let plugins = workspace.root.join("plugins");
        let plugins = plugins.display();
        println!(
            "
Tollgate listens on http://{proxy}, before a sample origin on http://{origin}. Try:

  curl http://{proxy}/_matrix/client/versions
      ends at v1.11: the addon version-clamp cuts off what is above. The origin itself says more:
      curl http://{origin}/_matrix/client/versions

  curl -X POST http://{proxy}{FENCED}
      404 M_UNRECOGNIZED: the path came with Matrix v1.13, so the addon keeps it out.

  curl http://{proxy}/_matrix/client/v3/login
      goes through, like everything of v1.11.

Addons are files; the next request goes through what is there. While this runs, in another terminal:

  rm {plugins}/version-clamp.wasm
      nothing is clamped or fenced any more

  cargo xtask build --addons
      brings it back, with what you changed in plugins/version-clamp/src

  cp {examples}/hello-header.wasm {plugins}/
      adds one more; see curl -i

  curl http://{admin}/addons
      tells what is loaded

Ctrl-c stops.",
            examples = workspace.target.join("addons").display(),
        );
    }

    /// Sees whether what is explained is true.
    fn check(&mut self) -> Result<()> {
        let versions = |server| -> Result<String> {
            let (status, body) = ask(server, "GET", "/_matrix/client/versions")?;
            ensure!(status == 200, "the versions came with status {status}: {body}");
            Ok(body)
        };
        let all = versions(self.origin_address)?;
        ensure!(all.contains("\"v1.14\""), "the origin is not what it was: {all}");
        let clamped = versions(self.proxy_address)?;
        ensure!(clamped.contains("\"v1.11\"") && !clamped.contains("\"v1.12\""), "the versions are not clamped: {clamped}");
        let fenced = ask(self.proxy_address, "POST", FENCED)?;
        ensure!(fenced.0 == 404 && fenced.1.contains("M_UNRECOGNIZED"), "the fence let a path through: {fenced:?}");
        let inside = ask(self.proxy_address, "GET", "/_matrix/client/v3/login")?;
        ensure!(inside.0 == 200, "the fence kept a path out: {inside:?}");
        eprintln!("    versions clamped, a path fenced off, another let through");
        self.origin.check()?;
        self.proxy.check()
    }
}

fn start_origin(workspace: &Workspace) -> Result<(Server, SocketAddr)> {
    let port = free_port(ORIGIN_PORT)?.port();
    let mut command = command(workspace.program("release", "sample-origin"));
    let mut origin = Server::start("sample origin", command.arg(port.to_string()).stdout(Stdio::piped()))?;
    let line = origin.first_line().context("the sample origin does not tell where it listens")?;
    let address = line.rsplit("//").next().and_then(|address| address.parse().ok());
    let address = address.with_context(|| format!("the sample origin tells no address: {line:?}"))?;
    Ok((origin, address))
}
