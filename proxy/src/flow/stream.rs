//! Streamed bodies on their way through chunk hooks: one piece at a time, the next one not read before a hook has decided.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::StatusCode;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{
    collect::{OF_A_PART, TOO_MANY},
    depart::{forget_digests, forget_range},
    events::Eventful,
    failure, filters, forward,
    piecewise::Piecewise,
    record::Record,
    uncoded::Uncoded,
};
use crate::{
    hooks::{Change, Chunk, ChunkAction, ChunkVerdict, Event, Hook, HookError, ResponseMessage, Verdict},
    http::{
        Body, BodyError, Extent, Headers,
        body::Peer,
        coding::{self, Stays},
        uncode::Uncoder,
    },
    http2,
};

/// Most bytes that a chunk hook is shown at one time; what arrives in larger pieces is cut.
const PIECE: usize = 64 << 10;

/// Why nothing goes through: a hook wants a body without the codings that stay on, and is closed then.
pub(super) struct Closed {
    /// Place of its addon in the chain.
    pub(super) index: usize,
    /// For the client.
    pub(super) why: String,
}

/// Why a verdict upon a piece cannot be carried out.
pub(super) const FIXED: &str = "the body is a part of a whole (Content-Range), in which nothing can be changed";

/// The request's body through the `request-chunk` hooks of the whole chain, first addon to last. What does not hold any more of
/// a body that hooks may change is taken out of the fields. Codings of a part stay on.
pub(super) fn request(record: &Arc<Record>, headers: &mut Headers, body: Body, is_part: bool) -> Result<Body, Closed> {
    if body.is_end_stream() {
        return Ok(body);
    }
    let matched = |index, event| filters::matched(record, index, event);
    let mut hooks = hooks(record, &[Event::RequestChunk], 0..record.chain.addons.len(), matched);
    let uncoder = describe(&mut hooks, headers, is_part)?;
    let is_fixed = headers.contains("content-range");
    Ok(through(hooks, uncoder, is_fixed, Peer::Client, body))
}

/// The response's body through the `response-chunk` hooks of the addons before `upto`, last to first. The fields say what
/// hooks may make of the body, also where they are those of a body that is not sent: to HEAD and with 304.
pub(super) fn response(
    record: &Arc<Record>,
    upto: usize,
    response: &mut ResponseMessage,
    body: Body,
    is_part: bool,
) -> Result<Body, Closed> {
    let status = response.head.status;
    if body.is_end_stream() && (response.may_have_body || status == StatusCode::NO_CONTENT) {
        return Ok(body);
    }
    let headers = &mut response.head.headers;
    let has_events = headers.get("content-type").is_some_and(is_event_stream);
    let events = if has_events { &[Event::ResponseChunk, Event::SseEvent][..] } else { &[Event::ResponseChunk] };
    let has_body = response.may_have_body;
    let mut hooks =
        hooks(record, events, (0..upto).rev(), |index, event| filters::matched_in_response(record, index, event, has_body));
    if hooks.iter().any(Piecewise::may_edit) {
        forward::weaken_etag(headers);
    }
    let was_coded = headers.contains("content-encoding");
    let uncoder = describe(&mut hooks, headers, is_part)?;
    if was_coded && !headers.contains("content-encoding") {
        forward::add_vary(headers, "Accept-Encoding");
        forget_range(response);
    }
    if body.is_end_stream() {
        return Ok(body);
    }
    // Where Content-Range counts its bytes, nothing can be changed, either: the head is gone before a hook decides.
    let is_fixed = response.head.status == StatusCode::PARTIAL_CONTENT && response.extent != Extent::Whole;
    Ok(through(hooks, uncoder, is_fixed, Peer::Upstream, body))
}

/// The hooks that want to see the body, in this order, by the subscriptions that match.
fn hooks(
    record: &Arc<Record>,
    events: &[Event],
    order: impl Iterator<Item = usize>,
    matched: impl Fn(usize, Event) -> Vec<u32>,
) -> Vec<Piecewise> {
    if !events.iter().any(|event| record.chain.events.contains(*event)) {
        return Vec::new();
    }
    let hook = |index: usize, event: Event| {
        let matched = matched(index, event);
        let instance = if matched.is_empty() { None } else { record.instance(index) };
        instance.map(|instance| Piecewise::new(record, index, event, matched, instance))
    };
    order.flat_map(|index| events.iter().filter_map(move |event| hook(index, *event))).collect()
}

fn hook_of(event: Event, chunk: Chunk) -> Hook {
    if event == Event::RequestChunk { Hook::RequestChunk(chunk) } else { Hook::ResponseChunk(chunk) }
}

