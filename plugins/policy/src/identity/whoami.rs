//! The homeserver's word on a token.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tollgate_sdk::{Request, http, log};

use super::token::Token;
use crate::managed::check_user;

/// What the homeserver says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The token of this user.
    Known(String),
    /// No token of anybody's.
    Unknown,
    /// Nothing that could be understood.
    Nothing,
}

#[derive(Deserialize)]
struct Whoami {
    user_id: String,
}

/// Fields of the client's request that go along: homeservers note where and with what a token was used last.
const PASSED_ON: [&str; 2] = ["X-Forwarded-For", "User-Agent"];
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 << 10;

/// Asks `GET /_matrix/client/v3/account/whoami`.
pub(super) fn ask(homeserver: &str, token: &Token, request: &Request<'_>, timeout: Duration) -> Answer {
    let query = token.acts_as.as_deref().map(|user| format!("?user_id={}", utf8_percent_encode(user, NON_ALPHANUMERIC)));
    let url = format!("{homeserver}/_matrix/client/v3/account/whoami{}", query.unwrap_or_default());
    let mut question = http::Request::get(url).bearer(&token.secret).header("Accept", "application/json").timeout(timeout);
    for name in PASSED_ON {
        for value in request.header_values(name) {
            question = question.header(name, value);
        }
    }
    question.max_response = Some(MAX_ANSWER);
    match question.send() {
        Ok(response) => understand(&response),
        Err(error) => {
            log::warn!(error = error.to_string().as_str(); "the homeserver did not tell whose a token is");
            Answer::Nothing
        }
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
        401 => Answer::Unknown,
        status => {
            log::warn!(status; "the homeserver did not tell whose a token is");
            Answer::Nothing
        }
    }
}
