//! Content codings taken off a body while it streams.

#[cfg(test)]
mod tests;

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
/// Plain bytes that [`Inflater`] makes at one time.
const PIECE: usize = 8 << 10;

/// One coding.
struct Step {
    decoder: Decoder,
    /// Of no bytes nothing comes, whatever the coding.
    has_begun: bool,
}

enum Decoder {
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    Deflate(Box<Inflater>),
    /// `deflate` of which less than two bytes are known: zlib or raw.
    Undecided(Vec<u8>),
    /// `br` of which nothing is known.
    Unbegun,
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd(Box<zstd::stream::zio::Writer<Sink, zstd::stream::raw::Decoder<'static>>>),
}

/// Takes `deflate` off; that of the library takes a body that is cut for whole.
struct Inflater {
    state: flate2::Decompress,
    is_over: bool,
    sink: Sink,
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

impl Inflater {
    fn new(is_zlib: bool) -> Self {
        Self { state: flate2::Decompress::new(is_zlib), is_over: false, sink: Sink::default() }
    }

    fn end(&self) -> io::Result<()> {
        if self.is_over { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Write for Inflater {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut plain = [0; PIECE];
        loop {
            if self.is_over {
                return Err(io::Error::other("more behind the end"));
            }
            let before = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(data, &mut plain, flate2::FlushDecompress::None)?;
            self.is_over = status == flate2::Status::StreamEnd;
            let taken = usize::try_from(self.state.total_in() - before.0).unwrap_or(usize::MAX);
            let made = usize::try_from(self.state.total_out() - before.1).unwrap_or(usize::MAX);
            self.sink.write_all(plain.get(..made).unwrap_or_default())?;
            if taken > 0 || self.is_over {
                return Ok(taken);
            }
            if made == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut plain = [0; PIECE];
        while !self.is_over {
            let before = self.state.total_out();
            let status = self.state.decompress(&[], &mut plain, flate2::FlushDecompress::None)?;
            self.is_over = status == flate2::Status::StreamEnd;
            let made = usize::try_from(self.state.total_out() - before).unwrap_or(usize::MAX);
            if made == 0 {
                break;
            }
            self.sink.write_all(plain.get(..made).unwrap_or_default())?;
        }
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
            let decoder = match coding {
                Coding::Gzip => Decoder::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Sink::default()))),
                Coding::Deflate => Decoder::Undecided(Vec::new()),
                Coding::Brotli => Decoder::Unbegun,
                Coding::Zstd => {
                    let mut decoder = zstd::stream::raw::Decoder::new()?;
                    decoder.set_parameter(zstd::stream::raw::DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                    // Not that of `zstd::stream::write`, which takes a body that is cut for whole.
                    Decoder::Zstd(Box::new(zstd::stream::zio::Writer::new(Sink::default(), decoder)))
                }
            };
            Ok(Step { decoder, has_begun: false })
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
    /// As above, and when something is missing.
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
        let Some(first) = data.first() else { return Ok(data) };
        self.has_begun = true;
        match &mut self.decoder {
            Decoder::Undecided(start) => {
                start.append(&mut data);
                let Some(head) = start.first_chunk::<2>() else { return Ok(Vec::new()) };
                let is_zlib = is_zlib(*head);
                data = mem::take(start);
                self.decoder = Decoder::Deflate(Box::new(Inflater::new(is_zlib)));
            }
            Decoder::Unbegun if is_large_window(*first) => return Err(io::Error::other("a large window")),
            Decoder::Unbegun => {
                self.decoder = Decoder::Brotli(Box::new(brotli::DecompressorWriter::new(Sink::default(), 16 * 1024)));
            }
            _ => {}
        }
        self.make(room);
        let writer: &mut dyn Write = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder,
            Decoder::Deflate(decoder) => decoder,
            Decoder::Brotli(decoder) => decoder,
            Decoder::Zstd(decoder) => decoder,
            Decoder::Undecided(_) | Decoder::Unbegun => return Ok(Vec::new()),
        };
        writer.write_all(&data)?;
        writer.flush()?;
        Ok(self.take())
    }

    fn end(&mut self, room: usize) -> io::Result<Vec<u8>> {
        if !self.has_begun {
            return Ok(Vec::new());
        }
        self.make(room);
        match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder.try_finish()?,
            Decoder::Deflate(decoder) => decoder.end()?,
            Decoder::Brotli(decoder) => decoder.close()?,
            Decoder::Zstd(decoder) => decoder.finish()?,
            Decoder::Undecided(_) | Decoder::Unbegun => return Err(io::ErrorKind::UnexpectedEof.into()),
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
        match &mut self.decoder {
            Decoder::Gzip(decoder) => Some(decoder.get_mut()),
            Decoder::Deflate(decoder) => Some(&mut decoder.sink),
            Decoder::Brotli(decoder) => Some(decoder.get_mut()),
            Decoder::Zstd(decoder) => Some(decoder.writer_mut()),
            Decoder::Undecided(_) | Decoder::Unbegun => None,
        }
    }
}
