//! Clients from npm.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{self, command, works};

/// A package at the version that the tests were last seen to pass with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package {
    name: &'static str,
    version: &'static str,
    /// Names the folder to the tests.
    pub(super) variable: &'static str,
}

/// The client under Element; the last version for Node.js 20.
pub(super) const MATRIX: Package = Package { name: "matrix-js-sdk", version: "37.5.0", variable: "TOLLGATE_E2E_JS_SDK" };

/// A client of Mastodon; the last version for Node.js 20.
pub(super) const MASTODON: Package = Package { name: "masto", version: "7.12.0", variable: "TOLLGATE_E2E_MASTO" };

impl Package {
    /// Puts it into a folder of its own, where it is not there yet. False, and a word about it, on a machine without Node.js.
    pub(super) fn prepare(self, folder: &Path) -> Result<bool> {
        let Self { name, version, .. } = self;
        let has_node = works(command("node").args(["-e", "process.exit(Number(parseInt(process.versions.node) < 20))"]));
        if !has_node || !works(command("npm").arg("--version")) {
            eprintln!("    LEFT OUT: there is no Node.js 20 or later with npm; all other tests run");
            return Ok(false);
        }
        if self.is_in(folder) {
            eprintln!("    {name} {version} is in {}", folder.display());
            return Ok(true);
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut install = command("npm");
        install.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel", "error", "--prefix"]);
        process::run(install.arg(folder).arg(format!("{name}@{version}")))?;
        ensure!(self.is_in(folder), "{} has no {name} {version} after it was installed", folder.display());
        Ok(true)
    }

    fn is_in(self, folder: &Path) -> bool {
        let package = fs::read(folder.join("node_modules").join(self.name).join("package.json")).unwrap_or_default();
        let package = serde_json::from_slice::<Value>(&package).unwrap_or_default();
        package.get("version").is_some_and(|found| found == self.version)
    }
}
