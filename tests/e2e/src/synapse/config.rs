//! What the tests want otherwise than Synapse's own defaults.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use super::Federating;

/// File of settings that go before the generated ones; relative, like all others, to the homeserver's directory.
pub(super) const OVERRIDES: &str = "overrides.yaml";

/// File with a line for each request that came, and one for each that was answered.
pub(super) const ACCESS_LOG: &str = "access.log";

/// File with all that it logs.
pub(super) const LOG: &str = "homeserver.log";

const LOGGING: &str = "logging.yaml";

/// Writes the settings of a homeserver that listens at this port.
pub(super) fn write(directory: &Path, port: u16, federating: Option<&Federating>) {
    let resources: &[&str] = if federating.is_some() { &["client", "federation"] } else { &["client"] };
    let mut settings = overrides(port, resources);
    settings.extend(federating.map_or_else(alone, federation));
    // YAML can be written as JSON.
    for (name, content) in [(OVERRIDES, Value::Object(settings)), (LOGGING, logging())] {
        fs::write(directory.join(name), format!("{content:#}")).expect("a file");
    }
}

/// What is of a homeserver that federates with nobody.
fn alone() -> Map<String, Value> {
    object(json!({ "federation_domain_whitelist": [] }))
}

/// What is of a homeserver whose way to others is a proxy.
fn federation(federating: &Federating) -> Map<String, Value> {
    object(json!({
        "https_proxy": federating.proxy,
        "no_proxy_hosts": [],
        "federation_custom_ca_list": [federating.ca],
        // Others are on this machine.
        "ip_range_blacklist": [],
        // Who was not reached is tried again at once.
        "federation": {
            "destination_min_retry_interval": 10,
            "destination_retry_multiplier": 1,
            "max_short_retries": 1,
            "max_long_retries": 1,
            "max_long_retry_delay": 100,
        },
        "rc_federation": { "reject_limit": 1_000_000, "concurrent": 100 },
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

fn overrides(port: u16, resources: &[&str]) -> Map<String, Value> {
    let unlimited = || json!({ "per_second": 1e6, "burst_count": 1_000_000 });
    object(json!({
        "listeners": [{
            "type": "http",
            "bind_addresses": ["127.0.0.1"],
            "port": port,
            "tls": false,
            "x_forwarded": true,
            "resources": [{ "names": resources, "compress": true }],
        }],
        "log_config": LOGGING,
        "bcrypt_rounds": 4,
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "report_stats": false,
        // So that a sync returns only when somebody does something, and tells all of it.
        "presence": { "enabled": false },
        "caches": { "sync_response_cache_duration": "0s" },
        "trusted_key_servers": [],
        "rc_message": unlimited(),
        "rc_registration": unlimited(),
        "rc_login": { "address": unlimited(), "account": unlimited(), "failed_attempts": unlimited() },
        "rc_joins": { "local": unlimited(), "remote": unlimited() },
        "rc_invites": { "per_room": unlimited(), "per_user": unlimited(), "per_issuer": unlimited() },
        "rc_media_create": unlimited(),
    }))
}

/// Unbuffered, as tests look at what was logged.
fn logging() -> Value {
    let file = |name, formatter| json!({ "class": "logging.FileHandler", "filename": name, "formatter": formatter });
    json!({
        "version": 1,
        "disable_existing_loggers": false,
        "formatters": {
            "bare": { "format": "%(message)s" },
            "full": { "format": "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s" },
        },
        "handlers": { "all": file(LOG, "full"), "access": file(ACCESS_LOG, "bare") },
        // It tells what comes at this level, and what was answered at a higher one.
        "loggers": { "synapse.access": { "level": "DEBUG", "handlers": ["access"] } },
        "root": { "level": "INFO", "handlers": ["all"] },
    })
}
