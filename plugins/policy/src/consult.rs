//! Calls of services.

pub(crate) mod answer;
mod escape;
pub(crate) mod payload;

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use tollgate_sdk::{http, log};

use crate::document::action::Call;

/// How long services are waited for in one stage of a flow.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    since: Instant,
}

/// Why a service did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was to be sent is no legal request, as where it is over the addon's `max_body`. Nothing was sent.
    Unsendable(String),
    /// All else.
    Other(String),
}

/// Redirects that are followed.
const REDIRECTS: u8 = 10;

impl Patience {
    /// As long as this from now on, so that what else takes time in the stage, like the question who asks, counts, too.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now() }
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }
}

/// Calls a service with this payload until `read` makes something of its answer, but no more often than the hook says and no
/// longer than patience lasts.
///
/// # Errors
///
/// Why the last attempt was none.
pub(crate) fn ask<T>(
    hook: &str,
    call: &Call,
    payload: Vec<u8>,
    patience: &mut Patience,
    read: impl Fn(&http::Response) -> Result<T, String>,
) -> Result<T, Failure> {
    let mut request = http::Request::new(&call.method, call.url.as_str()).body(payload).redirects(REDIRECTS);
    if !call.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header("Content-Type", "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let mut attempt = 0_u64;
    loop {
        let left = patience.left();
        if left.is_zero() {
            return Err(Failure::Other("the time for consultations is over (\"consultationLimitMilliseconds\")".to_owned()));
        }
        request.timeout = Some(call.timeout.min(left));
        let why = match request.send() {
            Ok(response) => match read(&response) {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            },
            // Nothing of this gets better by another try.
            Err(error @ http::Error::Invalid(_)) => return Err(Failure::Unsendable(error.to_string())),
            Err(error @ http::Error::Denied(_)) => return Err(Failure::Other(error.to_string())),
            Err(error) => error.to_string(),
        };
        if attempt == call.retries {
            return Err(Failure::Other(why));
        }
        attempt = attempt.saturating_add(1);
        if patience.left() <= call.wait {
            let limit = "\"consultationLimitMilliseconds\"";
            return Err(Failure::Other(format!("{why}; no time is left for another attempt ({limit})")));
        }
        log::info!(hook = hook, attempt = attempt; "calling the service again, since {why}");
        if !call.wait.is_zero() {
            // Only this flow waits.
            thread::sleep(call.wait);
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unsendable(why) | Self::Other(why)) = self;
        out.write_str(why)
    }
}

/// What every answer has to be.
///
/// # Errors
///
/// With any status but 200.
pub(crate) fn accepted(response: &http::Response) -> Result<(), String> {
    match response.status {
        200 => Ok(()),
        status => Err(format!("the service answered {status}, and not 200")),
    }
}
