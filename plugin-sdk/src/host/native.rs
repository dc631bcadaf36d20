//! The resources as the test harness keeps them in memory, with the checks that the host makes.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use crate::{
    EditError, Header, MessageCounts, Mutation, Origin,
    testing::{
        Facts, TestRequest, TestResponse,
        rules::{self, Kind},
    },
};

/// The messages and notes of a flow as they stand: what a hook edits, and what is taken back if it fails.
#[derive(Debug, Clone)]
pub(crate) struct Staging {
    pub(crate) request: TestRequest,
    pub(crate) response: TestResponse,
    pub(crate) notes: BTreeMap<String, String>,
}

/// The staging that the harness shares with the handles it gives to hooks.
pub(crate) type Stage = Rc<RefCell<Staging>>;

/// How much of a body a hook sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyView {
    Hidden,
    Whole,
    First(usize),
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) facts: Facts,
    pub(crate) stage: Stage,
    pub(crate) is_editable: bool,
    /// In the hook for an event: whether the stream ends.
    pub(crate) end: Option<Rc<Cell<bool>>>,
    /// Whether the hook keeps nothing for later ones.
    pub(crate) lets_go: Rc<Cell<bool>>,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) stage: Stage,
    pub(crate) is_editable: bool,
    pub(crate) body: Cell<BodyView>,
    /// Whether it is lent for the last call for its body.
    pub(crate) is_last: bool,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) stage: Stage,
    pub(crate) is_editable: bool,
    pub(crate) body: Cell<BodyView>,
    /// Whether it is lent for the last call for its body.
    pub(crate) is_last: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) response: Option<TestResponse>,
    pub(crate) request_bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) mutations: Vec<Mutation>,
    pub(crate) messages: Option<MessageCounts>,
}

/// What an edit came to.
pub(crate) const fn edit(result: Result<(), EditError>) -> Result<(), EditError> {
    result
}

/// Where a response came from.
pub(crate) const fn origin(origin: Origin) -> Origin {
    origin
}

/// How many messages there were.
pub(crate) const fn message_counts(counts: MessageCounts) -> MessageCounts {
    counts
}

/// What an addon did.
pub(crate) const fn mutation(mutation: Mutation) -> Mutation {
    mutation
}

impl Flow {
    pub(crate) const fn id(&self) -> u64 {
        self.facts.id
    }

    pub(crate) fn listener(&self) -> String {
        self.facts.listener.clone()
    }

    pub(crate) fn peer(&self) -> String {
        self.facts.peer.clone()
    }

    pub(crate) const fn is_tls(&self) -> bool {
        self.facts.is_tls
    }

    pub(crate) const fn started(&self) -> u64 {
        self.facts.started
    }

    pub(crate) const fn connect_id(&self) -> Option<u64> {
        self.facts.connect_id
    }

    pub(crate) fn proxy_user(&self) -> Option<String> {
        self.facts.proxy_user.clone()
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.facts.generation
    }

    pub(crate) fn addon_generation(&self) -> String {
        self.facts.addon_generation.clone()
    }

    pub(crate) fn public_origin(&self) -> Option<String> {
        self.facts.public_origin.clone()
    }

    pub(crate) fn let_go(&self) {
        self.lets_go.set(true);
    }

    pub(crate) fn note(&self, key: &str) -> Option<String> {
        self.stage.borrow().notes.get(key).cloned()
    }

    pub(crate) fn set_note(&self, key: &str, value: &str) -> Result<(), EditError> {
        if !self.is_editable {
            return Err(EditError::ReadOnly);
        }
        let notes = &mut self.stage.borrow_mut().notes;
        rules::check_note(notes, key, value)?;
        notes.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub(crate) fn end_events(&self) -> Result<(), EditError> {
        self.end.as_ref().map(|end| end.set(true)).ok_or(EditError::ReadOnly)
    }
}

impl Request {
    fn edit(&self, work: impl FnOnce(&mut TestRequest) -> Result<(), EditError>) -> Result<(), EditError> {
        if !self.is_editable {
            return Err(EditError::ReadOnly);
        }
        work(&mut self.stage.borrow_mut().request)
    }

    fn read<R>(&self, work: impl FnOnce(&TestRequest) -> R) -> R {
        work(&self.stage.borrow().request)
    }

    pub(crate) fn method(&self) -> String {
        self.read(|request| request.method.clone())
    }

    pub(crate) fn set_method(&self, method: &str) -> Result<(), EditError> {
        self.edit(|request| {
            rules::check_method(method)?;
            method.clone_into(&mut request.method);
            Ok(())
        })
    }

    pub(crate) fn scheme(&self) -> String {
        self.read(|request| request.scheme.clone())
    }

    pub(crate) fn authority(&self) -> String {
        self.read(|request| request.authority.clone())
    }

    pub(crate) fn path_and_query(&self) -> String {
        self.read(|request| request.path_and_query.clone())
    }

    pub(crate) fn set_path_and_query(&self, path_and_query: &str) -> Result<(), EditError> {
        self.edit(|request| {
            rules::check_path_and_query(path_and_query)?;
            path_and_query.clone_into(&mut request.path_and_query);
            Ok(())
        })
    }

    pub(crate) fn version(&self) -> String {
        self.read(|request| request.version.clone())
    }

    pub(crate) fn headers(&self) -> Vec<Header> {
        self.read(|request| request.headers.clone())
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.read(|request| rules::values_of(&request.headers, name))
    }

    pub(crate) fn set_header(&self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
        self.edit(|request| rules::set_field(Kind::Request, &mut request.headers, name, values))
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.edit(|request| rules::append_field(Kind::Request, &mut request.headers, name, value))
    }

    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        self.read(|request| self.body.get().of(&request.body))
    }

