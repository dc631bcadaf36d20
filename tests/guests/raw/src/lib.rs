//! A guest that goes to the contract itself: it tries what the SDK would not let it, and tells how that ends.
#![cfg(target_arch = "wasm32")]

#[allow(unsafe_code, reason = "calls across the border of a component are unsafe by nature; all of it is generated")]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "addon" });
}

use bindings::{
    exports::tollgate::addon::hooks::{
        BodyMode, Chunk, ChunkAction, ChunkVerdict, ConnectVerdict, Event, Guest, MadeResponse, OptionError, RequestVerdict,
        ResponseVerdict, SseEvent, SseVerdict, Subscription, UpstreamFailure, WebsocketMessage, WebsocketVerdict,
    },
    tollgate::addon::{
        flow::{self, EditError, Outcome, Request, Response},
        log,
    },
};

struct Raw;

/// Every way to edit a request, and how each ends.
fn edit(request: &Request) -> String {
    let edits = [
        request.set_header("x-raw", &[b"1".to_vec()]),
        request.append_header("x-raw", b"1"),
        request.set_method("PUT"),
        request.set_path_and_query("/raw"),
        request.set_body(b"raw"),
        request.set_upstream("http://127.0.0.1:1"),
    ];
    edits.into_iter().map(ended).collect::<Vec<_>>().join(" ")
}

fn ended(edit: Result<(), EditError>) -> String {
    match edit {
        Ok(()) => "done".to_owned(),
        Err(EditError::ReadOnly) => "read-only".to_owned(),
        Err(EditError::Invalid(text)) => format!("invalid:{text}"),
        Err(EditError::Forbidden(text)) => format!("forbidden:{text}"),
        Err(EditError::TooLarge(text)) => format!("too-large:{text}"),
    }
}

fn tell(text: &str) {
    log::write(log::Level::Info, text, &[]);
}

impl Guest for Raw {
    fn configure(options: String) -> Result<Vec<Subscription>, Vec<OptionError>> {
        if options.contains("early") {
            tell(&flow::id().to_string());
        }
        if options.contains("echo") {
            tell(&format!("configured with {options}"));
        }
        let all = [Event::Response, Event::UpstreamError, Event::Finish];
        Ok(all.map(|event| Subscription { event, filter: String::new(), body: BodyMode::None }).into())
    }

    fn on_request(_matched: Vec<u32>, _request: &Request) -> Result<RequestVerdict, String> {
        Ok(RequestVerdict::Next)
    }

    fn on_response(_matched: Vec<u32>, request: &Request, response: &Response) -> Result<ResponseVerdict, String> {
        let answer = response.set_header("x-raw", &[edit(request).into_bytes()]);
        answer.map_err(|error| ended(Err(error)))?;
        Ok(ResponseVerdict::Next)
    }

    fn on_upstream_error(
        _matched: Vec<u32>,
        request: &Request,
        _failure: UpstreamFailure,
    ) -> Result<Option<MadeResponse>, String> {
        tell(&format!("in upstream-error: {}", edit(request)));
        Ok(None)
    }

    fn on_finish(_matched: Vec<u32>, request: &Request, _outcome: &Outcome) -> Result<(), String> {
        tell(&format!("in finish: {} {}", edit(request), ended(flow::set_note("raw", "1"))));
        Ok(())
    }

    fn on_connect(_matched: Vec<u32>, _request: &Request, _host: String, _port: u16) -> Result<ConnectVerdict, String> {
        Ok(ConnectVerdict::Tunnel)
    }

    fn on_request_chunk(_matched: Vec<u32>, _request: &Request, _chunk: Chunk) -> Result<ChunkVerdict, String> {
        Ok(ChunkVerdict { action: ChunkAction::Pass, is_done: true })
    }

    fn on_response_chunk(
        _matched: Vec<u32>,
        _request: &Request,
        _response: &Response,
        _chunk: Chunk,
    ) -> Result<ChunkVerdict, String> {
        Ok(ChunkVerdict { action: ChunkAction::Pass, is_done: true })
    }

    fn on_sse_event(_matched: Vec<u32>, _request: &Request, _event: SseEvent) -> Result<SseVerdict, String> {
        Ok(SseVerdict::Pass)
    }

    fn on_websocket_message(
        _matched: Vec<u32>,
        _request: &Request,
        _message: WebsocketMessage,
    ) -> Result<WebsocketVerdict, String> {
        Ok(WebsocketVerdict::Pass)
    }
}

#[allow(unsafe_code, reason = "as above")]
mod exports {
    super::bindings::export!(Raw with_types_in super::bindings);
    use super::Raw;
}
