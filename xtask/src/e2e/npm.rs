//! matrix-js-sdk, the client under Element.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{self, command, works};

/// The last version for Node.js 20.
const VERSION: &str = "37.5.0";

/// Puts the SDK into a folder, where it is not there yet. False, and a word about it, on a machine without Node.js.
pub(super) fn prepare(folder: &Path) -> Result<bool> {
    let has_node = works(command("node").args(["-e", "process.exit(Number(parseInt(process.versions.node) < 20))"]));
    if !has_node || !works(command("npm").arg("--version")) {
        eprintln!("    LEFT OUT: there is no Node.js 20 or later with npm; all other tests run");
        return Ok(false);
    }
    if has_sdk(folder) {
        eprintln!("    matrix-js-sdk {VERSION} is in {}", folder.display());
        return Ok(true);
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut install = command("npm");
    install.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel", "error", "--prefix"]);
    process::run(install.arg(folder).arg(format!("matrix-js-sdk@{VERSION}")))?;
    ensure!(has_sdk(folder), "{} has no matrix-js-sdk {VERSION} after it was installed", folder.display());
    Ok(true)
}

fn has_sdk(folder: &Path) -> bool {
    let package = fs::read(folder.join("node_modules/matrix-js-sdk/package.json")).unwrap_or_default();
    serde_json::from_slice(&package).is_ok_and(|package: Value| package.get("version").is_some_and(|found| found == VERSION))
}
