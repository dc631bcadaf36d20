//! Content codings taken off a body while it streams.

use std::{
    io::{self, Write},
    mem,
};

use super::coding::{Coding, ZSTD_WINDOW_LOG, is_large_window, is_zlib};

/// Takes codings off, piece by piece.
pub struct Uncoder {
    /// The last coding first.
    steps: Vec<Step>,
}

/// What a step does with what comes, into so much room.
type Work = fn(&mut Step, Vec<u8>, usize) -> io::Result<Vec<u8>>;

/// More room between codings than behind the last: what is coded may be a little larger than what it becomes.
const BETWEEN: usize = 64 << 10;

/// One coding.
enum Step {
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Zlib(Box<flate2::write::ZlibDecoder<Sink>>),
    Deflate(Box<flate2::write::DeflateDecoder<Sink>>),
    /// `deflate` of which less than two bytes are known: zlib or raw.
    Undecided(Vec<u8>),
    /// `br` of which nothing is known.
    Unbegun,
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
}

/// What comes out of a coding, until somebody takes it.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(data.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Uncoder {
    /// For a body with these codings, in the order in which they were applied.
    ///
    /// # Errors
    /// When there is no memory for one.
    pub fn new(codings: &[Coding]) -> io::Result<Self> {
        let steps = codings.iter().rev().map(|coding| {
            Ok(match coding {
                Coding::Gzip => Step::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Sink::default()))),
                Coding::Deflate => Step::Undecided(Vec::new()),
                Coding::Brotli => Step::Unbegun,
                Coding::Zstd => {
                    let mut decoder = zstd::stream::write::Decoder::new(Sink::default())?;
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Step::Zstd(Box::new(decoder))
                }
            })
        });
        Ok(Self { steps: steps.collect::<io::Result<_>>()? })
    }

    /// What these bytes make plain; may be nothing yet. No coding makes much more than `room` bytes of them, nor holds more, the
    /// last not one more: a little can become millions of times as much.
    ///
    /// # Errors
    /// When they are not what the codings say, and [`io::ErrorKind::FileTooLarge`] when there is no room for what they become.
    /// Nothing is to be had after that.
    pub fn push(&mut self, data: &[u8], room: usize) -> io::Result<Vec<u8>> {
        self.run(data.to_vec(), room, Step::push)
    }

    /// What is left at the end.
    ///
    /// # Errors
    /// As above, and when something is missing; zstd does not tell that.
    pub fn end(&mut self, room: usize) -> io::Result<Vec<u8>> {
        self.run(Vec::new(), room, |step, data, room| {
            let mut plain = step.push(data, room)?;
            plain.extend(step.end(room)?);
            Ok(plain)
        })
    }

    fn run(&mut self, mut data: Vec<u8>, room: usize, work: Work) -> io::Result<Vec<u8>> {
        let last = self.steps.len().saturating_sub(1);
        for (place, step) in self.steps.iter_mut().enumerate() {
            data = work(step, data, if place == last { room } else { room.saturating_add(BETWEEN) })?;
        }
        Ok(data)
    }
}

impl Step {
    fn push(&mut self, mut data: Vec<u8>, room: usize) -> io::Result<Vec<u8>> {
        if let Self::Undecided(start) = self {
            start.append(&mut data);
            let Some(head) = start.first_chunk::<2>() else { return Ok(Vec::new()) };
            let is_zlib = is_zlib(*head);
            data = mem::take(start);
            *self = if is_zlib {
                Self::Zlib(Box::new(flate2::write::ZlibDecoder::new(Sink::default())))
            } else {
                Self::Deflate(Box::new(flate2::write::DeflateDecoder::new(Sink::default())))
            };
        }
        let Some(first) = data.first() else { return Ok(data) };
        if let Self::Unbegun = self {
            if is_large_window(*first) {
                return Err(io::Error::other("a large window"));
            }
            *self = Self::Brotli(Box::new(brotli::DecompressorWriter::new(Sink::default(), 16 * 1024)));
        }
        self.make(room);
        let writer: &mut dyn Write = match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
            Self::Undecided(_) | Self::Unbegun => return Ok(data),
        };
        writer.write_all(&data)?;
        writer.flush()?;
        Ok(self.take())
    }

    fn end(&mut self, room: usize) -> io::Result<Vec<u8>> {
        self.make(room);
        match self {
            Self::Gzip(decoder) => decoder.try_finish()?,
            Self::Zlib(decoder) => decoder.try_finish()?,
            Self::Deflate(decoder) => decoder.try_finish()?,
            Self::Brotli(decoder) => decoder.close()?,
            Self::Zstd(decoder) => decoder.flush()?,
            Self::Undecided(start) if start.is_empty() => {}
            Self::Unbegun => {}
            Self::Undecided(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(self.take())
    }

    /// Makes room for what comes.
    fn make(&mut self, room: usize) {
        if let Some(sink) = self.sink() {
            sink.room = room;
        }
    }

    fn take(&mut self) -> Vec<u8> {
        self.sink().map(|sink| mem::take(&mut sink.bytes)).unwrap_or_default()
    }

    fn sink(&mut self) -> Option<&mut Sink> {
        match self {
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Zlib(decoder) => Some(decoder.get_mut()),
            Self::Deflate(decoder) => Some(decoder.get_mut()),
            Self::Brotli(decoder) => Some(decoder.get_mut()),
            Self::Zstd(decoder) => Some(decoder.get_mut()),
            Self::Undecided(_) | Self::Unbegun => None,
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
            plain.extend(uncoder.push(piece, 1 << 20)?);
        }
        plain.extend(uncoder.end(1 << 20)?);
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
        assert_eq!(Uncoder::new(&[Coding::Gzip]).expect("a decoder").push(&part, 100).expect("plain"), b"data: 1\n\n");
    }

    #[test]
    fn a_gzip_body_that_is_cut_is_broken() {
        let body = coded("gzip", TEXT);
        assert!(uncode(&[Coding::Gzip], &body[..body.len() - 1], 9).is_err());
        let body = coded("br", TEXT);
        assert!(uncode(&[Coding::Brotli], &body[..body.len() - 1], 9).is_err());
    }

    #[test]
    fn room_holds_below_at_above() {
        for (name, coding) in CODINGS {
            let body = coded(name, &vec![0; 100_000]);
            for (room, is_enough) in [(99_999, false), (100_000, true), (100_001, true)] {
                let mut uncoder = Uncoder::new(&[coding]).expect("a decoder");
                let plain = uncoder.push(&body, room).and_then(|plain| Ok([plain, uncoder.end(room)?].concat()));
                match plain {
                    Ok(plain) => assert!(is_enough && plain.len() == 100_000, "{name} {room}: {}", plain.len()),
                    Err(error) => assert_eq!((is_enough, error.kind()), (false, io::ErrorKind::FileTooLarge), "{name} {room}"),
                }
            }
        }
    }

    #[test]
    fn stacked_bombs_find_no_room() {
        let bomb = coded("gzip", &coded("gzip", &vec![0; 50_000_000]));
        let error = Uncoder::new(&[Coding::Gzip, Coding::Gzip]).expect("a decoder").push(&bomb, 1 << 20).expect_err("a bomb");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn brotli_windows_stay_small() {
        assert!(uncode(&[Coding::Brotli], &[0x11, 0x1e, 0x00, 0x03], 1).is_err());
    }
}
