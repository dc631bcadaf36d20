//! What hooks do to a flow: to its messages as they stand, and outside of it.

mod deferred;
mod held;

use std::mem;

use tollgate_sdk::{MadeResponse, Request, Response, log};

use crate::{
    chain::{Exchange, Trouble},
    consult::{
        self, Patience, answer,
        payload::{self, Message, Payload, RequestHead, ResponseHead},
    },
    document::{
        Terms,
        action::{Call, Changes, Deed},
        hook::Stage,
        reply::Reply,
    },
    visit::Visit,
};
pub(crate) use deferred::Deferred;
use held::Held;

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
    held: Option<Held>,
}

/// A flow whose homeserver has answered.
pub(crate) struct After<'a, 'r, 's> {
    pub(crate) context: Context<'a>,
    pub(crate) request: &'a Request<'r>,
    response: &'a mut Response<'s>,
    /// What a hook put in the place of the response; its body is held.
    made: Option<MadeResponse>,
    held: Option<Held>,
}

/// A part of a whole; put together, it would not be that part.
const PARTIAL_CONTENT: u16 = 206;

impl<'a> Context<'a> {
    pub(crate) fn new(terms: &'a Terms, visit: &'a mut Visit, deferred: &'a mut Deferred) -> Self {
        Self { terms, visit, deferred, patience: Patience::new(terms.consultation_limit) }
    }

    fn ask(&mut self, hook: &str, call: &Call, stage: Stage, payload: Vec<u8>) -> Result<Deed, Trouble> {
        let answer = consult::ask(hook, call, payload, &mut self.patience, |response| answer::read(hook, stage, response));
        answer.map_err(|why| Trouble::Consultation(why.to_string()))
    }

    /// What a service is told.
    fn payload<'b>(
        &mut self,
        hook: &str,
        request: &Request<'_>,
        request_body: &'b [u8],
        response: Option<Message<'b>>,
    ) -> Result<Payload<'b>, Trouble> {
        let user = self.visit.user(self.terms, request).map(str::to_owned);
        let head = RequestHead {
            uri: request.path_and_query(),
            path: String::from_utf8_lossy(&self.visit.path),
            method: &self.visit.method,
            headers: payload::headers(&request.headers()),
        };
        let payload = Message::new(&head, request_body);
        let payload = payload.and_then(|request| Payload::new(hook, user.as_deref(), request, response));
        payload.map_err(|error| Trouble::Consultation(error.to_string()))
    }
}

impl<'a, 'r> Before<'a, 'r> {
    pub(crate) const fn new(context: Context<'a>, request: &'a mut Request<'r>) -> Self {
        Self { context, request, held: None }
    }

    fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_with(|| Held::new(self.request.body().unwrap_or_default()))
    }

    /// Writes what hooks left to be merged.
    pub(crate) fn settle(&mut self) -> Result<(), Trouble> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if let Some(merged) = held.collected().map_err(|_| Trouble::NoObject(Stage::Before))? {
            self.request.set_body(&merged)?;
            held.set(merged);
        }
        Ok(())
    }

    /// The body as it was settled last.
    pub(crate) fn body(&mut self) -> &[u8] {
        self.held().bytes()
    }

    /// The same, for when all is done.
    pub(crate) fn take_body(&mut self) -> Vec<u8> {
        mem::take(self.held()).into_bytes()
    }

    fn told<T>(&mut self, hook: &str, tell: impl FnOnce(&mut Self, Payload<'_>) -> T) -> Result<T, Trouble> {
        let held = mem::take(self.held());
        let told = self.context.payload(hook, self.request, held.bytes(), None).map(|payload| tell(self, payload));
        self.held = Some(held);
        told
    }
}

impl Exchange for Before<'_, '_> {
    fn user(&mut self) -> Option<&str> {
        self.context.visit.user(self.context.terms, self.request)
    }

    fn modify(&mut self, changes: &Changes) -> Result<(), Trouble> {
        if changes.json.is_empty() {
            return Ok(held::edit(self.request, &changes.headers, None)?);
        }
        if self.request.header("content-range").is_some() {
            return Err(Trouble::Part(Stage::Before));
        }
        let first = self.held().first(changes).map_err(|_| Trouble::NoObject(Stage::Before))?;
        held::edit(self.request, &changes.headers, first.as_deref())?;
        match first {
            Some(merged) => self.held().set(merged),
            None => self.held().collect(changes),
        }
        Ok(())
    }

    /// Before, an answer ends all.
    fn replace(&mut self, _reply: &Reply) {}

    fn consult(&mut self, hook: &str, call: &Call) -> Result<Deed, Trouble> {
        self.settle()?;
        let payload = self.told(hook, |_, payload| payload.to_json(usize::MAX))?;
        self.context.ask(hook, call, Stage::Before, payload)
    }

