//! Instances that flows share, between one flow and the next.

use std::sync::Arc;

use parking_lot::Mutex;

/// Most instances of all addons together that wait for a flow. The engine has slots for them beyond those of flows.
pub(super) const MOST: u32 = 64;

/// What waiting instances of all addons together may take: [`MOST`] of them, and so many bytes of linear memory.
#[derive(Debug)]
pub(super) struct Room {
    taken: Mutex<Taken>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Taken {
    instances: u32,
    bytes: usize,
}

/// To be held by an instance that waits.
#[derive(Debug)]
struct Place {
    room: Arc<Room>,
    bytes: usize,
}

/// Those of one generation. While it is not in force none is kept.
#[derive(Debug)]
pub(super) struct Resting<T> {
    room: Arc<Room>,
    kept: Mutex<Option<Vec<(Place, T)>>>,
}

impl Room {
    /// For so many bytes.
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), bytes })
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let mut taken = self.taken.lock();
        let sum = taken.bytes.checked_add(bytes).filter(|sum| *sum <= self.bytes)?;
        if taken.instances >= MOST {
            return None;
        }
        *taken = Taken { instances: taken.instances + 1, bytes: sum };
        drop(taken);
        Some(Place { room: Arc::clone(self), bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        taken.instances -= 1;
        taken.bytes -= self.bytes;
    }
}

impl<T> Resting<T> {
    /// None yet, and none to be kept.
    pub(super) const fn new(room: Arc<Room>) -> Self {
        Self { room, kept: Mutex::new(None) }
    }

    /// From now on instances are kept.
    pub(super) fn open(&self) {
        self.kept.lock().get_or_insert_default();
    }

    /// From now on none is; those that were go.
    pub(super) fn close(&self) {
        let kept = self.kept.lock().take();
        drop(kept);
    }

    /// Keeps an instance of so many bytes, or gives it back if it cannot be kept.
    pub(super) fn put(&self, instance: T, bytes: usize) -> Result<(), T> {
        let mut kept = self.kept.lock();
        match kept.as_mut().and_then(|kept| Some((self.room.take(bytes)?, kept))) {
            Some((place, kept)) => {
                kept.push((place, instance));
                Ok(())
            }
            None => Err(instance),
        }
    }

    /// The one that was used last, whose memory is most likely near.
    pub(super) fn take(&self) -> Option<T> {
        self.kept.lock().as_mut()?.pop().map(|(_, instance)| instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_the_first_to_go_on() {
        let resting = Resting::new(Room::new(100));
        assert_eq!((resting.put(1, 10), resting.take()), (Err(1), None));
        resting.open();
        assert_eq!((resting.put(1, 10), resting.put(2, 10)), (Ok(()), Ok(())));
        assert_eq!((resting.take(), resting.take(), resting.take()), (Some(2), Some(1), None));
    }

    #[test]
    fn all_generations_share_the_room() {
        let room = Room::new(1_000);
        let (one, other) = (Resting::new(Arc::clone(&room)), Resting::new(Arc::clone(&room)));
        one.open();
        other.open();
        assert_eq!((one.put("a", 600), other.put("b", 401), other.put("c", 400)), (Ok(()), Err("b"), Ok(())));
        assert_eq!((one.put("d", 1), one.take(), one.put("d", 600)), (Err("d"), Some("a"), Ok(())));
        one.close();
        assert_eq!((one.take(), one.put("e", 0), other.put("e", 600)), (None, Err("e"), Ok(())));
    }

    #[test]
    fn there_is_an_end_to_their_number() {
        let room = Room::new(0);
        let resting = Resting::new(Arc::clone(&room));
        resting.open();
        for number in 0..MOST {
            assert_eq!(resting.put(number, 0), Ok(()));
        }
        assert_eq!(resting.put(MOST, 0), Err(MOST));
        assert_eq!((resting.take(), resting.put(MOST, 0)), (Some(MOST - 1), Ok(())));
        resting.close();
        assert_eq!(room.taken.lock().instances, 0);
    }
}
