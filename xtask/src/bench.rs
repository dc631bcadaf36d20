//! What the proxy costs, beside what it is to replace: in one run, on pinned cores, in rounds that alternate between peers.

mod answer;
mod awake;
mod cases;
mod cores;
mod data;
mod envoy;
mod idle;
mod load;
mod mitmproxy;
mod nginx;
mod origin;
mod ports;
mod processes;
mod proxy;
mod report;
mod statistics;
mod svg;
mod tollgate;
mod tools;

use std::{
    env, fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    build,
    process::{self, cargo, step},
    workspace::Workspace,
};

use self::{
    awake::Awake,
    cases::CASES,
    cores::Cores,
    data::{Outcome, Round, Values},
    origin::Origin,
    tools::Tools,
};

/// What the filter for Envoy is compiled for.
const FILTER_TARGET: &str = "wasm32-wasip1";

/// Rounds of each peer, unless it is said otherwise.
const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 3;

/// Seconds of a round, and of what goes before it unmeasured.
const ROUND: u64 = 5;
const QUICK_ROUND: u64 = 2;
const WARM_UP: u64 = 1;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    rounds: usize,
    seconds: u64,
    is_quick: bool,
    installs: bool,
    /// Names of cases; all if there is none.
    cases: Vec<String>,
}

/// All that cases need.
pub(crate) struct Bench {
    /// `target/bench/`.
    home: PathBuf,
    /// `target/bench/run/`: configurations, logs and what origins serve, until the end.
    run: PathBuf,
    tollgate: PathBuf,
    /// The addon of `tests/bench/addon`.
    addon: PathBuf,
    /// The bundled addons.
    plugins: PathBuf,
    filter: PathBuf,
    python_addon: PathBuf,
    tools: Tools,
    cores: Cores,
    rounds: usize,
    seconds: u64,
    is_quick: bool,
    origin: Origin,
    /// What else the machine had to do in the minute before: programs that wanted a core.
    others: String,
    awake: Awake,
    is_stopped: Arc<AtomicBool>,
}

/// Runs cases, prints what came of them and leaves it in `target/bench/`.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let wanted = Wanted::parse(arguments)?;
    let chosen: Vec<_> =
        CASES.iter().filter(|case| wanted.cases.is_empty() || wanted.cases.iter().any(|name| name == case.name)).collect();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let mut bench = step("what is compared", || Bench::prepare(workspace, &wanted, Arc::clone(&is_stopped)))?;
    // From here on ctrl-c ends the servers first.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_stopped)).context("cannot listen for signals")?;
    }
    bench.cores.pin_ourselves()?;
    bench.origin.start(&bench.tools, &bench.cores, &bench.run)?;
    let mut done: Vec<(&cases::Case, Outcome)> = Vec::new();
    let mut failed = Vec::new();
    for case in chosen {
        match step(case.title, || (case.run)(&bench)) {
            Ok(outcome) => done.push((case, outcome)),
            Err(_) if bench.is_stopped() => break,
            Err(error) => {
                eprintln!("    {error:#}");
                failed.push(case.name);
            }
        }
    }
    report::write(&bench, workspace, &done)?;
    let kept = bench.run.clone();
    let is_stopped = bench.is_stopped();
    drop(bench);
    if is_stopped {
        bail!("stopped; what was measured until then is above");
    }
    if !failed.is_empty() {
        bail!("no numbers for {}; logs are in {}", failed.join(", "), kept.display());
    }
    fs::remove_dir_all(&kept).with_context(|| format!("cannot remove {}", kept.display()))
}

impl Wanted {
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut wanted = Self { rounds: 0, seconds: ROUND, is_quick: false, installs: false, cases: Vec::new() };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => (wanted.is_quick, wanted.seconds) = (true, QUICK_ROUND),
                "--install" => wanted.installs = true,
                "--rounds" => {
                    let number = words.next().and_then(|number| number.parse().ok()).filter(|rounds| (1..=1000).contains(rounds));
                    wanted.rounds = number.context("--rounds needs a number from 1 to 1000")?;
                }
                name if CASES.iter().any(|case| case.name == name) => wanted.cases.push(name.to_owned()),
                other => {
                    let names: Vec<String> = CASES.iter().map(|case| format!("  {:18} {}", case.name, case.title)).collect();
                    bail!("{other:?} is neither an option (--quick, --rounds N, --install) nor a case:\n{}", names.join("\n"));
                }
            }
        }
        if wanted.rounds == 0 {
            wanted.rounds = if wanted.is_quick { QUICK_ROUNDS } else { ROUNDS };
        }
        Ok(wanted)
    }
}

