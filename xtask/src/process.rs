//! Running other programs, and telling what is going on.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// Runs a step under its heading, and tells how long it took.
pub(crate) fn step<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("\n==> {title}");
    let start = Instant::now();
    let done = work();
    let verdict = if done.is_ok() { "done" } else { "failed" };
    eprintln!("==> {title}: {verdict} in {:.1} s", start.elapsed().as_secs_f64());
    done
}

/// A call of cargo, as a user would call it in this directory.
///
/// Not by `CARGO`, which has links resolved: a compiler that is called by another path is another compiler to cargo, and
/// everything would be built anew with every change between `cargo` and `cargo xtask`.
pub(crate) fn cargo() -> Command {
    let mut cargo = command("cargo");
    cargo.env_remove("CARGO");
    cargo
}

/// A call of a program, without what cargo told us about this package: build scripts that look at such variables would
/// build anew with every change between `cargo` and `cargo xtask`.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let is_about_us = name.to_str().is_some_and(|name| {
            let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        });
        if is_about_us {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end, with the terminal's input and output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("    {}", shown(command));
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Standard output of a program that says nothing else.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} did not answer in UTF-8", shown(command)))
}

/// Whether a program is there and answers.
pub(crate) fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
