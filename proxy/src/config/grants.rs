//! What an addon is granted.

use super::{check::Check, key::Key, raw::RawAddon, suggest::nearest};
use crate::{
    addons::{Grants, Names},
    hooks::{Event, Events},
    outbound::{HttpGrants, InvalidGrant},
};

/// The grants at `key`; of what there is in a flow, what is not set there is granted.
pub(super) fn grants(check: &mut Check, key: &Key, raw: &RawAddon) -> Grants {
    let otherwise = Grants::default();
    let mut names = |name: &str, raw: &Option<Vec<String>>, otherwise: Names| {
        let Some(raw) = raw else { return otherwise };
        Names::new(raw.iter().cloned()).unwrap_or_else(|place| {
            let problem = "must be the name of a header field, or the start of one and then \"*\"";
            check.fail(&key.join(name).join(place), problem);
            otherwise
        })
    };
    let read_headers = names("read_headers", &raw.read_headers, otherwise.read_headers);
    let write_headers = names("write_headers", &raw.write_headers, otherwise.write_headers);
    let withhold_headers = names("withhold_headers", &raw.withhold_headers, otherwise.withhold_headers);
    Grants {
        events: raw.events.as_ref().map_or(otherwise.events, |raw| events(check, &key.join("events"), raw)),
        edit: raw.edit.unwrap_or(otherwise.edit),
        bodies: raw.bodies.unwrap_or(otherwise.bodies),
        read_headers,
        write_headers,
        withhold_headers,
        http: http(check, &key.join("http"), raw.http.as_deref().unwrap_or_default()),
        upstreams: http(check, &key.join("upstreams"), raw.upstreams.as_deref().unwrap_or_default()),
        outbox: http(check, &key.join("outbox"), raw.outbox.as_deref().unwrap_or_default()),
        kv: raw.kv.unwrap_or(otherwise.kv),
        dns: raw.dns.unwrap_or(otherwise.dns),
    }
}

fn http(check: &mut Check, key: &Key, raw: &[String]) -> HttpGrants {
    let read = |text: &str| text.parse().map_err(|error: InvalidGrant| error.to_string());
    raw.iter().enumerate().filter_map(|(place, text)| check.text(&key.join(place), text, read)).collect()
}

fn events(check: &mut Check, key: &Key, raw: &[String]) -> Events {
    let mut events = Events::default();
    for (place, name) in raw.iter().enumerate() {
        let find = |name: &str| {
            let known = Event::ALL.map(Event::as_str);
            let found = Event::ALL.into_iter().find(|event| event.as_str() == name);
            found.ok_or_else(|| match nearest(name, &known) {
                Some(near) => format!("must be an event; did you mean {near:?}?"),
                None => format!("must be an event: {}", known.join(", ")),
            })
        };
        if let Some(event) = check.text(&key.join(place), name, find) {
            events.insert(event);
        }
    }
    events
}
