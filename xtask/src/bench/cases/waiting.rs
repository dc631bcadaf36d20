//! Cases of what waits: memory of connections.

use std::{net::SocketAddr, thread::sleep, time::Duration};

use anyhow::{Result, ensure};

use crate::bench::{
    Bench,
    data::{Bound::AtMost, Measure, Outcome, Values},
    envoy,
    idle::{self, Echo},
    load::mebibytes,
    nginx,
    origin::SMALL,
    proxy::{Proxy, Wants},
    statistics::float,
    tollgate::{self, Addon},
};

/// As many as are wanted; and those which are open before counting begins: what there is once for all is there by then.
const MANY: u64 = 10_000;
const FIRST: u64 = 100;

/// Time for what is done once the last is open.
const REST: Duration = Duration::from_secs(2);

/// Memory of each connection that `open` opens. The proxy is a fresh one: what a round leaves behind would be the next one's.
fn each<T>(bench: &Bench, proxy: &mut Proxy, count: u64, mut open: impl FnMut(SocketAddr) -> Result<T>) -> Result<Values> {
    let mut opened = Vec::new();
    let mut before = 0;
    for number in 1..=count {
        bench.check()?;
        opened.push(open(proxy.address)?);
        if number == FIRST {
            sleep(REST);
            before = proxy.tree.private()?;
        }
    }
    sleep(REST);
    let after = proxy.tree.private()?;
    let peak = proxy.tree.peak()?;
    proxy.check()?;
    drop(opened);
    let mut values = Values::new();
    values.insert(Measure::Each, (float(after) - float(before)) / float(count - FIRST) / 1024.0);
    values.insert(Measure::Peak, mebibytes(peak));
    Ok(values)
}

fn possible(sockets: u64) -> Result<u64> {
    let count = idle::possible(MANY, sockets)?;
    ensure!(count > 10 * FIRST, "the limit of open files lets there be {count} connections only: too few to tell (ulimit -n)");
    Ok(count)
}

fn tell_fewer(outcome: &mut Outcome, count: u64) {
    if count < MANY {
        outcome.note(format!("{count}, not {MANY}: a process may have no more descriptors here."));
    }
}

/// Connections that are kept after a request.
pub(super) fn connections(bench: &Bench) -> Result<Outcome> {
    const TOLLGATE: &str = "Tollgate";
    let count = possible(1)?;
    let core = bench.core();
    let mut outcome = bench.alternate(&[TOLLGATE, "nginx", "Envoy", "haproxy"], |place| {
        let mut proxy = match place {
            0 => tollgate::start(bench, &Wants { is_crowd: true, ..bench.wants(TOLLGATE, &core) }, &[])?,
            1 => nginx::start(bench, &bench.wants("nginx", &core))?,
            2 => envoy::start(bench, &bench.wants("Envoy", &core), false)?,
            _ => nginx::start_haproxy(bench, &bench.wants("haproxy", &core))?,
        };
        bench.same_as_origin(&proxy, SMALL)?;
        each(bench, &mut proxy, count, |address| Ok(idle::kept(address, SMALL)?.0))
    })?;
    outcome.judge("memory each", outcome.median(TOLLGATE, Measure::Each)?, AtMost, 12.0, "KiB");
    outcome.note("Memory that the proxy's processes share with nobody; what the kernel has for sockets is not in it.");
    tell_fewer(&mut outcome, count);
    Ok(outcome)
}

/// WebSockets through an addon that wants their messages.
pub(super) fn websockets(bench: &Bench) -> Result<Outcome> {
    const PEERS: [&str; 3] = ["Tollgate, nobody subscribes", "Tollgate, subscribed", "Tollgate, after a message"];
    let count = possible(2)?;
    let core = bench.core();
    let mut outcome = bench.alternate(&PEERS, |place| {
        let echo = Echo::listen()?;
        let label = PEERS.get(place).copied().unwrap_or_default();
        let wants = Wants { upstream: echo.address()?, is_crowd: true, ..bench.wants(label, &core) };
        let addons = if place == 0 { vec![] } else { vec![Addon::that(bench, "messages", "messages", "")] };
        let mut proxy = tollgate::start(bench, &wants, &addons)?;
        echo.open(proxy.address)?.talk()?;
        each(bench, &mut proxy, count, |address| {
            let mut socket = echo.open(address)?;
            if place == 2 {
                socket.talk()?;
            }
            Ok(socket)
        })
    })?;
    for (label, what) in PEERS.iter().zip(["", "before its first message", "with the instance that saw messages"]).skip(1) {
        outcome.judge(format!("memory each, {what}"), outcome.median(label, Measure::Each)?, AtMost, 60.0, "KiB");
    }
    outcome.note("The addon keeps its instance between messages. Memory as for idle connections.");
    tell_fewer(&mut outcome, count);
    Ok(outcome)
}
