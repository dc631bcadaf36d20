//! Keeps the cores of a virtual machine awake while something is measured.
//!
//! A proxy that answers wakes the core of the load, and one that asks that of the origin. Where such a core has gone to sleep, a
//! virtual machine leaves it to its host to wake it, at the cost of the core that asks for it: several microseconds, which the proxy
//! pays the more often the slower it is, and which say nothing about it. Linux can look for work for a while before it sleeps
//! (`haltpoll`); where it can be told to, that is on while there is a value of this kind, and as it was before afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where Linux has it.
const PARAMETERS: &str = "/sys/module/haltpoll/parameters";

/// How long a core looks for work before it sleeps, in nanoseconds, and that this does not become shorter.
const WANTED: [(&str, &str); 2] = [("guest_halt_poll_ns", "200000"), ("guest_halt_poll_allow_shrink", "N")];

/// Puts things back as they were.
pub(crate) struct Awake {
    before: Vec<(PathBuf, String)>,
}

impl Awake {
    /// Has cores look for work, where that can be had.
    pub(crate) fn begin() -> Self {
        Self::begin_at(Path::new(PARAMETERS))
    }

    fn begin_at(parameters: &Path) -> Self {
        let mut awake = Self { before: Vec::new() };
        for (name, value) in WANTED {
            let path = parameters.join(name);
            let Ok(before) = fs::read_to_string(&path) else { break };
            if fs::write(&path, value).is_err() {
                break;
            }
            awake.before.push((path, before.trim().to_owned()));
        }
        awake
    }

    /// What the report says of it.
    pub(crate) const fn shown(&self) -> &'static str {
        if self.before.len() == WANTED.len() { "idle cores poll for 200 µs" } else { "idle cores as the system has them" }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for (path, before) in &self.before {
            if let Err(error) = fs::write(path, before) {
                eprintln!("cannot put {} back to {before}: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_put_back() {
        let folder = tempfile::tempdir().expect("a directory");
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
        for (name, before) in [(WANTED[0].0, "0\n"), (WANTED[1].0, "Y\n")] {
            fs::write(folder.path().join(name), before).expect("a file");
        }
        let awake = Awake::begin_at(folder.path());
        assert_eq!((read(WANTED[0].0).as_str(), read(WANTED[1].0).as_str()), ("200000", "N"));
        assert_eq!(awake.shown(), "idle cores poll for 200 µs");
        drop(awake);
        assert_eq!((read(WANTED[0].0).as_str(), read(WANTED[1].0).as_str()), ("0", "Y"));
    }

    #[test]
    fn systems_without_it_stay_as_they_are() {
        let folder = tempfile::tempdir().expect("a directory");
        let awake = Awake::begin_at(folder.path());
        assert_eq!(awake.shown(), "idle cores as the system has them");
        drop(awake);
        assert_eq!(fs::read_dir(folder.path()).expect("a directory").count(), 0);
    }
}
