//! Users of a forward listener: who they are, how they say so (Basic; RFC 7617), and whether it is true.

mod basic;
mod doorkeeper;
mod password;
mod waiting;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use doorkeeper::{Doorkeeper, Refused};
pub use password::{Hash, HashError, Kind, hash};

/// Users that there may be.
pub const MAX_USERS: usize = 10_000;
/// Longest name in bytes.
const MAX_NAME: usize = 256;

/// Names, and hashes of passwords. Nothing shows a hash.
///
/// The second is who has the hash that takes longest, of several the first one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<Arc<str>, Hash>, Option<(u64, Arc<str>)>);

/// Why a user is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The name cannot be sent, or is too long.
    #[error("a name must have 1 to 256 bytes, no colon and no control character")]
    Name,
    /// There is one of this name.
    #[error("{0} is there twice")]
    Twice(Arc<str>),
    /// The hash cannot be used.
    #[error("{0}: {1}")]
    Hash(Arc<str>, HashError),
    /// There are as many as there may be.
    #[error("there are more than 10000 users")]
    Crowd,
    /// A line of a file is wrong.
    #[error("line {0}: {1}")]
    Line(usize, Box<Self>),
    /// A line of a file without a colon.
    #[error("must be NAME:HASH, as `htpasswd -B` and `tollgate hash-password --user` write it")]
    Shape,
}

impl Users {
    /// Adds one.
    pub fn add(&mut self, name: &str, hash: &str) -> Result<(), UserError> {
        let is_legal = (1..=MAX_NAME).contains(&name.len()) && !name.contains(':') && !name.chars().any(char::is_control);
        if !is_legal {
            return Err(UserError::Name);
        }
        let name: Arc<str> = name.into();
        if self.0.contains_key(&name) {
            return Err(UserError::Twice(name));
        }
        if self.0.len() >= MAX_USERS {
            return Err(UserError::Crowd);
        }
        let hash: Hash = hash.parse().map_err(|error| UserError::Hash(Arc::clone(&name), error))?;
        let cost = hash.cost();
        if self.1.as_ref().is_none_or(|(most, first)| cost > *most || (cost == *most && name < *first)) {
            self.1 = Some((cost, Arc::clone(&name)));
        }
        self.0.insert(name, hash);
        Ok(())
    }

    /// Adds those of a file as htpasswd writes it: `NAME:HASH`, one a line; empty lines and those that begin with `#` are nothing.
    pub fn add_file(&mut self, text: &str) -> Result<(), UserError> {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = line.split_once(':').ok_or(UserError::Shape).and_then(|(name, hash)| self.add(name, hash));
            added.map_err(|error| UserError::Line(number, Box::new(error)))?;
        }
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn hash(&self, name: &str) -> Option<&Hash> {
        self.0.get(name)
    }

    /// The name as it is kept, if the password is that user's. Where there is no such user it takes as long as for one whose hash
    /// takes longest: so where all hashes are of one kind and cost, nobody learns which names there are.
    fn verify(&self, name: &str, password: &[u8]) -> Option<Arc<str>> {
        let (known, is_known) = match self.0.get_key_value(name) {
            Some(user) => (user, true),
            None => (self.0.get_key_value(&self.1.as_ref()?.1)?, false),
        };
        let is_right = known.1.is_of(password);
        (is_known && is_right).then(|| Arc::clone(known.0))
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} users", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbB -C 4 ann secret`
    const ANN: &str = "$2y$04$Z4d7Fc7ohlK9OPjCoN1bLenTgJvrnGLHwMFMrEA1xRyYmbhIv9Xde";

    #[test]
    fn files_are_those_of_htpasswd() {
        let hash = hash(b"secret", Kind::Bcrypt(4)).expect("a hash");
        let mut users = Users::default();
        users.add_file(&format!("# users\n\nann:{hash}\r\n  b\u{e9}a:{hash}\n")).expect("users");
        assert_eq!(users.len(), 2);
        assert_eq!(users.verify("ann", b"secret").as_deref(), Some("ann"));
        assert_eq!(users.verify("b\u{e9}a", b"secret").as_deref(), Some("b\u{e9}a"));
        for (name, password) in [("ann", "Secret"), ("ann", ""), ("Ann", "secret"), ("", "secret"), ("nobody", "secret")] {
            assert_eq!(users.verify(name, password.as_bytes()), None, "{name} {password}");
        }
        assert!(!format!("{users:?}").contains('$'));
    }

    #[test]
    fn broken_lines_are_told_by_number() {
        let hash = hash(b"secret", Kind::Bcrypt(4)).expect("a hash");
        for (text, expected) in [
            ("ann".to_owned(), "line 1: must be NAME:HASH"),
            (format!("\n:{hash}"), "line 2: a name must"),
            (format!("ann:{hash}\nann:{hash}"), "line 2: ann is there twice"),
            (format!("{}:{hash}", "a".repeat(257)), "line 1: a name must"),
            ("ann:secret".to_owned(), "line 1: ann: "),
            ("ann:$apr1$r31abcde$0sSbBLHQGDbVpQ1Xn5Z8W.".to_owned(), "line 1: ann: "),
            ("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_owned(), "line 1: ann: "),
        ] {
            let error = Users::default().add_file(&text).expect_err(&text).to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("secret") && !error.contains("apr1$r"), "{error}");
        }
        let mut users = Users::default();
        assert!(users.add(&"a".repeat(256), &hash).is_ok());
    }

    #[test]
    fn hashes_of_other_programs_are_taken() {
        let mut users = Users::default();
        users.add("ann", ANN).expect("a user");
        assert_eq!(users.verify("ann", b"wrong"), None);
    }

    #[test]
    fn unknown_names_take_the_hash_that_takes_longest() {
        let (cheap, costly) = (hash(b"a", Kind::Bcrypt(4)).expect("a hash"), hash(b"a", Kind::Bcrypt(5)).expect("a hash"));
        let argon2 = |m, t| format!("$argon2id$v=19$m={m},t={t},p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A");
        for (hashes, expected) in [
            (vec![cheap.clone()], "0"),
            (vec![cheap.clone(), costly.clone(), cheap.clone(), costly.clone()], "1"),
            (vec![cheap.clone(), argon2(19_456, 2), argon2(19_456, 3), costly.clone()], "2"),
            (vec![argon2(65_536, 1), argon2(19_456, 3), costly], "0"),
            (vec![argon2(64, 1), cheap], "1"),
        ] {
            let mut users = Users::default();
            // Whatever comes first in the file.
            for (number, hash) in hashes.iter().enumerate().rev() {
                users.add(&number.to_string(), hash).expect("a user");
            }
            assert_eq!(users.1.map(|(_, name)| name).as_deref(), Some(expected));
        }
    }

    #[test]
    fn crowds_have_an_end() {
        let hash = hash(b"secret", Kind::Bcrypt(4)).expect("a hash");
        let mut users = Users::default();
        for number in 0..MAX_USERS {
            users.add(&number.to_string(), &hash).expect("a user");
        }
        assert_eq!(users.add("one more", &hash), Err(UserError::Crowd));
    }
}
