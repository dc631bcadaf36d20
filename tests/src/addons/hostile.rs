//! Guests in WebAssembly text that do what no compiler would let them: `tests/guests/hostile/`.
//!
//! A file has the functions that misbehave, by the names of `world/defaults.wat`, and gets from there those that it lacks.

use std::{fs, path::PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What is exported under which name, by the canonical ABI: `%` stands for the interface, `cabi_post_` is what frees an answer.
const EXPORTS: [(&str, &str); 14] = [
    ("realloc", "cabi_realloc"),
    ("configure", "%#configure"),
    ("on_connect", "%#on-connect"),
    ("on_request", "%#on-request"),
    ("on_request_chunk", "%#on-request-chunk"),
    ("on_response", "%#on-response"),
    ("on_response_chunk", "%#on-response-chunk"),
    ("on_sse_event", "%#on-sse-event"),
    ("on_websocket_message", "%#on-websocket-message"),
    ("on_upstream_error", "%#on-upstream-error"),
    ("on_finish", "%#on-finish"),
    ("post_configure", "cabi_post_%#configure"),
    ("post_on_request", "cabi_post_%#on-request"),
    ("post_on_response", "cabi_post_%#on-response"),
];

const INTERFACE: &str = "tollgate:addon/hooks@0.1.0";

/// Hooks and the number of their event in the contract.
const EVENTS: [(&str, u8); 6] = [
    ("on_request", 1),
    ("on_request_chunk", 2),
    ("on_response", 3),
    ("on_response_chunk", 4),
    ("on_upstream_error", 7),
    ("on_finish", 8),
];

/// Where the answer of `configure` is, as `world/imports.wat` says it, and the bytes of a subscription in it.
const CONFIGURED: u32 = 1024;
const SUBSCRIPTION: u32 = 48;

/// The component of this guest: subscribed, for the path `/NAME`, to the events whose hooks its file has; to requests if it has
/// none.
#[must_use]
pub fn hostile(name: &str) -> Vec<u8> {
    hostile_as(name, name, &[])
}

/// The guest of the file `kind` for the path `/NAME`; each `{key}` in it gives way to its value.
#[must_use]
pub fn hostile_as(name: &str, kind: &str, values: &[(&str, &str)]) -> Vec<u8> {
    let mut guest = read(&format!("{kind}.wat"));
    for (key, value) in values {
        guest = guest.replace(&format!("{{{key}}}"), value);
    }
    let has = |text: &str, function: &str| text.contains(&format!("(func ${function} "));
    let defaults = read("world/defaults.wat");
    let lacks = |default: &&str| {
        let name = default.trim_start_matches("(func $").split(' ').next().unwrap_or_default();
        default.starts_with("(func $") && !has(&guest, name)
    };
    let mut module = vec!["(module".to_owned(), read("world/imports.wat"), guest.clone()];
    module.extend(defaults.split("\n\n").filter(lacks).map(str::to_owned));
    for (function, export) in EXPORTS {
        if has(&guest, function) || has(&defaults, function) {
            module.push(format!("(export \"{}\" (func ${function}))", export.replace('%', INTERFACE)));
        }
    }
    let mut events: Vec<u8> = EVENTS.iter().filter(|(hook, _)| has(&guest, hook)).map(|(_, event)| *event).collect();
    if events.is_empty() {
        events.extend(EVENTS.first().map(|(_, event)| *event));
    }
    let configured = escaped(&subscribed(&events, &format!("~p ^/{name}$")));
    module.push(format!("(data (i32.const {CONFIGURED}) \"{configured}\"))"));
    component(&module.join("\n")).unwrap_or_else(|error| panic!("{kind}.wat: {error}"))
}

/// Bytes as the text of WebAssembly has them in quotes.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("\\{byte:02x}"))
}

/// `ok` with subscriptions to these events, with this filter and without bodies, as it is in memory from [`CONFIGURED`] on.
fn subscribed(events: &[u8], filter: &str) -> Vec<u8> {
    let count = u32::try_from(events.len()).expect("few events");
    let list = CONFIGURED + 16;
    let text = list + count * SUBSCRIPTION;
    let length = u32::try_from(filter.len()).expect("a short filter");
    let mut bytes = [0, list, count, 0].map(u32::to_le_bytes).concat();
    for event in events {
        bytes.extend([u32::from(*event), text, length].map(u32::to_le_bytes).concat());
        bytes.resize(bytes.len() + SUBSCRIPTION as usize - 12, 0);
    }
    bytes.extend_from_slice(filter.as_bytes());
    bytes
}

fn component(module: &str) -> Result<Vec<u8>, String> {
    let mut module = wat::parse_str(module).map_err(|error| error.to_string())?;
    let mut resolve = Resolve::default();
    let wit = root().join("../wit");
    resolve.push_dir(&wit).map_err(|error| format!("{error:#}"))?;
    let package = resolve.push_str("world.wit", &read("world/world.wit")).map_err(|error| format!("{error:#}"))?;
    let world = resolve.select_world(&[package], Some("hostile")).map_err(|error| format!("{error:#}"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|error| format!("{error:#}"))?;
    let encoder = ComponentEncoder::default().validate(true).module(&module).map_err(|error| format!("{error:#}"))?.encode();
    encoder.map_err(|error| format!("{error:#}"))
}

fn read(file: &str) -> String {
    let path = root().join("guests/hostile").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
