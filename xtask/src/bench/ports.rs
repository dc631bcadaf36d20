//! Ports for servers of other programs: they have to be known before these start.
//!
//! Below what the system hands out, and each with a locked file, as tests of the workspace keep theirs from each other.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context, Result};

/// First and one past the last of them.
const FIRST: u16 = 10_000;
const END: u16 = 32_768;

/// A port of 127.0.0.1 that nobody else takes until this is dropped.
pub(crate) struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// One at which nothing listens now. Fails if there is none.
    pub(crate) fn reserve() -> Result<Self> {
        let locks = env::temp_dir().join("tollgate-test-ports");
        fs::create_dir_all(&locks).with_context(|| format!("cannot make {}", locks.display()))?;
        let numbers = FIRST..END.min(first_of_system());
        let reserved = numbers.into_iter().find_map(|number| {
            let lock = File::create(locks.join(number.to_string())).ok()?;
            lock.try_lock().ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            Some(Self { number, _lock: lock })
        });
        reserved.context("no port of 127.0.0.1 is free")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn first_of_system() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_port_twice() {
        let (one, other) = (Port::reserve().expect("a port"), Port::reserve().expect("a port"));
        assert_ne!(one.address(), other.address());
        assert!((FIRST..END).contains(&one.address().port()));
    }
}
