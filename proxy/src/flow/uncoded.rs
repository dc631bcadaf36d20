//! Bodies without their content codings, for chunk hooks that want them so.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    heavy,
    http::{Body, BodyError, body::Peer, uncode::Uncoder},
};

/// Coded bytes that are taken at one time: bounds what they can become before somebody takes it.
const BITE: usize = 4 << 10;

/// Plain bytes that are free of the ratio.
const FREE: u64 = 64 << 10;

/// Most plain bytes of one bite.
const MOUTHFUL: u64 = 8 << 20;

/// Most plain bytes that are made on the thread that serves.
const AT_ONCE: usize = 256 << 10;

/// Plain bytes after which those that others are at work on are handed on, before the next bite.
const ENOUGH: usize = 256 << 10;

/// A body whose codings come off as it streams.
pub(super) struct Uncoded {
    inner: Body,
    peer: Peer,
    state: State,
    /// What arrived and was not taken yet.
    coded: Bytes,
    trailers: Option<Frame<Bytes>>,
    /// Whether all of it has arrived.
    has_arrived: bool,
    is_over: bool,
}

enum State {
    /// Whoever has more may go on.
    Ready(Box<Work>),
    /// Another thread is at it; what is not taken comes back.
    Away(BoxFuture<'static, Option<Done>>),
    /// It failed, for this reason.
    Failed(io::ErrorKind),
}

/// What takes codings off, and how much it may make.
struct Work {
    uncoder: Uncoder,
    ratio: u64,
    coded_bytes: u64,
    plain_bytes: u64,
}

/// What came of some bytes: those that were not taken, and an error behind the plain ones.
struct Done {
    work: Box<Work>,
    rest: Bytes,
    plain: Vec<u8>,
    error: Option<io::Error>,
}

impl Uncoded {
    /// The body of this peer without its codings. It fails where it is more than `ratio` times as large without them, 64
    /// KiB excepted, or where 4 KiB of it become more than 8 MiB. What may become more than 256 KiB does so on another thread.
    pub(super) fn of(body: Body, peer: Peer, uncoder: Uncoder, ratio: u64) -> Body {
        let work = Box::new(Work { uncoder, ratio, coded_bytes: 0, plain_bytes: 0 });
        Body::stream(Self {
            inner: body,
            peer,
            state: State::Ready(work),
            coded: Bytes::new(),
            trailers: None,
            has_arrived: false,
            is_over: false,
        })
    }

    /// What an error of the codings means.
    fn explain(&self, error: &io::Error) -> BodyError {
        let why = match error.kind() {
            io::ErrorKind::FileTooLarge => "it becomes too large without its Content-Encoding",
            _ => "its bytes are not what Content-Encoding says",
        };
        BodyError::Malformed(self.peer, why)
    }
}

impl Work {
    /// Bytes that may come of the next bite, of so many bytes.
    fn room(&self, bite: usize) -> usize {
        let coded = self.coded_bytes.saturating_add(bite as u64);
        let allowed = FREE.max(coded.saturating_mul(self.ratio));
        usize::try_from(allowed.saturating_sub(self.plain_bytes).min(MOUTHFUL)).unwrap_or(usize::MAX)
    }

    /// Takes a bite, or what is left at the end; tells what came of it.
    fn bite(&mut self, coded: &mut Bytes) -> io::Result<Vec<u8>> {
        let bite = coded.split_to(coded.len().min(BITE));
        let room = self.room(bite.len());
        self.coded_bytes += bite.len() as u64;
        let plain = if bite.is_empty() { self.uncoder.end(room) } else { self.uncoder.push(&bite, room) }?;
        self.plain_bytes += plain.len() as u64;
        Ok(plain)
    }

