//! Cases of large bodies.

use anyhow::{Context, Result, ensure};

use crate::bench::{
    Bench,
    answer::Answer,
    data::{Bound::AtLeast, Bound::AtMost, Measure, Outcome, Values},
    envoy,
    load::download,
    nginx,
    origin::{HUGE, HUGE_BYTES, QUARTER, QUARTER_BYTES, SMALL},
    proxy::Proxy,
    statistics::float,
    tollgate::{self, Addon, calls},
};

/// A quarter first: more memory for four times the bytes is memory that grows with them.
fn both(proxy: &mut Proxy) -> Result<Values> {
    let quarter = download(proxy, QUARTER, QUARTER_BYTES)?;
    let mut values = download(proxy, HUGE, HUGE_BYTES)?;
    if let Some(peak) = quarter.get(&Measure::Peak) {
        values.insert(Measure::PeakOfQuarter, *peak);
    }
    Ok(values)
}

/// An addon that edits the head, while the body streams past.
pub(super) fn huge(bench: &Bench) -> Result<Outcome> {
    const ADDON: &str = "Tollgate, addon of heads";
    const NGINX: &str = "nginx";
    const ENVOY: &str = "Envoy";
    let core = bench.core();
    let mut proxies = [
        tollgate::start(bench, &bench.wants(ADDON, &core), &[Addon::that(bench, "head", "head", "")])?,
        nginx::start(bench, &bench.wants(NGINX, &core))?,
        envoy::start(bench, &bench.wants(ENVOY, &core), false)?,
    ];
    for proxy in &proxies {
        let answer = bench.same_as_origin(proxy, SMALL)?;
        let wanted = (proxy.label == ADDON).then_some("bench");
        ensure!(answer.field("x-seen-by") == wanted, "{} made other edits than meant", proxy.label);
    }
    let mut outcome = bench.alternate(&[ADDON, NGINX, ENVOY], |place| both(proxies.get_mut(place).context("a proxy")?))?;
    let best = outcome.median(NGINX, Measure::Throughput)?.max(outcome.median(ENVOY, Measure::Throughput)?);
    let ratio = outcome.median(ADDON, Measure::Throughput)? / best;
    outcome.judge("throughput / the better of nginx and Envoy", ratio, AtLeast, 1.0, "");
    let growth = outcome.median(ADDON, Measure::Peak)? / outcome.median(ADDON, Measure::PeakOfQuarter)?;
    outcome.judge("most memory for 1 GiB / for 256 MiB", growth, AtMost, 1.1, "");
    outcome.note(
        "One connection. Origin and client share a core where there are two, so that it can be their limit: CPU s/GiB is the proxy's \
         own.",
    );
    Ok(outcome)
}

/// A hook that sees each piece, and one that puts bytes in its place.
pub(super) fn chunks(bench: &Bench) -> Result<Outcome> {
    const PLAIN: &str = "Tollgate";
    const LOOKS: &str = "Tollgate, hook looks";
    const REPLACES: &str = "Tollgate, hook replaces";
    let core = bench.core();
    let mut proxies = [
        tollgate::start(bench, &bench.wants(PLAIN, &core), &[])?,
        tollgate::start(bench, &bench.wants(LOOKS, &core), &[Addon::that(bench, "pieces", "looks", "")])?,
        tollgate::start(bench, &bench.wants(REPLACES, &core), &[Addon::that(bench, "pieces", "replaces", "")])?,
    ];
    for proxy in &proxies {
        let before = calls(proxy, "pieces")?;
        let answer = Answer::of(proxy, SMALL, &[])?;
        ensure!(answer.status == 200 && answer.body.len() == 1024, "{} has another body", proxy.label);
        let is_called = calls(proxy, "pieces")? > before;
        ensure!(is_called == (proxy.label != PLAIN), "{}: the hook is called or not as was not meant", proxy.label);
    }
    let mut outcome = bench.alternate(&[PLAIN, LOOKS, REPLACES], |place| {
        let proxy = proxies.get_mut(place).context("a proxy")?;
        let before = calls(proxy, "pieces")?;
        let mut values = download(proxy, HUGE, HUGE_BYTES)?;
        let calls = calls(proxy, "pieces")? - before;
        if calls > 0 {
            values.insert(Measure::Piece, float(HUGE_BYTES) / float(calls) / 1024.0);
        }
        Ok(values)
    })?;
    for (label, what) in [(LOOKS, "looks"), (REPLACES, "replaces")] {
        let ratio = outcome.ratio(label, PLAIN, Measure::Throughput)?;
        outcome.judge(format!("throughput / no hook, where it {what}"), ratio, AtLeast, 0.7, "");
    }
    Ok(outcome)
}
