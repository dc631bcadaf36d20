//! The domain name system, as a component sees it.

use crate::{
    dns::{Error, Service},
    guest::bindings::tollgate::addon::dns::{self as wit, Error as WitError},
};

pub(crate) fn srv(name: &str, timeout: Option<u64>) -> Result<Vec<Service>, Error> {
    let service =
        |found: wit::Service| Service { priority: found.priority, weight: found.weight, port: found.port, target: found.target };
    wit::srv(name, timeout).map(|found| found.into_iter().map(service).collect()).map_err(|error| match error {
        WitError::Denied => Error::Denied,
        WitError::Invalid(text) => Error::Invalid(text),
        WitError::Timeout => Error::Timeout,
        WitError::Failed(text) => Error::Failed(text),
        WitError::TooLarge(limit) => Error::TooLarge(limit),
        WitError::Busy(limit) => Error::Busy(limit),
    })
}
