//! One side of a WebSocket: what is read from it, and what is written to it.

use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

use bytes::BytesMut;
use futures_util::future::join;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::super::tunnel::fill;
use crate::{
    flow::{Record, Socket},
    http::{Hold, body::Peer},
    http1::{ReadSide, WriteSide},
    websocket::{Assembler, Decoder, Opcode, Passed, Piece, Violation, Work, close, encode, frame::Opening},
};

/// Bytes that are written at one time, where there are more: before that, frames that came together go out together.
pub(super) const WRITE: usize = 64 << 10;
/// What of a frame can be there without a part of it going on: more than a control frame.
const SMALL: usize = 256;
/// Time for a close to be written, and then for the other side's to be read, so that what it was told is not lost.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are read and thrown away then.
const LINGER_BYTES: usize = 4 << 20;

/// What one side sends.
pub(super) struct Source {
    peer: Peer,
    reader: ReadSide,
    buffer: BytesMut,
    decoder: Decoder,
    assembler: Assembler,
}

/// What one side is sent.
pub(super) struct Sink {
    peer: Peer,
    writer: WriteSide,
    /// Frames, from where they are not written yet.
    pending: BytesMut,
    /// Counts them, where they are many.
    hold: Hold,
    has_closed: bool,
    masks: Masks,
}

/// Masks that nobody can foresee, some at a time: each question to the system takes about as long as a frame.
struct Masks {
    bytes: [u8; 64],
    used: usize,
}

impl Source {
    pub(super) fn new(peer: Peer, reader: ReadSide, buffer: BytesMut, socket: &Socket) -> Self {
        let is_client = peer == Peer::Client;
        let record = socket.record();
        let count = if is_client { &record.request_bytes } else { &record.response_bytes };
        count.fetch_add(if is_client { buffer.len() as u64 } else { 0 }, Relaxed);
        let assembler = Assembler::new(socket.bounds(is_client), record.exchange.holdings().clone());
        Self { peer, reader, buffer, decoder: Decoder::new(is_client, socket.deflate().is_some()), assembler }
    }

    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// What came next; none: more has to be read.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Violation> {
        let next = self.decoder.next(&mut self.buffer)?;
        if next.is_none() && self.buffer.len() < SMALL {
            // Nothing more than that is held while nothing comes.
            self.buffer = BytesMut::from(&*self.buffer);
        }
        Ok(next)
    }

    pub(super) fn put_together(
        &mut self,
        opening: Option<Opening>,
        payload: BytesMut,
        is_last: bool,
    ) -> Result<Passed, Violation> {
        self.assembler.push(opening, payload, is_last)
    }

    /// What came of a piece that took long.
    pub(super) fn resume(&mut self, work: Work) -> Result<Passed, Violation> {
        self.assembler.resume(work)
    }

    /// Whether a message, or a frame, has begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.decoder.is_open() || !self.buffer.is_empty()
    }

    /// Reads once. 0 means that the peer has closed its side.
    pub(super) async fn fill(&mut self, record: &Record) -> io::Result<usize> {
        let read = fill(&mut self.reader, &mut self.buffer).await?;
        if self.peer == Peer::Client {
            record.request_bytes.fetch_add(read as u64, Relaxed);
        }
        Ok(read)
    }

    /// Reads and throws away, to the end.
    async fn drain(&mut self) {
        let mut left = LINGER_BYTES;
        let drain = async {
            while left > 0 {
                self.buffer = BytesMut::new();
                match fill(&mut self.reader, &mut self.buffer).await {
                    Ok(read @ 1..) => left = left.saturating_sub(read),
                    Ok(0) | Err(_) => break,
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
    }
}

impl Sink {
    pub(super) fn new(peer: Peer, writer: WriteSide, hold: Hold) -> Self {
        Self { peer, writer, pending: BytesMut::new(), hold, has_closed: false, masks: Masks { bytes: [0; 64], used: 64 } }
    }

    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Bytes that are to be written.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes a frame to be written: towards the upstream with a mask that nobody can foresee (RFC 6455, 10.3).
    pub(super) fn frame(&mut self, opcode: Opcode, is_final: bool, is_compressed: bool, payload: &[u8]) -> io::Result<()> {
        let mask = match self.peer {
            Peer::Client => None,
            Peer::Upstream => Some(self.masks.next()?),
        };
        encode(&mut self.pending, opcode, is_final, is_compressed, mask, payload);
        if self.pending.len() > WRITE {
            self.hold.add(self.pending.len().saturating_sub(self.hold.bytes()));
        }
        Ok(())
    }

    /// Takes the other side's close to be written, once.
    pub(super) fn pass_close(&mut self, payload: &[u8]) {
        if !self.has_closed {
            self.has_closed = self.frame(Opcode::Close, true, false, payload).is_ok();
        }
    }

    /// Takes a close to be written, unless there was one.
    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.pass_close(&close::payload(code, reason));
    }

    /// Writes what is to be written. Dropped in the middle, it can be called again.
    pub(super) async fn flush(&mut self, record: &Record) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        while !self.pending.is_empty() {
            let written = self.writer.write_buf(&mut self.pending).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if self.peer == Peer::Client {
                record.response_bytes.fetch_add(written as u64, Relaxed);
            }
        }
        self.pending = BytesMut::new();
        if self.hold.bytes() > 0 {
            self.hold = self.hold.fresh();
        }
        self.writer.flush().await
    }

    async fn end(&mut self, record: &Record) {
        let end = async {
            self.flush(record).await?;
            self.writer.shutdown().await
        };
        let _ = timeout(LINGER, end).await;
    }
}

impl Masks {
    fn next(&mut self) -> io::Result<[u8; 4]> {
        loop {
            if let Some(mask) = self.bytes.get(self.used..).and_then(<[u8]>::first_chunk::<4>) {
                self.used += mask.len();
                return Ok(*mask);
            }
            getrandom::fill(&mut self.bytes).map_err(|_| io::Error::other("there are no random numbers"))?;
            self.used = 0;
        }
    }
}

/// Writes what is left, closes both connections, and lets both sides read it.
pub(super) async fn close_both(client: (Source, Sink), upstream: (Source, Sink), record: &Record) {
    let close = async |(mut source, mut sink): (Source, Sink)| {
        sink.end(record).await;
        source.drain().await;
    };
    join(close(client), close(upstream)).await;
}
