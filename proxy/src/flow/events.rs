//! Event streams on their way through a hook: one event at a time, the next one not read before it is decided.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{piecewise::Piecewise, stream::FIXED};
use crate::{
    hooks::{Change, Hook, HookError, MessageCounts, MessageKind, StreamAction, StreamVerdict, Verdict},
    http::{
        Body, BodyError, Hold,
        body::Peer,
        event_stream::{Block, Item, Parser, TooLarge},
    },
};

/// A stream whose events one addon's hook decides about.
pub(super) struct Eventful {
    inner: Body,
    parser: Parser,
    hook: Piecewise,
    state: State,
    /// What was decided and is not taken yet.
    ready: VecDeque<Frame<Bytes>>,
    hold: Hold,
    terms: Terms,
    /// Whether the rest of the last event's end goes on.
    passes_tail: bool,
    changes: Changes,
}

/// What never changes for a stream and its hook.
struct Terms {
    /// Whether an event over the cap breaks the stream off.
    refuses: bool,
    /// Whether all of it has to go on as it came.
    is_fixed: bool,
    /// Whether it is the first hook of those around the body, which counts the events.
    is_first: bool,
}

/// What the hook made of the stream.
#[derive(Default)]
struct Changes {
    bytes_in: u64,
    bytes_out: u64,
    edited: u64,
    dropped: u64,
}

enum State {
    /// The next event is waited for.
    Reading,
    /// The hook decides about this one.
    Deciding(BoxFuture<'static, Result<Verdict, HookError>>, Box<Block>),
    /// The hook failed, and is open: the rest goes by.
    Passing,
    /// No more is read.
    Ended,
}

/// What is held before it counts.
const FREE: usize = 4 << 10;
const PASS: StreamVerdict = StreamVerdict { action: StreamAction::Pass, is_last: false };

impl Eventful {
    /// The stream through this hook; the first of those around a body counts its events. If it `is_fixed`, the hook changes nothing
    /// in it.
    pub(super) fn of(body: Body, hook: Piecewise, is_fixed: bool, is_first: bool) -> Body {
        let (cap, refuses) = hook.event_cap();
        let hold = hook.record.exchange.holdings().hold();
        hook.record.counts.lock().get_or_insert_default();
        Body::stream(Self {
            inner: body,
            parser: Parser::new(cap),
            hook,
            state: State::Reading,
            ready: VecDeque::new(),
            hold,
            terms: Terms { refuses, is_fixed, is_first },
            passes_tail: true,
            changes: Changes::default(),
        })
    }

