//! Components and the proxy.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, cargo, command, output, step},
    workspace::{Package, Workspace},
};

/// What components are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Everything that runs outside of tests.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    addons(workspace)?;
    step("building the proxy", || process::run(cargo().args(["build", "--release", "--package", "tollgate"])))
}

/// Every component: bundled addons into `plugins/`, those of `examples/` into `target/addons/`, all others, which are guests
/// for tests, into `target/guests/`. A file appears or changes at once, as a running proxy watches the directory; one whose
/// content is the same is left alone.
pub(crate) fn addons(workspace: &Workspace) -> Result<()> {
    let addons: Vec<_> = workspace.addons().collect();
    if addons.is_empty() {
        return Ok(());
    }
    step("building addons", || {
        add_target(TARGET)?;
        let mut compile = cargo();
        compile.args(["build", "--target", TARGET, "--profile", "addon"]);
        for (name, _) in &addons {
            compile.args(["--package", name]);
        }
        process::run(&mut compile)?;
        let built = workspace.target.join(TARGET).join("addon");
        for (name, package) in &addons {
            let from = built.join(format!("{}.wasm", name.replace('-', "_")));
            let to = folder_of(workspace, package).join(format!("{name}.wasm"));
            let is_new = install(&from, &to)?;
            let shown = to.strip_prefix(&workspace.root).unwrap_or(&to).display();
            eprintln!("    {shown}: {}", if is_new { "new" } else { "unchanged" });
        }
        Ok(())
    })
}

fn folder_of(workspace: &Workspace, package: &Package) -> PathBuf {
    if package.folder.starts_with("plugins") {
        workspace.root.join("plugins")
    } else if package.folder.starts_with("examples") {
        workspace.target.join("addons")
    } else {
        workspace.target.join("guests")
    }
}

/// Adds a target to the toolchain if it is missing.
pub(crate) fn add_target(target: &str) -> Result<()> {
    let rustc = || command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let library = output(rustc().args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    process::run(command("rustup").args(["target", "add", target]))
        .with_context(|| format!("the compiler has no {target}, and rustup could not add it"))
}

/// Copies a file by way of a temporary one beside the new; tells whether anything changed.
fn install(from: &Path, to: &Path) -> Result<bool> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(false);
    }
    let (Some(folder), Some(name)) = (to.parent(), to.file_name()) else { bail!("{} is no file", to.display()) };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Not *.wasm: who watches the directory must not take it for an addon.
    let temporary = folder.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, to))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn unchanged_files_are_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("a"), directory.path().join("new/b.wasm"));
        fs::write(&from, "1").expect("a file");
        assert!(install(&from, &to).expect("installed"));
        assert!(!install(&from, &to).expect("installed"));
        fs::write(&from, "2").expect("a file");
        assert!(install(&from, &to).expect("installed"));
        assert_eq!(fs::read(&to).expect("a file"), b"2");
        assert_eq!(fs::read_dir(directory.path().join("new")).expect("a directory").count(), 1);
    }

    #[test]
    fn components_go_where_they_belong() {
        let workspace = Workspace { root: "/w".into(), target: "/t".into(), packages: std::collections::BTreeMap::new() };
        for (folder, place) in [("plugins/a", "/w/plugins"), ("examples/a", "/t/addons"), ("tests/guests/a", "/t/guests")] {
            let package = Package { folder: folder.into(), is_addon: true, dependencies: vec![] };
            assert_eq!(folder_of(&workspace, &package), Path::new(place));
        }
    }
}