    pub(crate) const fn is_body_truncated(&self) -> bool {
        matches!(self.body.get(), BodyView::First(_))
    }

    pub(crate) fn set_body(&self, body: &[u8]) -> Result<(), EditError> {
        self.edit(|request| {
            self.body.get().check_edit(body)?;
            rules::check_whole(rules::is_part(&request.headers))?;
            rules::replace_body(&mut request.headers, &mut request.body, body);
            // A hook always sees what it set itself.
            self.body.set(BodyView::Whole);
            Ok(())
        })
    }

    pub(crate) fn trailers(&self) -> Vec<Header> {
        if self.is_last { self.read(|message| message.trailers.clone()) } else { Vec::new() }
    }

    pub(crate) fn set_trailer(&self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
        if !self.is_last {
            return Err(EditError::ReadOnly);
        }
        rules::set_trailer(Kind::Request, &mut self.stage.borrow_mut().request.trailers, name, values)
    }

    pub(crate) fn upstream(&self) -> String {
        self.read(|request| request.upstream.clone())
    }

    pub(crate) fn set_upstream(&self, url: &str) -> Result<(), EditError> {
        self.edit(|request| {
            rules::check_upstream(url)?;
            url.clone_into(&mut request.upstream);
            Ok(())
        })
    }

    pub(crate) fn follow_redirects(&self, hosts: &[String]) -> Result<(), EditError> {
        self.edit(|request| {
            rules::check_hosts(hosts)?;
            hosts.clone_into(&mut request.followed_hosts);
            Ok(())
        })
    }
}

impl Response {
    fn edit(&self, work: impl FnOnce(&mut TestResponse) -> Result<(), EditError>) -> Result<(), EditError> {
        if !self.is_editable {
            return Err(EditError::ReadOnly);
        }
        work(&mut self.stage.borrow_mut().response)
    }

    fn read<R>(&self, work: impl FnOnce(&TestResponse) -> R) -> R {
        work(&self.stage.borrow().response)
    }

    pub(crate) fn status(&self) -> u16 {
        self.read(|response| response.status)
    }

    pub(crate) fn set_status(&self, status: u16) -> Result<(), EditError> {
        self.edit(|response| {
            rules::check_status(status, 200)?;
            response.status = status;
            Ok(())
        })
    }

    pub(crate) fn origin(&self) -> Origin {
        self.read(|response| response.origin.clone())
    }

    pub(crate) fn version(&self) -> String {
        self.read(|response| response.version.clone())
    }

    pub(crate) fn headers(&self) -> Vec<Header> {
        self.read(|response| response.headers.clone())
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.read(|response| rules::values_of(&response.headers, name))
    }

    pub(crate) fn set_header(&self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
        self.edit(|response| rules::set_field(Kind::Response, &mut response.headers, name, values))
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.edit(|response| rules::append_field(Kind::Response, &mut response.headers, name, value))
    }

    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        self.read(|response| self.body.get().of(&response.body))
    }

    pub(crate) const fn is_body_truncated(&self) -> bool {
        matches!(self.body.get(), BodyView::First(_))
    }

    pub(crate) fn set_body(&self, body: &[u8]) -> Result<(), EditError> {
        let is_to_head = self.stage.borrow().request.method == "HEAD";
        self.edit(|response| {
            self.body.get().check_edit(body)?;
            rules::check_may_have_body(is_to_head, response.status)?;
            rules::check_whole(rules::is_part_of_response(response.status, &response.headers))?;
            rules::replace_body(&mut response.headers, &mut response.body, body);
            self.body.set(BodyView::Whole);
            Ok(())
        })
    }

    pub(crate) fn trailers(&self) -> Vec<Header> {
        if self.is_last { self.read(|message| message.trailers.clone()) } else { Vec::new() }
    }

    pub(crate) fn set_trailer(&self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
        if !self.is_last {
            return Err(EditError::ReadOnly);
        }
        rules::set_trailer(Kind::Response, &mut self.stage.borrow_mut().response.trailers, name, values)
    }
}

impl BodyView {
    fn of(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hidden => None,
            Self::Whole => Some(body.to_vec()),
            Self::First(count) => Some(body.iter().take(count).copied().collect()),
        }
    }

    fn check_edit(self, body: &[u8]) -> Result<(), EditError> {
        match self {
            Self::First(_) => Err(EditError::ReadOnly),
            Self::Hidden | Self::Whole => rules::check_body(body),
        }
    }
}

impl Outcome {
    pub(crate) fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status)
    }

    pub(crate) const fn is_complete(&self) -> bool {
        self.response.is_some()
    }

    pub(crate) fn error(&self) -> Option<String> {
        self.response.is_none().then(|| "an addon dropped the connection".to_owned())
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        self.response.as_ref().map(|response| response.origin.clone())
    }

    pub(crate) const fn request_bytes(&self) -> u64 {
        self.request_bytes
    }

    pub(crate) fn response_bytes(&self) -> u64 {
        self.response.as_ref().map_or(0, |response| response.body.len() as u64)
    }

    pub(crate) fn duration(&self) -> u64 {
        u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn mutations(&self) -> Vec<Mutation> {
        self.mutations.clone()
    }

    /// One addon makes few.
    #[allow(clippy::unused_self, reason = "as in a component")]
    pub(crate) const fn mutations_left_out(&self) -> u32 {
        0
    }

    pub(crate) const fn messages(&self) -> Option<MessageCounts> {
        self.messages
    }
}
