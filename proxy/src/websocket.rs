//! WebSocket on the wire (RFC 6455), and its compression (RFC 7692): strict reading, exact writing.
//!
//! Tollgate reads frames itself, because what it promises is between two connections: what one side sends goes on as it came as
//! long as no hook changes it, pieces of a message that nobody sees go on before the message is whole, and nothing is held for a
//! connection on which nothing moves. Everything here works on buffers; no stream is known here.

pub mod close;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod message;
mod text;

pub use close::Violation;
pub use frame::{Decoder, Opcode, Piece, encode};
pub use message::{Assembler, Bounds, Fragment, Message, Passed, Work};
