//! Ports that stay a test's own while nothing listens at them.
//!
//! The system hands out a port that was asked for with 0 again as soon as it is free, to any socket of the machine: a server of
//! another program, or one that is down for a while, would lose its place to another test. These are below what the system
//! hands out, and a locked file keeps other tests from each.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
};

/// First of the ports that are given away.
const FIRST: u16 = 10_000;
/// One past the last, where the system does not begin earlier.
const END: u16 = 32_768;

/// A port of 127.0.0.1 that no other test uses until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// One at which nothing listens now.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn reserve() -> Self {
        // Far apart from process to process, so that locks are seldom in each other's way.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let count = END.min(system_s_first()).saturating_sub(FIRST).max(1);
        let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(count)).unwrap_or(0);
        (0..count)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed) % count;
                let number = FIRST + u16::try_from((u32::from(start) + u32::from(step)) % u32::from(count)).unwrap_or(0);
                let lock = locked(number)?;
                let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
                is_free.then_some(Self { number, _lock: lock })
            })
            .expect("a port that nobody uses")
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// `http://` and where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }
}

fn locked(number: u16) -> Option<File> {
    let directory = directory();
    fs::create_dir_all(&directory).expect("a directory for locks");
    let file = File::create(directory.join(number.to_string())).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// The same for all tests of a machine.
fn directory() -> PathBuf {
    std::env::temp_dir().join("tollgate-test-ports")
}

fn system_s_first() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(END)
}
