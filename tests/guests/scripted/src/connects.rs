//! What a guest does with a CONNECT.

use serde::Deserialize;
use tollgate_sdk::{ConnectVerdict, Error, Flow, Request};

use crate::{Done, Given, Scripted};

/// What becomes of it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ruling {
    Intercept,
    Tunnel,
}

impl Scripted {
    pub(crate) fn connected(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        host: &str,
        port: u16,
    ) -> Result<ConnectVerdict, Error> {
        Ok(match self.run(flow, &mut Given::Connect(request, host, port))? {
            Done::Rule(Ruling::Intercept) => ConnectVerdict::Intercept,
            Done::Rule(Ruling::Tunnel) => ConnectVerdict::Tunnel,
            Done::Refuse(refusal) => ConnectVerdict::Refuse(refusal),
            Done::Next | Done::EndChain | Done::Respond(_) | Done::Drop => ConnectVerdict::Next,
        })
    }
}
