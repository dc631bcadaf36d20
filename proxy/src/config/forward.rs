//! What `[[listener]]` says where `mode = "forward"`.

use std::{
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Count, Peers,
    check::Check,
    files,
    key::Key,
    raw::{RawListener, RawMirror, RawPeers, RawPorts, RawTargets, RawTls, Scalar},
};
use crate::{
    targets::{InvalidPattern, Pattern, Targets},
    users::Users,
};

/// Who may use a forward listener, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// `clients`: `"any"`, `"loopback"` or networks. Default `["loopback"]`. Where it is anybody, `targets.allow` must be set.
    pub clients: Peers,
    /// `targets`.
    pub targets: Targets,
    /// `users` and `users_file`: who has to prove to be one of them by a password. Default: nobody has to.
    pub users: Option<UserList>,
    /// `tls`, where it has `ca`: look into what clients send through CONNECT. Default: CONNECT is a blind tunnel.
    pub intercept: Option<Intercept>,
}

/// Users of a forward listener. The file is read again on reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserList {
    /// Those of `users` and those of `users_file`.
    pub users: Arc<Users>,
    /// `users_file`, if there is one.
    pub file: Option<PathBuf>,
}

/// How CONNECT is looked into. The files were readable when the configuration was loaded, and are read again on reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intercept {
    /// `ca`: PEM file of the authority that signs certificates for hosts, which clients have to trust.
    pub ca: PathBuf,
    /// `key`: PEM file of its key. Default: the key is in `ca`, too.
    pub key: Option<PathBuf>,
    /// `intercept`: hosts, `*.domain` or networks that are looked into, and no others. Default: all.
    pub only: Option<Vec<Pattern>>,
    /// `tunnel`: those that never are, whatever `intercept` says: blind tunnels. Default none.
    pub tunnel: Vec<Pattern>,
    /// `certificates`: how many are kept. Default 1000, 1 to 100000.
    pub certificates: NonZeroUsize,
    /// `mirror`: whether certificates are also for the names that the upstream's is for; `"prefer"`: where it can be asked, `"require"`:
    /// or there is none. Default `"off"`: no upstream is asked.
    pub mirror: Mirroring,
}

/// Whether names of upstreams are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mirroring {
    /// No.
    #[default]
    Off,
    /// Where they can be had.
    Prefer,
    /// Without them there is no certificate.
    Require,
}

/// Keys that are about an upstream of the configuration, or about clients that are not the operator's own.
const OF_REVERSE: [&str; 6] = ["upstream", "upstreams", "preserve_host", "trust_forwarded", "rewrite", "public_url"];
/// Keys that are about clients who say where they go.
const OF_FORWARD: [&str; 4] = ["clients", "targets", "users", "users_file"];
/// Keys of `tls` that are about looking into what clients send through CONNECT.
const OF_INTERCEPT: [&str; 4] = ["intercept", "tunnel", "certificates", "mirror"];
/// Files of users may be this large: as many as there may be, with long names.
const USERS_BYTES: u64 = 4 << 20;
/// Certificates that are kept.
const CERTIFICATES: RangeInclusive<Count> = Count(1)..=Count(100_000);
/// The same, where nothing is said.
const KEPT: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// The settings of a forward listener, or none where something is wrong with them.
pub(super) fn forward(check: &mut Check, key: &Key, raw: &RawListener) -> Option<Forward> {
    refuse(check, key, &OF_REVERSE, "forward");
    let at = key.join("clients");
    let clients = match &raw.clients {
        None => Some(Peers::loopback()),
        Some(RawPeers::One(text)) => peers(check, &[(at.clone(), text)]),
        Some(RawPeers::Several(texts)) if texts.is_empty() => {
            check.fail(&at, "must name somebody, like [\"loopback\"]");
            None
        }
        Some(RawPeers::Several(texts)) => {
            let texts: Vec<_> = texts.iter().enumerate().map(|(place, text)| (at.join(place), text)).collect();
            peers(check, &texts)
        }
    };
    let targets = targets(check, &key.join("targets"), raw.targets.as_ref());
    let users = users(check, key, raw);
    let is_open = clients.as_ref().is_some_and(Peers::are_anybody);
    if is_open && raw.targets.as_ref().is_none_or(|targets| targets.allow.is_none()) {
        let allow = key.join("targets").join("allow");
        check.fail_missing(&allow, &format!("is missing: {at} lets in anybody, so it must be said where they may go"));
    }
    let intercept = intercept(check, &key.join("tls"), raw.tls.as_ref());
    Some(Forward { clients: clients?, targets: targets?, users: users?, intercept: intercept? })
}

/// Refuses the settings of a forward listener.
pub(super) fn refuse_forward(check: &mut Check, key: &Key) {
    refuse(check, key, &OF_FORWARD, "reverse");
    refuse(check, &key.join("tls"), &["ca"], "reverse");
    refuse(check, &key.join("tls"), &OF_INTERCEPT, "reverse");
}

fn refuse(check: &mut Check, key: &Key, names: &[&str], mode: &str) {
    for name in names {
        if check.is_set(&key.join(name)) {
            check.fail(&key.join(name), format!("must not be set where mode is {mode}"));
        }
    }
}

