//! Cases of many requests: processor for each, and how long they take.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::bench::{
    Bench,
    answer::{Answer, finds},
    data::{Bound::AtLeast, Bound::AtMost, Measure, Outcome, Values},
    envoy, load, mitmproxy, nginx,
    origin::{LARGE, MIDDLE, SMALL},
    proxy::{Certificate, Proxy, Wants},
    tollgate::{self, Addon, calls},
};

const TOLLGATE: &str = "Tollgate";
const NGINX: &str = "nginx";
const ENVOY: &str = "Envoy";
const HAPROXY: &str = "haproxy";

impl Bench {
    /// A proxy before the origin, on its core.
    pub(super) fn wants<'a>(&self, label: &'static str, core: &'a str) -> Wants<'a> {
        Wants { label, upstream: self.origin.address(), cores: core, speaks_http2: false, certificate: None, is_crowd: false }
    }

    pub(super) fn core(&self) -> String {
        self.cores.proxy.to_string()
    }

    /// Rounds of these proxies.
    fn rounds(
        &self,
        proxies: &mut [Proxy],
        path: &str,
        round: fn(&Bench, &mut Proxy, &str) -> Result<Values>,
    ) -> Result<Outcome> {
        let labels: Vec<&str> = proxies.iter().map(|proxy| proxy.label).collect();
        self.alternate(&labels, |place| match proxies.get_mut(place) {
            Some(proxy) => round(self, proxy, path),
            None => Ok(Values::new()),
        })
    }
}

/// No addon: the proxy itself, beside three others.
fn plain(bench: &Bench, path: &str) -> Result<Outcome> {
    let core = bench.core();
    let wants = |label| bench.wants(label, &core);
    let mut proxies = [
        tollgate::start(bench, &wants(TOLLGATE), &[])?,
        nginx::start(bench, &wants(NGINX))?,
        envoy::start(bench, &wants(ENVOY), false)?,
        nginx::start_haproxy(bench, &wants(HAPROXY))?,
    ];
    for proxy in &proxies {
        bench.same_as_origin(proxy, path)?;
    }
    bench.rounds(&mut proxies, path, load::requests)
}

pub(super) fn plain_small(bench: &Bench) -> Result<Outcome> {
    let mut outcome = plain(bench, SMALL)?;
    outcome.judge("CPU per request / nginx", outcome.ratio(TOLLGATE, NGINX, Measure::Cpu)?, AtMost, 1.0, "");
    Ok(outcome)
}

pub(super) fn plain_large(bench: &Bench) -> Result<Outcome> {
    let mut outcome = plain(bench, LARGE)?;
    let best = outcome.median(NGINX, Measure::Cpu)?.min(outcome.median(ENVOY, Measure::Cpu)?);
    let ratio = outcome.median(TOLLGATE, Measure::Cpu)? / best;
    outcome.judge("CPU per request / the better of nginx and Envoy", ratio, AtMost, 0.75, "");
    Ok(outcome)
}

/// Four addons whose filters let no flow of the round through.
pub(super) fn idle_addons(bench: &Bench) -> Result<Outcome> {
    const FOUR: &str = "Tollgate, four addons";
    let filters = ["~m POST & ~p ^/upload", "~p \"^/admin/\"", "~hq \"X-Debug: 1\"", "~d other.example & ! ~m GET"];
    let addons: Vec<Addon> =
        ["a", "b", "c", "d"].iter().zip(filters).map(|(name, filter)| Addon::that(bench, name, "edits", filter)).collect();
    let core = bench.core();
    let mut proxies = [
        tollgate::start(bench, &bench.wants(TOLLGATE, &core), &[])?,
        tollgate::start(bench, &bench.wants(FOUR, &core), &addons)?,
    ];
    for proxy in &proxies {
        bench.judges(proxy, SMALL, false)?;
    }
    let [_, four] = &proxies;
    let answer = Answer::of(four, "/admin/", &[])?;
    ensure!(answer.field("x-seen-by") == Some("bench"), "the addons do nothing at all");
    let mut outcome = bench.rounds(&mut proxies, SMALL, load::requests)?;
    outcome.judge("CPU per request / no addon", outcome.ratio(FOUR, TOLLGATE, Measure::Cpu)?, AtMost, 1.03, "");
    Ok(outcome)
}

