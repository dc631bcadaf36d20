//! Messages as the core sees them: heads with their fields in wire order, and bodies as streams of bytes.

pub mod body;
pub mod coding;
pub mod event_stream;
mod extent;
pub mod head;
pub mod headers;
mod holdings;
mod idle;
mod token;
pub mod uncode;
pub mod url;

pub use body::{Body, BodyError};
pub use extent::Extent;
pub use head::{RequestHead, ResponseHead, Scheme, Version};
pub use headers::{Field, Headers, InvalidField};
pub use holdings::{Hold, Holdings};
pub use token::{BearerToken, InvalidToken};
pub use url::{Authority, InvalidUrl, Origin};
