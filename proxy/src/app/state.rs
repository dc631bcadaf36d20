//! The store of keys and values, as the configuration wants it.

use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use anyhow::Context as _;

use crate::{
    config::{Config, RedisServer, StateStore},
    kv::{File, Guarded, Memory, Redis, RedisSettings, Store},
    upstream::{Dial, Protocol, tls},
};

/// Opens the store. A file must be there and sound now; a server that is down is waited for a little, and then tried again and
/// again.
///
/// # Errors
/// When the file is another process's, damaged or not to be had, or when there is no trust in a server.
pub(super) async fn open(config: &Config) -> anyhow::Result<Guarded> {
    let state = &config.state;
    let store: Arc<dyn Store> = match &state.store {
        StateStore::Memory => Arc::new(Memory::default()),
        StateStore::File(path) => file(path, state.bytes).await?,
        // Nobody may keep anything: another proxy of the same user may have the file.
        StateStore::Default(_) if !uses_kv(config) => Arc::new(Memory::default()),
        StateStore::Default(path) => {
            if let Some(directory) = path.parent() {
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
                made.with_context(|| format!("state: cannot make the directory {}", directory.display()))?;
            }
            file(path, state.bytes).await?
        }
        StateStore::Redis(server) => {
            let redis = Redis::start(settings(server, state.timeout)?);
            redis.tried().await;
            Arc::new(redis)
        }
    };
    Ok(Guarded::new(store, state.timeout))
}

/// Whether an addon may keep keys and values.
pub(super) fn uses_kv(config: &Config) -> bool {
    config.addons.values().any(|addon| addon.grants.kv)
}

async fn file(path: &Path, most: u64) -> anyhow::Result<Arc<dyn Store>> {
    let owned = path.to_owned();
    // It is read as a whole.
    let opened = tokio::task::spawn_blocking(move || File::open(&owned, most)).await?.context("state")?;
    tracing::info!(state.path = %path.display(), "keys and values are in a file");
    Ok(Arc::new(opened))
}

fn settings(server: &RedisServer, timeout: std::time::Duration) -> anyhow::Result<RedisSettings> {
    let tls = server.tls.then(|| tls::client_config(server.ca.as_deref(), Protocol::Http1).context("state")).transpose()?;
    Ok(RedisSettings {
        dial: Dial { host: server.host.clone(), port: server.port, tls },
        shown: format!("{}:{}/{}", server.host, server.port, server.database).into(),
        database: i64::from(server.database),
        user: server.user.clone(),
        password: server.password.clone(),
        timeout,
    })
}
