//! What hooks do to a flow: to its messages as they stand, and outside of it.

use std::borrow::Cow;

use tollgate_sdk::{MadeResponse, Request, Response, log};

use crate::{
    chain::{Exchange, Trouble},
    consult::{
        self, Patience, answer,
        payload::{self, Payload},
    },
    document::{
        Terms,
        action::{Call, Changes, Deed},
        hook::Stage,
        reply::Reply,
    },
    merge::merge,
    visit::Visit,
};

/// Calls of services that are made when the flow has ended.
#[derive(Debug, Default)]
pub(crate) struct Deferred(Vec<Pending>);

#[derive(Debug)]
struct Pending {
    hook: String,
    call: Call,
    payload: Vec<u8>,
}

/// What both stages have.
pub(crate) struct Context<'a> {
    pub(crate) terms: &'a Terms,
    pub(crate) visit: &'a mut Visit,
    pub(crate) deferred: &'a mut Deferred,
    pub(crate) patience: Patience,
}

/// A flow before the homeserver is asked.
pub(crate) struct Before<'a, 'r> {
    pub(crate) context: Context<'a>,
    pub(crate) request: &'a mut Request<'r>,
}

/// A flow whose homeserver has answered.
pub(crate) struct After<'a, 'r, 's> {
    pub(crate) context: Context<'a>,
    pub(crate) request: &'a Request<'r>,
    pub(crate) response: &'a mut Response<'s>,
    /// What a hook put in the place of the response.
    pub(crate) made: Option<MadeResponse>,
}

/// Calls that one flow may leave for its end.
const MAX_DEFERRED: usize = 16;
/// Bytes that services are told by them.
const MAX_DEFERRED_BYTES: usize = 8 * 1024 * 1024;

impl Deferred {
    fn push(&mut self, hook: &str, call: &Call, payload: Vec<u8>) {
        let bytes = self.0.iter().map(|pending| pending.payload.len()).sum::<usize>().saturating_add(payload.len());
        if self.0.len() >= MAX_DEFERRED || bytes > MAX_DEFERRED_BYTES {
            log::warn!(
                hook = hook;
                "the service is not told: a flow has at most {MAX_DEFERRED} asynchronous calls of {MAX_DEFERRED_BYTES} bytes"
            );
            return;
        }
        self.0.push(Pending { hook: hook.to_owned(), call: call.clone(), payload });
    }

    /// Makes the calls, in order.
    pub(crate) fn send(&mut self, mut patience: Patience) {
        for Pending { hook, call, payload } in std::mem::take(&mut self.0) {
            if let Err(why) = consult::ask(&hook, &call, &payload, &mut patience, consult::accepted) {
                log::warn!(hook = hook.as_str(); "asynchronous consultation failed: {why}");
            }
        }
    }
}

impl<'a> Context<'a> {
    pub(crate) fn new(terms: &'a Terms, visit: &'a mut Visit, deferred: &'a mut Deferred) -> Self {
        Self { terms, visit, deferred, patience: Patience::new(terms.consultation_limit) }
    }

    fn ask(&mut self, hook: &str, call: &Call, stage: Stage, payload: &[u8]) -> Result<Deed, Trouble> {
        let answer = consult::ask(hook, call, payload, &mut self.patience, |response| answer::read(hook, stage, response));
        answer.map_err(Trouble::Consultation)
    }

    /// What a service is told.
    fn payload(
        &mut self,
        hook: &str,
        request: &Request<'_>,
        request_body: &[u8],
        response: Option<payload::Response<'_>>,
    ) -> Result<Vec<u8>, Trouble> {
        let user = self.visit.user(self.terms, request).map(str::to_owned);
        let request = payload::Request {
            uri: request.path_and_query(),
            path: String::from_utf8_lossy(&self.visit.path),
            method: &self.visit.method,
            headers: payload::headers(&request.headers()),
            payload: String::from_utf8_lossy(request_body),
        };
        let payload = Payload::new(hook, user.as_deref(), request, response);
        serde_json::to_vec(&payload).map_err(|error| Trouble::Consultation(error.to_string()))
    }
}

