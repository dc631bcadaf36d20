//! HTTP/2 frame by frame, for what no library would send.

use std::{io, net::SocketAddr};

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::{origin::Conversation, raw::RawClient};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame (RFC 9113, 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// 0 `DATA`, 1 `HEADERS`, 3 `RST_STREAM`, 4 `SETTINGS`, 6 `PING`, 7 `GOAWAY`, 8 `WINDOW_UPDATE`, 9 `CONTINUATION`.
    pub kind: u8,
    /// 1 `END_STREAM` or `ACK`, 4 `END_HEADERS`.
    pub flags: u8,
    /// 0 is the connection.
    pub stream: u32,
    /// As it is.
    pub payload: Bytes,
}

/// A connection that sends any frames.
pub struct FrameClient {
    client: RawClient,
}

/// The other end of such a connection: an origin that answers with any frames.
pub struct FrameOrigin {
    conversation: Conversation,
}

impl Frame {
    /// A frame.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Bytes>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// HEADERS with these fields, and with the end of the stream if `is_end`.
    #[must_use]
    pub fn headers(stream: u32, fields: &[(&str, &[u8])], is_end: bool) -> Self {
        Self::new(1, 4 | u8::from(is_end), stream, block(fields))
    }

    /// DATA.
    #[must_use]
    pub fn data(stream: u32, bytes: impl Into<Bytes>, is_end: bool) -> Self {
        Self::new(0, u8::from(is_end), stream, bytes)
    }

    /// `RST_STREAM` with `CANCEL`.
    #[must_use]
    pub fn reset(stream: u32) -> Self {
        Self::new(3, 0, stream, Bytes::from_static(&[0, 0, 0, 8]))
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_uint(self.payload.len() as u64, 3);
        out.put_u8(self.kind);
        out.put_u8(self.flags);
        out.put_u32(self.stream);
        out.put_slice(&self.payload);
    }

    /// The status in a HEADERS frame, where it is one that RFC 7541 has in its static table.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let known = [200, 204, 206, 304, 400, 404, 500];
        // A change of the table's size may come first.
        let mut bytes = self.payload.iter().copied().skip_while(|byte| byte & 0xe0 == 0x20);
        let index = bytes.next()?.checked_sub(0x88)?;
        known.get(usize::from(index)).copied().filter(|_| self.kind == 1)
    }
}

/// A field block (RFC 7541) in its plainest form: every name and value literally, no matter what they hold.
#[must_use]
pub fn block(fields: &[(&str, &[u8])]) -> Bytes {
    let mut out = BytesMut::new();
    for (name, value) in fields {
        out.put_u8(0);
        put_text(&mut out, name.as_bytes());
        put_text(&mut out, value);
    }
    out.freeze()
}

fn put_text(out: &mut BytesMut, text: &[u8]) {
    // An integer with a prefix of seven bits (RFC 7541, 5.1).
    if text.len() < 127 {
        out.put_u8(u8::try_from(text.len()).unwrap_or_default());
    } else {
        out.put_u8(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.put_u8(u8::try_from(rest % 128).unwrap_or_default() | 128);
            rest /= 128;
        }
        out.put_u8(u8::try_from(rest).unwrap_or_default());
    }
    out.put_slice(text);
}

impl FrameClient {
    /// Connects, with preface and SETTINGS exchanged as far as the client goes.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self { client: RawClient::connect(address).await };
        client.client.send(PREFACE).await;
        client.send(&[Frame::new(4, 0, 0, Bytes::new())]).await;
        client
    }

    /// Sends frames in one write. A peer that has closed is no error: reading will tell.
    pub async fn send(&mut self, frames: &[Frame]) {
        let _ = self.try_send(frames).await;
    }

    /// Sends frames in one write.
    pub async fn try_send(&mut self, frames: &[Frame]) -> io::Result<()> {
        let mut out = BytesMut::new();
        for frame in frames {
            frame.write(&mut out);
        }
        self.client.try_send(&out).await
    }

    /// The next frame; None when the connection has ended. SETTINGS are acknowledged.
    pub async fn next(&mut self) -> Option<Frame> {
        let wire = self.client.wire();
        let head = crate::patience::within(wire.take(9)).await.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = crate::patience::within(wire.take(length)).await.ok()?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let frame = Frame { kind: head[3], flags: head[4], stream, payload };
        if frame.kind == 4 && frame.flags & 1 == 0 {
            self.send(&[Frame::new(4, 1, 0, Bytes::new())]).await;
        }
        Some(frame)
    }

    /// The next frame that belongs to a request or ends the connection. None when it has ended.
    pub async fn outcome(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if matches!(frame.kind, 0 | 1 | 3 | 7) {
                return Some(frame);
            }
        }
    }

    /// The connection underneath.
    pub const fn raw(&mut self) -> &mut RawClient {
        &mut self.client
    }
}

impl FrameOrigin {
    /// Takes a connection over from its start: the preface and SETTINGS.
    pub async fn accept(conversation: Conversation) -> Option<Self> {
        let mut origin = Self { conversation };
        let preface = origin.conversation.take(PREFACE.len()).await?;
        assert_eq!(preface, PREFACE, "the client does not speak HTTP/2");
        origin.send(&[Frame::new(4, 0, 0, Bytes::new()), Frame::new(4, 1, 0, Bytes::new())]).await;
        Some(origin)
    }

    /// Waits for the next request and tells its stream. None when the connection has ended.
    pub async fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.frame().await?;
            if frame.kind == 1 {
                return Some(frame.stream);
            }
        }
    }

    /// The next frame, whatever it is. None when the connection has ended.
    pub async fn frame(&mut self) -> Option<Frame> {
        let head = self.conversation.take(9).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = self.conversation.take(length).await?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Sends frames in one write. A peer that has closed is no error.
    pub async fn send(&mut self, frames: &[Frame]) {
        let mut out = BytesMut::new();
        for frame in frames {
            frame.write(&mut out);
        }
        let _ = self.conversation.send(&out).await;
    }
}