/// How CONNECT is looked into, if it is; none where something is wrong with that.
#[allow(clippy::option_option, reason = "whether it is wrong, and whether it is there")]
fn intercept(check: &mut Check, key: &Key, raw: Option<&RawTls>) -> Option<Option<Intercept>> {
    let Some(raw) = raw else { return Some(None) };
    let Some(ca) = &raw.ca else {
        for name in OF_INTERCEPT.iter().filter(|name| check.is_set(&key.join(name))).collect::<Vec<_>>() {
            check.fail(&key.join(name), "must not be set where tls.ca is not");
        }
        return Some(None);
    };
    if raw.cert.is_some() {
        check.fail(
            &key.join("cert"),
            "must not be set where tls.ca is: a listener speaks TLS itself, or looks into that of others",
        );
        return None;
    }
    let file = check.readable(&key.join("ca"), ca);
    let of_key = raw.key.as_ref().map(|path| check.readable(&key.join("key"), path));
    let only = match &raw.intercept {
        None => Some(None),
        Some(texts) => narrow(check, &key.join("intercept"), texts).map(Some),
    };
    let tunnel = narrow(check, &key.join("tunnel"), raw.tunnel.as_deref().unwrap_or_default());
    let certificates =
        check.number(&key.join("certificates"), raw.certificates.as_ref(), &CERTIFICATES, Count(KEPT.get() as u64));
    let key = match of_key {
        None => None,
        Some(path) => Some(path?),
    };
    Some(Some(Intercept {
        ca: file?,
        key,
        only: only?,
        tunnel: tunnel?,
        certificates: NonZeroUsize::new(usize::try_from(certificates.0).ok()?)?,
        mirror: match raw.mirror {
            None | Some(RawMirror::Off) => Mirroring::Off,
            Some(RawMirror::Prefer) => Mirroring::Prefer,
            Some(RawMirror::Require) => Mirroring::Require,
        },
    }))
}

/// Who has to prove to be one of them; none where nobody has to, nothing where something is wrong.
#[allow(clippy::option_option, reason = "whether it is wrong, and whether it is there")]
fn users(check: &mut Check, key: &Key, raw: &RawListener) -> Option<Option<UserList>> {
    let (at, at_file) = (key.join("users"), key.join("users_file"));
    if raw.users.is_none() && raw.users_file.is_none() {
        // A list that is there and wrong is no list that is not there.
        return (!check.has_failed(&at) && !check.has_failed(&at_file)).then_some(None);
    }
    let mut users = Users::default();
    let mut is_good = true;
    for (name, hash) in raw.users.iter().flatten() {
        is_good &= users.add(name, hash).map_err(|error| check.fail(&at.join(name.as_str()), error.to_string())).is_ok();
    }
    let file = match &raw.users_file {
        None => None,
        Some(path) => {
            let read = |path: &Path| users.add_file(&files::text(path, USERS_BYTES)?).map_err(|error| error.to_string());
            Some(check.file(&at_file, path, read)?.0)
        }
    };
    if is_good && users.is_empty() {
        check.fail(if file.is_some() { &at_file } else { &at }, "must name somebody: without users nobody is let in");
        return None;
    }
    is_good.then(|| Some(UserList { users: Arc::new(users), file }))
}

/// Patterns that say something of a target before it is looked up.
pub(super) fn narrow(check: &mut Check, key: &Key, texts: &[String]) -> Option<Vec<Pattern>> {
    let patterns = patterns(check, key, texts)?;
    let wide: Vec<_> = patterns.iter().enumerate().filter(|(_, pattern)| pattern.is_wide()).map(|(place, _)| place).collect();
    for place in &wide {
        check.fail(&key.join(place), "must be \"host\", \"host:port\", \"*.domain\" or a network like \"10.0.0.0/8\"");
    }
    wide.is_empty().then_some(patterns)
}

fn peers(check: &mut Check, texts: &[(Key, &String)]) -> Option<Peers> {
    let mut peers = Peers::default();
    let mut is_good = true;
    for (key, text) in texts {
        if *text == "any" {
            peers = Peers::everybody();
        } else {
            let read = |text: &str| peers.add(text).map_err(|problem| problem.replacen("must be", "must be \"any\",", 1));
            is_good &= check.text(key, text, read).is_some();
        }
    }
    is_good.then_some(peers)
}

fn targets(check: &mut Check, key: &Key, raw: Option<&RawTargets>) -> Option<Targets> {
    let otherwise = Targets::default();
    let Some(raw) = raw else { return Some(otherwise) };
    let allow = match &raw.allow {
        Some(texts) => patterns(check, &key.join("allow"), texts),
        None => Some(otherwise.allow),
    };
    let deny = patterns(check, &key.join("deny"), raw.deny.as_deref().unwrap_or_default());
    let at = key.join("connect_ports");
    let connect_ports = match &raw.connect_ports {
        None => Some(otherwise.connect_ports),
        Some(RawPorts::Word(text)) => check.text(&at, text, any).map(|()| None),
        Some(RawPorts::Several(ports)) => {
            let ports = ports.iter().enumerate().map(|(place, raw)| port(check, &at.join(place), raw));
            ports.collect::<Option<Vec<u16>>>().map(Some)
        }
    };
    Some(Targets { allow: allow?, deny: deny?, connect_ports: connect_ports? })
}

fn patterns(check: &mut Check, key: &Key, texts: &[String]) -> Option<Vec<Pattern>> {
    let read = |text: &str| text.parse().map_err(|error: InvalidPattern| error.to_string());
    // All of them, so that each error is told.
    let patterns: Vec<_> = texts.iter().enumerate().map(|(place, text)| check.text(&key.join(place), text, read)).collect();
    patterns.into_iter().collect()
}

fn any(text: &str) -> Result<(), String> {
    if text == "any" { Ok(()) } else { Err("must be \"any\" or an array of ports like [443]".to_owned()) }
}

fn port(check: &mut Check, key: &Key, raw: &Scalar) -> Option<u16> {
    let read = |text: &str| text.parse().ok().filter(|&port| port != 0).ok_or("must be a port from 1 to 65535".to_owned());
    check.text(key, &raw.to_string(), read)
}
