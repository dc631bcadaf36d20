//! The options, read and checked.

use std::{ops::RangeInclusive, time::Duration};

use serde::Deserialize;
use tollgate_sdk::OptionErrors;

use crate::{routes::Timeline, site};

/// The options as written; README.md says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How repeats are told.
    pub mode: String,
    /// Whose sightings count.
    pub scope: String,
    /// Whether all timelines count as one.
    pub across_timelines: bool,
    /// What becomes of boosts.
    pub boosts: String,
    /// Which entry of a post wins within a page.
    pub prefer: String,
    /// Whether a post that was edited is shown again.
    pub edits: String,
    /// How long a post is remembered, from its first sighting on.
    pub ttl: String,
    /// How long a page that was delivered is given again.
    pub replay_window: String,
    /// What becomes of a page of repeats alone.
    pub empty_page: String,
    /// Where repeats are dropped.
    pub timelines: Vec<String>,
    /// Whether streams are looked at, too.
    pub streaming: bool,
    /// Hosts that streams may go to besides those of the upstream's own site.
    pub streaming_hosts: Vec<String>,
    /// Where clients reach the proxy; empty: as the listener and the request say.
    pub public_url: String,
    /// Whether a field tells what was done.
    pub explain: bool,
}

/// How repeats are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By the entry that brought a post first.
    Entries,
    /// Any second sighting is one.
    Once,
}

/// Whose sightings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Each token has its own.
    User,
    /// All have the same.
    Shared,
}

/// What becomes of boosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boosts {
    /// They are judged by what they boost.
    First,
    /// All are dropped.
    HideAll,
    /// All are shown, and count for nothing.
    Keep,
}

/// Which entry of a post wins within a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// The one that comes first.
    First,
    /// The post itself, wherever its boosts are.
    Original,
}

/// What becomes of a page of repeats alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyPage {
    /// Its last item stays.
    KeepLast,
    /// The next pages stand in for it.
    Refill,
    /// It is empty.
    Empty,
}

/// The options, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) sharing: Sharing,
    pub(crate) is_across: bool,
    pub(crate) boosts: Boosts,
    pub(crate) prefer: Prefer,
    pub(crate) shows_edits: bool,
    pub(crate) ttl: Duration,
    pub(crate) replay_window: Duration,
    pub(crate) empty_page: EmptyPage,
    pub(crate) reach: Reach,
    /// In lower case; `*.` before a name stands for all names below it.
    pub(crate) streaming_hosts: Vec<String>,
    /// Scheme and authority for streams, like `wss://fedi.example.org`; none: as the listener and the request say.
    pub(crate) streaming_origin: Option<String>,
    pub(crate) is_explained: bool,
}

/// Where repeats are dropped.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) timelines: Vec<Timeline>,
    pub(crate) has_streams: bool,
}

const MINUTE: Duration = Duration::from_mins(1);
/// Of `ttl`.
const TTL: RangeInclusive<Duration> = MINUTE..=Duration::from_hours(365 * 24);

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: "entries".to_owned(),
            scope: "user".to_owned(),
            across_timelines: false,
            boosts: "first".to_owned(),
            prefer: "first".to_owned(),
            edits: "show".to_owned(),
            ttl: "7d".to_owned(),
            replay_window: "5m".to_owned(),
            empty_page: "keep-last".to_owned(),
            timelines: Timeline::ALL.iter().map(|timeline| timeline.name().to_owned()).collect(),
            streaming: true,
            streaming_hosts: Vec::new(),
            public_url: String::new(),
            explain: false,
        }
    }
}