/// The same rules in a fresh instance a flow, in a VM for all, and in Python.
pub(super) fn rules(bench: &Bench) -> Result<Outcome> {
    const ADDON: &str = "Tollgate, addon";
    const FILTER: &str = "Envoy, proxy-wasm";
    const PYTHON: &str = "mitmproxy, Python";
    let core = bench.core();
    let mut proxies = [
        tollgate::start(bench, &bench.wants(ADDON, &core), &[Addon::that(bench, "rules", "rules", "")])?,
        envoy::start(bench, &bench.wants(FILTER, &core), true)?,
        mitmproxy::start(bench, &bench.wants(PYTHON, &core))?,
    ];
    for proxy in &proxies {
        bench.judges(proxy, SMALL, true)?;
        finds(proxy, SMALL)?;
    }
    let mut outcome = bench.rounds(&mut proxies, SMALL, load::requests)?;
    outcome.judge("CPU per request / Envoy + proxy-wasm", outcome.ratio(ADDON, FILTER, Measure::Cpu)?, AtMost, 1.0, "");
    outcome.judge("p99 / Envoy + proxy-wasm", outcome.ratio(ADDON, FILTER, Measure::P99)?, AtMost, 1.0, "");
    outcome.judge("CPU per request / mitmproxy", outcome.ratio(ADDON, PYTHON, Measure::Cpu)?, AtMost, 1.0 / 25.0, "");
    outcome.note("An instance a flow for Tollgate; Envoy has one VM for all flows, mitmproxy one interpreter.");
    Ok(outcome)
}

/// What an instance and two calls cost above nothing.
pub(super) fn hooks(bench: &Bench) -> Result<Outcome> {
    const PASSES: &str = "Tollgate, two hooks";
    const EDITS: &str = "Tollgate, with an edit in each";
    let core = bench.core();
    let mut proxies = [
        tollgate::start(bench, &bench.wants(TOLLGATE, &core), &[])?,
        tollgate::start(bench, &bench.wants(PASSES, &core), &[Addon::that(bench, "hooks", "passes", "")])?,
        tollgate::start(bench, &bench.wants(EDITS, &core), &[Addon::that(bench, "hooks", "edits", "")])?,
    ];
    for (proxy, (is_edited, wanted)) in proxies.iter().zip([(false, 0), (false, 2), (true, 2)]) {
        let before = calls(proxy, "hooks")?;
        bench.judges(proxy, SMALL, is_edited)?;
        let called = calls(proxy, "hooks")? - before;
        ensure!(called == wanted, "{} calls {called} hooks in a flow, not {wanted}", proxy.label);
    }
    let mut outcome = bench.rounds(&mut proxies, SMALL, load::requests)?;
    let above = outcome.median(PASSES, Measure::Cpu)? - outcome.median(TOLLGATE, Measure::Cpu)?;
    outcome.judge("CPU per request above no addon", above, AtMost, 12.0, "µs");
    Ok(outcome)
}

/// A body that is collected, parsed, changed and written.
pub(super) fn json(bench: &Bench) -> Result<Outcome> {
    const MEMBERS: &str = "Tollgate, JSON rewritten";
    const VALUES: &str = "Tollgate, JSON as a tree";
    let core = bench.core();
    let addon = |label, does| tollgate::start(bench, &bench.wants(label, &core), &[Addon::that(bench, "json", does, "")]);
    let mut proxies =
        [tollgate::start(bench, &bench.wants(TOLLGATE, &core), &[])?, addon(MEMBERS, "members")?, addon(VALUES, "json")?];
    let [plain, rewriting @ ..] = &proxies;
    let as_it_came: Value = serde_json::from_slice(&bench.same_as_origin(plain, MIDDLE)?.body)?;
    for proxy in rewriting {
        let answer = Answer::of(proxy, MIDDLE, &[])?;
        let mut written: Value = serde_json::from_slice(&answer.body)?;
        let added = written.as_object_mut().and_then(|document| document.remove("seen_by"));
        ensure!(answer.status == 200 && added == Some("bench".into()), "the addon did not rewrite the document");
        ensure!(written == as_it_came, "the addon made another document of it");
    }
    let mut outcome = bench.rounds(&mut proxies, MIDDLE, load::requests)?;
    let above = outcome.median(MEMBERS, Measure::Cpu)? - outcome.median(TOLLGATE, Measure::Cpu)?;
    outcome.judge("CPU per request above no addon", above, AtMost, 40.0, "µs");
    outcome.note(
        "All of the document is read and checked, and another member written into it. As a tree: into serde_json's Value, with a string, \
         a number or a map of its own for each of about 300 values.",
    );
    Ok(outcome)
}

