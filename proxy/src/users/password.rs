//! Hashes of passwords: argon2 (RFC 9106) and bcrypt, no others.

use std::{fmt, str::FromStr};

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};

/// Longest password in bytes.
const MAX_PASSWORD: usize = 1024;
/// What of a password bcrypt looks at, in bytes; it ends with one more.
const BCRYPT_PASSWORD: usize = 71;
/// The cost that htpasswd and others stop at is 17; each one more takes twice the time.
const BCRYPT_COST: u32 = 15;
/// What a round of bcrypt counts in KiB of argon2: an estimate.
const BCRYPT_ROUND: u64 = 64;
/// In KiB; with passes and lanes, what a single guess of a client may take.
const ARGON2_MEMORY: u32 = 256 << 10;
const ARGON2_PASSES: u32 = 16;
const ARGON2_LANES: u32 = 16;

/// A hash that passwords are held against.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash(Scheme);

#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    Argon2(Box<PasswordHash>),
    Bcrypt(Box<str>),
}

/// How a new hash is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// argon2id, 19 MiB, two passes.
    Argon2,
    /// bcrypt with this cost, 4 to 15.
    Bcrypt(u32),
}

/// Why a text is no hash that can be used, or a password none. It never shows either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Of another kind, or a password as it is.
    #[error("is no hash by argon2 or bcrypt: `tollgate hash-password` makes one")]
    Unknown,
    /// Its parameters or its length are wrong.
    #[error("is a broken hash")]
    Broken,
    /// Whoever guesses would take too much of the machine.
    #[error("takes too much to verify: argon2 at most 256 MiB, 16 passes and 16 lanes, bcrypt a cost of 4 to 15")]
    Costly,
    /// Nobody could use it.
    #[error("the password must have 1 to 1024 bytes, for bcrypt 71")]
    Password,
    /// The system gave no random numbers, or no memory.
    #[error("the password cannot be hashed")]
    Failed,
}

/// Hashes a password, with salt.
pub fn hash(password: &[u8], kind: Kind) -> Result<String, HashError> {
    let longest = if kind == Kind::Argon2 { MAX_PASSWORD } else { BCRYPT_PASSWORD };
    if !(1..=longest).contains(&password.len()) {
        return Err(HashError::Password);
    }
    match kind {
        Kind::Argon2 => {
            let hash = Argon2::default().hash_password(password).map_err(|_| HashError::Failed)?;
            Ok(hash.to_string())
        }
        Kind::Bcrypt(cost) if (4..=BCRYPT_COST).contains(&cost) => {
            let parts = bcrypt::non_truncating_hash_with_result(password, cost).map_err(|_| HashError::Failed)?;
            Ok(parts.format_for_version(bcrypt::Version::TwoY))
        }
        Kind::Bcrypt(_) => Err(HashError::Costly),
    }
}

impl Hash {
    /// Whether it is that of this password: takes long, and as long for wrong ones.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        let is_possible = password.len() <= MAX_PASSWORD;
        match &self.0 {
            Scheme::Argon2(hash) => is_possible && Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
            Scheme::Bcrypt(hash) => is_possible && bcrypt::non_truncating_verify(password, hash).unwrap_or(false),
        }
    }
}

