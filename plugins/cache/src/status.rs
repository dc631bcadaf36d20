//! Cache-Status (RFC 9211).

use std::fmt::Write as _;

/// Why a request went to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forward {
    /// It is of a kind that is not looked up.
    Bypass,
    /// Nothing is kept for its target.
    UriMiss,
    /// What is kept is for requests with other fields.
    VaryMiss,
    /// It says so itself.
    Request,
    /// What is kept is stale.
    Stale,
}

/// What became of a request, as one member of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) struct Status(String);

impl Forward {
    const fn name(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

impl Status {
    /// Answered from the store, with what is fresh, or stale, for so many seconds.
    pub(crate) fn hit(seconds: i64) -> Self {
        Self(format!("; hit; ttl={seconds}"))
    }

    /// The upstream was to be asked.
    pub(crate) fn forward(why: Forward) -> Self {
        Self(format!("; fwd={}", why.name()))
    }

    /// What the upstream said, where the client is told something else.
    pub(crate) fn said(mut self, status: u16) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.0, "; fwd-status={status}");
        self
    }

    /// Its answer is kept.
    pub(crate) fn stored(mut self) -> Self {
        self.0.push_str("; stored");
        self
    }

    /// The answer is that to another request.
    pub(crate) fn collapsed(mut self) -> Self {
        self.0.push_str("; collapsed");
        self
    }

    /// In words of this cache's own.
    pub(crate) fn detail(mut self, detail: &str) -> Self {
        let _ = write!(self.0, "; detail={detail}");
        self
    }

    /// The member, by a cache of this name.
    pub(crate) fn by(&self, name: &str) -> String {
        format!("{name}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_as_in_the_standard() {
        assert_eq!(Status::hit(-3).by("tollgate"), "tollgate; hit; ttl=-3");
        let status = Status::forward(Forward::Stale).said(304).stored().collapsed().detail("x");
        assert_eq!(status.by("a"), "a; fwd=stale; fwd-status=304; stored; collapsed; detail=x");
    }
}
