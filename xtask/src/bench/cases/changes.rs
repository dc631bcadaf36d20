//! Cases of changes: from a cause to its effect.

use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    process::command,
    servers::{GLANCE, Server},
};

use crate::bench::{
    Bench,
    data::{Bound::AtMost, Measure, Outcome, Values},
    idle::kept,
    origin::SMALL,
    proxy::{Place, Proxy, pinned},
    tollgate::{self, Addon, configure, install},
};

/// How long a file has to be still before it is looked at: as the proxy has it, in `proxy/src/addons/settings.rs`.
const SETTLE: Duration = Duration::from_millis(100);

/// Between two looks whether it has come.
const PAUSE: Duration = Duration::from_millis(1);

/// How long an effect may take to show.
const PATIENCE: Duration = Duration::from_secs(30);

/// From the call to the line `ready`, when all addons of the chain are in force.
pub(super) fn start(bench: &Bench) -> Result<Outcome> {
    const PEER: &str = "Tollgate, six addons";
    let core = bench.core();
    let wants = bench.wants(PEER, &core);
    let mut addons: Vec<Addon> =
        ["cache", "callback", "dedup", "policy", "version-clamp"].iter().map(|name| Addon::bundled(bench, name)).collect();
    addons.push(Addon::that(bench, "rules", "rules", ""));
    // Once for the cache, code of snapshots included.
    drop(tollgate::start(bench, &wants, &addons)?);
    let place = Place::reserve(bench, PEER)?;
    let config = configure(&place, &bench.home.join("cache"), &wants, &addons)?;
    let mut program = command(&bench.tollgate);
    program.arg("run").arg("--config").arg(config);
    let mut outcome = bench.alternate(&[PEER], |_| {
        let took = until_ready(bench, &place, &program, addons.len())?;
        Ok(Values::from([(Measure::Took, millis(took))]))
    })?;
    outcome.judge("start to ready", outcome.median(PEER, Measure::Took)?, AtMost, 50.0, "ms");
    outcome.note("On one core, from starting `taskset`, which becomes the proxy.");
    Ok(outcome)
}

fn until_ready(bench: &Bench, place: &Place, program: &Command, addons: usize) -> Result<Duration> {
    let mut program = pinned(&bench.core(), program, &place.folder.join("log"))?;
    program.stdout(Stdio::piped());
    let start = Instant::now();
    let mut server = Server::start("proxy", &mut program)?;
    server.wait_for_line("ready")?;
    let took = start.elapsed();
    let status = tollgate::addons(place.admin)?;
    let in_force = status.get("addons").and_then(|all| all.as_array()).into_iter().flatten();
    let states: Vec<_> = in_force.filter_map(|addon| addon.get("state")).filter(|state| **state != json!("failed")).collect();
    ensure!(states.len() == addons, "{} of {addons} addons are in force when it is ready: {status:#}", states.len());
    Ok(took)
}

/// A file that comes while the proxy serves: one whose code it has met, and one that it never saw.
pub(super) fn dropped(bench: &Bench) -> Result<Outcome> {
    const KNOWN: &str = "known addon";
    const UNKNOWN: &str = "unknown addon";
    let core = bench.core();
    let known = Addon::that(bench, "edits", "edits", "");
    let cache = bench.home.join("cache");
    // It has met the code with these options, and frozen it.
    drop(tollgate::start(bench, &bench.wants("Tollgate, to learn", &core), std::slice::from_ref(&known))?);
    let mut outcome = bench.alternate(&[KNOWN, UNKNOWN], |peer| {
        let fresh = bench.run.join("cache");
        if fresh.exists() {
            fs::remove_dir_all(&fresh)?;
        }
        let cache = if peer == 0 { &cache } else { &fresh };
        let wants = bench.wants(if peer == 0 { "Tollgate, known" } else { "Tollgate, unknown" }, &core);
        let place = Place::reserve(bench, wants.label)?;
        let config = configure(&place, cache, &wants, std::slice::from_ref(&known))?;
        let plugins = place.folder.join("plugins");
        fs::remove_file(plugins.join("edits.wasm")).context("cannot remove an addon")?;
        let mut program = command(&bench.tollgate);
        program.arg("run").arg("--config").arg(config);
        let mut proxy = Proxy::start(place, &wants, true, &program)?;
        ensure!(!is_seen(&proxy)?, "the addon is there before its file");
        // What a start has to do is over.
        sleep(10 * GLANCE);
        let start = Instant::now();
        install(&known.file, &plugins, &known.name)?;
        while !is_seen(&proxy)? {
            proxy.check()?;
            bench.check()?;
            ensure!(start.elapsed() < PATIENCE, "the addon does not show within {} s", PATIENCE.as_secs());
            sleep(PAUSE);
        }
        let took = start.elapsed();
        Ok(Values::from([(Measure::Took, millis(took)), (Measure::Settled, millis(took.saturating_sub(SETTLE)))]))
    })?;
    outcome.judge("known addon, after settling", outcome.median(KNOWN, Measure::Settled)?, AtMost, 20.0, "ms");
    outcome.judge("unknown addon", outcome.median(UNKNOWN, Measure::Took)?, AtMost, 1000.0, "ms");
    let size = fs::metadata(&known.file)?.len();
    outcome.note(format!(
        "The addon has {size} bytes. A file has to be still for {} ms. Compiled on the one core that serves. Looked for each \
         millisecond.",
        SETTLE.as_millis()
    ));
    Ok(outcome)
}

/// Whether a flow of now goes through the addon.
fn is_seen(proxy: &Proxy) -> Result<bool> {
    let (_, head) = kept(proxy.address, SMALL)?;
    Ok(head.to_ascii_lowercase().contains("\r\nx-seen-by: bench\r\n"))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
