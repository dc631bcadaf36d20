//! Where clients find streams: behind the proxy.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use tollgate_sdk::{Flow, Request};

use crate::{options::Settings, relay};

/// An object whose values stay as they are; of keys that are there twice, the last counts.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Where the URL is: in version 2, and in version 1.
const V2: [&str; 3] = ["configuration", "urls", "streaming"];
const V1: [&str; 2] = ["urls", "streaming_api"];

/// The instance document with the proxy's origin for streams, and every other byte as it was. None where there is nothing to
/// change. What an upstream says is kept, so that streams go there.
pub(crate) fn rewrite(settings: &Settings, flow: &Flow, request: &Request, body: &[u8], is_upstreams: bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let found = find(text, place(&request.path()))?;
    let before: Cow<'_, str> = serde_json::from_str(found).ok()?;
    if is_upstreams {
        relay::learn(&request.upstream(), &before);
    }
    let origin = public_origin(settings, flow, request)?;
    if before == origin {
        return None;
    }
    let start = (found.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let (head, tail) = (text.get(..start)?, text.get(start + found.len()..)?);
    let origin = serde_json::to_string(&origin).ok()?;
    Some(format!("{head}{origin}{tail}").into_bytes())
}

/// Where an instance document of this path says that streams are.
pub(crate) fn url_of(path: &str, body: &[u8]) -> Option<String> {
    serde_json::from_str(find(std::str::from_utf8(body).ok()?, place(path))?).ok()
}

/// Where clients find streams at the proxy, like `wss://fedi.example`: by the options, else by the listener, else as the request
/// says.
pub(crate) fn public_origin(settings: &Settings, flow: &Flow, request: &Request) -> Option<String> {
    let of_listener = || {
        let origin = flow.public_origin()?;
        origin.strip_prefix("http").map(|rest| format!("ws{rest}"))
    };
    settings.streaming_origin.clone().or_else(of_listener).or_else(|| origin_of(request))
}

fn place(path: &str) -> &'static [&'static str] {
    if path.starts_with("/api/v2/") { &V2 } else { &V1 }
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