/// HTTP/2 from the client, HTTP/1.1 to the origin.
pub(super) fn h2(bench: &Bench) -> Result<Outcome> {
    let core = bench.core();
    let wants = |label| Wants { speaks_http2: true, ..bench.wants(label, &core) };
    let mut proxies = [tollgate::start(bench, &wants(TOLLGATE), &[])?, envoy::start(bench, &wants(ENVOY), false)?];
    for proxy in &proxies {
        bench.same_as_origin(proxy, SMALL)?;
    }
    let mut outcome = bench.rounds(&mut proxies, SMALL, load::streams)?;
    outcome.judge("CPU per request / Envoy", outcome.ratio(TOLLGATE, ENVOY, Measure::Cpu)?, AtMost, 0.8, "");
    Ok(outcome)
}

/// A connection with a handshake for each request.
pub(super) fn tls(bench: &Bench) -> Result<Outcome> {
    let core = bench.core();
    let certificate = Certificate::make(&bench.run)?;
    let wants = |label| Wants { certificate: Some(&certificate), ..bench.wants(label, &core) };
    let mut proxies = [tollgate::start(bench, &wants(TOLLGATE), &[])?, nginx::start(bench, &wants(NGINX))?];
    for proxy in &proxies {
        bench.same_as_origin(proxy, SMALL)?;
    }
    let mut outcome = bench.rounds(&mut proxies, SMALL, load::handshakes)?;
    let ratio = outcome.ratio(TOLLGATE, NGINX, Measure::Handshakes)?;
    outcome.judge("handshakes a second of processor / nginx", ratio, AtLeast, 0.9, "");
    outcome.note(
        "TLS 1.3, P-256, nothing resumed, one request of 1 KiB after each handshake, a thousand a second. A handshake costs the client \
         about what it costs the server, so that a rate at the limit would be the load's: what counts is how many a second of the \
         proxy's processor is enough for.",
    );
    Ok(outcome)
}

/// One core and two.
pub(super) fn scaling(bench: &Bench) -> Result<Outcome> {
    const ONE: &str = "Tollgate, one core";
    const TWO: &str = "Tollgate, two cores";
    let core = bench.core();
    let (two, is_alone) = bench.cores.two();
    let mut proxies =
        [tollgate::start(bench, &bench.wants(ONE, &core), &[])?, tollgate::start(bench, &bench.wants(TWO, &two), &[])?];
    for proxy in &proxies {
        bench.same_as_origin(proxy, SMALL)?;
    }
    let mut outcome = bench.rounds(&mut proxies, SMALL, load::requests)?;
    if is_alone {
        let ratio = outcome.ratio(TWO, ONE, Measure::Rate)?;
        outcome.judge("req/s of two cores / one", ratio, AtLeast, 1.85, "");
    } else {
        // With both cores taken, there is no rate that load and origin would not have a part in.
        let ratio = 2.0 * outcome.ratio(ONE, TWO, Measure::Cpu)?;
        outcome.judge("requests for the processor's time of two cores / one", ratio, AtLeast, 1.85, "");
        outcome.note(
            "This machine has no cores for load and origin besides two for the proxy, so that req/s of two cores say nothing. What it \
             can show is whether a request costs more where two threads serve: twice the cost on one core by the cost on two. \
             Waiting of one thread for the other is not in it, and more than 2 is noise, or what many requests at one wake-up save.",
        );
    }
    Ok(outcome)
}
