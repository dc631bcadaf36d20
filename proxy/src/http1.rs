//! HTTP/1.0 and HTTP/1.1 on the wire (RFC 9112): strict reading, exact writing.
//!
//! Tollgate reads and writes HTTP/1 itself, upon `httparse`, because its promises are about what libraries hide: refusal of
//! every ambiguous framing, order and case of fields, interim responses, and what happens to the bytes around a message.
//! Everything here works on buffers; [`Reader`] and [`Writer`] are the only places that touch a stream.

mod amount;
pub mod decode;
pub mod framing;
pub mod parse;
pub mod read;
pub mod write;

pub use decode::{Decoded, Decoder};
pub use framing::Framing;
pub use parse::{HeadLimits, ParseError};
pub use read::{ReadSide, Reader};
pub use write::{WriteSide, Writer};
