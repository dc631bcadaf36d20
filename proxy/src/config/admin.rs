//! `[admin]` and `[log]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    Admin, Listener, Log, LogFormat, Mode, address,
    check::Check,
    files,
    key::Key,
    limits::usize_of,
    raw::{RawAdmin, RawLog, RawLogFormat, Scalar},
    units::{Count, Span},
};
use crate::http::{Authority, BearerToken};

pub(super) const RECENT_FLOWS: RangeInclusive<Count> = Count(0)..=Count(10_000);

pub(super) const RESET_AFTER: RangeInclusive<Span> = Span(Duration::from_secs(1))..=Span(Duration::from_hours(24));

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

pub(super) fn admin(check: &mut Check, key: &Key, raw: &RawAdmin) -> Option<Admin> {
    let listen = match &raw.listen {
        Some(Scalar::Text(text)) if text == "none" => None,
        Some(listen) => Some(check.text(&key.join("listen"), &listen.to_string(), address::bind)?),
        None => Some(LISTEN),
    };
    let at = key.join("controller_host");
    let controller_host = match &raw.controller_host {
        Some(text) => Some(check.text(&at, text, controller_host)?),
        None => None,
    };
    if listen.is_none() && controller_host.is_none() {
        check.fail(&key.join("listen"), "must be an address where admin.controller_host is not set");
    }
    let token = match (&raw.token, &raw.token_file) {
        (Some(_), Some(_)) => {
            check.fail(&key.join("token_file"), "must not be set where admin.token is");
            return None;
        }
        (Some(text), None) => Some(check.text(&key.join("token"), text, token)?),
        (None, Some(path)) => {
            let read = |path: &std::path::Path| token(files::text(path, files::TOKEN_BYTES)?.trim());
            Some(check.file(&key.join("token_file"), path, read)?.1)
        }
        (None, None) => None,
    };
    let is_near = listen.is_none_or(|listen| listen.ip().is_loopback());
    if token.is_none() && !is_near && !check.has_failed(&key.join("token")) {
        check.fail(&key.join("listen"), "needs admin.token or admin.token_file, as it can be reached from other machines");
    }
    let recent_flows = check.number(&key.join("recent_flows"), raw.recent_flows.as_ref(), &RECENT_FLOWS, Count(256));
    Some(Admin { listen, controller_host, token, recent_flows: usize_of(recent_flows.0) })
}

/// Checks that the controller can be reached, and not by anybody who needs no token.
pub(super) fn controller(check: &mut Check, key: &Key, admin: &Admin, listeners: &[Option<Listener>]) {
    if admin.controller_host.is_none() || listeners.iter().any(Option::is_none) {
        return;
    }
    let mut forwards = listeners.iter().flatten().filter_map(|listener| match &listener.mode {
        Mode::Forward(forward) => Some(forward),
        Mode::Reverse(_) => None,
    });
    let key = key.join("controller_host");
    if forwards.clone().next().is_none() {
        check.fail(&key, "needs a forward listener: it is answered through these alone");
    } else if admin.token.is_none() && forwards.any(|forward| forward.clients.are_anybody()) {
        check.fail(&key, "needs admin.token or admin.token_file, as a forward listener lets in anybody");
    }
}

/// A name as it stands in URLs.
fn controller_host(text: &str) -> Result<Box<str>, String> {
    let name = text.to_ascii_lowercase();
    let authority: Option<Authority> = name.parse().ok();
    let is_name = authority.is_some_and(|authority| {
        let last = name.rsplit('.').next().unwrap_or_default();
        authority.host() == name && !name.starts_with(['[', '.']) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
    });
    if is_name && name != "localhost" {
        Ok(name.into())
    } else {
        Err("must be a name that no server has, without a port, like \"mitm.code\"".to_owned())
    }
}

fn token(text: &str) -> Result<BearerToken, String> {
    match text.parse() {
        Ok(token) if (8..=1024).contains(&text.len()) => Ok(token),
        _ => Err("must be a token of 8 to 1024 printable ASCII characters without white space".to_owned()),
    }
}

pub(super) fn log(check: &mut Check, key: &Key, raw: &RawLog) -> Log {
    let otherwise = Log::default();
    let level = raw.level.clone().and_then(|text| check.text(&key.join("level"), &text, level));
    let format = match raw.format {
        Some(RawLogFormat::Json) => LogFormat::Json,
        Some(RawLogFormat::Text) => LogFormat::Text,
        None => otherwise.format,
    };
    let after = check.number(&key.join("reset_after"), raw.reset_after.as_ref(), &RESET_AFTER, Span(otherwise.reset_after));
    Log { level: level.unwrap_or(otherwise.level), format, reset_after: after.0 }
}

/// Stricter than tracing's own parser, which takes a misspelled level for the name of a module.
pub(crate) fn level(text: &str) -> Result<String, String> {
    let is_level = |text: &str| matches!(text, "off" | "error" | "warn" | "info" | "debug" | "trace");
    let is_module = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-'))
    };
    let is_directive = |directive: &str| match directive.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(directive),
    };
    if text.split(',').all(is_directive) {
        Ok(text.to_owned())
    } else {
        Err("must be off, error, warn, info, debug or trace, or a list of such with modules like \"info,tollgate::http1=debug\""
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_sane_length() {
        for (length, is_token) in [(7, false), (8, true), (1024, true), (1025, false)] {
            assert_eq!(token(&"x".repeat(length)).is_ok(), is_token, "{length}");
        }
        for text in ["with space", "l\u{e4}nger-than", "line\nbreak"] {
            assert!(token(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn controllers_have_names() {
        for text in ["mitm.code", "controller", "A.b-c", "tollgate.internal"] {
            assert_eq!(controller_host(text).as_deref(), Ok(&*text.to_ascii_lowercase()));
        }
        for text in
            ["", "mitm.code:80", "127.0.0.1", "[::1]", "localhost", "LOCALHOST", "a b", "http://a", ".a", "a.", "u@a", "10.1"]
        {
            assert!(controller_host(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn misspelled_levels_are_refused() {
        for text in ["info", "off", "info,tollgate::http1=debug", "warn,a=trace,b=off"] {
            assert!(level(text).is_ok(), "{text}");
        }
        for text in ["", "dbug", "INFO", "info,", "tollgate", "a=", "=info", "a=dbug", "info debug"] {
            assert!(level(text).is_err(), "{text:?}");
        }
    }
}
