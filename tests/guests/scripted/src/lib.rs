//! A guest that does what its options say: see `script::Script` for what can be said.
//!
//! Its variants for tests are made by changing the digits of `BUILD` in the compiled component.

mod connects;
mod fetch;
mod handles;
mod kept;
mod messages;
mod mutations;
mod pieces;
mod private;
mod script;
mod template;

use std::{
    collections::HashMap,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tollgate_sdk::{
    Addon, Chunk, ChunkVerdict, ConnectVerdict, EditError, Error, Flow, MadeResponse, OptionErrors, Origin, Outcome, Refusal,
    Request, RequestVerdict, Response, ResponseVerdict, SseEvent, SseVerdict, Subscription, UpstreamFailure, WebsocketMessage,
    WebsocketVerdict,
};

use connects::Ruling;
use fetch::Fetched;
use kept::Kept;
use messages::Asked;
use pieces::Stream;
use private::{coin, private, random, residue};
use script::{Action, Script};

/// Stands for the code: a test that changes the digits has another component.
static BUILD: &str = "guest-build-00000000";

/// How often `{count}` was shown: a global, as the flow's scratch space.
static COUNT: AtomicU64 = AtomicU64::new(0);

struct Scripted {
    script: Script,
    table: Option<HashMap<u64, u64>>,
    /// How edits ended.
    tried: Vec<String>,
    /// What requests of its own came to.
    fetched: Fetched,
    /// What it did with keys and values.
    kept: Kept,
    /// The bodies, where their pieces are seen.
    request: Stream,
    response: Stream,
}

/// What a hook was given.
enum Given<'a, 'b> {
    Connect(&'a Request<'a>, &'a str, u16),
    Request(&'a mut Request<'b>),
    Response(&'a Request<'a>, &'a mut Response<'b>),
    Piece(&'a Request<'a>, Option<&'a Response<'a>>, &'a Chunk),
    Message(&'a Request<'a>, Asked<'a>),
    UpstreamError(&'a Request<'a>, &'a UpstreamFailure),
    Finish(&'a Request<'a>, &'a Outcome<'a>),
}

/// What the actions of a hook came to.
enum Done {
    Next,
    Respond(MadeResponse),
    Refuse(Refusal),
    EndChain,
    Drop,
    Rule(Ruling),
}

impl Addon for Scripted {
    type Options = Script;

    fn configure(script: Script) -> Result<Self, OptionErrors> {
        for action in &script.configure {
            if let Err(error) = private(action, ToString::to_string) {
                return Err(OptionErrors::one("configure", error.to_string()));
            }
        }
        let mut errors = OptionErrors::default();
        for (path, message) in &script.refused {
            errors.push(path, message);
        }
        let table = (script.table > 0).then(|| (0..script.table).map(|key| (key, key * key)).collect());
        errors.or_ok(Self {
            script,
            table,
            tried: Vec::new(),
            fetched: Fetched::default(),
            kept: Kept::default(),
            request: Stream::default(),
            response: Stream::default(),
        })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let once = self.script.rules.iter().map(script::Rule::subscription);
        let times = self.script.copies.max(1);
        std::iter::repeat_with(|| once.clone()).take(times).flatten().collect()
    }

    fn connect(&mut self, flow: &Flow, request: &Request<'_>, host: &str, port: u16) -> Result<ConnectVerdict, Error> {
        self.connected(flow, request, host, port)
    }

    fn request(&mut self, flow: &Flow, request: &mut Request<'_>) -> Result<RequestVerdict, Error> {
        Ok(match self.run(flow, &mut Given::Request(request))? {
            Done::Next | Done::Rule(_) => RequestVerdict::Next,
            Done::Respond(response) => RequestVerdict::Respond(response),
            Done::Refuse(refusal) => RequestVerdict::Refuse(refusal),
            Done::EndChain => RequestVerdict::EndChain,
            Done::Drop => RequestVerdict::Drop,
        })
    }

    fn response(&mut self, flow: &Flow, request: &Request<'_>, response: &mut Response<'_>) -> Result<ResponseVerdict, Error> {
        Ok(match self.run(flow, &mut Given::Response(request, response))? {
            Done::Next | Done::Rule(_) | Done::EndChain => ResponseVerdict::Next,
            Done::Respond(response) => ResponseVerdict::Replace(response),
            Done::Refuse(refusal) => refusal.into(),
            Done::Drop => ResponseVerdict::Drop,
        })
    }

    fn request_chunk(&mut self, flow: &Flow, request: &Request<'_>, chunk: Chunk) -> Result<ChunkVerdict, Error> {
        self.piece(flow, request, None, &chunk)
    }

    fn response_chunk(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        response: &Response<'_>,
        chunk: Chunk,
    ) -> Result<ChunkVerdict, Error> {
        self.piece(flow, request, Some(response), &chunk)
    }

    fn sse_event(&mut self, flow: &Flow, request: &Request<'_>, event: SseEvent) -> Result<SseVerdict, Error> {
        self.event(flow, request, &event)
    }

    fn websocket_message(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        message: WebsocketMessage,
    ) -> Result<WebsocketVerdict, Error> {
        self.message(flow, request, &message)
    }

    fn upstream_error(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        failure: &UpstreamFailure,
    ) -> Result<Option<MadeResponse>, Error> {
        Ok(match self.run(flow, &mut Given::UpstreamError(request, failure))? {
            Done::Respond(response) => Some(response),
            Done::Refuse(refusal) => Some(refusal.into_response()),
            Done::Next | Done::Rule(_) | Done::EndChain | Done::Drop => None,
        })
    }

    fn finish(&mut self, flow: &Flow, request: &Request<'_>, outcome: &Outcome<'_>) -> Result<(), Error> {
        self.run(flow, &mut Given::Finish(request, outcome)).map(drop)
    }
}

tollgate_sdk::export!(Scripted);

impl Scripted {
    /// Does what the matched rules say, in order; the first verdict ends it.
    fn run(&mut self, flow: &Flow, given: &mut Given<'_, '_>) -> Result<Done, Error> {
        for &index in flow.matched() {
            let actions: Vec<Action> = self.script.rules.get(index as usize).map(|rule| rule.actions.clone()).unwrap_or_default();
            for action in &actions {
                match self.act(action, flow, given)? {
                    Done::Next => {}
                    done => return Ok(done),
                }
            }
        }
        Ok(Done::Next)
    }

    fn act(&mut self, action: &Action, flow: &Flow, given: &mut Given<'_, '_>) -> Result<Done, Error> {
        match action {
            Action::Respond(status, fields, body) => {
                let mut made = MadeResponse::empty(*status);
                made.body = self.fill(body, flow, given).into();
                for (name, value) in fields {
                    made = made.header(name, self.fill(value, flow, given));
                }
                return Ok(Done::Respond(made));
            }
            Action::RespondBytes(status, fields, body) => {
                let mut made = MadeResponse::empty(*status);
                made.body.clone_from(body);
                for (name, value) in fields {
                    made = made.header(name, value);
                }
                return Ok(Done::Respond(made));
            }
            Action::Refuse(status, code, text) => {
                return Ok(Done::Refuse(Refusal::new(*status, code, self.fill(text, flow, given))));
            }
            Action::Rule(ruling) => return Ok(Done::Rule(*ruling)),
            Action::EndChain => return Ok(Done::EndChain),
            Action::Drop => return Ok(Done::Drop),
            Action::Note(key, value) => flow.set_note(key, &self.fill(value, flow, given))?,
            Action::Fetch(fetch) => {
                let fetched = fetch.send(|text| self.fill(text, flow, given));
                self.fetched.extend(fetched);
            }
            Action::Post(fetch) => {
                let ended = fetch.post(|text| self.fill(text, flow, given)).into_iter();
                self.tried.extend(ended.map(|ended| ended.map_or_else(|error| error.to_string(), |()| "done".to_owned())));
            }
            Action::Kv(kv) => {
                let kept = kv.run(|text| self.fill(text, flow, given));
                if let Some(error) = kept.failed().filter(|_| kv.must) {
                    return Err(Error::new(error));
                }
                self.kept.extend(kept);
            }
            Action::LetGo => flow.let_go(),
            Action::Notes(count) => (0..*count).try_for_each(|number| flow.set_note(&number.to_string(), ""))?,
            Action::Sometimes(action) => {
                if coin()? {
                    return self.act(action, flow, given);
                }
            }
            Action::Try(edit) => {
                let ended = match &**edit {
                    Action::Note(key, value) => flow.set_note(key, value),
                    edit => self.edit(edit, flow, given),
                };
                self.tried.push(ended.map_or_else(|error| error.to_string(), |()| "done".to_owned()));
            }
            Action::Set(..)
            | Action::Append(..)
            | Action::Remove(_)
            | Action::Flood(..)
            | Action::SetBody(_)
            | Action::FillBody(_)
            | Action::SetMethod(_)
            | Action::SetTarget(_)
            | Action::SetUpstream(_)
            | Action::SetStatus(_) => self.edit(action, flow, given)?,
            private_action => private(private_action, |text| self.fill(text, flow, given))?,
        }
        Ok(Done::Next)
    }

    fn edit(&self, action: &Action, flow: &Flow, given: &mut Given<'_, '_>) -> Result<(), EditError> {
        let fill = |text: &str, given: &Given<'_, '_>| self.fill(text, flow, given);
        match action {
            Action::Set(name, value) => {
                let value = fill(value, given);
                match given {
                    Given::Request(request) => request.set_header(name, value),
                    Given::Response(_, response) => response.set_header(name, value),
                    _ => Err(EditError::ReadOnly),
                }
            }
            Action::Append(name, value) => {
                let value = fill(value, given);
                given.append(name, &value)
            }
            Action::Remove(name) => match given {
                Given::Request(request) => request.remove_header(name),
                Given::Response(_, response) => response.remove_header(name),
                _ => Err(EditError::ReadOnly),
            },
            Action::Flood(count, bytes) => {
                let value = "f".repeat(*bytes);
                (0..*count).try_for_each(|number| given.append(&format!("X-Flood-{number}"), &value))
            }
            Action::SetBody(body) => {
                let body = fill(body, given);
                given.set_body(body.as_bytes())
            }
            Action::FillBody(bytes) => given.set_body(&vec![b'b'; *bytes]),
            Action::SetMethod(method) => given.request(|request| request.set_method(method)),
            Action::SetTarget(target) => given.request(|request| request.set_path_and_query(target)),
            Action::SetUpstream(url) => given.request(|request| request.set_upstream(url)),
            Action::SetStatus(status) => match given {
                Given::Response(_, response) => response.set_status(*status),
                _ => Err(EditError::ReadOnly),
            },
            _ => Ok(()),
        }
    }

    fn fill(&self, template: &str, flow: &Flow, given: &Given<'_, '_>) -> String {
        template::fill(template, |name, argument| self.value(name, argument, flow, given))
    }

    fn value(&self, name: &str, argument: &str, flow: &Flow, given: &Given<'_, '_>) -> String {
        match name {
            "tag" => self.script.tag.clone(),
            "token" => self.script.token.clone(),
            "build" => black_box(BUILD).to_owned(),
            "count" => (COUNT.fetch_add(1, Relaxed) + 1).to_string(),
            "tried" => self.tried.join("|"),
            "fetched" => self.fetched.show(argument),
            "kv" => self.kept.show(argument),
            "table" => self.table.iter().flatten().map(|(_, square)| square).sum::<u64>().to_string(),
            "order" => listed(self.table.iter().flatten().map(|(key, _)| key)),
            "random" => random(),
            "residue" => residue().to_string(),
            "seen-so-far" => self.response.seen.to_string(),
            "note" => flow.note(argument).unwrap_or_else(|| "none".to_owned()),
            "matched" => listed(flow.matched()),
            "id" => flow.id().to_string(),
            "connect" => flow.connect_id().map_or_else(|| "none".to_owned(), |id| id.to_string()),
            "user" => flow.proxy_user().unwrap_or_else(|| "none".to_owned()),
            "generation" => flow.generation().to_string(),
            "own-generation" => flow.addon_generation(),
            "listener" => flow.listener(),
            "peer" => flow.peer(),
            "tls" => flow.is_tls().to_string(),
            _ => self.piece_value(name, argument, given).unwrap_or_else(|| given.value(name, argument)),
        }
    }
}

impl<'b> Given<'_, 'b> {
    fn append(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        match self {
            Self::Request(request) => request.append_header(name, value),
            Self::Response(_, response) => response.append_header(name, value),
            _ => Err(EditError::ReadOnly),
        }
    }

    fn set_body(&mut self, body: &[u8]) -> Result<(), EditError> {
        match self {
            Self::Request(request) => request.set_body(body),
            Self::Response(_, response) => response.set_body(body),
            _ => Err(EditError::ReadOnly),
        }
    }

    fn request(&mut self, edit: impl FnOnce(&mut Request<'b>) -> Result<(), EditError>) -> Result<(), EditError> {
        match self {
            Self::Request(request) => edit(request),
            _ => Err(EditError::ReadOnly),
        }
    }

    /// What the messages say.
    fn value(&self, name: &str, argument: &str) -> String {
        let request: &Request<'_> = match self {
            Self::Request(request) => request,
            Self::Connect(request, ..)
            | Self::Response(request, _)
            | Self::Piece(request, ..)
            | Self::Message(request, _)
            | Self::UpstreamError(request, _)
            | Self::Finish(request, _) => request,
        };
        if let Self::Message(_, asked) = self
            && let Some(shown) = asked.value(name)
        {
            return shown;
        }
        match (name, self) {
            ("host", Self::Connect(_, host, _)) => (*host).to_owned(),
            ("port", Self::Connect(_, _, port)) => port.to_string(),
            ("method", _) => request.method(),
            ("target", _) => request.path_and_query(),
            ("authority", _) => request.authority(),
            ("upstream", _) => request.upstream(),
            ("sent", _) => request.header_str(argument).unwrap_or_else(|| "none".to_owned()),
            ("header", Self::Response(_, response)) => response.header_str(argument).unwrap_or_else(|| "none".to_owned()),
            ("header", _) => request.header_str(argument).unwrap_or_else(|| "none".to_owned()),
            ("names", Self::Request(request)) => names(&request.headers()),
            ("names", Self::Response(_, response)) => names(&response.headers()),
            ("fields", Self::Response(_, response)) => fields(&response.headers()),
            ("fields", _) => fields(&request.headers()),
            ("body", Self::Request(request)) => shown(request.body()),
            ("body", Self::Response(_, response)) => shown(response.body()),
            ("length", Self::Request(request)) => length(request.body()),
            ("length", Self::Response(_, response)) => length(response.body()),
            ("cut", Self::Request(request)) => request.is_body_truncated().to_string(),
            ("cut", Self::Response(_, response)) => response.is_body_truncated().to_string(),
            ("version", Self::Response(_, response)) => response.version(),
            ("version", _) => request.version(),
            ("status", Self::Response(_, response)) => response.status().to_string(),
            ("status", Self::Finish(_, outcome)) => {
                outcome.status().map_or_else(|| "none".to_owned(), |status| status.to_string())
            }
            ("origin", Self::Response(_, response)) => origin(&response.origin()),
            ("origin", Self::Finish(_, outcome)) => outcome.origin().map_or_else(|| "none".to_owned(), |made| origin(&made)),
            ("complete", Self::Finish(_, outcome)) => outcome.is_complete().to_string(),
            ("error", Self::Finish(_, outcome)) => outcome.error().unwrap_or_else(|| "none".to_owned()),
            ("received", Self::Finish(_, outcome)) => outcome.request_bytes().to_string(),
            ("mutations", Self::Finish(_, outcome)) => {
                format!(
                    "{}+{}",
                    outcome.mutations().iter().map(mutations::shown).collect::<Vec<_>>().join("; "),
                    outcome.mutations_left_out()
                )
            }
            ("seen", Self::Finish(_, outcome)) => {
                outcome.messages().map_or_else(|| "none".to_owned(), |counts| format!("{counts:?}"))
            }
            ("delivered", Self::Finish(_, outcome)) => outcome.response_bytes().to_string(),
            ("kind", Self::UpstreamError(_, failure)) => format!("{:?}", failure.kind),
            _ => format!("?{name}?"),
        }
    }
}

fn listed<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

fn names(headers: &[tollgate_sdk::Header]) -> String {
    headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
}

fn fields(headers: &[tollgate_sdk::Header]) -> String {
    let shown = |(name, value): &tollgate_sdk::Header| format!("{name}={}", String::from_utf8_lossy(value));
    headers.iter().map(shown).collect::<Vec<_>>().join(",")
}

fn shown(body: Option<Vec<u8>>) -> String {
    body.map_or_else(|| "unseen".to_owned(), |body| String::from_utf8_lossy(&body).into_owned())
}

fn length(body: Option<Vec<u8>>) -> String {
    body.map_or_else(|| "unseen".to_owned(), |body| body.len().to_string())
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Upstream => "upstream".to_owned(),
        Origin::Addon(name) => format!("addon {name}"),
        Origin::Core => "core".to_owned(),
    }
}
