//! `state` and what goes with it.

use std::{env, ffi::OsString, ops::RangeInclusive, path::PathBuf, time::Duration};

use url::{Host, Url};

use super::{
    RedisServer, State, StateStore,
    check::Check,
    files,
    key::Key,
    raw::Raw,
    units::{Size, Span},
};

const BYTES: RangeInclusive<Size> = Size(16 << 20)..=Size(1 << 40);
const TIMEOUT: RangeInclusive<Span> = Span(Duration::from_millis(10))..=Span(Duration::from_mins(1));

/// Where the password may be instead of a file.
const PASSWORD: &str = "TOLLGATE_STATE_PASSWORD";
/// The port of Redis.
const PORT: u16 = 6379;

pub(super) fn state(check: &mut Check, root: &Key, raw: &Raw) -> Option<State> {
    let key = root.join("state");
    let bytes = check.number(&root.join("state_bytes"), raw.state_bytes.as_ref(), &BYTES, Size(1 << 30)).0;
    let timeout = check.number(&root.join("state_timeout"), raw.state_timeout.as_ref(), &TIMEOUT, Span(Duration::from_secs(2))).0;
    let store = match raw.state.as_deref() {
        None => default_file(env::var_os("XDG_STATE_HOME"), env::var_os("HOME")).map_or(StateStore::Memory, StateStore::Default),
        Some("memory:") => StateStore::Memory,
        Some(text) => match text.split_once(':') {
            Some(("redb" | "file", path)) if !path.is_empty() => StateStore::File(check.path(&key, path)),
            Some(("redis" | "rediss", _)) => StateStore::Redis(Box::new(check.text(&key, text, server)?)),
            _ => {
                check.fail(&key, "must be \"memory:\", \"redb:FILE\", \"redis://HOST\" or \"rediss://HOST\"");
                return None;
            }
        },
    };
    Some(State { store: with_secrets(check, root, raw, store)?, bytes, timeout })
}

/// Adds what the server is trusted by, and the password.
fn with_secrets(check: &mut Check, root: &Key, raw: &Raw, store: StateStore) -> Option<StateStore> {
    let (password_key, ca_key) = (root.join("state_password_file"), root.join("state_ca"));
    let StateStore::Redis(mut server) = store else {
        for (key, is_set) in [(password_key, raw.state_password_file.is_some()), (ca_key, raw.state_ca.is_some())] {
            if is_set {
                check.fail(&key, "is for a state that is redis:// or rediss://");
            }
        }
        return Some(store);
    };
    server.password = match &raw.state_password_file {
        Some(path) => {
            let read = |path: &std::path::Path| password(files::text(path, files::TOKEN_BYTES)?.trim());
            Some(check.file(&password_key, path, read)?.1)
        }
        None => match env::var(PASSWORD) {
            Ok(text) => Some(password(&text).map_err(|problem| check.fail_source(PASSWORD.to_owned(), problem)).ok()?),
            Err(_) => None,
        },
    };
    if let Some(path) = &raw.state_ca {
        if !server.tls {
            check.fail(&ca_key, "is for a state that is rediss://");
            return None;
        }
        server.ca = Some(check.readable(&ca_key, path)?);
    }
    Some(StateStore::Redis(server))
}

/// `redis://[USER@]HOST[:PORT][/DB]`.
fn server(text: &str) -> Result<RedisServer, String> {
    let url = Url::parse(text).map_err(|error| format!("must be a URL: {error}"))?;
    if url.password().is_some() {
        return Err(format!("must have no password: state_password_file or the variable {PASSWORD} is for that"));
    }
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err("must name a host".to_owned()),
    };
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        number => number.parse::<u16>().map_err(|_| "must have the number of a database as its path, or none".to_owned())?,
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have no query and no fragment".to_owned());
    }
    let port = url.port().unwrap_or(PORT);
    if port == 0 {
        return Err("must not have port 0".to_owned());
    }
    let user = Some(url.username()).filter(|user| !user.is_empty());
    if user.is_some_and(|user| !user.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))) {
        return Err("must have a user of letters, digits, '.', '_' and '-', or none".to_owned());
    }
    Ok(RedisServer {
        host: host.into(),
        port,
        tls: url.scheme() == "rediss",
        database,
        user: user.map(Box::from),
        password: None,
        ca: None,
    })
}

fn password(text: &str) -> Result<Box<str>, String> {
    if (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control) {
        Ok(text.into())
    } else {
        Err("must be a password of 1 to 1024 bytes without control characters".to_owned())
    }
}

fn default_file(state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute(state_home).or_else(|| absolute(home).map(|home| home.join(".local/state")))?;
    Some(state.join("tollgate/state.redb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, host, port, tls, database, user) in [
            ("redis://h", "h", 6379, false, 0, None),
            ("redis://h/", "h", 6379, false, 0, None),
            ("rediss://u@redis.example.org:7/15", "redis.example.org", 7, true, 15, Some("u")),
            ("redis://[::1]:7", "::1", 7, false, 0, None),
        ] {
            let server = server(text).expect(text);
            let found = (&*server.host, server.port, server.tls, server.database, server.user.as_deref());
            assert_eq!(found, (host, port, tls, database, user), "{text}");
        }
        for (text, problem) in [
            ("redis://", "must name a host"),
            ("redis://u:p@h", "must have no password"),
            ("redis://:p@h", "must have no password"),
            ("redis://h/x", "must have the number"),
            ("redis://h/65536", "must have the number"),
            ("redis://h/0?a=b", "must have no query"),
            ("redis://h#f", "must have no query"),
            ("redis://h:0", "must not have port 0"),
            ("redis://u%20@h", "must have a user"),
        ] {
            let found = server(text).err().unwrap_or_default();
            assert!(found.starts_with(problem), "{text}: {found}");
        }
    }

    #[test]
    fn passwords_keep_to_their_limits() {
        for (length, is_legal) in [(0, false), (1, true), (1024, true), (1025, false)] {
            assert_eq!(password(&"p".repeat(length)).is_ok(), is_legal, "{length}");
        }
        assert!(password("a\nb").is_err());
    }

    #[test]
    fn the_default_is_the_users_own() {
        let file = |state: Option<&str>, home: Option<&str>| default_file(state.map(OsString::from), home.map(OsString::from));
        assert_eq!(file(Some("/s"), Some("/h")), Some("/s/tollgate/state.redb".into()));
        assert_eq!(file(None, Some("/h")), Some("/h/.local/state/tollgate/state.redb".into()));
        assert_eq!(file(Some("relative"), None), None);
    }
}
