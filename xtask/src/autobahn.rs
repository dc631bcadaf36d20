//! Autobahn's WebSocket test suite, with the proxy between its client and its own server.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    build,
    process::{command, output, run as run_to_end, step, works},
    servers::{GLANCE, Server},
    workspace::Workspace,
};

/// All cases but those that measure with a thousand messages each: of these, one a group.
const CASES: [&str; 24] = [
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "9.1.1", "9.2.4", "9.3.1", "9.4.5", "9.5.3", "9.6.3", "9.7.2",
    "9.8.2", "12.1.5", "12.2.3", "12.3.3", "12.4.3", "13.1.1", "13.3.1", "13.5.1", "13.7.1",
];

/// Cases of each group that take no more than a minute together.
const QUICK: [&str; 10] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.1", "13.3.1"];

/// How long servers may take to start: the addon is compiled.
const PATIENCE: Duration = Duration::from_mins(1);

/// The agents that are compared with the first: the server itself, a tunnel before it, and an addon that sees all messages.
const AGENTS: [&str; 3] = ["direct", "tunnel", "addon"];

/// Runs these cases, or [`CASES`], with the binary that `TOLLGATE_BIN` names or else one that is built for it, and fails where the
/// verdict through the proxy is another one than without it. `all` are all cases there are; with two cores, that takes hours.
pub(crate) fn run(workspace: &Workspace, cases: &[&str]) -> Result<()> {
    let python = python().context(WITHOUT)?;
    let binary = if let Some(binary) = env::var_os("TOLLGATE_BIN") {
        build::addons(workspace)?;
        PathBuf::from(binary)
    } else {
        build::all(workspace)?;
        workspace.target.join("release/tollgate")
    };
    match cases {
        [] => check(workspace, &python, &binary, &CASES),
        ["all"] => check(workspace, &python, &binary, &["*"]),
        cases => check(workspace, &python, &binary, cases),
    }
}

/// Runs some cases of each group with this binary, where there is what the suite needs; else a word about it.
pub(crate) fn run_quick(workspace: &Workspace, binary: &Path) -> Result<()> {
    let Some(python) = python() else {
        eprintln!("    LEFT OUT: {WITHOUT}; all other tests run");
        return Ok(());
    };
    check(workspace, &python, binary, &QUICK)
}