impl Bench {
    fn prepare(workspace: &Workspace, wanted: &Wanted, is_stopped: Arc<AtomicBool>) -> Result<Self> {
        let loads = fs::read_to_string("/proc/loadavg").context("cannot read /proc/loadavg")?;
        let others = loads.split_whitespace().next().unwrap_or_default().to_owned();
        let home = workspace.target.join("bench");
        let run = home.join("run");
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
        }
        fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
        let tools = Tools::find(&home, wanted.installs)?;
        let tollgate = if let Some(binary) = env::var_os("TOLLGATE_BIN") {
            build::addons(workspace)?;
            PathBuf::from(binary)
        } else {
            build::all(workspace)?;
            workspace.program("release", "tollgate")
        };
        let sources = workspace.root.join("tests/bench");
        build::add_target(FILTER_TARGET)?;
        let built = home.join("filter");
        let mut compile = cargo();
        compile.args(["build", "--release", "--locked", "--target", FILTER_TARGET, "--manifest-path"]);
        process::run(compile.arg(sources.join("filter/Cargo.toml")).arg("--target-dir").arg(&built))?;
        Ok(Self {
            origin: Origin::prepare(&run)?,
            addon: workspace.target.join("guests/bench-addon.wasm"),
            plugins: workspace.root.join("plugins"),
            filter: built.join(FILTER_TARGET).join("release/bench_filter.wasm"),
            python_addon: sources.join("mitmproxy/rules.py"),
            cores: Cores::find()?,
            rounds: wanted.rounds,
            seconds: wanted.seconds,
            is_quick: wanted.is_quick,
            home,
            run,
            tollgate,
            tools,
            others,
            awake: Awake::begin(),
            is_stopped,
        })
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Fails once somebody wants the end.
    fn check(&self) -> Result<()> {
        ensure!(!self.is_stopped(), "stopped");
        Ok(())
    }

    fn round(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// Rounds of these peers, A B C A B C …: what the machine does meanwhile is done to each.
    fn alternate(&self, peers: &[&str], mut round: impl FnMut(usize) -> Result<Values>) -> Result<Outcome> {
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            for (place, peer) in peers.iter().enumerate() {
                self.check()?;
                let values = round(place).with_context(|| format!("{peer}, round {number}"))?;
                let shown: Vec<String> =
                    values.iter().map(|(measure, value)| format!("{} {}", measure.title(), measure.shown(*value))).collect();
                eprintln!("    {number}/{} {peer:28} {}", self.rounds, shown.join(", "));
                rounds.push(Round { peer: (*peer).to_owned(), number, values });
            }
        }
        Ok(Outcome::of(rounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let plain = Wanted { rounds: 5, seconds: 5, is_quick: false, installs: false, cases: vec![] };
        assert_eq!(Wanted::parse(&[]).expect("legal"), plain);
        let some = Wanted::parse(&["--quick", "plain-1k", "--install", "tls"]).expect("legal");
        assert_eq!((some.rounds, some.seconds, some.installs, some.cases), (3, 2, true, vec!["plain-1k".into(), "tls".into()]));
        assert_eq!(Wanted::parse(&["--rounds", "1", "--quick"]).expect("legal").rounds, 1);
        assert_eq!(Wanted::parse(&["--rounds", "1000"]).expect("legal").rounds, 1000);
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["--rounds", "1001"], &["--rounds", "x"]] {
            assert_eq!(Wanted::parse(wrong).expect_err("refused").to_string(), "--rounds needs a number from 1 to 1000");
        }
        let error = Wanted::parse(&["plain"]).expect_err("refused").to_string();
        assert!(error.starts_with("\"plain\" is neither") && error.contains("\n  plain-1k "), "{error}");
    }
}
