//! The homeserver's word on a token.

use std::{
    thread,
    time::{Duration, Instant},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tollgate_sdk::{Request, http, log};

use super::token::Token;
use crate::managed::check_user;

/// What the homeserver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The token of this user.
    Known(String),
    /// A token that it does not take.
    Refused(Refusal),
    /// Nothing that could be understood.
    Nothing,
}

/// Why the homeserver does not take a token: what of its answer clients go by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) errcode: String,
    #[serde(default)]
    pub(crate) error: String,
    /// Whether the client may log in again and keep what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) soft_logout: Option<bool>,
}

#[derive(Deserialize)]
struct Whoami {
    user_id: String,
}

/// Fields of the client's request that go along: homeservers note where and with what a token was used last.
const PASSED_ON: [&str; 2] = ["X-Forwarded-For", "User-Agent"];
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 << 10;
/// Bytes of `errcode` and of `error`, so that what is kept is small.
const MAX_TEXT: usize = 255;
/// What of a user ID is written as it is (RFC 3986, 3.4).
const AS_IT_IS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'@').remove(b':').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// How long it is waited for other requests of the addon to be done, at most.
const MAX_WAIT: Duration = Duration::from_secs(5);
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Asks `GET /_matrix/client/v3/account/whoami`.
pub(super) fn ask(homeserver: &str, token: &Token, request: &Request<'_>, timeout: Duration) -> Answer {
    let query = token.acts_as.as_deref().map(|user| format!("?user_id={}", utf8_percent_encode(user, AS_IT_IS)));
    let url = format!("{homeserver}/_matrix/client/v3/account/whoami{}", query.unwrap_or_default());
    let mut question = http::Request::get(url).bearer(&token.secret).header("Accept", "application/json");
    for name in PASSED_ON {
        for value in request.header_values(name) {
            question = question.header(name, value);
        }
    }
    question.max_response = Some(MAX_ANSWER);
    match send(question, timeout) {
        Ok(response) => understand(&response),
        Err(error) => {
            log::warn!(error = error.to_string().as_str(); "the homeserver did not tell whose a token is");
            Answer::Nothing
        }
    }
}

/// Again while all requests that the addon may have at one time are under way, as long as there is time.
fn send(mut question: http::Request, timeout: Duration) -> Result<http::Response, http::Error> {
    let since = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        question.timeout = Some(timeout.saturating_sub(since.elapsed()).max(Duration::from_millis(1)));
        let outcome = question.send();
        if !matches!(outcome, Err(http::Error::Busy(_))) || since.elapsed().saturating_add(wait) >= timeout.min(MAX_WAIT) {
            return outcome;
        }
        thread::sleep(wait);
        wait = wait.saturating_mul(2).min(LONGEST_WAIT);
    }
}

fn understand(response: &http::Response) -> Answer {
    match response.status {
        200 => match response.json::<Whoami>() {
            Ok(Whoami { user_id }) if check_user(&user_id).is_ok() => Answer::Known(user_id),
            _ => {
                log::warn!("the homeserver told whose a token is, but not with a user ID");
                Answer::Nothing
            }
        },
        401 => match response.json::<Refusal>() {
            Ok(Refusal { errcode, error, soft_logout }) if errcode.starts_with("M_") && errcode.len() <= MAX_TEXT => {
                let error = if error.len() <= MAX_TEXT { error } else { String::new() };
                Answer::Refused(Refusal { errcode, error, soft_logout })
            }
            _ => {
                log::warn!("somebody answered 401 for the homeserver, without an errcode of Matrix");
                Answer::Nothing
            }
        },
        status => {
            log::warn!(status; "the homeserver did not tell whose a token is");
            Answer::Nothing
        }
    }
}

impl Refusal {
    /// Whether it is said of the token that nobody has it; otherwise its user is known, and kept out.
    pub(crate) fn is_of_nobody(&self) -> bool {
        matches!(self.errcode.as_str(), "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN")
    }
}