/// Whether a Content-Type is that of event streams, whatever its parameters.
fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Takes out of the fields what does not hold any more of a body that goes through these hooks, its codings included if a hook
/// wants that: then with what takes them off. Hooks that want it and cannot have it are left out where they are open.
fn describe(hooks: &mut Vec<Piecewise>, headers: &mut Headers, is_part: bool) -> Result<Option<Uncoder>, Closed> {
    if hooks.iter().any(Piecewise::may_edit) {
        forget_digests(headers);
    }
    if !hooks.iter().any(Piecewise::wants_plain) {
        return Ok(None);
    }
    let why = match coding::codings(headers) {
        Ok(codings) if codings.is_empty() => return Ok(None),
        Ok(_) if is_part => OF_A_PART,
        Ok(codings) => match Uncoder::new(&codings) {
            Ok(uncoder) => {
                headers.remove("content-encoding");
                return Ok(Some(uncoder));
            }
            Err(_) => "there is no memory for what takes its content codings off",
        },
        Err(Stays::Unknown) => return Ok(None),
        Err(Stays::TooMany) => TOO_MANY,
    };
    for hook in hooks.extract_if(.., |hook| hook.wants_plain()) {
        if let Some(addon) = hook.addon()
            && let Some(why) = failure::closed(&hook.record, addon.as_ref(), hook.event, &HookError::Coded(why), true)
        {
            return Err(Closed { index: hook.index, why });
        }
    }
    Ok(None)
}

/// The body with these hooks around it, the first one innermost. If it `is_fixed`, they change nothing in it.
fn through(hooks: Vec<Piecewise>, uncoder: Option<Uncoder>, is_fixed: bool, peer: Peer, mut body: Body) -> Body {
    if let (Some(uncoder), Some(hook)) = (uncoder, hooks.first()) {
        let ratio = hook.record.site.limits.decode_ratio as u64;
        body = Uncoded::of(body, peer, uncoder, ratio);
    }
    let mut is_first = true;
    for hook in hooks {
        if hook.event == Event::SseEvent {
            body = Eventful::of(body, hook, is_fixed, std::mem::take(&mut is_first));
            continue;
        }
        // Who can only look leaves the length as it is.
        let left = body.size_hint().exact().filter(|_| !hook.may_edit());
        let upload = (hook.event == Event::RequestChunk).then(|| hook.record.upload());
        body = Body::stream(Filtered {
            inner: body,
            rest: Bytes::new(),
            piece: hook.caps().fold(PIECE, usize::min).max(1),
            hook,
            state: State::Reading,
            ready: VecDeque::new(),
            is_fixed,
            is_untouched: true,
            bytes: (0, 0),
            left,
            upload,
        });
    }
    body
}

/// A body that one addon's chunk hook decides about.
struct Filtered {
    inner: Body,
    /// What is left of a piece that was too large.
    rest: Bytes,
    /// Most bytes that the hook is shown at one time.
    piece: usize,
    hook: Piecewise,
    state: State,
    /// What was decided and is not taken yet: one piece and the trailers at most.
    ready: VecDeque<Frame<Bytes>>,
    /// Whether all of it has to go on as it came.
    is_fixed: bool,
    /// Whether all pieces so far went on as they came.
    is_untouched: bool,
    /// Bytes that the hook was shown, and bytes that came out of it.
    bytes: (u64, u64),
    /// Bytes to come, where that is known and the hook cannot change it.
    left: Option<u64>,
    /// Keeps the flow from being over.
    upload: Option<TaskTrackerToken>,
}

