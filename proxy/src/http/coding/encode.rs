//! Putting a coding on.

use std::io::{self, Write as _};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use super::Coding;
use crate::heavy;

/// Of 0 to 11: servers that compress as they answer use about this one. The highest takes fifty times as long.
const BROTLI_QUALITY: i32 = 5;
/// Of 1 to 22: zstd's own default, with a window far below the 8 MiB that clients have to take (RFC 9659).
const ZSTD_LEVEL: i32 = 3;

/// Puts a coding on `body`, a large one on a thread of its own. None: it cannot be.
pub async fn encoded(coding: Coding, body: Bytes) -> Option<Bytes> {
    if body.len() <= heavy::SMALL {
        return encode(coding, &body).ok();
    }
    heavy::run(move || encode(coding, &body)).await?.ok()
}

pub(super) fn encode(coding: Coding, body: &[u8]) -> io::Result<Bytes> {
    let coded = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body)?;
            encoder.finish()
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(body)?;
            encoder.finish()
        }
        Coding::Brotli => {
            let mut coded = Vec::new();
            let settings = BrotliEncoderParams { quality: BROTLI_QUALITY, ..BrotliEncoderParams::default() };
            brotli::BrotliCompress(&mut &*body, &mut coded, &settings).map(|_| coded)
        }
        Coding::Zstd => zstd::encode_all(body, ZSTD_LEVEL),
    };
    coded.map(Bytes::from)
}
