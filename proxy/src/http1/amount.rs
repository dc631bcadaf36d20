//! How much of a body is read at once: more from who sends much, as long as there is room for it.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::decode::COPY_UP_TO;

/// Most that is read at once before it is known how fast the peer is.
const FIRST: usize = 64 << 10;
/// What is left of a body is read at once if it is no more than this.
const WHOLE: usize = 128 << 10;
/// Most that is read at once of one who fills the first.
const LARGE: usize = 512 << 10;
/// As many connections of the process may read so much at a time; others go on with less.
const LARGE_READERS: usize = 32;

static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LARGE_READERS)));

/// How much a connection reads of a body next.
pub(super) struct Amount {
    /// Whether the last read shows that more would have come.
    is_fast: bool,
    large: Option<Large>,
}

/// Leave to hold a large buffer. It is used up for as long as the buffer or a piece of it is there.
type Large = Arc<OwnedSemaphorePermit>;

/// A piece of a large buffer.
struct Piece {
    data: Bytes,
    _large: Large,
}

impl Amount {
    pub(super) const fn new() -> Self {
        Self { is_fast: false, large: None }
    }

    /// Bytes to read at most, of a body of which so many are to come.
    pub(super) fn next(&mut self, left: Option<u64>) -> usize {
        self.next_in(&ROOM, left)
    }

    fn next_in(&mut self, room: &Arc<Semaphore>, left: Option<u64>) -> usize {
        // With one more than there is, what was read tells that nothing is left; else the system would have to be asked.
        let left = left.and_then(|left| usize::try_from(left).ok()?.checked_add(1)).unwrap_or(usize::MAX);
        if left <= WHOLE {
            return left;
        }
        if self.is_fast && self.large.is_none() {
            self.large = Arc::clone(room).try_acquire_owned().ok().map(Arc::new);
        }
        left.min(if self.large.is_some() { LARGE } else { FIRST })
    }

    /// So many bytes came.
    pub(super) const fn came(&mut self, bytes: usize) {
        self.is_fast = bytes >= FIRST;
    }

    /// Whether leave for a large buffer is held.
    pub(super) const fn is_large(&self) -> bool {
        self.large.is_some()
    }

    /// The buffer is gone.
    pub(super) fn rest(&mut self) {
        self.large = None;
    }

    /// A piece that counts for as long as somebody has it, where it holds a large buffer.
    pub(super) fn keep(&self, data: Bytes) -> Bytes {
        match &self.large {
            Some(large) if data.len() > COPY_UP_TO => Bytes::from_owner(Piece { data, _large: Arc::clone(large) }),
            _ => data,
        }
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(readers: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(readers))
    }

    fn fast() -> Amount {
        Amount { is_fast: true, large: None }
    }

    #[test]
    fn only_who_fills_a_read_gets_a_larger_one() {
        let room = room(1);
        let mut amount = Amount::new();
        assert_eq!(amount.next_in(&room, None), FIRST);
        amount.came(FIRST - 1);
        assert_eq!(amount.next_in(&room, None), FIRST);
        amount.came(FIRST);
        assert_eq!(amount.next_in(&room, None), LARGE);
        amount.rest();
        amount.came(FIRST - 1);
        assert_eq!(amount.next_in(&room, None), FIRST);
    }

    #[test]
    fn no_more_is_read_than_there_is_and_a_byte() {
        let room = room(1);
        for (left, bytes) in [(0, 1), (1000, 1001), (WHOLE as u64 - 1, WHOLE), (WHOLE as u64, FIRST), (u64::MAX, FIRST)] {
            assert_eq!(Amount::new().next_in(&room, Some(left)), bytes, "{left}");
        }
        assert_eq!(fast().next_in(&room, Some(WHOLE as u64 - 1)), WHOLE);
        assert_eq!(fast().next_in(&room, Some(WHOLE as u64)), WHOLE + 1);
        assert_eq!(fast().next_in(&room, Some(LARGE as u64)), LARGE);
    }

    #[test]
    fn large_buffers_are_limited_in_number() {
        let room = room(2);
        let (mut first, mut second, mut third) = (fast(), fast(), fast());
        assert_eq!([first.next_in(&room, None), second.next_in(&room, None)], [LARGE, LARGE]);
        assert_eq!(third.next_in(&room, None), FIRST);
        second.rest();
        assert_eq!(third.next_in(&room, None), LARGE);
    }

    #[test]
    fn a_piece_counts_until_nobody_has_it() {
        let room = room(1);
        let mut amount = fast();
        assert_eq!(amount.next_in(&room, None), LARGE);
        let held = amount.keep(Bytes::from(vec![1; FIRST])).slice(1..);
        drop(amount);
        assert_eq!(fast().next_in(&room, None), FIRST);
        drop(held);
        assert_eq!(fast().next_in(&room, None), LARGE);
    }
}
