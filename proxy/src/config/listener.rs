//! `[[listener]]`.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use super::{
    Limits, Listener, Mode, Peers, Timeouts, Tls, UpstreamProtocol, address,
    check::{Check, name},
    forward::{forward, narrow, refuse_forward},
    key::Key,
    limits::{limits, timeouts},
    proxy::{proxies, refuse_circles},
    raw::{RawListener, RawMode, RawProtocol, RawTls, RawTrust},
    routes::routes,
    upstreams::upstreams,
};
use crate::{http::Scheme, targets::Pattern};

/// A certificate that is shown to upstreams. The files were readable when the configuration was loaded, and are read again on reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCert {
    /// `client_cert`: PEM file, the certificate first.
    pub cert: PathBuf,
    /// `client_key`: PEM file of its key. Default: the key is in `client_cert`, too.
    pub key: Option<PathBuf>,
    /// `client_cert_hosts`: which upstreams see it. Default: those of a reverse listener; on a forward listener it must be said.
    pub hosts: Option<Vec<Pattern>>,
}

/// What listeners stand on: settings that they inherit, and names and addresses that are taken.
#[derive(Debug, Default)]
pub(super) struct Ground {
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    names: Vec<(Arc<str>, Key)>,
    addresses: Vec<(SocketAddr, Key)>,
}

impl Ground {
    fn take_name(&mut self, check: &mut Check, key: Key, name: &Arc<str>) {
        if let Some((_, other)) = self.names.iter().find(|(other, _)| other == name) {
            check.fail(&key, format!("is taken by {other}"));
        }
        self.names.push((name.clone(), key));
    }

    /// Takes an address, of whatever listener.
    pub(super) fn take_address(&mut self, check: &mut Check, key: Key, address: SocketAddr) {
        if let Some((_, other)) = self.addresses.iter().find(|(other, _)| address::overlap(*other, address)) {
            check.fail(&key, format!("is taken by {other}"));
        }
        self.addresses.push((address, key));
    }
}

/// The listener at `key`, or none where something is wrong with it.
pub(super) fn listener(check: &mut Check, key: &Key, raw: RawListener, ground: &mut Ground) -> Option<Listener> {
    let name = required(check, key, "name", raw.name.as_deref(), |text| name(text).map(|()| Arc::from(text)));
    if let Some(name) = &name {
        ground.take_name(check, key.join("name"), name);
    }
    let bind = required(check, key, "bind", raw.bind.as_ref().map(ToString::to_string).as_deref(), address::bind);
    if let Some(bind) = bind {
        ground.take_address(check, key.join("bind"), bind);
    }
    let mode = match raw.mode {
        Some(RawMode::Forward) => forward(check, key, &raw).map(Mode::Forward),
        None | Some(RawMode::Reverse) => {
            refuse_forward(check, key);
            upstreams(check, key, &raw).map(Mode::Reverse)
        }
    };
    let upstream_ca = raw.upstream_ca.as_deref().and_then(|path| check.readable(&key.join("upstream_ca"), path));
    let routes = routes(check, &key.join("route"), &raw.route, mode.as_ref());
    let goes_by_tls = routes.as_ref().is_none_or(|routes| routes.lead_to(Scheme::Https));
    if upstream_ca.is_some() && !goes_by_tls && matches!(&mode, Some(Mode::Reverse(upstreams)) if upstreams.are_all(Scheme::Http))
    {
        check.fail(&key.join("upstream_ca"), "must not be set where the upstream is http://");
    }
    let proxies = proxies(check, key, &raw, mode.as_ref(), bind);
    refuse_circles(check, key, &raw, bind, (mode.as_ref(), routes.as_ref()));
    let client_cert = client_cert(check, key, &raw);
    let upstream_protocol = match raw.upstream_protocol {
        None | Some(RawProtocol::Auto) => UpstreamProtocol::Auto,
        Some(RawProtocol::Http1) => UpstreamProtocol::Http1,
        Some(RawProtocol::H2) => UpstreamProtocol::Http2,
    };
    if let Some(addons) = &raw.addons {
        chain(check, &key.join("addons"), addons);
    }
    let via = raw.via.and_then(|text| check.text(&key.join("via"), &text, |text| self::name(text).map(|()| text.to_owned())));
    let public_url = raw.public_url.as_deref().and_then(|text| check.text(&key.join("public_url"), text, address::origin));
    if public_url.is_some() && !raw.rewrite {
        check.fail(&key.join("public_url"), "must not be set where rewrite is not: nothing else asks for it");
    }
    let trust_forwarded = trust(check, &key.join("trust_forwarded"), raw.trust_forwarded.as_ref());
    let tls = raw.tls.as_ref().filter(|raw| raw.ca.is_none()).and_then(|raw| tls(check, &key.join("tls"), raw));
    for (table, process_wide) in [
        ("limits", "instances"),
        ("limits", "guest_stack"),
        ("limits", "guest_memory"),
        ("limits", "held_bodies"),
        ("timeouts", "grace"),
    ] {
        let inner = key.join(table).join(process_wide);
        if check.is_set(&inner) {
            check.fail(&inner, format!("is for the whole process: set {table}.{process_wide}"));
        }
    }
    let limits = limits(check, &key.join("limits"), &raw.limits, &ground.limits);
    let timeouts = timeouts(check, &key.join("timeouts"), &raw.timeouts, &ground.timeouts);
    Some(Listener {
        name: name?,
        bind: bind?,
        mode: mode?,
        routes: routes?,
        upstream_protocol,
        upstream_ca,
        proxies: proxies?,
        client_cert,
        addons: raw.addons,
        preserve_host: raw.preserve_host,
        rewrite: raw.rewrite,
        public_url,
        trust_forwarded,
        via,
        half_close: raw.half_close,
        tls,
        limits,
        timeouts,
    })
}

