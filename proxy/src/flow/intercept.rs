//! Which targets of CONNECT a listener looks into, and with which certificates.

use crate::{
    mint::{Mint, Mirror},
    targets::{Pattern, Target},
};

/// What a forward listener needs to look into TLS.
pub struct Intercept {
    /// Makes certificates for hosts.
    pub mint: Mint,
    /// Takes over the names of upstreams' certificates, if it does.
    pub mirror: Option<Mirror>,
    /// `tls.tunnel`: what is never looked into.
    pub tunnel: Vec<Pattern>,
    /// `tls.intercept`: if it is there, nothing else is.
    pub only: Option<Vec<Pattern>>,
}

impl Intercept {
    /// Whether a connection to this target is to be looked into; if not, it is a blind tunnel.
    #[must_use]
    pub fn is_about(&self, target: &Target) -> bool {
        let has = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_about(target));
        !has(&self.tunnel) && self.only.as_ref().is_none_or(|only| has(only))
    }
}
