//! From what a guest answers to what the flow can do.

use bytes::Bytes;
use http::StatusCode;

use super::{
    bindings::hooks as wit,
    limits::Limits,
    stage::{EditError, Kind, at_most, check_name, field, final_status, wire_len},
};
use crate::{
    hooks::{
        ChunkAction, ChunkVerdict, Close, FailureKind, MadeResponse, Refusal, Ruling, SocketVerdict, StreamAction, StreamEvent,
        StreamVerdict, UpstreamFailure, Verdict,
    },
    http::Headers,
    websocket::close,
};

const MAX_ERRCODE: usize = 128;
const MAX_ERROR: usize = 4 << 10;

/// Why a verdict cannot be carried out.
type Impossible = String;

/// For `on-connect`; on a listener that may intercept, or not.
pub(super) fn connect(verdict: wit::ConnectVerdict, may_intercept: bool) -> Result<Verdict, Impossible> {
    Ok(match verdict {
        wit::ConnectVerdict::Next => Verdict::Next,
        wit::ConnectVerdict::Intercept if may_intercept => Verdict::Connect(Ruling::Intercept),
        wit::ConnectVerdict::Intercept => return Err("intercept, and the listener has no authority (tls.ca)".to_owned()),
        wit::ConnectVerdict::Tunnel => Verdict::Connect(Ruling::Tunnel),
        wit::ConnectVerdict::Refuse(refusal) => Verdict::Refuse(refused(refusal)?),
    })
}

/// For `on-request`.
pub(super) fn request(verdict: wit::RequestVerdict, limits: &Limits) -> Result<Verdict, Impossible> {
    Ok(match verdict {
        wit::RequestVerdict::Next => Verdict::Next,
        wit::RequestVerdict::EndChain => Verdict::EndChain,
        wit::RequestVerdict::Respond(response) => Verdict::Respond(made(response, limits)?),
        wit::RequestVerdict::Refuse(refusal) => Verdict::Refuse(refused(refusal)?),
        wit::RequestVerdict::Drop => Verdict::Drop,
    })
}

/// For `on-response`.
pub(super) fn response(verdict: wit::ResponseVerdict, limits: &Limits) -> Result<Verdict, Impossible> {
    Ok(match verdict {
        wit::ResponseVerdict::Next => Verdict::Next,
        wit::ResponseVerdict::Replace(response) => Verdict::Respond(made(response, limits)?),
        wit::ResponseVerdict::Drop => Verdict::Drop,
    })
}

/// For `on-request-chunk` and `on-response-chunk`, with trailers if the guest has edited them.
pub(super) fn chunk(verdict: wit::ChunkVerdict, trailers: Option<Headers>, limits: &Limits) -> Result<Verdict, Impossible> {
    let action = match verdict.action {
        wit::ChunkAction::Pass => ChunkAction::Pass,
        wit::ChunkAction::Drop => ChunkAction::Drop,
        wit::ChunkAction::Replace(data) => {
            at_most("bytes in a piece of a body", data.len(), limits.max_body).map_err(said)?;
            ChunkAction::Replace(Bytes::from(data))
        }
    };
    Ok(Verdict::Chunk(ChunkVerdict { action, is_done: verdict.is_done, trailers }))
}

/// For `on-sse-event`; `is_last` if the guest has ended the stream.
pub(super) fn stream(verdict: wit::SseVerdict, is_last: bool, limits: &Limits) -> Result<Verdict, Impossible> {
    let action = match verdict {
        wit::SseVerdict::Pass => StreamAction::Pass,
        wit::SseVerdict::Drop => StreamAction::Drop,
        wit::SseVerdict::Replace(wit::SseEvent { event, id, data, retry }) => {
            let has_break = |text: &String| text.contains(['\r', '\n']);
            if event.as_ref().is_some_and(has_break) || id.as_ref().is_some_and(|id| has_break(id) || id.contains('\0')) {
                return Err("a type or an ID of an event that is not one line, or an ID with NUL".to_owned());
            }
            let event = StreamEvent { event, id, data, retry };
            at_most("bytes in an event", event.len(), limits.max_body).map_err(said)?;
            StreamAction::Replace(event)
        }
    };
    Ok(Verdict::Stream(StreamVerdict { action, is_last }))
}

/// For `on-websocket-message`.
pub(super) fn socket(verdict: wit::WebsocketVerdict, is_text: bool, limits: &Limits) -> Result<Verdict, Impossible> {
    Ok(Verdict::Socket(match verdict {
        wit::WebsocketVerdict::Pass => SocketVerdict::Pass,
        wit::WebsocketVerdict::Drop => SocketVerdict::Drop,
        wit::WebsocketVerdict::Replace(data) => {
            at_most("bytes in a message", data.len(), limits.max_body).map_err(said)?;
            if is_text && std::str::from_utf8(&data).is_err() {
                return Err("a message of text that is not UTF-8".to_owned());
            }
            SocketVerdict::Replace(Bytes::from(data))
        }
        wit::WebsocketVerdict::Close(wit::WebsocketClose { code, reason }) => {
            if !close::may_be_sent(code) {
                return Err(format!("close code {code}, which may not be sent"));
            }
            at_most("bytes in the reason of a close", reason.len(), close::MAX_REASON).map_err(said)?;
            SocketVerdict::Close(Close { code, reason })
        }
    }))
}

