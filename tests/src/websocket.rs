//! WebSockets frame by frame: clients and origins that send exactly what they are told to, and read strictly what comes.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use crate::{
    origin::{Conversation, RawOrigin},
    patience::within,
    raw::RawClient,
    wire::{Request, Response, Wire},
};

/// A frame as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFrame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// The mask, if there was one.
    pub mask: Option<[u8; 4]>,
    /// Without the mask.
    pub payload: Vec<u8>,
}

/// Which side's frames an end reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromServer(pub bool);

/// A client after its handshake.
pub struct SocketClient {
    client: RawClient,
    /// What the handshake was answered with.
    pub response: Response,
}

/// An origin's end after its handshake.
pub struct SocketEnd {
    conversation: Conversation,
    /// The handshake.
    pub request: Request,
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What a key is answered with (RFC 6455, 4.2.2).
#[must_use]
pub fn accept_of(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// A 101 that answers this request, with more fields.
#[must_use]
pub fn switch(request: &Request, fields: &str) -> String {
    let accept = accept_of(request.fields.get("sec-websocket-key").unwrap_or_default());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    )
}

/// A frame of a server: FIN, reserved bits and opcode as given.
#[must_use]
pub fn from_server(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    bytes_of(first, None, payload.as_ref())
}

/// A frame of a client.
#[must_use]
pub fn from_client(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    bytes_of(first, Some([0x37, 0xfa, 0x21, 0x3d]), payload.as_ref())
}

/// What a close frame holds.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

fn bytes_of(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ ..126 => bytes.push(masked | u8::try_from(length).expect("a short length")),
        length @ ..0x1_0000 => {
            bytes.push(masked | 0x7e);
            bytes.extend(u16::try_from(length).expect("a length").to_be_bytes());
        }
        length => {
            bytes.push(masked | 0x7f);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The next frame; none: the connection ended before it began. Panics where it is none that this side may send.
async fn frame(wire: &mut Wire, FromServer(is_server): FromServer) -> Option<SocketFrame> {
    let head = wire.take(2).await.ok()?;
    let (first, is_masked, short) = (head[0], head[1] & 0x80 != 0, head[1] & 0x7f);
    assert_ne!(is_masked, is_server, "a mask where there is none, or none where there is one");
    let length = match short {
        126 => {
            let length = wire.take(2).await.expect("a length");
            u64::from(u16::from_be_bytes([length[0], length[1]]))
        }
        127 => u64::from_be_bytes(wire.take(8).await.expect("a length")[..].try_into().expect("eight bytes")),
        short => u64::from(short),
    };
    assert!((short != 126 || length > 125) && (short != 127 || length > 0xffff), "a length in too many bytes");
    let mask = if is_masked { Some(wire.take(4).await.expect("a mask")[..].try_into().expect("four bytes")) } else { None };
    let payload = wire.take(usize::try_from(length).expect("a length")).await.expect("a payload");
    let bits: [u8; 4] = mask.unwrap_or_default();
    let payload = payload.iter().zip(bits.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Some(SocketFrame { first, mask, payload })
}

impl SocketFrame {
    /// FIN, reserved bits and opcode, and the payload as text.
    #[must_use]
    pub fn shown(&self) -> (u8, String) {
        (self.first, String::from_utf8_lossy(&self.payload).into_owned())
    }

    /// The code of a close; 1005 if it has none.
    #[must_use]
    pub fn code(&self) -> u16 {
        assert_eq!(self.first, 0x88, "no close: {self:?}");
        self.payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code))
    }
}

impl SocketClient {
    /// Opens one; more fields in the handshake.
    pub async fn open(address: SocketAddr, fields: &str) -> Self {
        let client = Self::offer(address, "/", fields).await;
        assert_eq!(client.response.status, 101, "{:?}", client.response.text());
        client
    }

    /// Asks for one, whatever the answer.
    pub async fn offer(address: SocketAddr, target: &str, fields: &str) -> Self {
        let mut client = RawClient::connect(address).await;
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
        client.send(format!("{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n")).await;
        let response = client.response_head().await;
        if response.status == 101 {
            assert_eq!(response.fields.get("sec-websocket-accept"), Some(&*accept_of(KEY)));
        }
        Self { client, response }
    }

    /// Sends a frame, masked.
    pub async fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        self.client.send(from_client(first, payload)).await;
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.send(bytes).await;
    }

    /// The next frame.
    pub async fn frame(&mut self) -> SocketFrame {
        self.next().await.expect("a frame")
    }

    /// The next frame; none at the end of the connection.
    pub async fn next(&mut self) -> Option<SocketFrame> {
        within(frame(self.client.wire(), FromServer(true))).await
    }

    /// Waits for the end of the connection; panics if a frame comes before it.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// The connection.
    pub const fn raw(&mut self) -> &mut RawClient {
        &mut self.client
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.client.reset();
    }
}

impl SocketEnd {
    /// Answers a handshake with these fields.
    pub async fn accept(mut conversation: Conversation, request: Request, fields: &str) -> Self {
        let _ = conversation.send(switch(&request, fields)).await;
        Self { conversation, request }
    }

    /// Sends a frame.
    pub async fn send(&mut self, first: u8, payload: impl AsRef<[u8]>) {
        let _ = self.conversation.send(from_server(first, payload)).await;
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.conversation.send(bytes).await;
    }

    /// The next frame; none at the end of the connection.
    pub async fn next(&mut self) -> Option<SocketFrame> {
        frame(self.conversation.wire(), FromServer(false)).await
    }

    /// Sends back whatever comes, frame by frame, to the close, which it answers.
    pub async fn echo(mut self) {
        while let Some(frame) = self.next().await {
            match frame.first & 0x0f {
                8 => {
                    self.send(0x88, &frame.payload).await;
                    return self.conversation.close().await;
                }
                9 => self.send(0x8a, &frame.payload).await,
                10 => {}
                _ => self.send(frame.first, &frame.payload).await,
            }
        }
    }

    /// Sends back the bytes that come next, whatever they are; tells whether there were some.
    pub async fn raw_back(&mut self) -> bool {
        let bytes = self.conversation.wire().buffer.split();
        if !bytes.is_empty() {
            return self.conversation.send(&bytes).await.is_ok();
        }
        matches!(self.conversation.wire().fill().await, Ok(1..))
    }

    /// Closes the connection in good order.
    pub async fn close(self) {
        self.conversation.close().await;
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.conversation.reset();
    }
}

/// An origin that answers every handshake with these fields, and then does what the script says.
pub async fn sockets<F>(fields: &'static str, script: impl Fn(SocketEnd) -> F + Send + Sync + Clone + 'static) -> RawOrigin
where
    F: Future<Output = ()> + Send + 'static,
{
    RawOrigin::start(move |mut conversation| {
        let script = script.clone();
        async move {
            let Some(request) = conversation.request().await else { return };
            script(SocketEnd::accept(conversation, request, fields).await).await;
        }
    })
    .await
}
