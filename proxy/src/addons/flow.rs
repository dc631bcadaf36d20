//! The `flow` interface: how a guest sees and edits its flow.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use wasmtime::{Result, component::Resource};

use super::{
    bindings::{
        OutcomeHandle, RequestHandle, ResponseHandle,
        flow::{self, EditError, Header, Origin},
    },
    grants::Grants,
    mutations,
    over::BudgetKind,
    stage::{self, Kind, Stage},
    state::HostState,
};
use crate::{
    hooks::{Facts, Outcome, RequestMessage, ResponseMessage, Source},
    http::{Field, Headers},
};

type Edit = Result<Result<(), EditError>>;

impl HostState {
    fn facts(&self) -> Result<&Facts> {
        self.facts.as_deref().ok_or_else(no_flow)
    }

    fn stage(&self) -> Result<&Stage> {
        self.stage.as_ref().ok_or_else(no_flow)
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Stage) -> std::result::Result<(), stage::EditError>) -> Edit {
        Ok(edit(self.stage.as_mut().ok_or_else(no_flow)?).map_err(EditError::from))
    }

    /// The same, where too large means over this budget.
    fn edit_within(
        &mut self,
        kind: BudgetKind,
        edit: impl FnOnce(&mut Stage) -> std::result::Result<(), stage::EditError>,
    ) -> Edit {
        let edited = self.edit(edit)?;
        if let Err(EditError::TooLarge(_)) = &edited {
            self.stats.over(kind);
        }
        Ok(edited)
    }

    fn read_request<T>(&self, read: impl FnOnce(&RequestMessage) -> T) -> Result<T> {
        Ok(self.stage()?.request(read))
    }

    fn read_response<T>(&self, read: impl FnOnce(&ResponseMessage) -> T) -> Result<T> {
        self.stage()?.response(read).ok_or_else(|| wasmtime::Error::msg("this flow has no response"))
    }

    fn read_outcome<T>(&self, read: impl FnOnce(&Outcome) -> T) -> Result<T> {
        self.outcome.as_ref().map(read).ok_or_else(|| wasmtime::Error::msg("this flow has not ended"))
    }
}

impl flow::Host for HostState {
    fn id(&mut self) -> Result<u64> {
        Ok(self.facts()?.id)
    }

    fn listener(&mut self) -> Result<String> {
        Ok(self.facts()?.listener.to_string())
    }

    fn peer(&mut self) -> Result<String> {
        Ok(self.facts()?.peer.to_string())
    }

    fn is_tls(&mut self) -> Result<bool> {
        Ok(self.facts()?.is_tls)
    }

