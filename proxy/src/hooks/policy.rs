//! What becomes of the flows of an addon that fails, and when they come to it no more.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::Event;
use crate::http::Field;

/// What becomes of a flow whose hook failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The client gets the addon's [`FailureAnswer`].
    #[default]
    Closed,
    /// The flow goes on as if the hook had not been called.
    Open,
    /// The hook is called once more, in a fresh instance; if that fails, too: closed.
    Retry,
    /// The hook is called once more, in a fresh instance; if that fails, too: open.
    RetryOpen,
}

/// What becomes of the flows of an addon whose hooks fail. Default closed for all events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailurePolicy {
    by_event: [OnError; Event::ALL.len()],
    /// What clients get where it is closed.
    pub answer: FailureAnswer,
}

/// What a client gets in place of what a failed addon should have let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureAnswer {
    /// 400 to 599. Default 503.
    pub status: StatusCode,
    /// Content-Type and body. Default: the core's JSON, which names the addon.
    pub content: Option<(Field, Bytes)>,
}

/// When an addon is quarantined, and for how long: flows do not come to it then, and get what its policy says.
///
/// It starts when hooks have failed in so many flows within so much time, and these are a large enough share of the flows that
/// came to the addon in that time: one client with one poisonous request must not take the addon from everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineRule {
    /// Flows in which a hook failed, 1 or more. Default 20.
    pub failures: usize,
    /// The time within which they did. Default 10 s.
    pub within: Duration,
    /// The least percentage of the addon's flows that they are, 0 to 100. Default 50.
    pub share: u8,
    /// How long the first quarantine lasts. Default 1 s.
    pub first: Duration,
    /// How long any lasts: each failed probe doubles it up to this. Default 5 min.
    pub longest: Duration,
}

impl OnError {
    /// Whether the client is answered when all tries have failed.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed | Self::Retry)
    }

    /// Whether there is a second try.
    #[must_use]
    pub const fn is_retried(self) -> bool {
        matches!(self, Self::Retry | Self::RetryOpen)
    }
}

impl FailurePolicy {
    /// This for all events, and the default answer.
    #[must_use]
    pub fn new(on_error: OnError) -> Self {
        Self { by_event: [on_error; Event::ALL.len()], answer: FailureAnswer::default() }
    }

    /// The same but for one event.
    #[must_use]
    pub fn with(mut self, event: Event, on_error: OnError) -> Self {
        if let Some(place) = self.by_event.get_mut(event as usize) {
            *place = on_error;
        }
        self
    }

    /// What becomes of a flow in which the hook for this event failed.
    #[must_use]
    pub fn on(&self, event: Event) -> OnError {
        self.by_event.get(event as usize).copied().unwrap_or_default()
    }
}

impl Default for FailureAnswer {
    fn default() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, content: None }
    }
}

impl Default for QuarantineRule {
    fn default() -> Self {
        Self {
            failures: 20,
            within: Duration::from_secs(10),
            share: 50,
            first: Duration::from_secs(1),
            longest: Duration::from_mins(5),
        }
    }
}
