//! The guest's side of the world: its functions, found once per component, checked where they are called.
//!
//! The generated bindings check all ten functions of every instance. A flow calls one or two of them.

use wasmtime::{
    Result, Store,
    component::{Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, Resource},
};

use super::{
    bindings::{EXPORT, OutcomeHandle, Piece, RequestHandle, ResponseHandle, Whole, hooks as wit},
    state::HostState,
};

use crate::hooks::{Chunk, Connecting, SocketMessage, StreamEvent};

/// A component whose imports are linked and whose hooks are found: what instances are made from.
#[derive(Clone)]
pub(super) struct Blueprint {
    pre: InstancePre<HostState>,
    hooks: Hooks,
}

/// An instance. It belongs to the store that it was made in.
pub(super) struct Guest {
    instance: Instance,
    hooks: Hooks,
}

#[derive(Clone, Copy)]
struct Hooks {
    configure: ComponentExportIndex,
    on_connect: ComponentExportIndex,
    on_request: ComponentExportIndex,
    on_request_chunk: ComponentExportIndex,
    on_response: ComponentExportIndex,
    on_response_chunk: ComponentExportIndex,
    on_sse_event: ComponentExportIndex,
    on_websocket_message: ComponentExportIndex,
    on_upstream_error: ComponentExportIndex,
    on_finish: ComponentExportIndex,
}

/// What a hook answers: its verdict or, in words, why it has none.
pub(super) type Answer<T> = std::result::Result<T, String>;

impl Blueprint {
    /// Fails where a hook is missing; whether its type fits shows in [`Guest::check`].
    pub(super) fn new(component: &Component, pre: InstancePre<HostState>) -> Result<Self> {
        let interface = component.get_export_index(None, EXPORT);
        let find = |name: &str| {
            let hook = interface.as_ref().and_then(|interface| component.get_export_index(Some(interface), name));
            hook.ok_or_else(|| wasmtime::Error::msg(format!("{EXPORT} has no {name}")))
        };
        let hooks = Hooks {
            configure: find("configure")?,
            on_connect: find("on-connect")?,
            on_request: find("on-request")?,
            on_request_chunk: find("on-request-chunk")?,
            on_response: find("on-response")?,
            on_response_chunk: find("on-response-chunk")?,
            on_sse_event: find("on-sse-event")?,
            on_websocket_message: find("on-websocket-message")?,
            on_upstream_error: find("on-upstream-error")?,
            on_finish: find("on-finish")?,
        };
        Ok(Self { pre, hooks })
    }

    /// Makes an instance and runs its start code.
    pub(super) async fn instantiate(&self, store: &mut Store<HostState>) -> Result<Guest> {
        Ok(Guest { instance: self.pre.instantiate_async(store).await?, hooks: self.hooks })
    }
}

impl Guest {
    /// Whether all hooks are there and have the types of the world; the error names the first that is or does not.
    pub(super) fn check(&self, store: &mut Store<HostState>) -> Result<()> {
        type Request = Resource<RequestHandle>;
        type Response = Resource<ResponseHandle>;
        type Outcome = Resource<OutcomeHandle>;
        type Matched<'a> = &'a [u32];
        self.fits::<(&str,), std::result::Result<Vec<wit::Subscription>, Vec<wit::OptionError>>>(store, "configure")?;
        self.fits::<(Matched, Request, &str, u16), Answer<wit::ConnectVerdict>>(store, "on-connect")?;
        self.fits::<(Matched, Request), Answer<wit::RequestVerdict>>(store, "on-request")?;
        self.fits::<(Matched, Request, &wit::Chunk), Answer<wit::ChunkVerdict>>(store, "on-request-chunk")?;
        self.fits::<(Matched, Request, Response), Answer<wit::ResponseVerdict>>(store, "on-response")?;
        self.fits::<(Matched, Request, Response, &wit::Chunk), Answer<wit::ChunkVerdict>>(store, "on-response-chunk")?;
        self.fits::<(Matched, Request, &wit::SseEvent), Answer<wit::SseVerdict>>(store, "on-sse-event")?;
        self.fits::<(Matched, Request, &wit::WebsocketMessage), Answer<wit::WebsocketVerdict>>(store, "on-websocket-message")?;
        self.fits::<(Matched, Request, &wit::UpstreamFailure), Answer<Option<wit::MadeResponse>>>(store, "on-upstream-error")?;
        self.fits::<(Matched, Request, Outcome), Answer<()>>(store, "on-finish")
    }