    /// The next event, with all before it put where it is to be taken. None: the stream has ended.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Box<Block>>, BodyError>> {
        loop {
            match self.parser.read() {
                Ok(Some(Item::Event(block))) => return Poll::Ready(Ok(Some(block))),
                Ok(Some(item)) => {
                    self.pass_by(item);
                    continue;
                }
                Ok(None) => {}
                // What came before it goes first.
                Err(TooLarge) if self.terms.refuses && !self.ready.is_empty() => return Poll::Pending,
                Err(TooLarge) if self.terms.refuses => {
                    let why = BodyError::Malformed(Peer::Upstream, "an event is over the cap of a hook");
                    return Poll::Ready(Err(why));
                }
                Err(TooLarge) => {
                    self.parser.pass();
                    continue;
                }
            }
            if !self.ready.is_empty() {
                return Poll::Pending;
            }
            let held = self.parser.held();
            if held < self.hold.bytes() {
                self.hold = self.hold.fresh();
            }
            if held > FREE {
                self.hold.grow(held - self.hold.bytes())?;
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.parser.push(&data),
                end => {
                    self.inner = Body::empty();
                    let last = self.parser.end();
                    let trailers = end.and_then(Result::err);
                    if let Some(Item::Event(block)) = last {
                        self.ready.extend(trailers);
                        return Poll::Ready(Ok(Some(block)));
                    }
                    if let Some(item) = last {
                        self.pass_by(item);
                    }
                    self.ready.extend(trailers);
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }

    /// What nobody is asked about.
    fn pass_by(&mut self, item: Item) {
        match item {
            Item::Bytes(bytes) => {
                self.passes_tail = true;
                self.ready.push_back(Frame::data(bytes));
            }
            Item::Tail(bytes) if self.passes_tail => self.ready.push_back(Frame::data(bytes)),
            Item::Tail(_) | Item::Event(_) => {}
        }
    }

    /// Does what the hook said.
    fn decided(&mut self, block: &Block, verdict: &StreamVerdict) {
        self.changes.bytes_in += block.bytes.len() as u64;
        self.passes_tail = verdict.action == StreamAction::Pass;
        let bytes = match &verdict.action {
            StreamAction::Pass => block.bytes.clone(),
            StreamAction::Replace(event) => {
                self.changes.edited += 1;
                Bytes::from(block.replaced(event))
            }
            StreamAction::Drop => {
                self.changes.dropped += 1;
                Bytes::from(block.comments())
            }
        };
        self.count(|counts, is_first| {
            counts.from_upstream += u64::from(is_first);
            counts.edited += u64::from(matches!(verdict.action, StreamAction::Replace(_)));
            counts.dropped += u64::from(verdict.action == StreamAction::Drop);
        });
        self.changes.bytes_out += bytes.len() as u64;
        // Before trailers, if they are there already.
        if !bytes.is_empty() {
            self.ready.push_front(Frame::data(bytes));
        }
        self.state = State::Reading;
        if verdict.is_last {
            self.inner = Body::empty();
            self.hook.changed(Change::Ended);
            self.ready.retain(Frame::is_data);
            self.end();
        }
    }

    fn count(&self, work: impl FnOnce(&mut MessageCounts, bool)) {
        if let Some(counts) = self.hook.record.counts.lock().as_mut() {
            work(counts, self.terms.is_first);
        }
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.write_down();
    }

    /// Writes down, once, what the hook has changed: before the flow can end, or when the stream is given up.
    fn write_down(&mut self) {
        let Changes { bytes_in, bytes_out, edited, dropped } = std::mem::take(&mut self.changes);
        if edited > 0 || dropped > 0 {
            let message = MessageKind::Response;
            self.hook.changed(Change::Streamed { message, bytes_in, bytes_out });
            self.hook.changed(Change::Messages { message, edited, dropped });
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.state {
                // What is decided goes first; what is not yet, does not wait for the next.
                State::Deciding(call, _) => {
                    if let Some(frame) = self.ready.pop_front_if(|frame| frame.is_data()) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    let result = ready!(call.as_mut().poll(context));
                    let State::Deciding(_, block) = std::mem::replace(&mut self.state, State::Ended) else { continue };
                    let is_change = matches!(&result, Ok(Verdict::Stream(verdict)) if verdict.action != StreamAction::Pass || verdict.is_last);
                    let result =
                        if is_change && self.terms.is_fixed { Err(HookError::Verdict(FIXED.to_owned())) } else { result };
                    match result {
                        Ok(Verdict::Stream(verdict)) => self.decided(&block, &verdict),
                        Ok(_) => self.decided(&block, &PASS),
                        Err(error) => {
                            if let Err(error) = self.hook.passes_after(&error, true) {
                                self.end();
                                return Poll::Ready(Some(Err(error)));
                            }
                            self.decided(&block, &PASS);
                            self.state = State::Passing;
                            let rest = self.parser.rest();
                            if !rest.is_empty() {
                                self.ready.push_back(Frame::data(rest));
                            }
                        }
                    }
                }
                State::Reading => {
                    let polled = self.poll_event(context);
                    match polled {
                        Poll::Ready(Ok(Some(block))) => {
                            let hook = Hook::SseEvent(block.event.clone());
                            self.state = State::Deciding(self.hook.ask(hook), block);
                        }
                        Poll::Ready(Ok(None)) => self.end(),
                        Poll::Ready(Err(error)) => {
                            self.end();
                            return Poll::Ready(Some(Err(error)));
                        }
                        Poll::Pending => match self.ready.pop_front() {
                            Some(frame) => return Poll::Ready(Some(Ok(frame))),
                            None => return Poll::Pending,
                        },
                    }
                }
                State::Passing => match self.ready.pop_front() {
                    Some(frame) => return Poll::Ready(Some(Ok(frame))),
                    None => return Pin::new(&mut self.inner).poll_frame(context),
                },
                State::Ended => return Poll::Ready(self.ready.pop_front().map(Ok)),
            }
        }
    }
}

impl Drop for Eventful {
    fn drop(&mut self) {
        self.write_down();
    }
}

impl HttpBody for Eventful {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) && self.ready.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