enum State {
    /// The next piece is waited for.
    Reading,
    /// The hook decides about this one.
    Deciding(BoxFuture<'static, Result<Verdict, HookError>>, Chunk),
    /// The hook wants no more: the rest goes by.
    Passing,
    Ended,
}

impl Filtered {
    /// The next piece; none: the inner body failed.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Chunk, BodyError>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                None => return Poll::Ready(Ok(Chunk { data: Bytes::new(), last: Some(Headers::new()) })),
                Some(frame) => match frame?.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().map(|trailers| http2::from_map(&trailers)).unwrap_or_default();
                        return Poll::Ready(Ok(Chunk { data: Bytes::new(), last: Some(trailers) }));
                    }
                },
            }
        }
        let data = self.rest.split_to(self.rest.len().min(self.piece));
        let is_last = self.rest.is_empty() && self.inner.is_end_stream();
        Poll::Ready(Ok(Chunk { data, last: is_last.then(Headers::new) }))
    }

    /// Writes down, once, what the hook has changed: before the flow can end, or when the body is given up.
    fn write_down(&mut self) {
        if self.is_untouched {
            return;
        }
        let (bytes_in, bytes_out) = std::mem::take(&mut self.bytes);
        if bytes_in == 0 && bytes_out == 0 {
            return;
        }
        let Some(addon) = self.hook.record.chain.addons.get(self.hook.index) else { return };
        let change = Change::Streamed { message: self.hook.message(), bytes_in, bytes_out };
        self.hook.record.exchange.lock().ledger.push(addon.name(), self.hook.event, change);
    }

    /// Does what the hook said.
    fn decided(&mut self, chunk: Chunk, verdict: ChunkVerdict) {
        self.bytes.0 += chunk.data.len() as u64;
        let data = match verdict.action {
            ChunkAction::Pass => chunk.data,
            ChunkAction::Replace(data) => {
                self.is_untouched = false;
                // What is larger than a piece is held until it has gone.
                if data.len() > PIECE { self.hook.record.exchange.holdings().count(data) } else { data }
            }
            ChunkAction::Drop => {
                self.is_untouched = false;
                Bytes::new()
            }
        };
        self.bytes.1 += data.len() as u64;
        if !data.is_empty() {
            self.ready.push_back(Frame::data(data));
        }
        if chunk.last.is_some() || verdict.is_done {
            self.write_down();
        }
        self.state = match chunk.last {
            None if verdict.is_done => State::Passing,
            None => State::Reading,
            Some(trailers) => {
                if let Some(edited) = &verdict.trailers {
                    self.hook.edited(&trailers, edited);
                }
                let trailers = http2::into_map(&verdict.trailers.unwrap_or(trailers)).filter(|trailers| !trailers.is_empty());
                self.ready.extend(trailers.map(Frame::trailers));
                State::Ended
            }
        };
    }
}

impl Drop for Filtered {
    fn drop(&mut self) {
        self.write_down();
        self.let_end();
    }
}

impl Filtered {
    /// The next frame that goes on.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self;
        loop {
            if let Some(frame) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            match &mut this.state {
                State::Ended => return Poll::Ready(None),
                State::Passing if this.rest.is_empty() => return Pin::new(&mut this.inner).poll_frame(context),
                State::Passing => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.rest))))),
                State::Reading => match ready!(this.poll_piece(context)) {
                    Ok(chunk) => this.state = State::Deciding(this.hook.ask(hook_of(this.hook.event, chunk.clone())), chunk),
                    Err(error) => {
                        this.state = State::Ended;
                        this.write_down();
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Deciding(call, _) => {
                    let decided = ready!(call.as_mut().poll(context));
                    let State::Deciding(_, chunk) = std::mem::replace(&mut this.state, State::Ended) else { continue };
                    let pass = ChunkVerdict { action: ChunkAction::Pass, is_done: true, trailers: None };
                    let is_change = matches!(&decided, Ok(Verdict::Chunk(verdict)) if verdict.action != ChunkAction::Pass);
                    let decided = if is_change && this.is_fixed { Err(HookError::Verdict(FIXED.to_owned())) } else { decided };
                    match decided {
                        Ok(Verdict::Chunk(verdict)) => this.decided(chunk, verdict),
                        Ok(_) => this.decided(chunk, pass),
                        Err(error) => match this.hook.passes_after(&error, this.is_untouched) {
                            Ok(()) => this.decided(chunk, pass),
                            Err(error) => {
                                this.write_down();
                                return Poll::Ready(Some(Err(error)));
                            }
                        },
                    }
                }
            }
        }
    }
}

impl Filtered {
    /// A response may come before the request's end, and then nobody wants the rest of it: a hook that decides about a piece
    /// still comes to its end, and is not taken for one whose client has left, so that the flow's instance lives on.
    fn let_end(&mut self) {
        if self.hook.event != Event::RequestChunk {
            return;
        }
        if let State::Deciding(call, _) = std::mem::replace(&mut self.state, State::Ended) {
            let upload = self.upload.take();
            self.hook.record.let_end(call.map(move |_| drop(upload)));
        }
    }
}

impl HttpBody for Filtered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.poll_next(context));
        if let (Some(left), Some(Ok(frame))) = (&mut self.left, &frame) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty()
            && match self.state {
                State::Ended => true,
                State::Passing => self.rest.is_empty() && self.inner.is_end_stream(),
                State::Reading | State::Deciding(..) => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