impl Before<'_, '_> {
    fn payload(&mut self, hook: &str) -> Result<Vec<u8>, Trouble> {
        let body = self.request.body().unwrap_or_default();
        self.context.payload(hook, self.request, &body, None)
    }
}

impl Exchange for Before<'_, '_> {
    fn user(&mut self) -> Option<&str> {
        self.context.visit.user(self.context.terms, self.request)
    }

    fn modify(&mut self, changes: &Changes) -> Result<(), Trouble> {
        if !changes.json.is_empty() {
            let body = self.request.body().unwrap_or_default();
            let merged = merge(&body, &changes.json).map_err(|_| Trouble::NoObject(Stage::Before))?;
            self.request.set_body(merged)?;
        }
        for (name, value) in &changes.headers {
            self.request.set_header(name, value)?;
        }
        Ok(())
    }

    /// Before, an answer ends all.
    fn replace(&mut self, _reply: &Reply) {}

    fn consult(&mut self, hook: &str, call: &Call) -> Result<Deed, Trouble> {
        let payload = self.payload(hook)?;
        self.context.ask(hook, call, Stage::Before, &payload)
    }

    fn defer(&mut self, hook: &str, call: &Call) {
        match self.payload(hook) {
            Ok(payload) => self.context.deferred.push(hook, call, payload),
            Err(trouble) => log::warn!(hook = hook; "the service is not told: {trouble}"),
        }
    }
}

impl After<'_, '_, '_> {
    fn payload(&mut self, hook: &str) -> Result<Vec<u8>, Trouble> {
        let (status_code, headers, body) = match &self.made {
            Some(made) => (made.status, payload::headers(&made.headers), Cow::Borrowed(made.body.as_slice())),
            None => (
                self.response.status(),
                payload::headers(&self.response.headers()),
                Cow::Owned(self.response.body().unwrap_or_default()),
            ),
        };
        let response = payload::Response { status_code, headers, payload: String::from_utf8_lossy(&body) };
        let request_body = self.context.visit.request_body.take().or_else(|| self.request.body()).unwrap_or_default();
        let payload = self.context.payload(hook, self.request, &request_body, Some(response));
        self.context.visit.request_body = Some(request_body);
        payload
    }

    /// RFC 9110, 6.4.1.
    fn may_have_body(&self) -> bool {
        let status = self.made.as_ref().map_or_else(|| self.response.status(), |made| made.status);
        self.context.visit.method != "HEAD" && !matches!(status, 204 | 304)
    }
}

impl Exchange for After<'_, '_, '_> {
    fn user(&mut self) -> Option<&str> {
        self.context.visit.user(self.context.terms, self.request)
    }

    fn modify(&mut self, changes: &Changes) -> Result<(), Trouble> {
        // Where there is no body there is none to put anything into.
        let has_json = !changes.json.is_empty() && self.may_have_body();
        let put = |body: &[u8]| merge(body, &changes.json).map_err(|_| Trouble::NoObject(Stage::After));
        if let Some(made) = &mut self.made {
            if has_json {
                made.body = put(&made.body)?;
            }
            for (name, value) in &changes.headers {
                made.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
                made.headers.push((name.clone(), value.as_bytes().to_vec()));
            }
            return Ok(());
        }
        if has_json {
            let merged = put(&self.response.body().unwrap_or_default())?;
            self.response.set_body(merged)?;
        }
        for (name, value) in &changes.headers {
            self.response.set_header(name, value)?;
        }
        Ok(())
    }

    fn replace(&mut self, reply: &Reply) {
        self.made = Some(reply.clone().into_response());
    }

    fn consult(&mut self, hook: &str, call: &Call) -> Result<Deed, Trouble> {
        let payload = self.payload(hook)?;
        self.context.ask(hook, call, Stage::After, &payload)
    }

    fn defer(&mut self, hook: &str, call: &Call) {
        match self.payload(hook) {
            Ok(payload) => self.context.deferred.push(hook, call, payload),
            Err(trouble) => log::warn!(hook = hook; "the service is not told: {trouble}"),
        }
    }
}
