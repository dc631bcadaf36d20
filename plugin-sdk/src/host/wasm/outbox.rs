//! Requests that are sent later.

use std::time::Duration;

use crate::{
    guest::bindings::tollgate::addon::{
        http_client,
        outbox::{self as wit, Error as WitError},
    },
    http::Request,
    outbox::Error,
};

/// Puts a request into the outbox.
pub(crate) fn put(request: &Request, lifetime: Option<Duration>) -> Result<(), Error> {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let options = wit::Options { timeout: request.timeout.map(milliseconds), lifetime: lifetime.map(milliseconds) };
    let request = http_client::Request {
        method: request.method.clone(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
    };
    wit::put(&request, options).map_err(|error| match error {
        WitError::Denied(text) => Error::Denied(text),
        WitError::Invalid(text) => Error::Invalid(text),
        WitError::Full(text) => Error::Full(text),
    })
}
