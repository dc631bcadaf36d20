//! The examples' tests in Python.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{
    process::{self, command, works},
    workspace::Workspace,
};

/// The version that the tests were last seen to pass with.
const VERSION: &str = "9.2.0";

/// Runs them in a virtual environment of their own. What they start is built.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let environment = workspace.target.join("e2e-pytest");
    let python = environment.join("bin").join("python");
    if !has_pytest(&python) {
        process::run(command("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        let mut install = command(&python);
        install.args(["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"]);
        process::run(install.arg(format!("pytest=={VERSION}"))).context("pytest was not installed")?;
    }
    let mut tests = command(&python);
    tests.args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"]).arg(Path::new("examples/callback/python"));
    process::run(tests.current_dir(&workspace.root).env("PYTHONDONTWRITEBYTECODE", "1"))
}

fn has_pytest(python: &Path) -> bool {
    let question = format!("import importlib.metadata as m, sys; sys.exit(m.version('pytest') != '{VERSION}')");
    works(command(python).args(["-c", &question]))
}
