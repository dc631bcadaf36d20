//! Who runs where.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::process::{command, run};

/// Cores for the proxy, the load and the origin. With two, load and origin share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores {
    /// All that this process may use.
    pub(crate) all: Vec<u32>,
    pub(crate) proxy: u32,
    pub(crate) load: u32,
    pub(crate) origin: u32,
}

impl Cores {
    pub(crate) fn find() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        Self::of(list.unwrap_or_default().trim())
    }

    fn of(list: &str) -> Result<Self> {
        let all = parse(list).with_context(|| format!("cannot read this list of cores: {list:?}"))?;
        let (Some(&proxy), Some(&load)) = (all.first(), all.last()) else { anyhow::bail!("there is no core") };
        ensure!(all.len() > 1, "a core for the proxy and another for load and origin are needed; here is one");
        let origin = if all.len() > 2 { *all.get(1).unwrap_or(&load) } else { load };
        Ok(Self { all, proxy, load, origin })
    }

    /// Puts this process, and what it starts without saying otherwise, where the load is.
    pub(crate) fn pin_ourselves(&self) -> Result<()> {
        let mut pin = command("taskset");
        run(pin.args(["-a", "-cp", &self.load.to_string(), &std::process::id().to_string()]).stdout(std::process::Stdio::null()))
    }

    /// Two cores for a proxy, and whether load and origin have others.
    pub(crate) fn two(&self) -> (String, bool) {
        match self.all.as_slice() {
            [first, _, third, _, ..] => (format!("{first},{third}"), self.origin != *third),
            [first, second, ..] => (format!("{first},{second}"), false),
            _ => (self.proxy.to_string(), false),
        }
    }
}

/// As in `0-3,8`.
fn parse(list: &str) -> Option<Vec<u32>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_have_a_core_of_their_own() {
        let cores = |list| Cores::of(list).map(|cores| (cores.proxy, cores.origin, cores.load)).expect("cores");
        assert_eq!(cores("0-1"), (0, 1, 1));
        assert_eq!(cores("2,4,7"), (2, 4, 7));
        assert_eq!(cores("0-3,8"), (0, 1, 8));
        assert!(Cores::of("3").is_err() && Cores::of("").is_err() && Cores::of("a-b").is_err());
    }

    #[test]
    fn two_cores_leave_others_to_load_and_origin() {
        assert_eq!(Cores::of("0-1").expect("cores").two(), ("0,1".to_owned(), false));
        assert_eq!(Cores::of("0-2").expect("cores").two(), ("0,1".to_owned(), false));
        assert_eq!(Cores::of("0-3").expect("cores").two(), ("0,2".to_owned(), true));
    }
}
