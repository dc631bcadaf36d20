//! Bodies without their content codings, for chunk hooks that want them so.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::{Body, BodyError, body::Peer, uncode::Uncoder};

/// Coded bytes that are taken at one time: bounds what they can become before somebody takes it.
const BITE: usize = 4 << 10;

/// Plain bytes that are free of the ratio.
const FREE: u64 = 64 << 10;

/// Most plain bytes of one bite.
const MOUTHFUL: u64 = 8 << 20;

/// A body whose codings come off as it streams.
pub(super) struct Uncoded {
    inner: Body,
    peer: Peer,
    uncoder: Uncoder,
    /// What arrived and was not taken yet.
    coded: Bytes,
    trailers: Option<Frame<Bytes>>,
    is_over: bool,
    ratio: u64,
    coded_bytes: u64,
    plain_bytes: u64,
}

impl Uncoded {
    /// The body of this peer without its codings. It fails where it is more than `ratio` times as large without them, 64
    /// KiB excepted, or where 4 KiB of it become more than 8 MiB.
    pub(super) fn of(body: Body, peer: Peer, uncoder: Uncoder, ratio: u64) -> Body {
        Body::stream(Self {
            inner: body,
            peer,
            uncoder,
            coded: Bytes::new(),
            trailers: None,
            is_over: false,
            ratio,
            coded_bytes: 0,
            plain_bytes: 0,
        })
    }

    /// Bytes that may come of what was taken last.
    fn room(&self) -> usize {
        let allowed = FREE.max(self.coded_bytes.saturating_mul(self.ratio));
        usize::try_from(allowed.saturating_sub(self.plain_bytes).min(MOUTHFUL)).unwrap_or(usize::MAX)
    }

    fn plain(&mut self, plain: io::Result<Vec<u8>>) -> Result<Bytes, BodyError> {
        let plain = plain.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::FileTooLarge => "it becomes too large without its Content-Encoding",
                _ => "its bytes are not what Content-Encoding says",
            };
            BodyError::Malformed(self.peer, why)
        })?;
        self.plain_bytes += plain.len() as u64;
        Ok(plain.into())
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
            let plain = if this.coded.is_empty() {
                match ready!(Pin::new(&mut this.inner).poll_frame(context)).transpose()?.map(Frame::into_data) {
                    Some(Ok(data)) => {
                        this.coded = data;
                        continue;
                    }
                    end => {
                        this.trailers = end.and_then(Result::err);
                        this.is_over = true;
                        let room = this.room();
                        this.uncoder.end(room)
                    }
                }
            } else {
                let bite = this.coded.split_to(this.coded.len().min(BITE));
                this.coded_bytes += bite.len() as u64;
                let room = this.room();
                this.uncoder.push(&bite, room)
            };
            match this.plain(plain) {
                Ok(plain) if plain.is_empty() => {}
                Ok(plain) => return Poll::Ready(Some(Ok(Frame::data(plain)))),
                Err(error) => {
                    this.is_over = true;
                    this.trailers = None;
                    return Poll::Ready(Some(Err(error)));
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
