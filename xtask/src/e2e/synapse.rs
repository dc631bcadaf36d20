//! A Python that has Synapse.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::process::{self, command, works};

/// The version that the tests were last seen to pass with.
const VERSION: &str = "1.163.2";

/// Names the Python that has Synapse, to us and to the tests.
pub(super) const PYTHON: &str = "TOLLGATE_E2E_PYTHON";

/// The Python of a virtual environment, which is made anew where it is not as it should be. If the variable names another, that
/// is taken as it is, whatever version of Synapse it has.
pub(super) fn prepare(environment: &Path) -> Result<PathBuf> {
    if let Some(python) = env::var_os(PYTHON) {
        let has_any = works(command(&python).args(["-c", "import synapse"]));
        ensure!(has_any, "{PYTHON} is {}: no Python that has Synapse", python.display());
        return Ok(PathBuf::from(python));
    }
    let python = environment.join("bin").join("python");
    if has_synapse(&python) {
        eprintln!("    Synapse {VERSION} is in {}", environment.display());
        return Ok(python);
    }
    let system = || command("python3");
    ensure!(works(system().arg("--version")), "there is no python3 (Debian: apt-get install python3 python3-venv)");
    let is_new = works(system().args(["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]));
    ensure!(is_new, "python3 is too old: Synapse {VERSION} needs 3.10 or later");
    let can_install = works(system().args(["-c", "import ensurepip, venv"]));
    ensure!(can_install, "python3 has no venv or no pip (Debian: apt-get install python3-venv)");
    process::run(system().args(["-m", "venv", "--clear"]).arg(environment))?;
    let mut install = command(&python);
    install.args(["-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"]);
    // A build from source would need more than we could ask for.
    install.args(["--only-binary", "matrix-synapse"]).arg(format!("matrix-synapse=={VERSION}"));
    process::run(&mut install).with_context(|| format!("Synapse was not installed; {PYTHON} can name a Python that has it"))?;
    ensure!(has_synapse(&python), "{} has no Synapse {VERSION} after it was installed", environment.display());
    Ok(python)
}

fn has_synapse(python: &Path) -> bool {
    let question = format!("import importlib.metadata as m, sys; sys.exit(m.version('matrix-synapse') != '{VERSION}')");
    works(command(python).args(["-c", &question]))
}
