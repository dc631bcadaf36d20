//! Content codings: taken off for hooks (RFC 9110, 8.4).

use std::io::{self, Read};

use super::Headers;

/// A content coding that can be taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950; raw RFC 1951 is recognised too, since senders confuse them.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// What is left of a body without its codings.
#[derive(Debug, PartialEq, Eq)]
pub enum Uncoded {
    /// All of it.
    Whole(Vec<u8>),
    /// The first bytes, as many as allowed; there is more.
    OverCap(Vec<u8>),
    /// The bytes are not what Content-Encoding says.
    Broken,
}

/// The codings of a message in the order in which they were applied. `None`: one of them is unknown, or there are more than
/// four. Empty: the body is as it is.
#[must_use]
pub fn codings(headers: &Headers) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for name in headers.list("content-encoding") {
        match name.to_ascii_lowercase().as_slice() {
            b"identity" => {}
            b"gzip" | b"x-gzip" => codings.push(Coding::Gzip),
            b"deflate" => codings.push(Coding::Deflate),
            b"br" => codings.push(Coding::Brotli),
            b"zstd" => codings.push(Coding::Zstd),
            _ => return None,
        }
    }
    (codings.len() <= 4).then_some(codings)
}

/// Takes `codings` off `body`. Never makes more than `cap` bytes, and holds few more, so that a bomb costs no more than a
/// body that is as large as allowed.
#[must_use]
pub fn decode(codings: &[Coding], body: &[u8], cap: usize) -> Uncoded {
    let mut reader: Box<dyn Read + '_> = Box::new(body);
    for coding in codings.iter().rev() {
        reader = match unwrap(*coding, reader) {
            Ok(reader) => reader,
            Err(_) => return Uncoded::Broken,
        };
    }
    let mut plain = Vec::new();
    match reader.take(cap as u64 + 1).read_to_end(&mut plain) {
        Ok(_) if plain.len() > cap => {
            plain.truncate(cap);
            Uncoded::OverCap(plain)
        }
        Ok(_) => Uncoded::Whole(plain),
        Err(_) => Uncoded::Broken,
    }
}

/// 8 MiB of window, as RFC 9659 bounds it.
pub(super) const ZSTD_WINDOW_LOG: u32 = 23;

/// Whether a `deflate` stream starts as zlib does: with a method of 8 and a header that 31 divides (RFC 1950, 2.2).
pub(super) const fn is_zlib(start: [u8; 2]) -> bool {
    start[0] & 0x0f == 8 && u16::from_be_bytes(start).is_multiple_of(31)
}

fn unwrap<'a>(coding: Coding, mut reader: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match coding {
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Coding::Deflate => {
            let mut start = [0; 2];
            let mut have = 0;
            while have < 2 {
                match reader.read(start.get_mut(have..).unwrap_or_default())? {
                    0 => break,
                    read => have += read,
                }
            }
            let head = io::Cursor::new(start).take(have as u64);
            let is_zlib = have == 2 && is_zlib(start);
            let all = head.chain(reader);
            if is_zlib { Box::new(flate2::read::ZlibDecoder::new(all)) } else { Box::new(flate2::read::DeflateDecoder::new(all)) }
        }
        Coding::Brotli => Box::new(brotli::Decompressor::new(reader, 16 * 1024)),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::http::Field;

    const TEXT: &[u8] = b"{\"versions\":[\"v1.1\",\"v1.2\"]} and so on and so on and so on";

    fn encode(coding: &str, data: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(data).expect("gzip");
                encoder.finish().expect("gzip")
            }
            "zlib" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(data).expect("zlib");
                encoder.finish().expect("zlib")
            }
            "raw" => {
                let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
                encoder.write_all(data).expect("deflate");
                encoder.finish().expect("deflate")
            }
            "br" => {
                let mut out = Vec::new();
                brotli::BrotliCompress(&mut &data[..], &mut out, &brotli::enc::BrotliEncoderParams::default()).expect("br");
                out
            }
            _ => zstd::encode_all(data, 3).expect("zstd"),
        }
    }

    #[test]
    fn every_coding_comes_off() {
        for (name, coding) in [
            ("gzip", Coding::Gzip),
            ("zlib", Coding::Deflate),
            ("raw", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ] {
            assert_eq!(decode(&[coding], &encode(name, TEXT), 1000), Uncoded::Whole(TEXT.to_vec()), "{name}");
            assert_eq!(decode(&[coding], b"\xff\xfe\xfd\xfc\xfb\xfa", 1000), Uncoded::Broken, "{name}");
        }
    }

    #[test]
    fn stacked_codings_come_off_last_first() {
        let body = encode("br", &encode("gzip", TEXT));
        assert_eq!(decode(&[Coding::Gzip, Coding::Brotli], &body, 1000), Uncoded::Whole(TEXT.to_vec()));
    }

    #[test]
    fn the_cap_holds_below_at_above() {
        let body = encode("gzip", TEXT);
        assert_eq!(decode(&[Coding::Gzip], &body, TEXT.len() + 1), Uncoded::Whole(TEXT.to_vec()));
        assert_eq!(decode(&[Coding::Gzip], &body, TEXT.len()), Uncoded::Whole(TEXT.to_vec()));
        assert_eq!(decode(&[Coding::Gzip], &body, TEXT.len() - 1), Uncoded::OverCap(TEXT[..TEXT.len() - 1].to_vec()));
    }

    #[test]
    fn bombs_end_at_the_cap() {
        let bomb = encode("gzip", &vec![0; 50_000_000]);
        assert_eq!(decode(&[Coding::Gzip], &bomb, 1000), Uncoded::OverCap(vec![0; 1000]));
    }

    #[test]
    fn unknown_codings_are_told() {
        let of = |value: &'static str| codings(&[Field::from_static("Content-Encoding", value)].into_iter().collect());
        assert_eq!(of("GZIP, br"), Some(vec![Coding::Gzip, Coding::Brotli]));
        assert_eq!(of("identity"), Some(vec![]));
        assert_eq!(of("compress"), None);
        assert_eq!(of("gzip,gzip,gzip,gzip,gzip"), None);
    }
}
