//! Who keeps the door: asks for credentials, verifies them off the threads that serve, and remembers what it has verified.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};

use super::{Users, basic};
use crate::{heavy, http::Headers};

/// Credentials that are remembered: right ones, and as many others.
const KEPT: NonZeroUsize = NonZeroUsize::new(1000).unwrap();
/// Verifications that wait or run at one time.
const WAITING: usize = 64;

/// Lets in who proves to be a user.
///
/// A hash is paid for once for each pair of name and password: what it came to is kept by a digest with a key that no other process
/// has. Wrong ones take no room of right ones. What is no longer asked for for longest makes room.
pub struct Doorkeeper {
    users: Arc<Users>,
    key: [u8; 32],
    right: Mutex<LruCache<Digest, Arc<str>>>,
    others: Mutex<LruCache<Digest, Arc<Tried>>>,
    turns: Semaphore,
}

type Digest = [u8; 32];
/// What came of credentials, or will: the user's name, if they are right.
type Tried = OnceCell<Option<Arc<str>>>;

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There were no credentials, or they are not right.
    #[error("this proxy asks for a name and a password (Proxy-Authorization, Basic), and has got none that it knows")]
    Unknown,
    /// Too many are to be verified.
    #[error("too many passwords are being verified: try again later")]
    Busy,
}

impl Doorkeeper {
    /// For these users.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new(users: Arc<Users>) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        let (right, others) = (Mutex::new(LruCache::new(KEPT)), Mutex::new(LruCache::new(KEPT)));
        Ok(Self { users, key, right, others, turns: Semaphore::new(WAITING) })
    }

    /// The name of the user who sent these fields.
    ///
    /// However many come with the same credentials at once, they are verified once. Cancel safe: the others go on.
    pub async fn admit(&self, headers: &Headers) -> Result<Arc<str>, Refused> {
        let claim = basic::claim(headers).ok_or(Refused::Unknown)?;
        let digest = self.digest(&claim.bytes);
        if let Some(name) = self.right.lock().get(&digest) {
            return Ok(Arc::clone(name));
        }
        let tried = Arc::clone(self.others.lock().get_or_insert(digest, Arc::default));
        let verify = || async {
            let _turn = self.turns.try_acquire().map_err(|_| Refused::Busy)?;
            let users = Arc::clone(&self.users);
            heavy::run(move || users.verify(&claim.name, &claim.password)).await.ok_or(Refused::Busy)
        };
        let name = tried.get_or_try_init(verify).await?.clone().ok_or(Refused::Unknown)?;
        self.others.lock().pop(&digest);
        self.right.lock().put(digest, Arc::clone(&name));
        Ok(name)
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.users.0.contains_key(name)
    }

    /// The key comes first, and has a length of its own: nobody can make another text with the same digest.
    fn digest(&self, bytes: &[u8]) -> Digest {
        Sha256::new().chain_update(self.key).chain_update(Sha256::digest(bytes)).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use futures_util::future::join_all;

    use super::*;
    use crate::{
        http::Field,
        users::{Kind, hash},
    };

    fn keeper(cost: u32) -> Doorkeeper {
        let mut users = Users::default();
        for name in ["ann", "bea"] {
            users.add(name, &hash(name.as_bytes(), Kind::Bcrypt(cost)).expect("a hash")).expect("a user");
        }
        Doorkeeper::new(Arc::new(users)).expect("random numbers")
    }

    fn fields(name: &str, password: &str) -> Headers {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
        std::iter::once(Field::new("Proxy-Authorization", value).expect("a field")).collect()
    }

    #[tokio::test]
    async fn users_are_let_in_by_their_own_passwords() {
        let keeper = keeper(4);
        for _ in 0..2 {
            assert_eq!(keeper.admit(&fields("ann", "ann")).await.as_deref(), Ok("ann"));
            assert_eq!(keeper.admit(&fields("bea", "bea")).await.as_deref(), Ok("bea"));
            for (name, password) in [("ann", "bea"), ("ann", ""), ("", "ann"), ("cleo", "ann"), ("ann:", "ann")] {
                assert_eq!(keeper.admit(&fields(name, password)).await, Err(Refused::Unknown), "{name} {password}");
            }
            assert_eq!(keeper.admit(&Headers::new()).await, Err(Refused::Unknown));
        }
        assert_eq!((keeper.right.lock().len(), keeper.others.lock().len()), (2, 5));
    }

    #[tokio::test]
    async fn what_was_verified_needs_no_turn() {
        let keeper = keeper(4);
        assert!(keeper.admit(&fields("ann", "ann")).await.is_ok());
        assert!(keeper.admit(&fields("ann", "wrong")).await.is_err());
        let all = keeper.turns.acquire_many(64).await.expect("turns");
        assert_eq!(keeper.admit(&fields("ann", "ann")).await.as_deref(), Ok("ann"));
        assert_eq!(keeper.admit(&fields("ann", "wrong")).await, Err(Refused::Unknown));
        assert_eq!(keeper.admit(&fields("bea", "bea")).await, Err(Refused::Busy));
        drop(all);
        // It was not kept.
        assert_eq!(keeper.admit(&fields("bea", "bea")).await.as_deref(), Ok("bea"));
    }

    #[tokio::test]
    async fn so_many_are_verified_at_one_time() {
        let keeper = keeper(8);
        let crowd: Vec<_> = (0..WAITING + 10).map(|number| fields("ann", &number.to_string())).collect();
        let ended = join_all(crowd.iter().map(|fields| keeper.admit(fields))).await;
        let busy = ended.iter().filter(|ended| **ended == Err(Refused::Busy)).count();
        assert_eq!((ended.len(), busy), (WAITING + 10, 10));
    }

    #[tokio::test]
    async fn a_crowd_of_one_user_is_verified_once() {
        let keeper = keeper(8);
        let same = fields("ann", "ann");
        let ended = join_all((0..200).map(|_| keeper.admit(&same))).await;
        assert!(ended.iter().all(|ended| ended.as_deref() == Ok("ann")));
    }

    #[tokio::test]
    async fn wrong_ones_take_no_room_of_right_ones() {
        let keeper = keeper(4);
        assert!(keeper.admit(&fields("ann", "ann")).await.is_ok());
        for number in 0..=KEPT.get() {
            assert!(keeper.admit(&fields("ann", &format!("wrong {number}"))).await.is_err());
        }
        assert_eq!((keeper.right.lock().len(), keeper.others.lock().len()), (1, KEPT.get()));
    }
}
