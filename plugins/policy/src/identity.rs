//! Who asks.
use serde_json::{Map, Value};
use tollgate_sdk::{OptionErrors, Request, Response, Subscription};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asker {
    Anonymous,
    Known(String),
    Refused,
    Unanswered,
}

#[derive(Debug)]
pub(crate) struct Identity;

impl Identity {
    pub(crate) fn read(_document: &Map<String, Value>, _errors: &mut OptionErrors) -> Self {
        Self
    }

    pub(crate) fn asker(&self, request: &Request) -> Asker {
        match request.header_str("authorization").as_deref().and_then(|value| value.strip_prefix("Bearer ")) {
            None => Asker::Anonymous,
            Some("refused") => Asker::Refused,
            Some("unanswered") => Asker::Unanswered,
            Some(token) => Asker::Known(format!("@{token}:ex.org")),
        }
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        Vec::new()
    }

    pub(crate) fn response(&self, _request: &Request, _response: &Response) {}
}
