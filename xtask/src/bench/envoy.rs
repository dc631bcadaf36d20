//! Envoy, with and without a proxy-wasm filter.

use anyhow::Result;
use serde_json::{Value, json};

use crate::process::command;

use super::{
    Bench,
    proxy::{Place, Proxy, Wants},
};

/// Name of a type in Envoy's configuration.
const TYPES: &str = "type.googleapis.com/envoy.extensions.";

/// Starts Envoy before the upstream: one worker, no log of requests, no request IDs, no time limit for a response. `filters` has
/// it run the filter of `tests/bench/filter`, in one VM of V8 for all requests of the worker.
pub(crate) fn start(bench: &Bench, wants: &Wants<'_>, filters: bool) -> Result<Proxy> {
    let place = Place::reserve(bench, wants.label)?;
    let mut chain = Vec::new();
    if filters {
        chain.push(json!({
            "name": "envoy.filters.http.wasm",
            "typed_config": {
                "@type": format!("{TYPES}filters.http.wasm.v3.Wasm"),
                "config": {
                    "name": "bench",
                    "root_id": "bench",
                    "vm_config": {
                        "vm_id": "bench",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": bench.filter}},
                    },
                },
            },
        }));
    }
    chain.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{TYPES}filters.http.router.v3.Router")},
    }));
    let config = json!({
        "static_resources": {
            "listeners": [{
                "name": "clients",
                "address": address(place.address),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": {
                        "@type": format!("{TYPES}filters.network.http_connection_manager.v3.HttpConnectionManager"),
                        "stat_prefix": "clients",
                        "codec_type": if wants.speaks_http2 { "HTTP2" } else { "HTTP1" },
                        "generate_request_id": false,
                        "route_config": {"virtual_hosts": [{
                            "name": "all",
                            "domains": ["*"],
                            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "0s"}}],
                        }]},
                        "http_filters": chain,
                    },
                }]}],
            }],
            "clusters": [{
                "name": "origin",
                "type": "STATIC",
                "connect_timeout": "10s",
                "load_assignment": {
                    "cluster_name": "origin",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(wants.upstream)}}]}],
                },
            }],
        },
    });
    let config = place.write("envoy.json", config.to_string())?;
    let mut program = command(&bench.tools.envoy);
    program.arg("--config-path").arg(config).args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
    Proxy::start(place, wants, false, &program)
}

fn address(address: std::net::SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
