//! Between the addon's types and the generated ones. Nothing is copied: strings and bytes move.

use super::bindings::exports::tollgate::addon::hooks;
use crate::{
    BodyMode, Chunk, ChunkAction, ChunkVerdict, ConnectVerdict, Event, FailureKind, MadeResponse, OptionErrors, OverCap, Refusal,
    RequestVerdict, ResponseVerdict, SseEvent, SseVerdict, Subscription, UpstreamFailure, WebsocketKind, WebsocketMessage,
    WebsocketVerdict,
};

pub(super) fn option_errors(errors: OptionErrors) -> Vec<hooks::OptionError> {
    errors.into_iter().map(|error| hooks::OptionError { path: error.path, message: error.message }).collect()
}

pub(super) fn subscription(subscription: Subscription) -> hooks::Subscription {
    let event = match subscription.event() {
        Event::Connect => hooks::Event::Connect,
        Event::Request => hooks::Event::Request,
        Event::RequestChunk => hooks::Event::RequestChunk,
        Event::Response => hooks::Event::Response,
        Event::ResponseChunk => hooks::Event::ResponseChunk,
        Event::SseEvent => hooks::Event::SseEvent,
        Event::WebsocketMessage => hooks::Event::WebsocketMessage,
        Event::UpstreamError => hooks::Event::UpstreamError,
        Event::Finish => hooks::Event::Finish,
    };
    let body = match subscription.body() {
        BodyMode::None => hooks::BodyMode::None,
        BodyMode::Full { cap, over_cap } => {
            let over_cap = match over_cap {
                OverCap::Refuse => hooks::OverCap::Refuse,
                OverCap::PassUnseen => hooks::OverCap::PassUnseen,
                OverCap::Truncate => hooks::OverCap::Truncate,
            };
            hooks::BodyMode::Full(hooks::BodyCap { cap, over_cap })
        }
    };
    hooks::Subscription { event, filter: subscription.into_filter(), body }
}

pub(super) fn made_response(response: MadeResponse) -> hooks::MadeResponse {
    hooks::MadeResponse { status: response.status, headers: response.headers, body: response.body }
}

fn refusal(refusal: Refusal) -> hooks::Refusal {
    hooks::Refusal { status: refusal.status, errcode: refusal.errcode, error: refusal.error }
}

pub(super) fn connect_verdict(verdict: ConnectVerdict) -> hooks::ConnectVerdict {
    match verdict {
        ConnectVerdict::Next => hooks::ConnectVerdict::Next,
        ConnectVerdict::Intercept => hooks::ConnectVerdict::Intercept,
        ConnectVerdict::Tunnel => hooks::ConnectVerdict::Tunnel,
        ConnectVerdict::Refuse(error) => hooks::ConnectVerdict::Refuse(refusal(error)),
    }
}

pub(super) fn request_verdict(verdict: RequestVerdict) -> hooks::RequestVerdict {
    match verdict {
        RequestVerdict::Next => hooks::RequestVerdict::Next,
        RequestVerdict::EndChain => hooks::RequestVerdict::EndChain,
        RequestVerdict::Respond(response) => hooks::RequestVerdict::Respond(made_response(response)),
        RequestVerdict::Refuse(error) => hooks::RequestVerdict::Refuse(refusal(error)),
        RequestVerdict::Drop => hooks::RequestVerdict::Drop,
    }
}

pub(super) fn response_verdict(verdict: ResponseVerdict) -> hooks::ResponseVerdict {
    match verdict {
        ResponseVerdict::Next => hooks::ResponseVerdict::Next,
        ResponseVerdict::Replace(response) => hooks::ResponseVerdict::Replace(made_response(response)),
        ResponseVerdict::Drop => hooks::ResponseVerdict::Drop,
    }
}

pub(super) fn chunk(chunk: hooks::Chunk) -> Chunk {
    Chunk { data: chunk.data, is_last: chunk.is_last }
}

pub(super) fn chunk_verdict(verdict: ChunkVerdict) -> hooks::ChunkVerdict {
    let action = match verdict.action {
        ChunkAction::Pass => hooks::ChunkAction::Pass,
        ChunkAction::Replace(data) => hooks::ChunkAction::Replace(data),
        ChunkAction::Drop => hooks::ChunkAction::Drop,
    };
    hooks::ChunkVerdict { action, is_done: verdict.is_done }
}

pub(super) fn sse_event(event: hooks::SseEvent) -> SseEvent {
    SseEvent { event: event.event, id: event.id, data: event.data, retry: event.retry }
}

pub(super) fn sse_verdict(verdict: SseVerdict) -> hooks::SseVerdict {
    match verdict {
        SseVerdict::Pass => hooks::SseVerdict::Pass,
        SseVerdict::Replace(SseEvent { event, id, data, retry }) => {
            hooks::SseVerdict::Replace(hooks::SseEvent { event, id, data, retry })
        }
        SseVerdict::Drop => hooks::SseVerdict::Drop,
    }
}

pub(super) fn websocket_message(message: hooks::WebsocketMessage) -> WebsocketMessage {
    let kind = match message.kind {
        hooks::WebsocketKind::Text => WebsocketKind::Text,
        hooks::WebsocketKind::Binary => WebsocketKind::Binary,
    };
    WebsocketMessage { is_from_client: message.is_from_client, kind, data: message.data }
}

pub(super) fn websocket_verdict(verdict: WebsocketVerdict) -> hooks::WebsocketVerdict {
    match verdict {
        WebsocketVerdict::Pass => hooks::WebsocketVerdict::Pass,
        WebsocketVerdict::Replace(data) => hooks::WebsocketVerdict::Replace(data),
        WebsocketVerdict::Drop => hooks::WebsocketVerdict::Drop,
        WebsocketVerdict::Close { code, reason } => hooks::WebsocketVerdict::Close(hooks::WebsocketClose { code, reason }),
    }
}

pub(super) fn upstream_failure(failure: hooks::UpstreamFailure) -> UpstreamFailure {
    let kind = match failure.kind {
        hooks::FailureKind::Dns => FailureKind::Dns,
        hooks::FailureKind::Connect => FailureKind::Connect,
        hooks::FailureKind::Tls => FailureKind::Tls,
        hooks::FailureKind::Timeout => FailureKind::Timeout,
        hooks::FailureKind::Closed => FailureKind::Closed,
        hooks::FailureKind::Protocol => FailureKind::Protocol,
    };
    UpstreamFailure { kind, message: failure.message }
}
