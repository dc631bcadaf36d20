//! Where clients find streams: behind the proxy.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tollgate_sdk::{Request, log};

use crate::options::Settings;

/// An object whose values stay as they are; of keys that are there twice, the last counts.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Where the URL is: in version 2, and in version 1.
const V2: [&str; 3] = ["configuration", "urls", "streaming"];
const V1: [&str; 2] = ["urls", "streaming_api"];

/// The instance document with the proxy's origin for streams, and every other byte as it was. None where there is nothing to
/// change, or streams are on another host than the upstream's.
pub(crate) fn rewrite(settings: &Settings, request: &Request, body: &[u8]) -> Option<Vec<u8>> {
    let path = if request.path().starts_with("/api/v2/") { &V2[..] } else { &V1[..] };
    let text = std::str::from_utf8(body).ok()?;
    let found = find(text, path)?;
    let before: Cow<'_, str> = serde_json::from_str(found).ok()?;
    let origin = settings.streaming_origin.clone().or_else(|| origin_of(request))?;
    if before == origin {
        return None;
    }
    let upstream = request.upstream();
    let is_elsewhere =
        |host: &str| ![host_of(&upstream), host_of(&origin)].iter().flatten().any(|own| own.eq_ignore_ascii_case(host));
    if let Some(host) = host_of(&before).filter(|host| is_elsewhere(host)) {
        log::warn!(host = host; "streams have a host of their own, which is not relayed: clients go there without the proxy");
        return None;
    }
    let start = (found.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let (head, tail) = (text.get(..start)?, text.get(start + found.len()..)?);
    let origin = serde_json::to_string(&origin).ok()?;
    Some(format!("{head}{origin}{tail}").into_bytes())
}

/// The host of a URL; none where it is no URL.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

/// The JSON of a value within objects.
fn find<'a>(json: &'a str, path: &[&str]) -> Option<&'a str> {
    let Some((name, rest)) = path.split_first() else { return Some(json) };
    let Object(entries) = serde_json::from_str(json).ok()?;
    let (_, value) = entries.into_iter().rfind(|(key, _)| key == name)?;
    find(value.get(), rest)
}

/// What the client reached, as a trusted proxy in front says, else as the request does.
fn origin_of(request: &Request) -> Option<String> {
    let forwarded = request.header_str("x-forwarded-proto");
    let first = forwarded.as_deref().and_then(|protos| protos.split(',').next()).map(str::trim);
    let scheme = match first.filter(|proto| !proto.is_empty()) {
        Some(proto) => proto.to_ascii_lowercase(),
        None => request.scheme(),
    };
    let scheme = if scheme == "https" { "wss" } else { "ws" };
    let authority = request.authority();
    (!authority.is_empty()).then(|| format!("{scheme}://{authority}"))
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
