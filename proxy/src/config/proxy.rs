//! `proxy` of listeners and of their upstreams.

use std::{
    env,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use url::Url;

use super::{Mode, check::Check, files, forward::narrow, key::Key, raw::RawListener};
use crate::{
    http::{Authority, Origin, Scheme},
    routes::{Action, Onward, Routes},
    targets::{Pattern, Target},
    upstream::{Credentials, ProxyKind},
};

/// By way of which proxies requests go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// `proxy`: `http://`, `https://` or `socks5://`, with `USER:PASSWORD@`, or what `proxy_password_file` holds without white
    /// space around, else the variable `TOLLGATE_PROXY_PASSWORD`. Default none.
    pub otherwise: Option<Proxy>,
    /// `no_proxy`: hosts, `*.domain` or networks that are reached without. Default none.
    pub except: Vec<Pattern>,
    /// `proxy` of those in `upstreams` that have one; none: `"none"`.
    pub of: Vec<(Arc<Origin>, Option<Proxy>)>,
    /// `proxy_ca`: PEM file of the only authorities that `https` proxies are verified against. Default: the system's.
    pub ca: Option<PathBuf>,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Where it is, with its port.
    pub authority: Authority,
    /// Default none.
    pub credentials: Option<Credentials>,
    /// Where the password was read from; it is read again on reload.
    pub password_file: Option<PathBuf>,
}

impl Proxy {
    /// As if it were an upstream.
    fn origin(&self) -> Origin {
        Origin { scheme: Scheme::Http, authority: self.authority.clone() }
    }
}

/// Where the password may be instead of a file.
const PASSWORD: &str = "TOLLGATE_PROXY_PASSWORD";
/// Bytes of a user or a password: SOCKS knows no longer ones.
const MAX: usize = 255;

/// The proxies of a listener, or none where something is wrong with them.
pub(super) fn proxies(
    check: &mut Check,
    key: &Key,
    raw: &RawListener,
    mode: Option<&Mode>,
    bind: Option<SocketAddr>,
) -> Option<Proxies> {
    let otherwise = match (&raw.proxy, &raw.proxy_password_file) {
        (Some(text), file) => Some(Some(proxy(check, key, text, file.as_deref())?)),
        (None, file) => needless(check, &key.join("proxy_password_file"), file.is_some()).then_some(None),
    };
    let of = of_upstreams(check, key, raw, mode);
    let except = narrow(check, &key.join("no_proxy"), raw.no_proxy.as_deref().unwrap_or_default());
    let is_proxied = raw.proxy.is_some() || raw.upstreams.iter().any(|upstream| upstream.proxy.is_some());
    let is_used = needless(check, &key.join("no_proxy"), raw.no_proxy.is_some() && raw.proxy.is_none())
        && needless(check, &key.join("proxy_ca"), raw.proxy_ca.is_some() && !is_proxied);
    let ca = raw.proxy_ca.as_deref().filter(|_| is_used).and_then(|path| check.readable(&key.join("proxy_ca"), path));
    let proxies = Proxies { otherwise: otherwise?, except: except?, of: of?, ca };
    let mut all = proxies.otherwise.iter().chain(proxies.of.iter().filter_map(|(_, proxy)| proxy.as_ref()));
    if bind.is_some_and(|bind| all.any(|proxy| is_at(&proxy.origin(), bind))) {
        check.fail(&key.join("proxy"), "must not be this listener itself");
    }
    is_used.then_some(proxies)
}

/// Refuses what leads straight back to the listener. By way of a proxy an address may be that of another machine.
pub(super) fn refuse_circles(
    check: &mut Check,
    key: &Key,
    raw: &RawListener,
    bind: Option<SocketAddr>,
    (mode, routes): (Option<&Mode>, Option<&Routes>),
) {
    let Some(bind) = bind.filter(|_| raw.proxy.is_none()) else { return };
    let mut refuse = |key: Key, origin: &Origin| {
        if is_at(origin, bind) {
            check.fail(&key, "must not be this listener itself");
        }
    };
    if let Some(Mode::Reverse(upstreams)) = mode {
        if let Some(origin) = &upstreams.otherwise {
            refuse(key.join("upstream"), origin);
        }
        for (place, named) in upstreams.named.iter().enumerate() {
            if raw.upstreams.get(place).is_some_and(|raw| raw.proxy.as_deref().is_none_or(|proxy| proxy == "none")) {
                refuse(key.join("upstreams").join(place).join("url"), &named.origin);
            }
        }
    }
    for (place, (route, raw)) in routes.map_or(&[][..], |routes| &routes.0).iter().zip(&raw.route).enumerate() {
        // What is named is told of where it is.
        let is_url = raw.upstream.as_deref().is_some_and(|text| text.contains("://"));
        if let Action::Onward(Onward { upstream: Some(origin), .. }) = &route.action
            && is_url
        {
            refuse(key.join("route").join(place).join("upstream"), origin);
        }
    }
}

