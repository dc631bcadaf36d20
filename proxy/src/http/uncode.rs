//! Content codings taken off a body while it streams.

use std::{
    io::{self, Write},
    mem,
};

use super::coding::Coding;

/// Takes codings off, piece by piece.
pub struct Uncoder {
    /// The last coding first.
    steps: Vec<Step>,
}

/// One coding.
enum Step {
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<flate2::write::ZlibDecoder<Vec<u8>>>),
    Deflate(Box<flate2::write::DeflateDecoder<Vec<u8>>>),
    /// `deflate` of which less than two bytes are known: zlib or raw.
    Undecided(Vec<u8>),
    Brotli(Box<brotli::DecompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Uncoder {
    /// For a body with these codings, in the order in which they were applied.
    ///
    /// # Errors
    /// When there is no memory for one.
    pub fn new(codings: &[Coding]) -> io::Result<Self> {
        let steps = codings.iter().rev().map(|coding| {
            Ok(match coding {
                Coding::Gzip => Step::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new()))),
                Coding::Deflate => Step::Undecided(Vec::new()),
                Coding::Brotli => Step::Brotli(Box::new(brotli::DecompressorWriter::new(Vec::new(), 16 * 1024))),
                Coding::Zstd => {
                    let mut decoder = zstd::stream::write::Decoder::new(Vec::new())?;
                    decoder.window_log_max(super::coding::ZSTD_WINDOW_LOG)?;
                    Step::Zstd(Box::new(decoder))
                }
            })
        });
        Ok(Self { steps: steps.collect::<io::Result<_>>()? })
    }

    /// What these bytes make plain; may be nothing yet. A little can become a thousand times as much: give it a little at a time.
    ///
    /// # Errors
    /// When they are not what the codings say.
    pub fn push(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        self.run(data.to_vec(), Step::push)
    }

    /// What is left at the end.
    ///
    /// # Errors
    /// When something is missing.
    pub fn end(&mut self) -> io::Result<Vec<u8>> {
        self.run(Vec::new(), |step, data| {
            let mut plain = step.push(data)?;
            plain.extend(step.end()?);
            Ok(plain)
        })
    }

    fn run(&mut self, data: Vec<u8>, work: fn(&mut Step, Vec<u8>) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        self.steps.iter_mut().try_fold(data, |data, step| work(step, data))
    }
}

impl Step {
    fn push(&mut self, mut data: Vec<u8>) -> io::Result<Vec<u8>> {
        if let Self::Undecided(start) = self {
            start.append(&mut data);
            let Some(head) = start.first_chunk::<2>() else { return Ok(Vec::new()) };
            let is_zlib = super::coding::is_zlib(*head);
            data = mem::take(start);
            *self = if is_zlib {
                Self::Zlib(Box::new(flate2::write::ZlibDecoder::new(Vec::new())))
            } else {
                Self::Deflate(Box::new(flate2::write::DeflateDecoder::new(Vec::new())))
            };
        }
        if data.is_empty() {
            return Ok(data);
        }
        let writer: &mut dyn Write = match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
            Self::Undecided(_) => return Ok(data),
        };
        writer.write_all(&data)?;
        writer.flush()?;
        Ok(self.take())
    }

    fn end(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish()?,
            Self::Zlib(decoder) => decoder.try_finish()?,
            Self::Deflate(decoder) => decoder.try_finish()?,
            Self::Brotli(decoder) => decoder.close()?,
            Self::Zstd(decoder) => decoder.flush()?,
            Self::Undecided(start) if start.is_empty() => {}
            Self::Undecided(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Gzip(decoder) => mem::take(decoder.get_mut()),
            Self::Zlib(decoder) => mem::take(decoder.get_mut()),
            Self::Deflate(decoder) => mem::take(decoder.get_mut()),
            Self::Brotli(decoder) => mem::take(decoder.get_mut()),
            Self::Zstd(decoder) => mem::take(decoder.get_mut()),
            Self::Undecided(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"and so on, and so on, and so on, until it ends";

    fn coded(coding: &str, data: &[u8]) -> Vec<u8> {
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

    const CODINGS: [(&str, Coding); 5] = [
        ("gzip", Coding::Gzip),
        ("zlib", Coding::Deflate),
        ("raw", Coding::Deflate),
        ("br", Coding::Brotli),
        ("zstd", Coding::Zstd),
    ];

    fn uncode(codings: &[Coding], body: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut uncoder = Uncoder::new(codings)?;
        let mut plain = Vec::new();
        for piece in body.chunks(piece) {
            plain.extend(uncoder.push(piece)?);
        }
        plain.extend(uncoder.end()?);
        Ok(plain)
    }

    #[test]
    fn every_coding_comes_off_whatever_the_pieces() {
        for (name, coding) in CODINGS {
            for piece in [1, 2, 7, 1_000] {
                assert_eq!(uncode(&[coding], &coded(name, TEXT), piece).expect(name), TEXT, "{name} by {piece}");
            }
            assert!(uncode(&[coding], b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", 3).is_err(), "{name}");
            assert_eq!(uncode(&[coding], b"", 1).unwrap_or_default(), b"", "{name}");
        }
    }

    #[test]
    fn stacked_codings_come_off_last_first() {
        let body = coded("zstd", &coded("gzip", TEXT));
        assert_eq!(uncode(&[Coding::Gzip, Coding::Zstd], &body, 3).expect("plain"), TEXT);
    }

    #[test]
    fn members_of_gzip_follow_each_other() {
        let body = [coded("gzip", TEXT), coded("gzip", b"!")].concat();
        for piece in [1, 5, 1_000] {
            assert_eq!(uncode(&[Coding::Gzip], &body, piece).expect("plain"), [TEXT, b"!"].concat(), "{piece}");
        }
    }

    #[test]
    fn a_flushed_part_is_plain_at_once() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"data: 1\n\n").expect("gzip");
        encoder.flush().expect("gzip");
        let part = mem::take(encoder.get_mut());
        assert_eq!(Uncoder::new(&[Coding::Gzip]).expect("a decoder").push(&part).expect("plain"), b"data: 1\n\n");
    }

    #[test]
    fn a_gzip_body_that_is_cut_is_broken() {
        let body = coded("gzip", TEXT);
        assert!(uncode(&[Coding::Gzip], &body[..body.len() - 1], 9).is_err());
        let body = coded("br", TEXT);
        assert!(uncode(&[Coding::Brotli], &body[..body.len() - 1], 9).is_err());
    }
}