    fn fits<P, R>(&self, store: &mut Store<HostState>, name: &str) -> Result<()>
    where
        P: ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift + 'static,
    {
        let interface = self.instance.get_export_index(&mut *store, None, EXPORT);
        let hook = interface.and_then(|interface| self.instance.get_export_index(&mut *store, Some(&interface), name));
        let hook = hook.ok_or_else(|| wasmtime::Error::msg(format!("{EXPORT} has no {name}")))?;
        let found = self.instance.get_typed_func::<P, (R,)>(&mut *store, hook);
        found.map(drop).map_err(|error| error.context(format!("{name} has another type")))
    }

    /// For those who look into it.
    pub(super) const fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) async fn configure(
        &self,
        store: &mut Store<HostState>,
        options: &str,
    ) -> Result<std::result::Result<Vec<wit::Subscription>, Vec<wit::OptionError>>> {
        self.call(store, &self.hooks.configure, (options,)).await
    }

    pub(super) async fn on_connect(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
        connecting: &Connecting,
    ) -> Result<Answer<wit::ConnectVerdict>> {
        self.call(store, &self.hooks.on_connect, (matched, request(), &*connecting.host, connecting.port)).await
    }

    pub(super) async fn on_request(&self, store: &mut Store<HostState>, matched: &[u32]) -> Result<Answer<wit::RequestVerdict>> {
        self.call(store, &self.hooks.on_request, (matched, request())).await
    }

    pub(super) async fn on_request_chunk(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
        chunk: &Chunk,
    ) -> Result<Answer<wit::ChunkVerdict>> {
        self.call(store, &self.hooks.on_request_chunk, (matched, request(), Piece::from(chunk))).await
    }

    pub(super) async fn on_response(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
    ) -> Result<Answer<wit::ResponseVerdict>> {
        let response = Resource::<ResponseHandle>::new_borrow(0);
        self.call(store, &self.hooks.on_response, (matched, request(), response)).await
    }

    pub(super) async fn on_response_chunk(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
        chunk: &Chunk,
    ) -> Result<Answer<wit::ChunkVerdict>> {
        let response = Resource::<ResponseHandle>::new_borrow(0);
        self.call(store, &self.hooks.on_response_chunk, (matched, request(), response, Piece::from(chunk))).await
    }

    pub(super) async fn on_sse_event(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
        event: StreamEvent,
    ) -> Result<Answer<wit::SseVerdict>> {
        let StreamEvent { event, id, data, retry } = event;
        let event = wit::SseEvent { event, id, data, retry };
        self.call(store, &self.hooks.on_sse_event, (matched, request(), &event)).await
    }

    pub(super) async fn on_websocket_message(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
        message: &SocketMessage,
    ) -> Result<Answer<wit::WebsocketVerdict>> {
        self.call(store, &self.hooks.on_websocket_message, (matched, request(), Whole::from(message))).await
    }

    pub(super) async fn on_upstream_error(
        &self,
        store: &mut Store<HostState>,
        matched: &[u32],
        failure: &wit::UpstreamFailure,
    ) -> Result<Answer<Option<wit::MadeResponse>>> {
        self.call(store, &self.hooks.on_upstream_error, (matched, request(), failure)).await
    }

    pub(super) async fn on_finish(&self, store: &mut Store<HostState>, matched: &[u32]) -> Result<Answer<()>> {
        let outcome = Resource::<OutcomeHandle>::new_borrow(0);
        self.call(store, &self.hooks.on_finish, (matched, request(), outcome)).await
    }

    async fn call<P, R>(&self, store: &mut Store<HostState>, hook: &ComponentExportIndex, given: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        (R,): ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let function = self.instance.get_typed_func::<P, (R,)>(&mut *store, hook)?;
        Ok(function.call_async(store, given).await?.0)
    }
}

// There is one request a flow, so its number says nothing; the same for responses and outcomes.
fn request() -> Resource<RequestHandle> {
    Resource::new_borrow(0)
}