impl Hash {
    /// About how long it takes to verify a password, to compare with others: memory times passes. One round of bcrypt takes as long
    /// as argon2 with 64 KiB.
    pub(super) fn cost(&self) -> u64 {
        match &self.0 {
            Scheme::Argon2(hash) => {
                Params::try_from(&**hash).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
            }
            Scheme::Bcrypt(hash) => {
                let cost = hash.parse().map_or(0, |parts: bcrypt::HashParts| parts.get_cost());
                BCRYPT_ROUND << cost.min(BCRYPT_COST)
            }
        }
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text.starts_with("$argon2") {
            let hash = PasswordHash::new(text).map_err(|_| HashError::Broken)?;
            let params = Params::try_from(&hash).map_err(|_| HashError::Broken)?;
            if hash.salt.is_none() || hash.hash.is_none() {
                return Err(HashError::Broken);
            }
            let is_fit = params.m_cost() <= ARGON2_MEMORY && params.t_cost() <= ARGON2_PASSES && params.p_cost() <= ARGON2_LANES;
            return if is_fit { Ok(Self(Scheme::Argon2(Box::new(hash)))) } else { Err(HashError::Costly) };
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|start| text.starts_with(start)) {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::Broken)?;
            let is_fit = (4..=BCRYPT_COST).contains(&parts.get_cost());
            return if is_fit { Ok(Self(Scheme::Bcrypt(text.into()))) } else { Err(HashError::Costly) };
        }
        Err(HashError::Unknown)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_is_verified() {
        for kind in [Kind::Argon2, Kind::Bcrypt(4)] {
            let text = hash("p\u{e4}ss:word".as_bytes(), kind).expect("a hash");
            let hash: Hash = text.parse().expect("the same");
            assert!(hash.is_of("p\u{e4}ss:word".as_bytes()));
            for wrong in ["", "p\u{e4}ss:wor", "P\u{e4}ss:word", "p\u{e4}ss:word\n"] {
                assert!(!hash.is_of(wrong.as_bytes()), "{wrong}");
            }
            assert_eq!(format!("{hash:?}"), "Hash");
        }
    }

    #[test]
    fn every_hash_has_a_salt_of_its_own() {
        for kind in [Kind::Argon2, Kind::Bcrypt(4)] {
            assert_ne!(hash(b"a", kind), hash(b"a", kind));
        }
    }

    #[test]
    fn passwords_have_a_length() {
        for (kind, length, is_taken) in [
            (Kind::Argon2, 0, false),
            (Kind::Argon2, 1, true),
            (Kind::Argon2, 1024, true),
            (Kind::Argon2, 1025, false),
            (Kind::Bcrypt(4), 71, true),
            (Kind::Bcrypt(4), 72, false),
        ] {
            assert_eq!(hash(&vec![b'x'; length], kind).is_ok(), is_taken, "{kind:?} {length}");
        }
        // A longer one is none that is cut.
        let cut: Hash = hash(&[b'x'; 71], Kind::Bcrypt(4)).expect("a hash").parse().expect("the same");
        assert!(cut.is_of(&[b'x'; 71]) && !cut.is_of(&[b'x'; 72]));
        let longest: Hash = hash(&[b'x'; 1024], Kind::Argon2).expect("a hash").parse().expect("the same");
        assert!(longest.is_of(&[b'x'; 1024]) && !longest.is_of(&[b'x'; 1025]));
    }

    #[test]
    fn costs_have_a_limit() {
        let argon2 =
            |m, t, p| format!("$argon2id$v=19$m={m},t={t},p={p}$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A");
        for (text, expected) in [
            (argon2(262_144, 16, 16), Ok(())),
            (argon2(262_145, 1, 1), Err(HashError::Costly)),
            (argon2(1024, 17, 1), Err(HashError::Costly)),
            (argon2(1024, 1, 17), Err(HashError::Costly)),
        ] {
            assert_eq!(text.parse::<Hash>().map(drop), expected, "{text}");
        }
        let bcrypt = |cost: &str| format!("$2y${cost}$Z4d7Fc7ohlK9OPjCoN1bLenTgJvrnGLHwMFMrEA1xRyYmbhIv9Xde");
        for (cost, is_fit) in [("03", false), ("04", true), ("15", true), ("16", false), ("31", false)] {
            assert_eq!(bcrypt(cost).parse::<Hash>().is_ok(), is_fit, "{cost}");
        }
        assert_eq!(hash(b"a", Kind::Bcrypt(16)), Err(HashError::Costly));
    }

    #[test]
    fn other_texts_are_no_hashes() {
        for text in [
            "",
            "secret",
            "$1$a$b",
            "$apr1$a$b",
            "{SHA}x",
            "$argon2id$",
            "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ",
            "$2y$10$short",
        ] {
            assert!(text.parse::<Hash>().is_err(), "{text}");
        }
    }
}
