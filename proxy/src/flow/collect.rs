//! Bodies that hooks want to see whole: collected up to a cap, shown without their codings, sent on byte for byte.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    hooks::StagedBody,
    http::{
        Body, BodyError, Headers, Hold, Holdings,
        coding::{self, Bounds, Coding, Stays, Uncoded},
    },
};

/// Pieces below this size are joined as they come.
const SMALL: usize = 16 * 1024;

/// The body of a message on its way through the chain.
pub(super) struct Held {
    /// What was collected, as it came.
    pieces: VecDeque<Bytes>,
    /// Small pieces that came after them, as one: each on its own would cost more than its bytes.
    tail: BytesMut,
    len: usize,
    /// Counts what was collected since it was last put together; what was before counts by itself.
    hold: Option<Hold>,
    trailers: Option<http::HeaderMap>,
    /// What was not; none when all was collected.
    rest: Option<Body>,
    /// The codings that it came with, as far as all are known.
    codings: Vec<Coding>,
    /// Whether it is a part of something that was coded as a whole.
    is_part: bool,
    /// Whether there is none, and an addon may have edited it if there were one.
    has_editor: bool,
}

/// Whether a body is within a cap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it, codings undone where they are known.
    Whole(Bytes),
    /// Its first bytes.
    OverCap(Bytes),
    /// None of it: it has codings that hooks do not know about, and nobody can take them off; why.
    Coded(&'static str),
}

/// Why codings of a part stay on.
pub(super) const OF_A_PART: &str = "it is a part of what has a Content-Encoding as a whole";
/// Why too many codings stay on.
pub(super) const TOO_MANY: &str = "it has more than four content codings";
const BROKEN: &str = "its bytes are not what Content-Encoding says";

impl Held {
    /// Nothing is collected yet.
    pub(super) fn new(body: Body) -> Self {
        Self {
            pieces: VecDeque::new(),
            tail: BytesMut::new(),
            len: 0,
            hold: None,
            trailers: None,
            rest: Some(body),
            codings: Vec::new(),
            is_part: false,
            has_editor: false,
        }
    }

    /// The body of a message with these fields: remembers how it is coded, whatever a hook makes of the fields.
    pub(super) fn coded(body: Body, headers: &Headers) -> Self {
        Self { codings: coding::codings(headers).unwrap_or_default(), ..Self::new(body) }
    }

    /// The same as a part of a whole, if it is one (RFC 9110, 14), whatever a hook makes of the status and the fields.
    pub(super) fn part(self, is_part: bool) -> Self {
        Self { is_part, ..self }
    }

    /// Whether it is a part of a whole.
    pub(super) const fn is_part(&self) -> bool {
        self.is_part
    }

    /// An addon may have edited the body, if this were an answer that has one.
    pub(super) const fn passed_editor(&mut self) {
        self.has_editor = true;
    }

    /// Whether one did.
    pub(super) const fn has_editor(&self) -> bool {
        self.has_editor
    }

    /// The codings that the body came with, in the order in which they were applied; none if one is unknown.
    pub(super) fn codings(&self) -> &[Coding] {
        &self.codings
    }

    /// Collects up to the cap, as far as all that is held leaves room for it, and shows that as hooks see it; what grows beyond
    /// the ratio counts as over the cap. Unknown codings are left on. Can be called again with other bounds.
    ///
    /// What is collected and what is shown counts as held for as long as somebody has it.
    ///
    /// Cancel safe: what was collected is kept.
    pub(super) async fn show(&mut self, headers: &Headers, bounds: Bounds, holdings: &Arc<Holdings>) -> Result<Shown, BodyError> {
        let cap = bounds.cap;
        let codings = match coding::codings(headers) {
            Ok(codings) if self.is_part && !codings.is_empty() && !self.is_end_stream() => return Ok(Shown::Coded(OF_A_PART)),
            Ok(codings) => codings,
            Err(Stays::Unknown) => Vec::new(),
            Err(Stays::TooMany) if self.is_end_stream() => Vec::new(),
            Err(Stays::TooMany) => return Ok(Shown::Coded(TOO_MANY)),
        };
        self.collect(cap, holdings).await?;
        let raw = self.joined();
        let is_over = self.len > cap;
        if codings.is_empty() {
            return Ok(if is_over { Shown::OverCap(raw.slice(..cap)) } else { Shown::Whole(raw) });
        }
        let keep = |plain: Vec<u8>| {
            let mut hold = holdings.hold();
            hold.grow(plain.len()).map(|()| hold.keep(plain.into()))
        };
        Ok(match coding::decoded(codings, raw.clone(), bounds).await {
            Uncoded::Whole(plain) if !is_over => Shown::Whole(keep(plain)?),
            Uncoded::Whole(plain) | Uncoded::OverCap(plain) => Shown::OverCap(keep(plain)?),
            // Cut by us, it cannot be whole.
            Uncoded::Broken(plain) if is_over => Shown::OverCap(keep(plain)?),
            Uncoded::Broken(_) => Shown::Coded(BROKEN),
        })
    }