/// For `on-upstream-error`.
pub(super) fn upstream_error(verdict: Option<wit::MadeResponse>, limits: &Limits) -> Result<Verdict, Impossible> {
    verdict.map_or(Ok(Verdict::Next), |response| made(response, limits).map(Verdict::Respond))
}

/// What the guest is told of a failure.
pub(super) fn failure(failure: UpstreamFailure) -> wit::UpstreamFailure {
    let kind = match failure.kind {
        FailureKind::Dns => wit::FailureKind::Dns,
        FailureKind::Connect => wit::FailureKind::Connect,
        FailureKind::Tls => wit::FailureKind::Tls,
        FailureKind::Timeout => wit::FailureKind::Timeout,
        FailureKind::Closed => wit::FailureKind::Closed,
        FailureKind::Protocol => wit::FailureKind::Protocol,
    };
    wit::UpstreamFailure { kind, message: failure.message }
}

fn made(response: wit::MadeResponse, limits: &Limits) -> Result<MadeResponse, Impossible> {
    let status = final_status(response.status).ok_or_else(|| format!("status {}, not 200 to 599", response.status))?;
    at_most("bytes in a body", response.body.len(), limits.max_body).map_err(said)?;
    at_most("header fields", response.headers.len(), limits.header_count).map_err(said)?;
    let bytes = response.headers.iter().map(|(name, value)| wire_len(name, value)).sum();
    at_most("bytes of header fields", bytes, limits.header_bytes).map_err(said)?;
    let fields = response.headers.into_iter().map(|(name, value)| {
        check_name(Kind::Response, &name)?;
        field(Bytes::from(name), value)
    });
    let headers = fields.collect::<Result<Headers, _>>().map_err(said)?;
    Ok(MadeResponse { status, headers, body: Bytes::from(response.body) })
}

fn refused(refusal: wit::Refusal) -> Result<Refusal, Impossible> {
    let status = StatusCode::from_u16(refusal.status).ok().filter(|_| (400..=599).contains(&refusal.status));
    let status = status.ok_or_else(|| format!("status {} of a refusal, not 400 to 599", refusal.status))?;
    at_most("bytes in an errcode", refusal.errcode.len(), MAX_ERRCODE).map_err(said)?;
    at_most("bytes in an error", refusal.error.len(), MAX_ERROR).map_err(said)?;
    Ok(Refusal { status, errcode: refusal.errcode, error: refusal.error })
}

fn said(error: EditError) -> Impossible {
    match error {
        EditError::ReadOnly => "read-only".to_owned(),
        EditError::Invalid(text) => format!("invalid {text}"),
        EditError::Forbidden(name) => format!("{name} belongs to the core"),
        EditError::TooLarge(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(status: u16, headers: &[(&str, &str)], body: usize) -> Result<Verdict, Impossible> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let response = wit::MadeResponse { status, headers, body: vec![0; body] };
        request(wit::RequestVerdict::Respond(response), &Limits { max_body: 10, header_count: 2, ..Limits::default() })
    }

    #[test]
    fn made_responses_keep_their_limits() {
        assert!(matches!(respond(200, &[("a", "b"), ("A", "c")], 10), Ok(Verdict::Respond(made)) if made.headers.len() == 2));
        for (status, headers, body) in [
            (199, &[][..], 0),
            (600, &[], 0),
            (200, &[("Content-Length", "1")], 0),
            (200, &[("a", "b\r\nc")], 0),
            (200, &[("a b", "c")], 0),
            (200, &[("a", ""), ("b", ""), ("c", "")], 0),
            (200, &[], 11),
        ] {
            assert!(respond(status, headers, body).is_err(), "{status} {headers:?} {body}");
        }
    }

    #[test]
    fn only_an_authority_can_intercept() {
        use wit::ConnectVerdict::{Intercept, Next, Tunnel};
        assert!(matches!(connect(Intercept, true), Ok(Verdict::Connect(Ruling::Intercept))));
        assert!(connect(Intercept, false).is_err());
        assert!(matches!(connect(Tunnel, false), Ok(Verdict::Connect(Ruling::Tunnel))));
        assert!(matches!(connect(Next, false), Ok(Verdict::Next)));
    }

    #[test]
    fn refusals_are_errors() {
        for (status, is_possible) in [(399, false), (400, true), (599, true), (600, false)] {
            let refusal = wit::Refusal { status, errcode: "M_X".to_owned(), error: "x".to_owned() };
            assert_eq!(request(wit::RequestVerdict::Refuse(refusal), &Limits::default()).is_ok(), is_possible, "{status}");
        }
    }
}
