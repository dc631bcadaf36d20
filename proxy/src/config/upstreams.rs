//! `upstream` and `[[listener.upstreams]]`: where a reverse listener sends requests.

use std::{collections::HashSet, sync::Arc};

use super::{
    address,
    check::{Check, name},
    key::Key,
    raw::{RawListener, RawNamed},
};
use crate::{
    http::Origin,
    targets::{Host, InvalidHost},
    upstream::{Condition, Named, Upstreams},
};

/// Upstreams of one listener.
const MAX: usize = 256;

/// The upstreams, or none where something is wrong with them.
pub(super) fn upstreams(check: &mut Check, key: &Key, raw: &RawListener) -> Option<Upstreams> {
    let mut is_good = true;
    let otherwise = match &raw.upstream {
        Some(text) => {
            let origin = check.text(&key.join("upstream"), text, address::origin).map(Arc::new);
            is_good = origin.is_some();
            origin
        }
        None if raw.upstreams.is_empty() => {
            check.fail_missing(&key.join("upstream"), "is missing");
            return None;
        }
        None => None,
    };
    let at = key.join("upstreams");
    if raw.upstreams.len() > MAX {
        check.fail(&at, format!("must not be more than {MAX}"));
        return None;
    }
    let mut all: Vec<Named> = Vec::new();
    for (place, raw) in raw.upstreams.iter().enumerate() {
        let key = at.join(place);
        let Some(named) = named(check, &key, raw) else {
            is_good = false;
            continue;
        };
        if let Some(other) = all.iter().position(|other| other.name == named.name) {
            check.fail(&key.join("name"), format!("is taken by {}", at.join(other).join("name")));
            is_good = false;
        }
        all.push(named);
    }
    is_good.then_some(Upstreams { otherwise, named: all })
}

fn named(check: &mut Check, key: &Key, raw: &RawNamed) -> Option<Named> {
    let mut text = |name: &str, text: Option<&String>| {
        let key = key.join(name);
        if text.is_none() {
            check.fail_missing(&key, "is missing");
        }
        text.map(|text| (key, text.clone()))
    };
    let (name_text, url) = (text("name", raw.name.as_ref()), text("url", raw.url.as_ref()));
    let named = name_text.and_then(|(key, text)| check.text(&key, &text, |text| name(text).map(|()| Arc::from(text))));
    let origin: Option<Origin> = url.and_then(|(key, text)| check.text(&key, &text, address::origin));
    let tokens = each(check, &key.join("token_sha256"), raw.token_sha256.as_deref(), hash);
    let hosts = each(check, &key.join("host"), raw.host.as_deref(), host);
    let path = match &raw.path {
        None => Some(None),
        Some(text) => check.text(&key.join("path"), text, path).map(Some),
    };
    let takes = Condition { token_sha256: tokens?.into_iter().collect::<HashSet<_>>(), hosts: hosts?, path: path? };
    Some(Named { name: named?, origin: Arc::new(origin?), by_header: raw.header, takes })
}

/// All elements of a list, or none where one is wrong. A list that is there must hold something.
pub(super) fn each<T>(
    check: &mut Check,
    key: &Key,
    texts: Option<&[String]>,
    read: fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let Some(texts) = texts else { return Some(Vec::new()) };
    if texts.is_empty() {
        check.fail(key, "must hold something, or not be there");
        return None;
    }
    // All of them, so that each error is told.
    let values: Vec<_> = texts.iter().enumerate().map(|(place, text)| check.text(&key.join(place), text, read)).collect();
    values.into_iter().collect()
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = match text.len() {
        64 => text.as_bytes().chunks_exact(2).map(|pair| Some((digit(*pair.first()?)? << 4) | digit(*pair.last()?)?)).collect(),
        _ => None,
    };
    let expected = || "must be the SHA-256 of a token, in 64 hexadecimal digits".to_owned();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(expected)
}

pub(super) fn host(text: &str) -> Result<Host, String> {
    text.parse().map_err(|error: InvalidHost| error.to_string())
}

fn path(text: &str) -> Result<Box<str>, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    if is_path { Ok(text.into()) } else { Err("must be a path that starts with /, percent-encoded, without query".to_owned()) }
}