impl Options {
    /// What they mean, or all that is wrong with them.
    pub(crate) fn check(self) -> Result<Settings, OptionErrors> {
        let mut errors = OptionErrors::default();
        let mode = choose(&mut errors, "mode", &self.mode, &[("entries", Mode::Entries), ("once", Mode::Once)]);
        let sharing = choose(&mut errors, "scope", &self.scope, &[("user", Sharing::User), ("shared", Sharing::Shared)]);
        let boosts = [("first", Boosts::First), ("hide-all", Boosts::HideAll), ("keep", Boosts::Keep)];
        let boosts = choose(&mut errors, "boosts", &self.boosts, &boosts);
        let prefer = choose(&mut errors, "prefer", &self.prefer, &[("first", Prefer::First), ("original", Prefer::Original)]);
        let shows_edits = choose(&mut errors, "edits", &self.edits, &[("show", true), ("hide", false)]);
        let empty = [("keep-last", EmptyPage::KeepLast), ("refill", EmptyPage::Refill), ("empty", EmptyPage::Empty)];
        let empty_page = choose(&mut errors, "empty_page", &self.empty_page, &empty);
        let ttl = duration(&mut errors, "ttl", &self.ttl);
        if let Some(ttl) = ttl
            && !TTL.contains(&ttl)
        {
            errors.push("ttl", format!("is {:?}, must be 1m to 365d", self.ttl));
        }
        let replay_window = duration(&mut errors, "replay_window", &self.replay_window);
        if let (Some(ttl), Some(window)) = (ttl, replay_window)
            && window > ttl
        {
            errors.push("replay_window", format!("is {:?}, must not be longer than ttl, {:?}", self.replay_window, self.ttl));
        }
        let all: Vec<_> = Timeline::ALL.iter().map(|timeline| (timeline.name(), *timeline)).collect();
        let timelines = self.timelines.iter().enumerate();
        let timelines: Vec<_> =
            timelines.filter_map(|(index, name)| choose(&mut errors, &format!("timelines[{index}]"), name, &all)).collect();
        let streaming_hosts = streaming_hosts(&mut errors, &self.streaming_hosts);
        let streaming_origin = streaming_origin(&self.public_url).unwrap_or_else(|error| {
            errors.push("public_url", error);
            None
        });
        let reach = Reach { timelines, has_streams: self.streaming };
        let (Some(mode), Some(sharing), Some(boosts), Some(prefer), Some(shows_edits), Some(empty_page)) =
            (mode, sharing, boosts, prefer, shows_edits, empty_page)
        else {
            return Err(errors);
        };
        let (Some(ttl), Some(replay_window)) = (ttl, replay_window) else { return Err(errors) };
        errors.or_ok(Settings {
            mode,
            sharing,
            is_across: self.across_timelines,
            boosts,
            prefer,
            shows_edits,
            ttl,
            replay_window,
            empty_page,
            reach,
            streaming_hosts,
            streaming_origin,
            is_explained: self.explain,
        })
    }
}

/// What this name stands for.
fn choose<T: Copy>(errors: &mut OptionErrors, path: &str, name: &str, all: &[(&str, T)]) -> Option<T> {
    let found = all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<_> = all.iter().map(|(known, _)| format!("{known:?}")).collect();
        errors.push(path, format!("is {name:?}, must be one of {}", names.join(", ")));
    }
    found
}

/// What the core takes besides the upstream's own three.
const MAX_HOSTS: usize = 29;

fn streaming_hosts(errors: &mut OptionErrors, hosts: &[String]) -> Vec<String> {
    if hosts.len() > MAX_HOSTS {
        errors.push("streaming_hosts", format!("has {} hosts, at most {MAX_HOSTS}", hosts.len()));
    }
    for (index, host) in hosts.iter().enumerate().filter(|(_, host)| !site::is_pattern(host)) {
        let error = format!("is {host:?}, must be a host like \"streaming.example\" or \"*.example\", without scheme and port");
        errors.push(format!("streaming_hosts[{index}]"), error);
    }
    hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

fn duration(errors: &mut OptionErrors, path: &str, text: &str) -> Option<Duration> {
    let parsed = humantime::parse_duration(text);
    if parsed.is_err() {
        errors.push(path, format!("{text:?} is no duration like \"7d\", \"5m\" or \"1h 30m\""));
    }
    parsed.ok()
}

/// The origin of streams of a proxy at this URL; none where it is empty. Never quotes the URL: it may hold a password.
fn streaming_origin(url: &str) -> Result<Option<String>, &'static str> {
    if url.is_empty() {
        return Ok(None);
    }
    let (scheme, rest) = url.split_once("://").ok_or("must be a URL that starts with http:// or https://")?;
    let scheme = match scheme {
        "http" => "ws",
        "https" => "wss",
        _ => return Err("must be a URL that starts with http:// or https://"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if authority.is_empty() || authority.starts_with(':') || !authority.bytes().all(is_legal) {
        return Err("must be scheme, host and port alone, like https://fedi.example.org");
    }
    Ok(Some(format!("{scheme}://{authority}")))
}