    /// Collects until there is more than this, or all.
    async fn collect(&mut self, upto: usize, holdings: &Arc<Holdings>) -> Result<(), BodyError> {
        while self.len <= upto {
            let Some(rest) = &mut self.rest else { break };
            match poll_fn(|context| Pin::new(&mut *rest).poll_frame(context)).await {
                None => self.rest = None,
                Some(frame) => match frame?.into_data() {
                    Ok(data) => {
                        self.hold.get_or_insert_with(|| holdings.hold()).grow(data.len())?;
                        self.push(data);
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Ok(())
    }

    /// Whether there are more bytes than `limit`, as they come: by what is announced, else by collecting so many of them, but not
    /// beyond `cap`, over which nobody wants to know.
    ///
    /// Cancel safe: what was collected is kept.
    pub(super) async fn is_larger(&mut self, limit: u64, cap: usize, holdings: &Arc<Holdings>) -> Result<bool, BodyError> {
        if let Some(length) = self.size_hint().exact() {
            return Ok(length > limit);
        }
        self.collect(usize::try_from(limit).unwrap_or(usize::MAX).min(cap), holdings).await?;
        Ok(self.len as u64 > limit)
    }

    fn push(&mut self, data: Bytes) {
        self.len += data.len();
        if data.len() < SMALL {
            self.tail.extend_from_slice(&data);
        } else {
            self.settle();
            self.pieces.push_back(data);
        }
    }

    /// Makes a piece of the small ones.
    fn settle(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// All that was collected, in one piece.
    fn joined(&mut self) -> Bytes {
        self.settle();
        let joined = if self.pieces.len() > 1 {
            let mut joined = BytesMut::with_capacity(self.len);
            for piece in self.pieces.drain(..) {
                joined.extend_from_slice(&piece);
            }
            joined.freeze()
        } else {
            self.pieces.pop_front().unwrap_or_default()
        };
        let joined = match self.hold.take() {
            Some(mut hold) => {
                // What counted by itself was copied.
                hold.add(joined.len().saturating_sub(hold.bytes()));
                hold.keep(joined)
            }
            None => joined,
        };
        if !joined.is_empty() {
            self.pieces.push_back(joined.clone());
        }
        joined
    }

    /// What goes on: the replacement of a hook, else the bytes as they came.
    pub(super) fn into_body(mut self, staged: &StagedBody) -> Body {
        if let StagedBody::Replaced(bytes) = staged {
            return Body::full(bytes.clone());
        }
        self.settle();
        match (self.pieces.len(), &self.trailers) {
            (0, None) => self.rest.unwrap_or_default(),
            (1, None) if self.rest.is_none() => Body::full(self.pieces.pop_front().unwrap_or_default()),
            _ => Body::stream(self),
        }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(piece) = self.pieces.pop_front() {
            self.len -= piece.len();
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(rest) = &mut self.rest {
            if let Some(frame) = ready!(Pin::new(rest).poll_frame(context)) {
                return Poll::Ready(Some(frame));
            }
            self.rest = None;
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // With trailers to send, no length is told: only chunks can carry them.
        if self.trailers.is_some() {
            return SizeHint::default();
        }
        match &self.rest {
            None => SizeHint::with_exact(self.len as u64),
            Some(rest) => {
                rest.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + self.len as u64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn body(pieces: &[&'static str]) -> Body {
        let frames: Vec<Result<Frame<Bytes>, BodyError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
    }

    fn holdings(limit: usize) -> Arc<Holdings> {
        Arc::new(Holdings::new(limit))
    }

    const fn bounds(cap: usize) -> Bounds {
        Bounds { cap, ratio: 200 }
    }

    #[tokio::test]
    async fn caps_hold_below_at_above() {
        for (cap, expected) in [
            (7, Shown::Whole("abcdef".into())),
            (6, Shown::Whole("abcdef".into())),
            (5, Shown::OverCap("abcde".into())),
            (0, Shown::OverCap(Bytes::new())),
        ] {
            let mut held = Held::new(body(&["abc", "def"]));
            assert_eq!(
                held.show(&Headers::new(), bounds(cap), &holdings(usize::MAX)).await.expect("collected"),
                expected,
                "{cap}"
            );
            let all = held.into_body(&StagedBody::Streaming).collect().await.expect("a body").to_bytes();
            assert_eq!(all, "abcdef", "{cap}");
        }
    }

    #[tokio::test]
    async fn collecting_goes_on_with_a_larger_cap() {
        let mut held = Held::new(body(&["abc", "def", "ghi"]));
        assert_eq!(
            held.show(&Headers::new(), bounds(2), &holdings(usize::MAX)).await.expect("collected"),
            Shown::OverCap("ab".into())
        );
        assert_eq!(
            held.show(&Headers::new(), bounds(20), &holdings(usize::MAX)).await.expect("collected"),
            Shown::Whole("abcdefghi".into())
        );
    }

    #[tokio::test]
    async fn replaced_bodies_go_out_instead() {
        let mut held = Held::new(body(&["abc"]));
        held.show(&Headers::new(), bounds(10), &holdings(usize::MAX)).await.expect("collected");
        let all = held.into_body(&StagedBody::Replaced("x".into())).collect().await.expect("a body").to_bytes();
        assert_eq!(all, "x");
    }

    #[tokio::test]
    async fn what_is_held_counts_until_nobody_has_it() {
        let all = holdings(9);
        let mut held = Held::new(body(&["abc", "def", "ghi", "j"]));
        let first = held.show(&Headers::new(), bounds(2), &all).await.expect("collected");
        assert_eq!(all.held(), 3);
        // What was shown before is another buffer than all of it together.
        let second = held.show(&Headers::new(), bounds(8), &all).await.expect("collected");
        assert_eq!(all.held(), 12);
        drop(first);
        assert_eq!(all.held(), 9);
        assert!(matches!(held.show(&Headers::new(), bounds(20), &all).await, Err(BodyError::Crowded(9))));
        drop(second);
        assert_eq!(all.held(), 9);
        let mut sent = held.into_body(&StagedBody::Streaming);
        drop(sent.frame().await);
        assert_eq!(all.held(), 0);
        assert_eq!(sent.collect().await.expect("a body").to_bytes(), "");
    }
}
