//! Compression of messages, each by itself (RFC 7692, 7.2, without context takeover).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::close::Violation;

/// What ends the blocks of a message, and is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Plain bytes that are made at one time.
const PIECE: usize = 8 << 10;
const BROKEN: Violation = Violation::Data("a message whose compression is broken");

/// Last blocks that a message may have, whatever its length: after each one the state is made anew, which takes long.
const LAST_BLOCKS: u64 = 16;
/// One more for so many compressed bytes.
const BYTES_A_BLOCK: u64 = 1 << 10;

/// Takes the compression off one message.
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    taken: u64,
    resets: u64,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { state: Decompress::new(false), taken: 0, resets: 0 }
    }
}

impl Inflater {
    /// Hands on what these bytes make, piece by piece, until that is not wanted, or about `most` bytes are made: then it tells how
    /// many were taken, and there is more to be made of the others, or of what it knows already. None: that was all.
    pub fn push(
        &mut self,
        data: &[u8],
        most: usize,
        mut sink: impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<Option<usize>, Violation> {
        let mut plain = [0; PIECE];
        let (all, mut data, mut left) = (data.len(), data, most);
        loop {
            let before = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(data, &mut plain, FlushDecompress::None).map_err(|_| BROKEN)?;
            let taken = usize::try_from(self.state.total_in() - before.0).unwrap_or(usize::MAX);
            let made = usize::try_from(self.state.total_out() - before.1).unwrap_or(usize::MAX);
            self.taken += taken as u64;
            sink(plain.get(..made).unwrap_or_default())?;
            data = data.get(taken..).unwrap_or_default();
            if status == Status::StreamEnd {
                // Another block may follow one that says it is the last (RFC 7692, 7.2.3.4 and 7.2.3.5).
                self.resets += 1;
                if self.resets > LAST_BLOCKS + self.taken / BYTES_A_BLOCK {
                    return Err(Violation::Data("a message of too many last blocks"));
                }
                self.state.reset(false);
            } else if made < PIECE && (data.is_empty() || (taken == 0 && made == 0)) {
                return if data.is_empty() { Ok(None) } else { Err(BROKEN) };
            }
            if left < made {
                return Ok(Some(all - data.len()));
            }
            left -= made;
        }
    }

    /// What is left at the end of the message.
    pub fn end(&mut self, sink: impl FnMut(&[u8]) -> Result<(), Violation>) -> Result<(), Violation> {
        self.push(&TAIL, usize::MAX, sink).map(drop)
    }
}

/// A message compressed, its end left out. Takes about a second for 100 MiB. None where that cannot be done.
#[must_use]
pub fn compress(data: &[u8]) -> Option<Vec<u8>> {
    let mut state = Compress::new(Compression::fast(), false);
    let mut made = Vec::with_capacity(data.len() / 2 + 64);
    loop {
        let taken = usize::try_from(state.total_in()).ok()?;
        state.compress_vec(data.get(taken..)?, &mut made, FlushCompress::Sync).ok()?;
        if made.len() < made.capacity() {
            break;
        }
        made.reserve(made.len().max(PIECE));
    }
    (state.total_in() == data.len() as u64 && made.ends_with(&TAIL)).then(|| {
        made.truncate(made.len() - TAIL.len());
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(data: &[u8]) -> Result<Vec<u8>, Violation> {
        let (mut inflater, mut plain) = (Inflater::default(), Vec::new());
        let mut sink = |bytes: &[u8]| {
            plain.extend_from_slice(bytes);
            Ok(())
        };
        for byte in data {
            assert_eq!(inflater.push(&[*byte], usize::MAX, &mut sink)?, None);
        }
        inflater.end(&mut sink)?;
        Ok(plain)
    }

    #[test]
    fn messages_come_back_as_they_were() {
        for length in [0, 1, 100, PIECE - 1, PIECE, PIECE + 1, 300_000] {
            let noise: Vec<u8> = (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
            for data in [vec![b'a'; length], noise] {
                let made = compress(&data).expect("a compressed message");
                assert!(inflate(&made).expect("a message") == data, "{length}");
            }
        }
    }

    #[test]
    fn examples_of_the_rfc_are_read() {
        for example in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflate(example).as_deref(), Ok(&b"Hello"[..]), "{example:x?}");
        }
        assert_eq!(inflate(b"\x00").as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn long_messages_are_made_in_steps() {
        let data: Vec<u8> = (0..200_000_u32).map(|n| (n / 1_000) as u8).collect();
        let made = compress(&data).expect("a compressed message");
        let (mut inflater, mut plain, mut rest, mut steps) = (Inflater::default(), Vec::new(), &made[..], 0);
        loop {
            let before = plain.len();
            let taken = inflater.push(rest, PIECE, |bytes| {
                plain.extend_from_slice(bytes);
                Ok(())
            });
            assert!(plain.len() - before <= 2 * PIECE, "{} at one time", plain.len() - before);
            let Some(taken) = taken.expect("a message") else { break };
            (rest, steps) = (&rest[taken..], steps + 1);
        }
        assert_eq!((plain == data, steps), (true, 12));
    }

    #[test]
    fn last_blocks_are_few() {
        assert_eq!(inflate(&b"\x03\x00".repeat(16)).as_deref(), Ok(&b""[..]));
        assert_eq!(inflate(&b"\x03\x00".repeat(17)).map_err(Violation::code), Err(1007));
        let kilobytes = [&b"\x01\x00\x04\xff\xfb"[..], &[b'x'; 1024]].concat().repeat(100);
        assert_eq!(inflate(&kilobytes).map(|plain| plain.len()), Ok(100 << 10));
    }

    #[test]
    fn what_is_no_compression_is_refused() {
        assert_eq!(inflate(b"\xff\xff\xff\xff").map_err(Violation::code), Err(1007));
    }
}
