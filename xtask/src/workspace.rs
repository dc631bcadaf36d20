//! What cargo knows about this workspace.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{cargo, output};

/// Packages and folders.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    /// By name.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Relative to the root of the workspace.
    pub(crate) folder: PathBuf,
    /// Whether it is built as a component.
    pub(crate) is_addon: bool,
    /// Names of what it depends on, in whatever way.
    pub(crate) dependencies: Vec<String>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        Self::parse(&metadata).context("cargo metadata is not what it was")
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(metadata)?;
        let path = |name| metadata.get(name).and_then(Value::as_str).map(PathBuf::from).with_context(|| format!("no {name}"));
        let root = path("workspace_root")?;
        let mut packages = BTreeMap::new();
        for package in items(&metadata, "packages") {
            let name = package.get("name").and_then(Value::as_str).context("no name")?;
            let manifest = package.get("manifest_path").and_then(Value::as_str).context("no manifest_path")?;
            let folder = Path::new(manifest).parent().context("no folder")?;
            let is_addon =
                items(package, "targets").any(|target| items(target, "kind").any(|kind| kind.as_str() == Some("cdylib")));
            let names = items(package, "dependencies").filter_map(|dependency| dependency.get("name")?.as_str());
            packages.insert(
                name.to_owned(),
                Package {
                    folder: folder.strip_prefix(&root).unwrap_or(folder).to_owned(),
                    is_addon,
                    dependencies: names.map(str::to_owned).collect(),
                },
            );
        }
        Ok(Self { root, target: path("target_directory")?, packages })
    }

    /// Packages that are built as components, with their names.
    pub(crate) fn addons(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.packages.iter().filter(|(_, package)| package.is_addon).map(|(name, package)| (name.as_str(), package))
    }

    /// The program of a package, as a build of this profile leaves it.
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_told_from_programs() {
        let metadata = r#"{"workspace_root": "/w", "target_directory": "/w/target", "packages": [
            {"name": "a", "manifest_path": "/w/plugins/a/Cargo.toml", "targets": [{"kind": ["cdylib", "rlib"]}],
             "dependencies": [{"name": "sdk"}]},
            {"name": "b", "manifest_path": "/w/b/Cargo.toml", "targets": [{"kind": ["lib"]}, {"kind": ["bin"]}],
             "dependencies": []}]}"#;
        let workspace = Workspace::parse(metadata).expect("metadata");
        let addons: Vec<_> = workspace.addons().map(|(name, package)| (name, package.folder.as_path())).collect();
        assert_eq!(addons, [("a", Path::new("plugins/a"))]);
        assert_eq!(workspace.packages["a"].dependencies, ["sdk"]);
        assert_eq!(workspace.program("release", "b"), Path::new("/w/target/release/b"));
    }
}
