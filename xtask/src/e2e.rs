//! Tests against a real Synapse.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, cargo, command, step, works},
    test,
    workspace::Workspace,
};

/// The version that the tests were last seen to pass with.
const SYNAPSE: &str = "1.163.2";

/// Package and feature that hold the tests.
const PACKAGE: &str = "tollgate-tests";
const FEATURE: &str = "e2e";

/// Runs the tests with the path of a Python that has Synapse in `TOLLGATE_E2E_PYTHON`. If that is set already, it is taken
/// as it is, whatever version it has.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let has_tests =
        workspace.packages.get(PACKAGE).is_some_and(|package| package.features.iter().any(|feature| feature == FEATURE));
    if !has_tests {
        bail!("there is no package {PACKAGE} with a feature {FEATURE}");
    }
    let python = match std::env::var_os("TOLLGATE_E2E_PYTHON") {
        Some(python) => PathBuf::from(python),
        None => step("Synapse", || synapse(workspace))?,
    };
    test::prepare(workspace)?;
    step("end-to-end tests", || {
        let mut tests = cargo();
        tests.args(["test", "--package", PACKAGE, "--features", FEATURE, "--test", FEATURE]);
        process::run(tests.args(arguments).env("TOLLGATE_E2E_PYTHON", &python))
    })
}

/// A virtual environment with Synapse, made or completed where needed.
fn synapse(workspace: &Workspace) -> Result<PathBuf> {
    let environment = workspace.target.join("e2e-venv");
    let python = environment.join("bin").join("python");
    if has_synapse(&python) {
        eprintln!("    Synapse {SYNAPSE} is in {}", environment.display());
        return Ok(python);
    }
    process::run(command("python3").args(["-m", "venv"]).arg(&environment))
        .context("Python 3.10 or later with venv is needed (Debian: apt-get install python3-venv)")?;
    process::run(
        command(&python)
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"])
            .arg(format!("matrix-synapse=={SYNAPSE}")),
    )?;
    if !has_synapse(&python) {
        bail!("{} has no Synapse {SYNAPSE} after it was installed", environment.display());
    }
    Ok(python)
}

fn has_synapse(python: &Path) -> bool {
    let question = format!("import importlib.metadata as m, sys; sys.exit(m.version('matrix-synapse') != '{SYNAPSE}')");
    works(command(python).args(["-c", &question]))
}
