//! What an addon asks for, beside what it is granted.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    bindings,
    engine::Engine,
    grants::{Grants, Violation},
    loader::{Given, Loader, Source},
    options,
    settings::Settings,
    status::{SubscriptionStatus, hex},
    wasi,
};
use crate::hooks::Addon as _;

/// What an addon is, without running flows through it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Inspection {
    /// Of the file, in hexadecimal.
    pub sha256: String,
    /// Interfaces that it imports.
    pub imports: Vec<Import>,
    /// What it subscribes to with these options, whether it is granted or not.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// What of that is not granted: as an addon it would be refused.
    #[serde(skip)]
    pub violations: Vec<Violation>,
    /// What it is granted.
    pub grants: Grants,
    /// Its budgets, by the keys of the configuration.
    pub limits: Map<String, Value>,
    /// Why its instances cannot be copies of a configured one; none if they can.
    pub no_snapshot: Option<String>,
}

/// An imported interface.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Import {
    /// With its version.
    pub name: String,
    /// Whether the component gets what it wants of it.
    pub is_granted: bool,
    /// What is behind it otherwise: the component links in any case.
    pub otherwise: Option<&'static str>,
}

/// Loads a component as an addon of this name would be, snapshot included, and tells what it is; grants are not enforced.
pub async fn inspect(settings: &Settings, name: &str, component: Vec<u8>) -> anyhow::Result<Inspection> {
    let engine = Engine::new(settings)?;
    let loader = Loader::new(engine.clone(), 1);
    let addon = settings.addon(name);
    let options = options::document(&engine, &addon.options, settings.max_options).await?.text;
    let source = Source::Bytes(component.into(), None);
    let generation = Arc::new(loader.configure(&Arc::from(name), &addon, source, Given::anew(options), &Arc::default()).await?);
    let no_snapshot = loader.freeze(&generation).await.err().map(|error| error.to_string());
    let import = |name: &String| {
        let otherwise = if wasi::is_absent(name) {
            Some("empty here")
        } else if (bindings::is_kv(name) && !addon.grants.kv)
            || (bindings::is_outbox(name) && addon.grants.outbox.iter().next().is_none())
            || (bindings::is_dns(name) && !addon.grants.dns)
        {
            Some("every call is denied")
        } else {
            None
        };
        Import { name: name.clone(), is_granted: otherwise.is_none(), otherwise }
    };
    Ok(Inspection {
        sha256: hex(&generation.compiled().sha256),
        imports: generation.compiled().imports.iter().map(import).collect(),
        subscriptions: generation.subscriptions().iter().map(Into::into).collect(),
        violations: addon.grants.violations(generation.subscriptions()),
        limits: addon.limits.shown(engine.max_instances(), engine.guest_stack()),
        grants: Grants::clone(&addon.grants),
        no_snapshot,
    })
}
