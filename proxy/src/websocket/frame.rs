//! Frames (RFC 6455, 5.2): read as far as they are there, written whole.

#[cfg(test)]
mod tests;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::close::{MAX_CONTROL, Violation};

/// What a frame is (RFC 6455, 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Goes on with the message before.
    Continuation = 0,
    /// Begins a message of text.
    Text = 1,
    /// Begins a message of bytes.
    Binary = 2,
    /// Closes.
    Close = 8,
    /// Asks for a pong.
    Ping = 9,
    /// Answers a ping.
    Pong = 10,
}

/// What came, in the order in which it came.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A part of a message: the whole of it, a frame, or what of a frame is there.
    Data {
        /// With the first part of a message.
        opening: Option<Opening>,
        /// Without its mask.
        payload: BytesMut,
        /// Whether the message ends with it.
        is_last: bool,
    },
    /// A ping, a pong or a close, with all that it holds.
    Control(Opcode, Bytes),
}

/// How a message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Whether it is text.
    pub is_text: bool,
    /// Whether it is compressed (RFC 7692, 6).
    pub is_compressed: bool,
}

/// Reads the frames that one side sends.
#[derive(Debug)]
pub struct Decoder {
    is_client: bool,
    may_compress: bool,
    /// Whether a message has begun and not ended.
    is_within: bool,
    frame: Option<Frame>,
}

/// The data frame whose payload comes.
#[derive(Debug)]
struct Frame {
    opening: Option<Opening>,
    is_final: bool,
    mask: Option<[u8; 4]>,
    left: u64,
}

struct Header {
    bytes: usize,
    is_final: bool,
    is_compressed: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    length: u64,
}

impl Decoder {
    /// For a client, whose frames have to be masked, or for an upstream, whose must not be; compressed only if that was agreed on.
    #[must_use]
    pub const fn new(is_client: bool, may_compress: bool) -> Self {
        Self { is_client, may_compress, is_within: false, frame: None }
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_within || self.frame.is_some()
    }

    /// Takes the next piece out of the buffer. None: more has to come. What is wrong is found as soon as the bytes that make it
    /// so are there, and nothing is to be had after that.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, Violation> {
        let frame = if let Some(frame) = self.frame.take() {
            frame
        } else {
            let Some(header) = self.header(buffer)? else { return Ok(None) };
            match header.opcode {
                Opcode::Close | Opcode::Ping | Opcode::Pong => return Ok(control(&header, buffer)),
                opcode => {
                    let _ = buffer.split_to(header.bytes);
                    let Header { is_final, is_compressed, mask, length, .. } = header;
                    let begins = Opening { is_text: opcode == Opcode::Text, is_compressed };
                    let opening = (opcode != Opcode::Continuation).then_some(begins);
                    self.is_within = !is_final;
                    Frame { opening, is_final, mask, left: length }
                }
            }
        };
        Ok(self.part(frame, buffer))
    }

    /// What of the frame is there.
    fn part(&mut self, mut frame: Frame, buffer: &mut BytesMut) -> Option<Piece> {
        let here = usize::try_from(frame.left).unwrap_or(usize::MAX).min(buffer.len());
        if here == 0 && frame.left > 0 {
            self.frame = Some(frame);
            return None;
        }
        let mut payload = buffer.split_to(here);
        if let Some(mask) = &mut frame.mask {
            apply(*mask, &mut payload);
            mask.rotate_left(here % 4);
        }
        frame.left -= here as u64;
        let (opening, is_last) = (frame.opening.take(), frame.left == 0 && frame.is_final);
        if frame.left > 0 {
            self.frame = Some(frame);
        }
        Some(Piece::Data { opening, payload, is_last })
    }

    fn header(&self, buffer: &[u8]) -> Result<Option<Header>, Violation> {
        let Some(&first) = buffer.first() else { return Ok(None) };
        let (is_final, is_compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        if first & 0x30 != 0 {
            return Err(Violation::Protocol("reserved bits"));
        }
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation::Protocol("a reserved opcode")),
        };
        let is_control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
        if is_compressed && !(self.may_compress && matches!(opcode, Opcode::Text | Opcode::Binary)) {
            return Err(Violation::Protocol("compression where there is none"));
        }
        match opcode {
            _ if is_control && !is_final => return Err(Violation::Protocol("a control frame in fragments")),
            Opcode::Continuation if !self.is_within => return Err(Violation::Protocol("a continuation of nothing")),
            Opcode::Text | Opcode::Binary if self.is_within => {
                return Err(Violation::Protocol("a message within another"));
            }
            _ => {}
        }
        let Some(&second) = buffer.get(1) else { return Ok(None) };
        let (is_masked, short) = (second & 0x80 != 0, second & 0x7f);
        if is_masked != self.is_client {
            let why = if self.is_client { "a frame of a client without a mask" } else { "a frame of a server with a mask" };
            return Err(Violation::Protocol(why));
        }
        if is_control && usize::from(short) > MAX_CONTROL {
            return Err(Violation::Protocol("a control frame of more than 125 bytes"));
        }
        let (length, at) = match short {
            126 => {
                let Some(bytes) = buffer.get(2..).and_then(<[u8]>::first_chunk::<2>) else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*bytes)), 4)
            }
            127 => {
                let Some(bytes) = buffer.get(2..).and_then(<[u8]>::first_chunk::<8>) else { return Ok(None) };
                (u64::from_be_bytes(*bytes), 10)
            }
            short => (u64::from(short), 2),
        };
        if length >> 63 != 0 {
            return Err(Violation::Protocol("a length of more than 63 bits"));
        }
        if (short == 126 && length < 126) || (short == 127 && length <= 0xffff) {
            return Err(Violation::Protocol("a length in more bytes than it takes"));
        }
        let mask = if is_masked {
            let Some(mask) = buffer.get(at..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
            Some(*mask)
        } else {
            None
        };
        let bytes = at + if is_masked { 4 } else { 0 };
        Ok(Some(Header { bytes, is_final, is_compressed, opcode, mask, length }))
    }
}

/// A control frame, if all of it is there.
fn control(header: &Header, buffer: &mut BytesMut) -> Option<Piece> {
    let length = usize::try_from(header.length).ok()?;
    if buffer.len() < header.bytes + length {
        return None;
    }
    let _ = buffer.split_to(header.bytes);
    let mut payload = buffer.split_to(length);
    if let Some(mask) = header.mask {
        apply(mask, &mut payload);
    }
    Some(Piece::Control(header.opcode, Bytes::copy_from_slice(&payload)))
}

/// Writes a frame; with this mask, if it goes to a server.
pub fn encode(into: &mut BytesMut, opcode: Opcode, is_final: bool, is_compressed: bool, mask: Option<[u8; 4]>, payload: &[u8]) {
    into.reserve(payload.len() + 14);
    into.put_u8(u8::from(is_final) << 7 | u8::from(is_compressed) << 6 | opcode as u8);
    let masked = u8::from(mask.is_some()) << 7;
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => into.put_u8(masked | short),
        (_, Ok(length)) => {
            into.put_u8(masked | 0x7e);
            into.put_u16(length);
        }
        _ => {
            into.put_u8(masked | 0x7f);
            into.put_u64(payload.len() as u64);
        }
    }
    let Some(mask) = mask else { return into.extend_from_slice(payload) };
    into.extend_from_slice(&mask);
    let start = into.len();
    into.extend_from_slice(payload);
    apply(mask, into.get_mut(start..).unwrap_or_default());
}

/// Puts a mask on, or takes it off (RFC 6455, 5.3).
fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
