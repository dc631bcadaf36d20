//! Streams on a host of their own: which one it is, by the instance document, and what goes there.

use std::{borrow::Cow, time::Duration};

use sha2::{Digest as _, Sha256};
use tollgate_sdk::{Flow, Request, http, kv, log};

use crate::{
    instance,
    options::Settings,
    site::{self, MAX_URL, Server},
};

/// What becomes of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// It goes to the upstream, where it belongs.
    Stay,
    /// It goes to this origin.
    To(String),
    /// It goes to the upstream, since it may not go where it belongs, and why.
    Barred(&'static str),
}

/// The upstream that the flow was for, whatever became of it: a note for later hooks.
const HOME: &str = "dedup.upstream";
/// What upstreams say about their streams.
const BUCKET: &str = "streaming";
/// What the log was told about them.
const WARNED: &str = "warned";
/// For so long what an upstream says is known without asking it.
const KNOWN: Duration = Duration::from_hours(1);
/// For so long one is not asked again that says nothing.
const UNKNOWN: Duration = Duration::from_mins(5);
const WARNED_FOR: Duration = Duration::from_hours(24);

/// For each of two instance documents.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_INSTANCE: u64 = 1 << 20;

const NOT_GRANTED: &str = "the configuration does not grant it (upstreams of the addon)";

/// The upstream that a flow was for, before its stream went elsewhere.
pub(crate) fn home(flow: &Flow, request: &Request) -> String {
    flow.note(HOME).unwrap_or_else(|| request.upstream())
}

/// Takes note of where an instance document that passes says that the upstream's streams are.
pub(crate) fn learn(upstream: &str, url: &str) {
    keep(upstream, url, KNOWN);
}

/// Keeps it; empty: it says nothing. A store that is not there, or full, keeps nothing.
fn keep(upstream: &str, url: &str, ttl: Duration) {
    let bucket = kv::Bucket::new(BUCKET);
    let (slot, value) = (slot(upstream), format!("{upstream}\n{url}"));
    if url.len() > MAX_URL || bucket.get(&slot).ok().flatten().is_some_and(|known| known == value.as_bytes()) {
        return;
    }
    if let Err(error) = bucket.set(&slot, value, ttl) {
        let error = error.to_string();
        log::debug!(error = error.as_str(); "where streams are is not kept");
    }
}

/// Sends a request for a stream where it belongs, and lets the core follow redirects to there. Where the addon may only look, nothing
/// is done.
pub(crate) fn lead(settings: &Settings, flow: &Flow, request: &mut Request) {
    let upstream = request.upstream();
    let Some(own) = Server::parse(&upstream) else { return };
    // Without the note, posts of this stream would be those of another server.
    if flow.set_note(HOME, &upstream).is_err() || request.follow_redirects(&hosts(settings, &own)).is_err() {
        return;
    }
    let url = known(&upstream).unwrap_or_else(|| ask(&upstream));
    let public = instance::public_origin(settings, flow, request);
    let way = way(settings, &own, public.as_deref(), &url);
    let barred = match way {
        Way::Stay => return,
        Way::Barred(why) => why,
        Way::To(origin) => match request.set_upstream(&origin) {
            Ok(()) => return,
            Err(_) => NOT_GRANTED,
        },
    };
    warn(&upstream, &url, barred);
}

/// Hosts that streams of this upstream may go to.
fn hosts<'a>(settings: &'a Settings, own: &'a Server) -> Vec<Cow<'a, str>> {
    let mut hosts = vec![Cow::Borrowed(own.host.as_str())];
    if let Some(domain) = site::registrable(&own.host) {
        hosts.extend([Cow::Borrowed(domain), Cow::Owned(format!("*.{domain}"))]);
    }
    hosts.extend(settings.streaming_hosts.iter().map(|host| Cow::Borrowed(host.as_str())));
    hosts
}

/// Where streams go that belong to this URL. The origin that clients know is the proxy's own.
fn way(settings: &Settings, own: &Server, public: Option<&str>, url: &str) -> Way {
    if url.is_empty() {
        return Way::Stay;
    }
    let Some(streams) = Server::parse(url) else { return Way::Barred("its URL is not that of a server alone") };
    let is_proxy = public.and_then(Server::parse).is_some_and(|public| public.host == streams.host);
    if own.origin == streams.origin || (is_proxy && streams.host != own.host) {
        return Way::Stay;
    }
    let is_listed = site::is_listed(&settings.streaming_hosts, &streams.host);
    if !is_listed && !site::is_one_site(&own.host, &streams.host) {
        return Way::Barred("it is of another site, and not listed (streaming_hosts)");
    }
    if own.is_more_secret_than(&streams) {
        return Way::Barred("it is without TLS");
    }
    Way::To(streams.origin)
}

/// What the store knows of the upstream; none: nothing.
fn known(upstream: &str) -> Option<String> {
    let value = kv::Bucket::new(BUCKET).get_str(&slot(upstream)).ok().flatten()?;
    value.strip_prefix(upstream)?.strip_prefix('\n').map(str::to_owned)
}

/// Asks the upstream for its instance document, without anybody's token.
fn ask(upstream: &str) -> String {
    let mut found = None;
    for path in ["/api/v2/instance", "/api/v1/instance"] {
        let asked = http::Request::get(format!("{upstream}{path}")).header("Accept", "application/json");
        match asked.timeout(TIMEOUT).max_response(MAX_INSTANCE).send() {
            Ok(answer) if answer.status == 200 => found = instance::url_of(path, &answer.body),
            Ok(_) => {}
            Err(_) => break,
        }
        if found.is_some() {
            break;
        }
    }
    let found = found.filter(|url| url.len() <= MAX_URL);
    keep(upstream, found.as_deref().unwrap_or_default(), if found.is_some() { KNOWN } else { UNKNOWN });
    found.unwrap_or_default()
}

/// Tells the log, once a day for each upstream that says the same.
fn warn(upstream: &str, url: &str, why: &str) {
    let bucket = kv::Bucket::new(WARNED);
    let (slot, value) = (slot(upstream), format!("{upstream}\n{url}\n{why}"));
    if bucket.get(&slot).ok().flatten().is_some_and(|told| told == value.as_bytes()) {
        return;
    }
    // Without a store, each stream tells.
    let _ = bucket.set(&slot, value, WARNED_FOR);
    let server = Server::parse(url);
    let host = server.as_ref().map_or("", |server| server.host.as_str());
    log::warn!(host = host, why = why; "streams have a host of their own, and are not relayed there: they go to the upstream");
}

/// The place of an upstream in the store: there are 256, however many upstreams clients choose.
fn slot(upstream: &str) -> String {
    let digest = Sha256::digest(upstream);
    format!("{:02x}", digest.first().copied().unwrap_or_default())
}
