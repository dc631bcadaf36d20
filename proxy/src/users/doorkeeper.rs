//! Who keeps the door: asks for credentials, verifies them off the threads that serve, and remembers what it has verified.

use std::{net::IpAddr, num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::{Users, basic, waiting::Waiting};
use crate::{heavy, http::Headers};

/// Credentials that are remembered: right ones, and as many others.
const KEPT: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// Lets in who proves to be a user.
///
/// A hash is paid for once for each pair of name and password: what it came to is kept by a digest with a key that no other process
/// has. Wrong ones take no room of right ones. What is no longer asked for for longest makes room.
pub struct Doorkeeper {
    users: Arc<Users>,
    key: [u8; 32],
    right: Mutex<LruCache<Digest, Arc<str>>>,
    others: Mutex<LruCache<Digest, Arc<Tried>>>,
    waiting: Arc<Waiting>,
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
    /// Too many are to be verified: 4 of one client, 64 of all.
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
        Ok(Self { users, key, right, others, waiting: Arc::default() })
    }

    /// The one for these users after this one: the same where they are. Otherwise it remembers right credentials of those who have the
    /// hash that they had, and has the places that are taken.
    #[must_use]
    pub fn next(self: &Arc<Self>, users: &Arc<Users>) -> Arc<Self> {
        if self.users == *users {
            return Arc::clone(self);
        }
        let mut right = LruCache::new(KEPT);
        for (digest, name) in self.right.lock().iter().rev().filter(|(_, name)| self.users.hash(name) == users.hash(name)) {
            right.put(*digest, Arc::clone(name));
        }
        let (right, others) = (Mutex::new(right), Mutex::new(LruCache::new(KEPT)));
        Arc::new(Self { users: Arc::clone(users), key: self.key, right, others, waiting: Arc::clone(&self.waiting) })
    }

    /// The name of the user who sent these fields from this address.
    ///
    /// However many come with the same credentials at once, they are verified once. Cancel safe: the others go on.
    pub async fn admit(&self, client: IpAddr, headers: &Headers) -> Result<Arc<str>, Refused> {
        let claim = basic::claim(headers).ok_or(Refused::Unknown)?;
        let digest = self.digest(&claim.bytes);
        if let Some(name) = self.right.lock().get(&digest) {
            return Ok(Arc::clone(name));
        }
        let tried = Arc::clone(self.others.lock().get_or_insert(digest, Arc::default));
        let verify = || async {
            let place = self.waiting.take(client).ok_or(Refused::Busy)?;
            let users = Arc::clone(&self.users);
            let work = move || {
                let name = users.verify(&claim.name, &claim.password);
                // Who goes away does not get it back before that.
                drop(place);
                name
            };
            heavy::verify(work).await.ok_or(Refused::Busy)
        };
        let name = tried.get_or_try_init(verify).await?.clone().ok_or(Refused::Unknown)?;
        self.others.lock().pop(&digest);
        self.right.lock().put(digest, Arc::clone(&name));
        Ok(name)
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.users.hash(name).is_some()
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
        users::{
            Kind, hash,
            waiting::{OF_ALL, OF_ONE},
        },
    };

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// The client of this number.
    fn client(number: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(number).expect("a few")])
    }

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
            assert_eq!(keeper.admit(HERE, &fields("ann", "ann")).await.as_deref(), Ok("ann"));
            assert_eq!(keeper.admit(HERE, &fields("bea", "bea")).await.as_deref(), Ok("bea"));
            for (name, password) in [("ann", "bea"), ("ann", ""), ("", "ann"), ("cleo", "ann"), ("ann:", "ann")] {
                assert_eq!(keeper.admit(HERE, &fields(name, password)).await, Err(Refused::Unknown), "{name} {password}");
            }
            assert_eq!(keeper.admit(HERE, &Headers::new()).await, Err(Refused::Unknown));
        }
        assert_eq!((keeper.right.lock().len(), keeper.others.lock().len()), (2, 5));
    }

    #[tokio::test]
    async fn what_was_verified_needs_no_turn() {
        let keeper = keeper(4);
        assert!(keeper.admit(HERE, &fields("ann", "ann")).await.is_ok());
        assert!(keeper.admit(HERE, &fields("ann", "wrong")).await.is_err());
        let all: Vec<_> = (0..OF_ALL).map(|number| keeper.waiting.take(client(number)).expect("a place")).collect();
        assert_eq!(keeper.admit(HERE, &fields("ann", "ann")).await.as_deref(), Ok("ann"));
        assert_eq!(keeper.admit(HERE, &fields("ann", "wrong")).await, Err(Refused::Unknown));
        assert_eq!(keeper.admit(HERE, &fields("bea", "bea")).await, Err(Refused::Busy));
        drop(all);
        // It was not kept.
        assert_eq!(keeper.admit(HERE, &fields("bea", "bea")).await.as_deref(), Ok("bea"));
    }

    #[tokio::test]
    async fn so_many_are_verified_at_one_time() {
        let keeper = keeper(8);
        let crowd: Vec<_> = (0..OF_ALL + 10).map(|number| (client(number), fields("ann", &number.to_string()))).collect();
        let ended = join_all(crowd.iter().map(|(client, fields)| keeper.admit(*client, fields))).await;
        let busy = ended.iter().filter(|ended| **ended == Err(Refused::Busy)).count();
        assert_eq!((ended.len(), busy), (OF_ALL + 10, 10));
    }

    #[tokio::test]
    async fn a_client_that_guesses_keeps_others_out_no_longer() {
        for guesses in [OF_ONE - 1, OF_ONE, OF_ONE + 1, 80] {
            let keeper = keeper(6);
            let crowd: Vec<_> = (0..guesses).map(|number| fields("ann", &number.to_string())).collect();
            let bea = fields("bea", "bea");
            let guessing = join_all(crowd.iter().map(|fields| keeper.admit(client(1), fields)));
            let (ended, bea) = futures_util::future::join(guessing, keeper.admit(client(2), &bea)).await;
            let busy = ended.iter().filter(|ended| **ended == Err(Refused::Busy)).count();
            assert_eq!((busy, bea.as_deref()), (guesses.saturating_sub(OF_ONE), Ok("bea")), "{guesses}");
        }
    }

    #[tokio::test]
    async fn who_goes_away_keeps_the_place_until_the_work_ends() {
        let keeper = keeper(10);
        for number in 0..3 {
            let guess = fields("ann", &number.to_string());
            let mut guess = Box::pin(keeper.admit(HERE, &guess));
            // The first one has its turn at once.
            assert!(futures_util::poll!(&mut guess).is_pending());
        }
        assert!((1..=3).contains(&keeper.waiting.taken(HERE)), "{}", keeper.waiting.taken(HERE));
        while keeper.waiting.taken(HERE) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_still_true_is_carried_over() {
        let before = Arc::new(keeper(4));
        for name in ["ann", "bea"] {
            assert!(before.admit(HERE, &fields(name, name)).await.is_ok());
        }
        assert!(before.admit(HERE, &fields("ann", "later")).await.is_err());
        // Read again, they are others and equal.
        let same = Arc::new(Users(before.users.0.clone(), before.users.1.clone()));
        assert!(Arc::ptr_eq(&before, &before.next(&same)));
        let mut users = Users::default();
        users.add("ann", &hash(b"later", Kind::Bcrypt(4)).expect("a hash")).expect("a user");
        users.0.extend(before.users.0.get_key_value("bea").map(|(name, hash)| (Arc::clone(name), hash.clone())));
        let after = before.next(&Arc::new(users));
        assert_eq!((after.right.lock().len(), after.others.lock().len()), (1, 0));
        let all: Vec<_> = (0..OF_ALL).map(|number| before.waiting.take(client(number)).expect("a place")).collect();
        assert_eq!(after.admit(HERE, &fields("bea", "bea")).await.as_deref(), Ok("bea"));
        assert_eq!(after.admit(HERE, &fields("ann", "ann")).await, Err(Refused::Busy));
        drop(all);
        assert_eq!(after.admit(HERE, &fields("ann", "ann")).await, Err(Refused::Unknown));
        assert_eq!(after.admit(HERE, &fields("ann", "later")).await.as_deref(), Ok("ann"));
        let mut users = Users::default();
        users.add("cleo", &hash(b"cleo", Kind::Bcrypt(4)).expect("a hash")).expect("a user");
        assert_eq!(before.next(&Arc::new(users)).admit(HERE, &fields("bea", "bea")).await, Err(Refused::Unknown));
    }

    #[tokio::test]
    async fn a_crowd_of_one_user_is_verified_once() {
        let keeper = keeper(8);
        let same = fields("ann", "ann");
        let ended = join_all((0..200).map(|_| keeper.admit(HERE, &same))).await;
        assert!(ended.iter().all(|ended| ended.as_deref() == Ok("ann")));
    }

    #[tokio::test]
    async fn wrong_ones_take_no_room_of_right_ones() {
        let keeper = keeper(4);
        assert!(keeper.admit(HERE, &fields("ann", "ann")).await.is_ok());
        for number in 0..=KEPT.get() {
            assert!(keeper.admit(HERE, &fields("ann", &format!("wrong {number}"))).await.is_err());
        }
        assert_eq!((keeper.right.lock().len(), keeper.others.lock().len()), (1, KEPT.get()));
    }
}
