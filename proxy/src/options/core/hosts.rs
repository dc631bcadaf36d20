//! `allow_hosts` and `ignore_hosts`.

use std::sync::Arc;

use regex::bytes::Regex;

use super::values::at;
use crate::{
    filter::{Case, regex},
    http::Origin,
};

/// Regular expressions upon hosts, with port and without.
#[derive(Clone)]
pub(crate) struct Hosts(Arc<[Regex]>);

impl Hosts {
    /// None where there is no entry.
    pub(super) fn new(entries: &[&str]) -> Result<Option<Self>, String> {
        let compiled = entries.iter().enumerate().map(|(place, text)| regex(text, Case::Ignored).map_err(|why| at(place, &why)));
        let compiled = compiled.collect::<Result<Vec<_>, _>>()?;
        Ok((!compiled.is_empty()).then(|| Self(compiled.into())))
    }

    /// Whether one is found in `host:port` of this, or in the host alone.
    pub(crate) fn contain(&self, origin: &Origin) -> bool {
        let (host, with_port) = (origin.authority.bare_host(), format!("{}:{}", origin.authority.host(), origin.port()));
        self.0.iter().any(|regex| regex.is_match(with_port.as_bytes()) || regex.is_match(host.as_bytes()))
    }
}