/// What the proxy shows to upstreams; none where it shows nothing, or where something is wrong with that.
fn client_cert(check: &mut Check, key: &Key, raw: &RawListener) -> Option<ClientCert> {
    let (at_key, at_hosts) = (key.join("client_key"), key.join("client_cert_hosts"));
    let Some(path) = &raw.client_cert else {
        for at in [at_key, at_hosts] {
            if check.is_set(&at) {
                check.fail(&at, "must not be set where client_cert is not");
            }
        }
        return None;
    };
    let cert = check.readable(&key.join("client_cert"), path);
    let of_key = raw.client_key.as_ref().map(|path| check.readable(&at_key, path));
    let hosts = match &raw.client_cert_hosts {
        Some(texts) => Some(narrow(check, &at_hosts, texts)?),
        None if matches!(raw.mode, Some(RawMode::Forward)) => {
            let why = "is missing: clients choose where they go, so it must be said who is shown client_cert";
            check.fail_missing(&at_hosts, why);
            return None;
        }
        None => None,
    };
    let key = match of_key {
        None => None,
        Some(path) => Some(path?),
    };
    Some(ClientCert { cert: cert?, key, hosts })
}

fn required<T>(
    check: &mut Check,
    key: &Key,
    name: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let key = key.join(name);
    let Some(text) = text else {
        check.fail_missing(&key, "is missing");
        return None;
    };
    check.text(&key, text, parse)
}

fn chain(check: &mut Check, key: &Key, addons: &[String]) {
    for (place, addon) in addons.iter().enumerate() {
        let key = key.join(place);
        check.text(&key, addon, name);
        if addons.iter().take(place).any(|other| other == addon) {
            check.fail(&key, "is in the list twice");
        }
    }
}

fn trust(check: &mut Check, key: &Key, raw: Option<&RawTrust>) -> Peers {
    let mut peers = Peers::default();
    match raw {
        None | Some(RawTrust::Everybody(false)) => {}
        Some(RawTrust::Everybody(true)) => peers = Peers::everybody(),
        Some(RawTrust::One(text)) => drop(check.text(key, text, |text| peers.add(text))),
        Some(RawTrust::Several(texts)) => {
            for (place, text) in texts.iter().enumerate() {
                check.text(&key.join(place), text, |text| peers.add(text));
            }
        }
    }
    peers
}

fn tls(check: &mut Check, key: &Key, raw: &RawTls) -> Option<Tls> {
    let mut file = |name: &str, text: Option<&str>| {
        let key = key.join(name);
        if text.is_none() {
            check.fail_missing(&key, "is missing: TLS needs cert and key, interception ca and key");
        }
        check.readable(&key, text?)
    };
    let cert = file("cert", raw.cert.as_deref());
    let key = file("key", raw.key.as_deref());
    Some(Tls { cert: cert?, key: key? })
}
