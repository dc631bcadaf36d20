//! `SSLKEYLOGFILE`: secrets of TLS connections, for those who look at their own traffic with Wireshark.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    sync::{Arc, LazyLock},
};

use rustls::{KeyLog, KeyLogFile};

/// The variable, as browsers and curl read it.
const VARIABLE: &str = "SSLKEYLOGFILE";

static LOG: LazyLock<Option<Arc<dyn KeyLog>>> = LazyLock::new(|| {
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty())?;
    // Made here, so that nobody else can read it; one that is there keeps its mode.
    if let Err(error) = OpenOptions::new().append(true).create(true).mode(0o600).open(&path) {
        tracing::error!(%error, path = %path.display(), "SSLKEYLOGFILE cannot be written: no secrets are");
        return None;
    }
    tracing::warn!(path = %path.display(), "SSLKEYLOGFILE is set: whoever reads that file can decrypt every connection of this proxy");
    Some(Arc::new(KeyLogFile::new()))
});

/// Where secrets of connections go, if the environment says so.
pub(crate) fn key_log() -> Option<Arc<dyn KeyLog>> {
    LOG.clone()
}
