//! A component's side of the world: the exports, told to an addon.
//!
//! Nothing here may leave a host handle or a sign of its run behind when `configure` returns: the memory is then copied into
//! every instance.

pub mod bindings;
mod convert;
mod logger;
mod panic;

use std::{hint::black_box, marker::PhantomData};

use bindings::{
    exports::tollgate::addon::hooks,
    tollgate::addon::flow::{Outcome, Request, Response},
};

use crate::{Addon, Error, Flow, host, options};

pub use bindings::export_component;

/// Where the configured addon lives in a component: a global, as [`export!`](crate::export) makes it.
pub trait Slot: Addon {
    /// Runs with the global; none before `configure`.
    fn with<R>(work: impl FnOnce(&mut Option<Self>) -> R) -> R;
}

/// The exports of a component with this addon.
#[derive(Debug)]
pub struct Exported<A>(PhantomData<A>);

impl<A: Slot> hooks::Guest for Exported<A> {
    fn configure(options: String) -> Result<Vec<hooks::Subscription>, Vec<hooks::OptionError>> {
        panic::install();
        logger::install();
        let addon = options::parse(&options).and_then(A::configure).map_err(convert::option_errors)?;
        let subscriptions = addon.subscriptions().into_iter().map(convert::subscription).collect();
        A::with(|slot| *slot = Some(addon));
        logger::forget_threshold();
        leave_room();
        Ok(subscriptions)
    }

    fn on_connect(matched: Vec<u32>, request: &Request, host: String, port: u16) -> Result<hooks::ConnectVerdict, String> {
        let request = crate::Request::new(request);
        run(matched, |addon: &mut A, flow| addon.connect(flow, &request, &host, port)).map(convert::connect_verdict)
    }

    fn on_request(matched: Vec<u32>, request: &Request) -> Result<hooks::RequestVerdict, String> {
        let mut request = crate::Request::new(request);
        run(matched, |addon: &mut A, flow| addon.request(flow, &mut request)).map(convert::request_verdict)
    }

    fn on_request_chunk(matched: Vec<u32>, request: &Request, chunk: hooks::Chunk) -> Result<hooks::ChunkVerdict, String> {
        let request = crate::Request::new(request);
        let chunk = convert::chunk(chunk);
        run(matched, |addon: &mut A, flow| addon.request_chunk(flow, &request, chunk)).map(convert::chunk_verdict)
    }

    fn on_response(matched: Vec<u32>, request: &Request, response: &Response) -> Result<hooks::ResponseVerdict, String> {
        let request = crate::Request::new(request);
        let mut response = crate::Response::new(response);
        run(matched, |addon: &mut A, flow| addon.response(flow, &request, &mut response)).map(convert::response_verdict)
    }

    fn on_response_chunk(
        matched: Vec<u32>,
        request: &Request,
        response: &Response,
        chunk: hooks::Chunk,
    ) -> Result<hooks::ChunkVerdict, String> {
        let request = crate::Request::new(request);
        let response = crate::Response::new(response);
        let chunk = convert::chunk(chunk);
        run(matched, |addon: &mut A, flow| addon.response_chunk(flow, &request, &response, chunk)).map(convert::chunk_verdict)
    }

    fn on_sse_event(matched: Vec<u32>, request: &Request, event: hooks::SseEvent) -> Result<hooks::SseVerdict, String> {
        let request = crate::Request::new(request);
        let event = convert::sse_event(event);
        run(matched, |addon: &mut A, flow| addon.sse_event(flow, &request, event)).map(convert::sse_verdict)
    }

    fn on_websocket_message(
        matched: Vec<u32>,
        request: &Request,
        message: hooks::WebsocketMessage,
    ) -> Result<hooks::WebsocketVerdict, String> {
        let request = crate::Request::new(request);
        let message = convert::websocket_message(message);
        run(matched, |addon: &mut A, flow| addon.websocket_message(flow, &request, message)).map(convert::websocket_verdict)
    }

    fn on_upstream_error(
        matched: Vec<u32>,
        request: &Request,
        failure: hooks::UpstreamFailure,
    ) -> Result<Option<hooks::MadeResponse>, String> {
        let request = crate::Request::new(request);
        let failure = convert::upstream_failure(failure);
        run(matched, |addon: &mut A, flow| addon.upstream_error(flow, &request, &failure))
            .map(|response| response.map(convert::made_response))
    }

    fn on_finish(matched: Vec<u32>, request: &Request, outcome: &Outcome) -> Result<(), String> {
        let request = crate::Request::new(request);
        let outcome = crate::Outcome::new(outcome);
        run(matched, |addon: &mut A, flow| addon.finish(flow, &request, &outcome))
    }
}

/// Bytes that the allocator has at hand when a hook begins.
const ROOM: usize = 128 << 10;

/// Has the allocator grow the memory now and not in each flow: that takes the host two system calls, one to give and one to take
/// back. What is not touched takes none of the machine's memory.
fn leave_room() {
    drop(black_box(Vec::<u8>::with_capacity(ROOM)));
}

fn run<A: Slot, R>(matched: Vec<u32>, hook: impl FnOnce(&mut A, &Flow) -> Result<R, Error>) -> Result<R, String> {
    // The operator may have changed it, if an earlier flow had this instance.
    logger::forget_threshold();
    let flow = Flow::new(matched, host::Flow);
    A::with(|slot| match slot {
        Some(addon) => hook(addon, &flow).map_err(|error| error.to_string()),
        None => Err("the hook was called before configure".to_owned()),
    })
}
