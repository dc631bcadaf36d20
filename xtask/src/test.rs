//! All tests that need nothing but this repository.

use anyhow::Result;

use crate::{
    build, e2e,
    process::{self, cargo, step, works},
    workspace::Workspace,
};

/// Builds what black-box tests start, then runs all tests, or those that the arguments choose.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    prepare(workspace)?;
    step("tests", || {
        let has_nextest = works(cargo().args(["nextest", "--version"]));
        let command: &[&str] = if has_nextest { &["nextest", "run"] } else { &["test", "--lib", "--bins", "--tests"] };
        process::run(cargo().args(command).args(["--workspace", "--exclude", e2e::PACKAGE, "--no-fail-fast"]).args(arguments))
    })?;
    if !arguments.is_empty() {
        return Ok(());
    }
    step("examples in documentation", || process::run(cargo().args(["test", "--workspace", "--doc"])))
}

/// Components (`plugins/`, `target/addons/`, `target/guests/`) and the programs of the workspace (`target/debug/`).
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    build::addons(workspace)?;
    step("building programs for tests", || process::run(cargo().args(["build", "--workspace", "--bins"])))
}
