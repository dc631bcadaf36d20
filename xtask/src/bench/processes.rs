//! What proc(5) says of a program and of all that it started.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::process::{command, output};

use super::statistics::float;

/// A process and its descendants. Those that ended before their time was asked for are in the time of who waited for them.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: u32,
    proc: PathBuf,
    /// Units of time a second.
    ticks: f64,
}

/// What is read of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// User and system, its own and of children that it waited for, in ticks.
    time: u64,
}

impl Tree {
    pub(crate) fn of(root: u32) -> Result<Self> {
        let ticks = output(command("getconf").arg("CLK_TCK"))?;
        let ticks: u32 = ticks.trim().parse().context("getconf CLK_TCK is no number")?;
        Ok(Self { root, proc: "/proc".into(), ticks: f64::from(ticks) })
    }

    /// Seconds on the processor, user and system. Fails if the process is gone.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let members = self.members()?;
        Ok(float(members.values().map(|stat| stat.time).sum()) / self.ticks)
    }

    /// The peak counts from here.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        for id in self.members()?.into_keys() {
            let path = self.proc.join(id.to_string()).join("clear_refs");
            fs::write(&path, "5").with_context(|| format!("cannot reset the peak of memory: {}", path.display()))?;
        }
        Ok(())
    }

    /// The sum of the most bytes of memory that each occupied.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.sum("status", |text| kibibytes(text, "VmHWM:"))
    }

    /// Bytes of memory that nobody else has.
    pub(crate) fn private(&self) -> Result<u64> {
        self.sum("smaps_rollup", |text| Some(kibibytes(text, "Private_Clean:")? + kibibytes(text, "Private_Dirty:")?))
    }

    fn sum(&self, file: &str, read: impl Fn(&str) -> Option<u64>) -> Result<u64> {
        let mut sum = 0;
        for id in self.members()?.into_keys() {
            let path = self.proc.join(id.to_string()).join(file);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            sum += read(&text).with_context(|| format!("{} has no such line", path.display()))? * 1024;
        }
        Ok(sum)
    }

    fn members(&self) -> Result<BTreeMap<u32, Stat>> {
        let all = processes(&self.proc)?;
        let root = *all.get(&self.root).with_context(|| format!("the process {} is gone", self.root))?;
        let mut members = BTreeMap::from([(self.root, root)]);
        // Children can have smaller numbers than their parents, so once is not enough.
        loop {
            let before = members.len();
            for (id, stat) in &all {
                if members.contains_key(&stat.parent) {
                    members.insert(*id, *stat);
                }
            }
            if members.len() == before {
                return Ok(members);
            }
        }
    }
}

fn processes(proc: &Path) -> Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(proc).with_context(|| format!("cannot read {}", proc.display()))? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is none of ours: ours are still needed.
        let Ok(text) = fs::read_to_string(entry.path().join("stat")) else { continue };
        all.insert(id, stat(&text).with_context(|| format!("{} is not what it was", entry.path().display()))?);
    }
    Ok(all)
}

/// The name is in parentheses and can have any characters, these too.
fn stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // As proc(5) counts, the first of these is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let time = field(14)? + field(15)? + field(16)? + field(17)?;
    Some(Stat { parent: u32::try_from(field(4)?).ok()?, time })
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, parent: u32, times: [u64; 4]) -> String {
        let [user, system, waited_user, waited_system] = times;
        format!(
            "1 ({name}) S {parent} 2 3 0 -1 4194304 503 0 6 0 {user} {system} {waited_user} {waited_system} 20 0 1 0 51 105 168 0"
        )
    }

    #[test]
    fn names_cannot_lead_astray() {
        let found = stat(&line("a) S 9 9 (b", 7, [1, 20, 300, 4000]));
        assert_eq!(found, Some(Stat { parent: 7, time: 4321 }));
        assert_eq!(stat("1 (a) S 7 2 3"), None);
    }

    #[test]
    fn memory_is_read_by_name() {
        let status = "VmPeak:\t  200 kB\nVmHWM:\t   12345 kB\nVmRSS:\t     1 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(12345));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }

    #[test]
    fn descendants_count_and_strangers_do_not() {
        let proc = tempfile::tempdir().expect("a directory");
        let put = |id: u32, parent: u32, time: u64, peak: u64| {
            let folder = proc.path().join(id.to_string());
            fs::create_dir(&folder).expect("a directory");
            fs::write(folder.join("stat"), line("p", parent, [time, 0, 0, 0])).expect("a file");
            fs::write(folder.join("status"), format!("VmHWM: {peak} kB\n")).expect("a file");
        };
        fs::create_dir(proc.path().join("sys")).expect("a directory");
        // A grandchild with a smaller number than its parent.
        put(50, 1, 100, 1);
        put(60, 50, 20, 2);
        put(55, 60, 3, 4);
        put(70, 1, 5000, 8);
        let tree = Tree { root: 50, proc: proc.path().into(), ticks: 100.0 };
        assert!((tree.cpu().expect("seconds") - 1.23).abs() < 1e-9);
        assert_eq!(tree.peak().expect("bytes"), 7 * 1024);
        tree.reset_peak().expect("reset");
        assert!(proc.path().join("55/clear_refs").exists() && !proc.path().join("70/clear_refs").exists());
        let gone = Tree { root: 51, proc: proc.path().into(), ticks: 100.0 };
        assert_eq!(gone.cpu().expect_err("gone").to_string(), "the process 51 is gone");
    }

    #[test]
    fn time_of_a_busy_process_is_seen() {
        let tree = Tree::of(std::process::id()).expect("this process");
        let before = tree.cpu().expect("seconds");
        let mut sum = 0_u64;
        while tree.cpu().expect("seconds") <= before {
            sum = (0..1_000_000_u64).fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
        }
        assert!(tree.private().expect("bytes") > 0 && std::hint::black_box(sum) != 1);
    }
}