/// Those that `upstreams` have for themselves.
fn of_upstreams(
    check: &mut Check,
    key: &Key,
    raw: &RawListener,
    mode: Option<&Mode>,
) -> Option<Vec<(Arc<Origin>, Option<Proxy>)>> {
    let mut of: Vec<(Arc<Origin>, Option<Proxy>)> = Vec::new();
    for (place, raw) in raw.upstreams.iter().enumerate() {
        let key = key.join("upstreams").join(place);
        let own = match (&raw.proxy, &raw.proxy_password_file) {
            (None, None) => continue,
            (None, Some(_)) => {
                needless(check, &key.join("proxy_password_file"), true);
                return None;
            }
            (Some(text), None) if text == "none" => None,
            (Some(text), file) => Some(proxy(check, &key, text, file.as_deref())?),
        };
        let Some(Mode::Reverse(upstreams)) = mode else { return None };
        let origin = &upstreams.named.get(place)?.origin;
        if of.iter().any(|(known, other)| known == origin && *other != own) {
            check.fail(&key.join("proxy"), "must be that of the other upstreams with the same URL");
            return None;
        }
        of.push((Arc::clone(origin), own));
    }
    Some(of)
}

/// Whether what belongs to a proxy is there without one; if so, that is an error.
fn needless(check: &mut Check, key: &Key, is_set: bool) -> bool {
    if is_set {
        check.fail(key, "must not be set where proxy is not");
    }
    !is_set
}

fn proxy(check: &mut Check, key: &Key, text: &str, password_file: Option<&str>) -> Option<Proxy> {
    let (at, file_key) = (key.join("proxy"), key.join("proxy_password_file"));
    let (kind, authority, user, in_url) = check.text(&at, text, parts)?;
    let (password, password_file) = match (in_url, password_file) {
        (Some(_), Some(_)) => {
            check.fail(&file_key, "must not be set where proxy has a password");
            return None;
        }
        (None, Some(path)) => {
            let (path, password) =
                check.file(&file_key, path, |path: &Path| password(files::text(path, files::TOKEN_BYTES)?.trim()))?;
            (Some(password), Some(path))
        }
        (Some(text), None) => (Some(text), None),
        (None, None) => match env::var(PASSWORD).ok().filter(|_| user.is_some()) {
            Some(text) => {
                let read = password(&text);
                (Some(read.map_err(|problem| check.fail_source(PASSWORD.to_owned(), problem)).ok()?), None)
            }
            None => (None, None),
        },
    };
    let credentials = match (user, password) {
        (Some(user), password) => Some(Credentials { user, password: password.unwrap_or_default() }),
        (None, Some(_)) => {
            check.fail(&at, "must have a user where there is a password");
            return None;
        }
        (None, None) => None,
    };
    Some(Proxy { kind, authority, credentials, password_file })
}

type Parts = (ProxyKind, Authority, Option<Box<str>>, Option<Box<str>>);

/// `http://[USER[:PASSWORD]@]HOST[:PORT]` and the like.
fn parts(text: &str) -> Result<Parts, String> {
    const EXPECTED: &str = "must be a URL like \"http://proxy.example:3128\", with https:// or socks5:// in place of http://";
    let url = Url::parse(text).map_err(|_| EXPECTED)?;
    let (kind, port) = match url.scheme() {
        "http" => (ProxyKind::Http, 80),
        "https" => (ProxyKind::Https, 443),
        // By either name it is the proxy that looks hosts up.
        "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
        _ => return Err(EXPECTED.to_owned()),
    };
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("must have no path, query or fragment".to_owned());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(EXPECTED)?;
    let authority = format!("{host}:{}", url.port().unwrap_or(port)).parse().map_err(|_| EXPECTED)?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(Box::<str>::from).map_err(|_| EXPECTED.to_owned());
    let user = Some(url.username()).filter(|user| !user.is_empty()).map(decode).transpose()?;
    let in_url = url.password().map(decode).transpose()?;
    if user.as_deref().is_some_and(|user| !is_legal(user) || user.contains(':'))
        || in_url.as_deref().is_some_and(|text| !is_legal(text))
    {
        return Err(format!("must have a user without ':' and a password, each of 1 to {MAX} bytes without control characters"));
    }
    Ok((kind, authority, user, in_url))
}

fn password(text: &str) -> Result<Box<str>, String> {
    if is_legal(text) {
        Ok(text.into())
    } else {
        Err(format!("must be a password of 1 to {MAX} bytes without control characters"))
    }
}

fn is_legal(text: &str) -> bool {
    (1..=MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether this is what listens there, as far as it is written as an address.
pub(super) fn is_at(origin: &Origin, bind: SocketAddr) -> bool {
    let Some(target) = Target::of(origin) else { return false };
    let is_open = bind.ip().is_unspecified();
    let is_here = |ip: IpAddr| ip == bind.ip() || ip.is_unspecified() || (is_open && ip.is_loopback());
    bind.port() != 0
        && origin.port() == bind.port()
        && match target.address() {
            Some(ip) => is_here(ip),
            None => target.name() == "localhost" && (bind.ip().is_loopback() || is_open),
        }
}
