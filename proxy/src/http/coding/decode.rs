//! Taking codings off, with an end for bombs.

use std::{
    cell::Cell,
    io::{self, BufRead as _, BufReader, Read},
};

use bytes::Bytes;

use super::{Coding, ZSTD_WINDOW_LOG, is_large_window, is_zlib};
use crate::heavy;

/// However small a body is, so many bytes may come of it.
const FLOOR: usize = 64 * 1024;
/// Most bytes that are made on the thread that serves.
const AT_ONCE: usize = 256 * 1024;
/// Bytes that are made room for at first.
const FIRST: usize = 16 * 1024;

/// How far decoding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most bytes that are made.
    pub cap: usize,
    /// Most bytes that are made for each coded one; in all, 64 KiB are always allowed.
    pub ratio: usize,
}

/// What is left of a body without its codings.
#[derive(Debug, PartialEq, Eq)]
pub enum Uncoded {
    /// All of it.
    Whole(Vec<u8>),
    /// The first bytes, as many as allowed; there is more.
    OverCap(Vec<u8>),
    /// The bytes are not what Content-Encoding says: others, too few, or more than one coded body. What came of them before that.
    Broken(Vec<u8>),
}

impl Bounds {
    /// Most bytes that come of so many coded ones.
    fn limit(self, coded: usize) -> usize {
        self.cap.min(coded.saturating_mul(self.ratio).max(FLOOR))
    }

    /// Most bytes between two codings. What is coded is hardly larger than what it becomes, if anybody but an attacker made it.
    fn limit_between(self, coded: usize) -> usize {
        self.limit(coded).saturating_add(self.cap / 16).saturating_add(FLOOR)
    }
}

/// Takes `codings` off `body`, large ones on a thread of their own.
pub async fn decoded(codings: Vec<Coding>, body: Bytes, bounds: Bounds) -> Uncoded {
    if body.len() <= heavy::SMALL {
        let at_once = Bounds { cap: bounds.cap.min(AT_ONCE), ..bounds };
        match decode(&codings, &body, at_once) {
            Uncoded::OverCap(_) if bounds.limit(body.len()) > AT_ONCE => {}
            uncoded => return uncoded,
        }
    }
    heavy::run(move || decode(&codings, &body, bounds)).await.unwrap_or(Uncoded::Broken(Vec::new()))
}

/// Takes `codings` off `body`; of no bytes nothing comes, whatever the codings. Never makes nor holds more bytes than `bounds` allow, so that a bomb costs no more than a body
/// that is as large as allowed; that holds between two codings as well, where a lot could be made that comes to nothing.
#[must_use]
pub fn decode(codings: &[Coding], body: &[u8], bounds: Bounds) -> Uncoded {
    if body.is_empty() {
        return Uncoded::Whole(Vec::new());
    }
    let (limit, limit_between) = (bounds.limit(body.len()), bounds.limit_between(body.len()));
    let is_too_much = Cell::new(false);
    let mut reader: Box<dyn Read + '_> = Box::new(body);
    for (place, coding) in codings.iter().rev().enumerate() {
        if place > 0 {
            reader = Box::new(Between { inner: reader, left: limit_between, is_too_much: &is_too_much });
        }
        reader = match unwrap(*coding, reader) {
            Ok(reader) => reader,
            Err(_) if is_too_much.get() => return Uncoded::OverCap(Vec::new()),
            Err(_) => return Uncoded::Broken(Vec::new()),
        };
    }
    let mut plain = Vec::new();
    match read_up_to(&mut reader, limit, &mut plain) {
        _ if plain.len() > limit => {
            plain.truncate(limit);
            Uncoded::OverCap(plain)
        }
        _ if is_too_much.get() => Uncoded::OverCap(plain),
        Ok(()) => Uncoded::Whole(plain),
        Err(_) => Uncoded::Broken(plain),
    }
}

/// Reads at most one byte more than `limit`. Room grows with what came: nothing is held for what a bomb only promises.
fn read_up_to(mut reader: impl Read, limit: usize, plain: &mut Vec<u8>) -> io::Result<()> {
    while plain.len() <= limit {
        let step = plain.len().max(FIRST).min(limit + 1 - plain.len());
        plain.reserve_exact(step);
        if reader.by_ref().take(step as u64).read_to_end(plain)? < step {
            break;
        }
    }
    Ok(())
}

/// What comes out of one coding and goes into the next: fails after so many bytes.
struct Between<'a> {
    inner: Box<dyn Read + 'a>,
    left: usize,
    is_too_much: &'a Cell<bool>,
}

impl Read for Between<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !into.is_empty() {
            if self.inner.read(&mut [0])? == 0 {
                return Ok(0);
            }
            self.is_too_much.set(true);
            return Err(io::Error::other("over the limit"));
        }
        let room = into.len().min(self.left);
        let read = self.inner.read(into.get_mut(..room).unwrap_or_default())?;
        self.left -= read;
        Ok(read)
    }
}

/// The first two bytes, fewer if there are no more.
fn peek(reader: &mut dyn Read) -> io::Result<([u8; 2], u64)> {
    let mut start = [0; 2];
    let mut have = 0;
    while have < 2 {
        match reader.read(start.get_mut(have..).unwrap_or_default())? {
            0 => break,
            read => have += read,
        }
    }
    Ok((start, have as u64))
}

/// A decoder that is content with nothing behind the end of what it decodes.
struct Strict<D> {
    decoder: D,
    has_more: fn(&mut D) -> io::Result<bool>,
}

impl<D: Read> Read for Strict<D> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(into)?;
        if read == 0 && !into.is_empty() && (self.has_more)(&mut self.decoder)? {
            return Err(io::Error::other("more behind the end"));
        }
        Ok(read)
    }
}

fn unwrap<'a>(coding: Coding, mut reader: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match coding {
        // Members and frames may follow each other: whatever comes behind one has to be another.
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Coding::Deflate => {
            let (start, have) = peek(&mut reader)?;
            let is_zlib = have == 2 && is_zlib(start);
            let all = BufReader::new(io::Cursor::new(start).take(have).chain(reader));
            if is_zlib {
                let decoder = flate2::bufread::ZlibDecoder::new(all);
                Box::new(Strict { decoder, has_more: |decoder| Ok(!decoder.get_mut().fill_buf()?.is_empty()) })
            } else {
                let decoder = flate2::bufread::DeflateDecoder::new(all);
                Box::new(Strict { decoder, has_more: |decoder| Ok(!decoder.get_mut().fill_buf()?.is_empty()) })
            }
        }
        Coding::Brotli => {
            let (start, have) = peek(&mut reader)?;
            if have > 0 && is_large_window(start[0]) {
                return Err(io::Error::other("a large window"));
            }
            let decoder = brotli::Decompressor::new(io::Cursor::new(start).take(have).chain(reader), 16 * 1024);
            // Asked again at its end, it fails where its buffer is not empty.
            Box::new(Strict {
                decoder,
                has_more: |decoder| Ok(decoder.read(&mut [0])? > 0 || decoder.get_mut().read(&mut [0])? > 0),
            })
        }
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}
