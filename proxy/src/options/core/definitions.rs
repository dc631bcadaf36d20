//! The table of all options.

use serde_json::Value;

use super::Definition;
use crate::config::nearest;

const BOOL: &str = "bool";
const COUNT: &str = "optional int";
const TEXT: &str = "optional str";
const TEXTS: &str = "sequence of str";

/// By name.
pub(super) const DEFINITIONS: [Definition; 21] = [
    Definition {
        name: "allow_hosts",
        kind: TEXTS,
        help: "Regular expressions, searched for in the host where the request goes and in its host:port, case ignored. Where none is found, the \
               flow passes without any addon or rule seeing it. Not together with ignore_hosts. Unlike in mitmproxy it goes by \
               the listener's upstream or the target of a forward listener, never by what Host or SNI claim, and HTTP stays \
               HTTP: limits hold.",
    },
    Definition {
        name: "anticache",
        kind: BOOL,
        help: "Removes If-None-Match and If-Modified-Since from requests, before addons see them.",
    },
    Definition { name: "anticomp", kind: BOOL, help: "Sets Accept-Encoding of requests to identity, before addons see them." },
    Definition {
        name: "block_list",
        kind: TEXTS,
        help: "/flow-filter/status: requests that match are answered with the status, from 200 to 599, and no body; 444 closes \
               without an answer. The first character separates. The last match decides; 444 wins. Unlike in mitmproxy no addon \
               sees what is blocked, CONNECT can be blocked, too, and filters may not look at bodies.",
    },
    Definition {
        name: "body_idle_timeout",
        kind: TEXT,
        help: "Longest wait for more of a body, like 30s, or none; in place of the listener's timeouts.body_idle; not for the controller.",
    },
    Definition {
        name: "body_size_limit",
        kind: TEXT,
        help: "Bytes of a body as sent, like 3m or 1k, at most. A request over it is answered with 413, a response over it with \
               502. What is announced is refused before any addon sees it, what is counted on the way is broken off. Only \
               tightens limits.request_body. Tunnels and WebSockets have no limit.",
    },
    Definition {
        name: "connection_timeout",
        kind: TEXT,
        help: "How long connecting to an upstream may take, like 10s; in place of the listener's timeouts.connect.",
    },
    Definition {
        name: "flow_timeout",
        kind: TEXT,
        help: "How long a flow may take as a whole, like 5m, or none; in place of the listener's timeouts.flow.",
    },
    Definition {
        name: "idle_timeout",
        kind: TEXT,
        help: "How long a client's connection without a request is kept, like 60s; in place of the listener's timeouts.idle. \
               HTTP/2 connections keep what held when they began; kept connections to upstreams go by the configuration, and so do \
               forward listeners with a controller.",
    },
    Definition {
        name: "ignore_hosts",
        kind: TEXTS,
        help: "Regular expressions, searched for in the host where the request goes and in its host:port, case ignored. Where one is found, the \
               flow passes without any addon or rule seeing it. Not together with allow_hosts. Unlike in mitmproxy it goes by \
               the listener's upstream or the target of a forward listener, never by what Host or SNI claim, and HTTP stays \
               HTTP: limits hold.",
    },
    Definition {
        name: "log_level",
        kind: TEXT,
        help: "off, error, warn, info, debug or trace, or a list with modules like info,tollgate::http1=debug; in place of \
               log.level.",
    },
    Definition {
        name: "map_remote",
        kind: TEXTS,
        help: "[/flow-filter]/url-regex/replacement: after the addons, what the regular expression finds in the URL of a request \
               is replaced; \\1 and \\g<name> stand for groups. A new host is where the request goes; forward listeners hold it \
               against their targets; on reverse listeners it may be anywhere if the replacement spells out scheme, host and \
               port, else at public addresses only. Unlike in mitmproxy a changed path alone leaves the upstream as it is, and \
               filters may not look at bodies.",
    },
    Definition {
        name: "max_connections",
        kind: COUNT,
        help: "Connections of clients at once on each listener, 1 to 1000000; more wait. Only tightens limits.connections; those \
               that are open stay. Forward listeners with a controller keep to the configuration, so that it can be reached.",
    },
    Definition {
        name: "max_header_bytes",
        kind: TEXT,
        help: "Bytes of a head, like 16k, from 1KiB to 1MiB; over it requests get 431 and responses are failures of the upstream. \
               Only tightens limits.header_bytes; requests for the controller keep to that.",
    },
    Definition {
        name: "max_header_count",
        kind: COUNT,
        help: "Fields of a head, 1 to 1024; over it requests get 431 and responses are failures of the upstream. Only tightens \
               limits.header_count; requests for the controller keep to that.",
    },
    Definition {
        name: "modify_headers",
        kind: TEXTS,
        help: "[/flow-filter]/name/value: after the addons, removes the fields of the name from requests and from responses that \
               match, and adds one with the value unless that is empty. Of matching entries all remove before any adds. ~q and \
               ~s choose requests and responses. Unlike in mitmproxy files (@path) are not read, backslashes are plain, \
               filters may not look at bodies, and fields of framing and of connections, and Host, are refused.",
    },
    Definition {
        name: "request_timeout",
        kind: TEXT,
        help: "From the first byte of a request's head to its end, like 30s; in place of the listener's timeouts.header_read, \
               but not on forward listeners with a controller, so that it can always be asked.",
    },
    Definition {
        name: "response_timeout",
        kind: TEXT,
        help: "From the end of the request to the head of the response, like 2m, or none; in place of the listener's \
               timeouts.response.",
    },
    Definition {
        name: "ssl_insecure",
        kind: BOOL,
        help: "Does not verify certificates of upstreams. Connections that were made so are used by nobody else.",
    },
    Definition {
        name: "stream_large_bodies",
        kind: TEXT,
        help: "Bodies of more bytes, like 1m, are streamed: hooks that want a body whole are not called for such a message, \
               whatever they do over their own cap, so that an addon that refuses by bodies refuses nothing then. Hooks for heads \
               and pieces are called as ever.",
    },
    Definition {
        name: "tunnel_timeout",
        kind: TEXT,
        help: "Longest silence in a tunnel of CONNECT, like 1h, or none; in place of the listener's timeouts.tunnel.",
    },
];

/// The option of this name.
pub(super) fn find(name: &str) -> Option<&'static Definition> {
    let place = DEFINITIONS.binary_search_by(|definition| definition.name.cmp(name)).ok()?;
    DEFINITIONS.get(place)
}

/// What an option's value is where it is not set.
pub(super) fn unset(definition: &Definition) -> Value {
    match definition.kind {
        BOOL => Value::Bool(false),
        TEXTS => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// Why a name is none of an option.
pub(super) fn unknown(name: &str) -> String {
    let known: Vec<_> = DEFINITIONS.iter().map(|definition| definition.name).collect();
    match nearest(name, &known) {
        Some(near) => format!("no such option; did you mean {near}?"),
        None => format!("no such option; there are {}", known.join(", ")),
    }
}