    fn started(&mut self) -> Result<u64> {
        Ok(nanoseconds(self.facts()?.started.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    fn connect_id(&mut self) -> Result<Option<u64>> {
        Ok(self.facts()?.connect)
    }

    fn proxy_user(&mut self) -> Result<Option<String>> {
        Ok(self.facts()?.user.as_deref().map(str::to_owned))
    }

    fn generation(&mut self) -> Result<u64> {
        Ok(self.facts()?.generation)
    }

    fn addon_generation(&mut self) -> Result<String> {
        self.facts()?;
        Ok(self.generation.to_string())
    }

    fn public_origin(&mut self) -> Result<Option<String>> {
        Ok(self.facts()?.public.as_ref().map(ToString::to_string))
    }

    fn let_go(&mut self) -> Result<()> {
        self.lets_go = true;
        Ok(())
    }

    fn note(&mut self, key: String) -> Result<Option<String>> {
        Ok(self.stage()?.note(&key))
    }

    fn set_note(&mut self, key: String, value: String) -> Edit {
        self.edit(|stage| stage.set_note(key, value))
    }

    fn end_events(&mut self) -> Edit {
        self.edit(stage::Stage::end_events)
    }
}

impl flow::HostRequest for HostState {
    fn method(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        self.read_request(|request| request.head.method.as_str().to_owned())
    }

    fn set_method(&mut self, _: Resource<RequestHandle>, method: String) -> Edit {
        self.edit(|stage| stage.set_method(&method))
    }

    fn scheme(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        self.read_request(|request| request.head.scheme.as_str().to_owned())
    }

    fn authority(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        self.read_request(|request| request.head.authority.as_str().to_owned())
    }

    fn path_and_query(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        self.read_request(|request| request.head.target_str().to_owned())
    }

    fn set_path_and_query(&mut self, _: Resource<RequestHandle>, target: String) -> Edit {
        self.edit(|stage| stage.set_target(target))
    }

    fn version(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        self.read_request(|request| request.head.version.as_str().to_owned())
    }

    fn headers(&mut self, _: Resource<RequestHandle>) -> Result<Vec<Header>> {
        let stage = self.stage()?;
        Ok(stage.request(|request| all(&request.head.headers, stage.grants())))
    }

    fn header(&mut self, _: Resource<RequestHandle>, name: String) -> Result<Vec<Vec<u8>>> {
        let stage = self.stage()?;
        Ok(stage.request(|request| values(&request.head.headers, &name, stage.grants())))
    }

    fn set_header(&mut self, _: Resource<RequestHandle>, name: String, values: Vec<Vec<u8>>) -> Edit {
        self.edit_within(BudgetKind::Headers, |stage| stage.set_header(Kind::Request, &name, values))
    }

    fn append_header(&mut self, _: Resource<RequestHandle>, name: String, value: Vec<u8>) -> Edit {
        self.edit_within(BudgetKind::Headers, |stage| stage.append_header(Kind::Request, name, value))
    }

    fn body(&mut self, _: Resource<RequestHandle>) -> Result<Option<Vec<u8>>> {
        Ok(self.stage()?.body(Kind::Request).map(|bytes| bytes.to_vec()))
    }

    fn is_body_truncated(&mut self, _: Resource<RequestHandle>) -> Result<bool> {
        Ok(self.stage()?.is_truncated(Kind::Request))
    }

    fn set_body(&mut self, _: Resource<RequestHandle>, body: Vec<u8>) -> Edit {
        self.edit_within(BudgetKind::Body, |stage| stage.set_body(Kind::Request, body))
    }

    fn trailers(&mut self, _: Resource<RequestHandle>) -> Result<Vec<Header>> {
        let stage = self.stage()?;
        Ok(stage.trailers(Kind::Request).map(|trailers| all(trailers, stage.grants())).unwrap_or_default())
    }

    fn set_trailer(&mut self, _: Resource<RequestHandle>, name: String, values: Vec<Vec<u8>>) -> Edit {
        self.edit_within(BudgetKind::Headers, |stage| stage.set_trailer(Kind::Request, &name, values))
    }

    fn upstream(&mut self, _: Resource<RequestHandle>) -> Result<String> {
        self.read_request(|request| request.upstream.to_string())
    }

    fn set_upstream(&mut self, _: Resource<RequestHandle>, url: String) -> Edit {
        let facts = self.facts.clone().ok_or_else(no_flow)?;
        let stage = self.stage.as_mut().ok_or_else(no_flow)?;
        if let Some(origin) = facts.named.as_ref().and_then(|upstreams| upstreams.named(&url)) {
            return Ok(stage.set_configured_upstream(Arc::clone(origin)).map_err(EditError::from));
        }
        Ok(stage.set_upstream(&url, |origin| self.calls.route(origin, &facts)).map_err(EditError::from))
    }

    fn follow_redirects(&mut self, _: Resource<RequestHandle>, hosts: Vec<String>) -> Edit {
        let facts = self.facts.clone().ok_or_else(no_flow)?;
        let stage = self.stage.as_mut().ok_or_else(no_flow)?;
        Ok(stage.follow_redirects(|| self.calls.follow(&hosts, facts)).map_err(EditError::from))
    }

    // Guests are only lent these handles, so there is never one to drop; the same below.
    fn drop(&mut self, _: Resource<RequestHandle>) -> Result<()> {
        Ok(())
    }
}

impl flow::HostResponse for HostState {
    fn status(&mut self, _: Resource<ResponseHandle>) -> Result<u16> {
        self.read_response(|response| response.head.status.as_u16())
    }

    fn set_status(&mut self, _: Resource<ResponseHandle>, status: u16) -> Edit {
        self.edit(|stage| stage.set_status(status))
    }

    fn origin(&mut self, _: Resource<ResponseHandle>) -> Result<Origin> {
        self.read_response(|response| Origin::from(&response.origin))
    }

    fn version(&mut self, _: Resource<ResponseHandle>) -> Result<String> {
        self.read_response(|response| response.head.version.as_str().to_owned())
    }

    fn headers(&mut self, _: Resource<ResponseHandle>) -> Result<Vec<Header>> {
        let grants = self.stage()?.grants();
        self.read_response(|response| all(&response.head.headers, grants))
    }

    fn header(&mut self, _: Resource<ResponseHandle>, name: String) -> Result<Vec<Vec<u8>>> {
        let grants = self.stage()?.grants();
        self.read_response(|response| values(&response.head.headers, &name, grants))
    }

    fn set_header(&mut self, _: Resource<ResponseHandle>, name: String, values: Vec<Vec<u8>>) -> Edit {
        self.edit_within(BudgetKind::Headers, |stage| stage.set_header(Kind::Response, &name, values))
    }

    fn append_header(&mut self, _: Resource<ResponseHandle>, name: String, value: Vec<u8>) -> Edit {
        self.edit_within(BudgetKind::Headers, |stage| stage.append_header(Kind::Response, name, value))
    }

    fn body(&mut self, _: Resource<ResponseHandle>) -> Result<Option<Vec<u8>>> {
        Ok(self.stage()?.body(Kind::Response).map(|bytes| bytes.to_vec()))
    }

    fn is_body_truncated(&mut self, _: Resource<ResponseHandle>) -> Result<bool> {
        Ok(self.stage()?.is_truncated(Kind::Response))
    }

    fn set_body(&mut self, _: Resource<ResponseHandle>, body: Vec<u8>) -> Edit {
        self.edit_within(BudgetKind::Body, |stage| stage.set_body(Kind::Response, body))
    }

    fn trailers(&mut self, _: Resource<ResponseHandle>) -> Result<Vec<Header>> {
        let stage = self.stage()?;
        Ok(stage.trailers(Kind::Response).map(|trailers| all(trailers, stage.grants())).unwrap_or_default())
    }

    fn set_trailer(&mut self, _: Resource<ResponseHandle>, name: String, values: Vec<Vec<u8>>) -> Edit {
        self.edit_within(BudgetKind::Headers, |stage| stage.set_trailer(Kind::Response, &name, values))
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> Result<()> {
        Ok(())
    }
}

impl flow::HostOutcome for HostState {
    fn status(&mut self, _: Resource<OutcomeHandle>) -> Result<Option<u16>> {
        self.read_outcome(|outcome| outcome.status.map(|status| status.as_u16()))
    }

    fn is_complete(&mut self, _: Resource<OutcomeHandle>) -> Result<bool> {
        self.read_outcome(|outcome| outcome.error.is_none())
    }

    fn error(&mut self, _: Resource<OutcomeHandle>) -> Result<Option<String>> {
        self.read_outcome(|outcome| outcome.error.clone())
    }

    fn origin(&mut self, _: Resource<OutcomeHandle>) -> Result<Option<Origin>> {
        self.read_outcome(|outcome| outcome.source.as_ref().map(Origin::from))
    }

    fn request_bytes(&mut self, _: Resource<OutcomeHandle>) -> Result<u64> {
        self.read_outcome(|outcome| outcome.request_bytes)
    }

    fn response_bytes(&mut self, _: Resource<OutcomeHandle>) -> Result<u64> {
        self.read_outcome(|outcome| outcome.response_bytes)
    }

    fn duration(&mut self, _: Resource<OutcomeHandle>) -> Result<u64> {
        self.read_outcome(|outcome| nanoseconds(outcome.duration))
    }

    fn mutations(&mut self, _: Resource<OutcomeHandle>) -> Result<Vec<flow::Mutation>> {
        let grants = self.stage()?.grants();
        self.read_outcome(|outcome| mutations::mutations(&outcome.mutations, grants))
    }

    fn mutations_left_out(&mut self, _: Resource<OutcomeHandle>) -> Result<u32> {
        self.read_outcome(|outcome| outcome.mutations.left_out())
    }

    fn messages(&mut self, _: Resource<OutcomeHandle>) -> Result<Option<flow::MessageCounts>> {
        self.read_outcome(|outcome| {
            outcome.messages.as_ref().map(|counts| flow::MessageCounts {
                from_client: counts.from_client,
                from_upstream: counts.from_upstream,
                edited: counts.edited,
                dropped: counts.dropped,
                close_code: counts.close_code,
            })
        })
    }

    fn drop(&mut self, _: Resource<OutcomeHandle>) -> Result<()> {
        Ok(())
    }
}

impl From<stage::EditError> for EditError {
    fn from(error: stage::EditError) -> Self {
        match error {
            stage::EditError::ReadOnly => Self::ReadOnly,
            stage::EditError::Invalid(text) => Self::Invalid(text),
            stage::EditError::Forbidden(text) => Self::Forbidden(text),
            stage::EditError::TooLarge(text) => Self::TooLarge(text),
        }
    }
}

impl From<&Source> for Origin {
    fn from(source: &Source) -> Self {
        match source {
            Source::Upstream => Self::Upstream,
            Source::Addon(name) => Self::Addon(name.to_string()),
            Source::Core => Self::Core,
        }
    }
}

fn all(headers: &Headers, grants: &Grants) -> Vec<Header> {
    let shown = |field: &Field| (field.name_str().to_owned(), grants.shown(field.name_str(), field.value()).to_vec());
    headers.iter().map(shown).collect()
}

fn values(headers: &Headers, name: &str, grants: &Grants) -> Vec<Vec<u8>> {
    headers.get_all(name).map(|value| grants.shown(name, value).to_vec()).collect()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn no_flow() -> wasmtime::Error {
    wasmtime::Error::msg("called outside of a flow: `configure` runs before any")
}
