//! The staged response.

use super::message_methods;
use crate::{EditError, Origin, host};

/// The staged response. Edits are taken in the `response` hook.
///
/// Each call asks the host anew: keep what is needed more than once.
#[derive(Debug)]
pub struct Response<'a> {
    host: &'a host::Response,
}

impl<'a> Response<'a> {
    pub(crate) const fn new(host: &'a host::Response) -> Self {
        Self { host }
    }

    /// 200 to 599.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.host.status()
    }

    /// # Errors
    ///
    /// [`EditError::Invalid`] outside 200 to 599: 1xx are the core's.
    pub fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        host::edit(self.host.set_status(status))
    }

    /// Who made it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        host::origin(self.host.origin())
    }

    /// `1.0`, `1.1` or `2`: what the upstream spoke; `1.1` for a response that an addon or the core made.
    #[must_use]
    pub fn version(&self) -> String {
        self.host.version()
    }

    /// Replaces the whole body. Content-Length is set and Content-Encoding removed by the core.
    ///
    /// Allowed without having asked for the body: then what the upstream sends is read and thrown away.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] where the answer can have no body: to HEAD, and with status 204 or 304; and of a part of a
    /// whole while the status is 206, since what replaces it is no longer that part.
    /// [`EditError::ReadOnly`] where the body was truncated, [`EditError::TooLarge`] beyond the addon's `max_body`.
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), EditError> {
        host::edit(self.host.set_body(body.as_ref()))
    }
}

message_methods!(Response);