    /// Takes bites until enough came of them, or nothing is left.
    fn bites(mut self: Box<Self>, mut rest: Bytes) -> Done {
        let mut plain = Vec::new();
        let error = loop {
            match self.bite(&mut rest) {
                Ok(more) if plain.is_empty() => plain = more,
                Ok(more) => plain.extend(more),
                Err(error) => break Some(error),
            }
            if rest.is_empty() || plain.len() >= ENOUGH {
                break None;
            }
        };
        Done { work: self, rest, plain, error }
    }
}

impl HttpBody for Uncoded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.is_over {
                return Poll::Ready(this.trailers.take().map(Ok));
            }
            let made = match &mut this.state {
                State::Away(away) => {
                    let Some(done) = ready!(away.as_mut().poll(context)) else {
                        this.state = State::Failed(io::ErrorKind::Other);
                        continue;
                    };
                    this.coded = done.rest;
                    this.state = match done.error {
                        Some(error) => State::Failed(error.kind()),
                        None => {
                            this.is_over = this.has_arrived;
                            State::Ready(done.work)
                        }
                    };
                    // An error comes behind what came before it.
                    Ok(done.plain)
                }
                State::Ready(_) if this.coded.is_empty() && !this.has_arrived => {
                    match ready!(Pin::new(&mut this.inner).poll_frame(context)).transpose()?.map(Frame::into_data) {
                        Some(Ok(data)) => this.coded = data,
                        end => {
                            this.trailers = end.and_then(Result::err);
                            this.has_arrived = true;
                        }
                    }
                    continue;
                }
                State::Ready(work) if work.room(this.coded.len().min(BITE)) <= AT_ONCE => {
                    let is_end = this.coded.is_empty();
                    let made = work.bite(&mut this.coded);
                    this.is_over = is_end;
                    made
                }
                State::Ready(_) => {
                    let nobody = State::Failed(io::ErrorKind::Other);
                    let State::Ready(work) = std::mem::replace(&mut this.state, nobody) else { continue };
                    let coded = std::mem::take(&mut this.coded);
                    this.state = State::Away(heavy::run(move || work.bites(coded)).boxed());
                    continue;
                }
                State::Failed(kind) => Err((*kind).into()),
            };
            match made {
                Ok(plain) if plain.is_empty() => {}
                Ok(plain) => return Poll::Ready(Some(Ok(Frame::data(plain.into())))),
                Err(error) => {
                    this.is_over = true;
                    this.trailers = None;
                    return Poll::Ready(Some(Err(this.explain(&error))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::http::coding::Coding;

    fn gzip(plain: &[u8], level: Compression) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(plain).and_then(|()| encoder.finish()).expect("gzip").into()
    }

    fn uncoded(coded: Bytes, ratio: u64) -> Body {
        let uncoder = Uncoder::new(&[Coding::Gzip]).expect("an uncoder");
        Uncoded::of(Body::full(coded), Peer::Upstream, uncoder, ratio)
    }

    /// 1 KiB that is not compressed: what may come of it is for the ratio to say.
    #[tokio::test]
    async fn what_may_become_much_is_done_elsewhere() {
        let plain = [b'x'; 1001];
        let coded = gzip(&plain, Compression::none());
        assert_eq!(coded.len(), 1024);
        for (ratio, is_done_here) in [(255, true), (256, true), (257, false)] {
            let mut body = uncoded(coded.clone(), ratio);
            let first = futures_util::poll!(body.frame());
            assert_eq!(first.is_ready(), is_done_here, "{ratio}");
            if !is_done_here {
                assert_eq!(body.collect().await.expect("a body").to_bytes(), plain.as_slice(), "{ratio}");
            }
        }
    }

    #[tokio::test]
    async fn all_of_it_comes_in_order_from_elsewhere() {
        let plain: Vec<u8> = (0..6_u32 << 20).map(|place| place.wrapping_mul(2_654_435_761).to_le_bytes()[3] & 7).collect();
        let all = uncoded(gzip(&plain, Compression::fast()), 1000).collect().await.expect("a body").to_bytes();
        assert!(all == plain, "other bytes");
    }

    #[tokio::test]
    async fn what_came_before_an_error_is_handed_on() {
        let plain: Vec<u8> = (0..1_u32 << 20).map(|place| place.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let coded = gzip(&plain, Compression::fast());
        let mut body = uncoded(coded.slice(..coded.len() - 1000), 1000);
        let mut came = 0;
        let error = loop {
            match body.frame().await.expect("not the end") {
                Ok(frame) => came += frame.data_ref().map_or(0, Bytes::len),
                Err(error) => break error,
            }
        };
        assert!(came > 900_000 && plain.len() > came, "{came}");
        assert!(matches!(error, BodyError::Malformed(Peer::Upstream, why) if why.contains("not what")), "{error}");
        assert!(body.frame().await.is_none());
    }
}