fn check(workspace: &Workspace, python: &Python, binary: &Path, cases: &[&str]) -> Result<()> {
    let home = workspace.target.join("autobahn");
    fs::create_dir_all(&home)?;
    let suite = step("Autobahn's test suite", || install(&home, python))?;
    let addon = workspace.target.join(build::TARGET).join("addon/guest_scripted.wasm");
    let ports = free_ports()?;
    let [server, tunnel, seen] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let plugins = home.join("plugins");
    fs::create_dir_all(&plugins)?;
    fs::copy(&addon, plugins.join("seen.wasm")).with_context(|| format!("cannot copy {}", addon.display()))?;
    fs::write(home.join("tollgate.toml"), config(&home, server, tunnel, seen))?;
    fs::write(home.join("seen.json"), json!({"rules": [{"on": "websocket-message"}]}).to_string())?;
    let log = || fs::File::create(home.join("server.log")).map(Stdio::from);
    let mut origin = Server::start(
        "echo server",
        command(&suite).args(["-m", "testeeserver", "-w", &format!("ws://{server}")]).stdout(log()?).stderr(Stdio::null()),
    )?;
    let log = fs::File::create(home.join("tollgate.log"))?;
    let mut proxy =
        Server::start("proxy", command(binary).arg("run").arg("--config").arg(home.join("tollgate.toml")).stdout(log))?;
    wait_for(server, &mut origin)?;
    wait_for(tunnel, &mut proxy)?;
    wait_for(seen, &mut proxy)?;
    let reports = home.join("reports");
    let servers: Vec<Value> = AGENTS
        .iter()
        .zip([server, tunnel, seen])
        .map(|(agent, address)| json!({"agent": agent, "url": format!("ws://{address}")}))
        .collect();
    let spec = json!({"outdir": reports, "servers": servers, "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}});
    fs::write(home.join("spec.json"), spec.to_string())?;
    step("the cases", || {
        let log = fs::File::create(home.join("client.log"))?;
        run_to_end(command(&suite).args(["-m", "fuzzingclient", "-s"]).arg(home.join("spec.json")).stdout(log))
    })?;
    let index = fs::read_to_string(reports.join("index.json")).context("the suite left no report")?;
    compare(&serde_json::from_str(&index)?)
}

/// How to call a Python 2.7 that can make environments of its own.
struct Python {
    /// What pyenv is told, which has a program of this name for all versions.
    version: Option<String>,
}

/// What is said where there is none.
const WITHOUT: &str = "Autobahn's test suite needs Python 2.7 with virtualenv (python2.7 -m pip install virtualenv)";

impl Python {
    fn command(&self) -> Command {
        let mut python = command("python2.7");
        if let Some(version) = &self.version {
            python.env("PYENV_VERSION", version);
        }
        python
    }

    fn works(&self) -> bool {
        works(self.command().args(["-m", "virtualenv", "--version"]))
    }
}

fn python() -> Option<Python> {
    let has_pyenv = works(command("pyenv").arg("--version"));
    let versions = has_pyenv.then(|| output(command("pyenv").args(["versions", "--bare"])).ok()).flatten().unwrap_or_default();
    let of_pyenv =
        versions.lines().map(str::trim).filter(|version| version.starts_with("2.7")).map(|version| Some(version.to_owned()));
    std::iter::once(None).chain(of_pyenv).map(|version| Python { version }).find(Python::works)
}

/// The program of the suite, which is made for Python 2.7.
fn install(home: &Path, python: &Python) -> Result<PathBuf> {
    let suite = home.join("python/bin/wstest");
    if !suite.exists() {
        let place = home.join("python");
        run_to_end(python.command().args(["-m", "virtualenv"]).arg(&place))?;
        run_to_end(command(place.join("bin/pip")).args(["install", "autobahntestsuite"]))?;
    }
    Ok(suite)
}

fn free_ports() -> Result<[u16; 3]> {
    let listeners = [(); 3].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

fn config(home: &Path, server: SocketAddr, tunnel: SocketAddr, seen: SocketAddr) -> String {
    let listener = |name: &str, bind: SocketAddr, addons: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\nmode = \"reverse\"\nbind = \"{bind}\"\nupstream = \"http://{server}\"\naddons = {addons}\n"
        )
    };
    let home = home.display();
    format!(
        "plugins = \"{home}/plugins\"\n{}{}[addon.seen]\noptions_file = \"{home}/seen.json\"\n\
         max_body = \"64MiB\"\nmemory = \"256MiB\"\ncpu = \"10s\"\n",
        listener("tunnel", tunnel, "[]"),
        listener("seen", seen, "[\"seen\"]")
    )
}

fn wait_for(address: SocketAddr, process: &mut Server) -> Result<()> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        process.check()?;
        if start.elapsed() > PATIENCE {
            bail!("nobody listens on {address} after {} s", PATIENCE.as_secs());
        }
        sleep(GLANCE);
    }
    Ok(())
}

/// Prints verdicts by groups of cases, and fails where one differs from that without the proxy.
fn compare(index: &Value) -> Result<()> {
    let verdict = |agent: &str, case: &str| {
        let result = index.get(agent)?.get(case)?;
        Some((result.get("behavior")?.as_str()?, result.get("behaviorClose")?.as_str()?))
    };
    let cases = index.get("direct").and_then(Value::as_object).context("the report says nothing of the server itself")?;
    let mut groups: BTreeMap<(u32, &str), (usize, usize)> = BTreeMap::new();
    let mut differences = Vec::new();
    for case in cases.keys() {
        let group = case.split('.').next().and_then(|group| group.parse().ok()).unwrap_or_default();
        let direct = verdict("direct", case);
        for agent in AGENTS.iter().skip(1) {
            let through = verdict(agent, case);
            let (all, same) = groups.entry((group, agent)).or_default();
            *all += 1;
            if through.is_some() && through == direct {
                *same += 1;
            } else {
                differences.push(format!("{case} {agent}: {through:?}, without the proxy {direct:?}"));
            }
        }
    }
    for ((group, agent), (all, same)) in groups {
        println!("group {group:2} {agent:8} {same} of {all} as without the proxy");
    }
    if differences.is_empty() { Ok(()) } else { bail!("other verdicts:\n{}", differences.join("\n")) }
}
