//! The `dns` interface: a guest waits for what the resolver finds.

use std::time::Duration;

use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;

use super::{
    bindings::dns::{self as wit, Error as WitError},
    http::PER_HOOK,
    state::HostState,
};
use crate::dns::{Error, Service, TIMEOUT};

impl wit::Host for HostState {
    async fn srv(&mut self, name: String, timeout: Option<u64>) -> wasmtime::Result<Result<Vec<wit::Service>, WitError>> {
        let (deadline, over) = (self.budget.deadline(), self.budget.over_wall());
        // `configure` has no stage, be it run for a flow.
        if self.stage.is_none() || !self.calls.may_ask() {
            return Ok(Err(WitError::Denied));
        }
        if !self.calls.make() {
            return Ok(Err(WitError::Busy(PER_HOOK)));
        }
        let timeout = match timeout {
            Some(0) => return Ok(Err(WitError::Invalid("a timeout of 0".to_owned()))),
            timeout => timeout.map_or(TIMEOUT, Duration::from_millis),
        };
        let (names, runtime) = self.calls.names();
        let work = AbortOnDropHandle::new(runtime.spawn(async move { names.services(&name, timeout).await }));
        match timeout_at(deadline, work).await {
            Ok(found) => {
                let found = found.map_err(wasmtime::Error::new)?;
                Ok(found.map(|found| found.into_iter().map(wit::Service::from).collect()).map_err(WitError::from))
            }
            Err(_) => Err(wasmtime::Error::new(over)),
        }
    }
}

impl From<Service> for wit::Service {
    fn from(service: Service) -> Self {
        let Service { priority, weight, port, target } = service;
        Self { priority, weight, port, target }
    }
}

impl From<Error> for WitError {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(text) => Self::Invalid(text),
            Error::Timeout => Self::Timeout,
            Error::Failed(text) => Self::Failed(text),
            Error::TooLarge(limit) => Self::TooLarge(limit),
            Error::Busy(limit) => Self::Busy(limit),
        }
    }
}