    fn defer(&mut self, hook: &str, call: &Call) {
        // What can't be settled is settled again, and reported, when the stage ends.
        let settled = self.settle();
        let told = self.told(hook, |flow, payload| flow.context.deferred.push(hook, call, payload));
        if let Err(trouble) = settled.and(told) {
            log::warn!(hook = hook; "the service is not told all: {trouble}");
        }
    }
}

impl<'a, 'r, 's> After<'a, 'r, 's> {
    pub(crate) const fn new(context: Context<'a>, request: &'a Request<'r>, response: &'a mut Response<'s>) -> Self {
        Self { context, request, response, made: None, held: None }
    }

    fn held(&mut self) -> &mut Held {
        self.held.get_or_insert_with(|| Held::new(self.response.body().unwrap_or_default()))
    }

    /// Writes what hooks left to be merged.
    pub(crate) fn settle(&mut self) -> Result<(), Trouble> {
        let Some(held) = &mut self.held else { return Ok(()) };
        if let Some(merged) = held.collected().map_err(|_| Trouble::NoObject(Stage::After))? {
            if self.made.is_none() {
                self.response.set_body(&merged)?;
            }
            held.set(merged);
        }
        Ok(())
    }

    /// What takes the place of the response, if anything.
    pub(crate) fn into_made(self) -> Option<MadeResponse> {
        let body = self.held.map(Held::into_bytes).unwrap_or_default();
        self.made.map(|made| MadeResponse { body, ..made })
    }

    fn told<T>(&mut self, hook: &str, tell: impl FnOnce(&mut Self, Payload<'_>) -> T) -> Result<T, Trouble> {
        let head = match &self.made {
            Some(made) => ResponseHead { status_code: made.status, headers: payload::headers(&made.headers) },
            None => ResponseHead { status_code: self.response.status(), headers: payload::headers(&self.response.headers()) },
        };
        let held = mem::take(self.held());
        let request_body = self.context.visit.request_body.take().or_else(|| self.request.body()).unwrap_or_default();
        let response = Message::new(&head, held.bytes()).map_err(|error| Trouble::Consultation(error.to_string()));
        let payload = response.and_then(|response| self.context.payload(hook, self.request, &request_body, Some(response)));
        let told = payload.map(|payload| tell(self, payload));
        self.context.visit.request_body = Some(request_body);
        self.held = Some(held);
        told
    }

    fn status(&self) -> u16 {
        self.made.as_ref().map_or_else(|| self.response.status(), |made| made.status)
    }

    /// RFC 9110, 6.4.1 and 15.3.6.
    fn may_have_body(&self) -> bool {
        self.context.visit.method != "HEAD" && !matches!(self.status(), 204 | 205 | 304)
    }
}

impl Exchange for After<'_, '_, '_> {
    fn user(&mut self) -> Option<&str> {
        self.context.visit.user(self.context.terms, self.request)
    }

    fn modify(&mut self, changes: &Changes) -> Result<(), Trouble> {
        // Where there is no body there is none to put anything into.
        let has_json = !changes.json.is_empty() && self.may_have_body();
        if has_json && self.made.is_none() && self.status() == PARTIAL_CONTENT {
            return Err(Trouble::Part(Stage::After));
        }
        let first = if has_json { self.held().first(changes).map_err(|_| Trouble::NoObject(Stage::After))? } else { None };
        if let Some(made) = &mut self.made {
            for (name, value) in &changes.headers {
                made.headers.retain(|(field, _)| !field.eq_ignore_ascii_case(name));
                made.headers.push((name.clone(), value.as_bytes().to_vec()));
            }
        } else {
            held::edit(self.response, &changes.headers, first.as_deref())?;
        }
        match first {
            Some(merged) => self.held().set(merged),
            None if has_json => self.held().collect(changes),
            None => {}
        }
        Ok(())
    }

    fn replace(&mut self, reply: &Reply) {
        let mut made = reply.clone().into_response();
        self.held = Some(Held::new(mem::take(&mut made.body)));
        self.made = Some(made);
    }

    fn consult(&mut self, hook: &str, call: &Call) -> Result<Deed, Trouble> {
        self.settle()?;
        let payload = self.told(hook, |_, payload| payload.to_json(usize::MAX))?;
        self.context.ask(hook, call, Stage::After, payload)
    }

    fn defer(&mut self, hook: &str, call: &Call) {
        // As before.
        let settled = self.settle();
        let told = self.told(hook, |flow, payload| flow.context.deferred.push(hook, call, payload));
        if let Err(trouble) = settled.and(told) {
            log::warn!(hook = hook; "the service is not told all: {trouble}");
        }
    }
}
