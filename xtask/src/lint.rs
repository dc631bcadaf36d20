//! Everything that is checked without running the code.

mod boundaries;
mod sources;

use anyhow::{Result, bail};

use crate::{
    build::TARGET,
    process::{self, cargo, step},
    workspace::Workspace,
};

/// Runs all checks, also after one has failed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let checks: [(&str, &dyn Fn() -> Result<()>); 6] = [
        ("format", &|| process::run(cargo().args(["fmt", "--all", "--check"]))),
        ("boundaries", &|| boundaries(workspace)),
        ("clippy", &|| process::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))),
        ("clippy for components", &|| clippy_for_components(workspace)),
        ("clippy of the filter for Envoy", &|| filter(workspace)),
        ("documentation", &|| process::run(cargo().args(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))),
    ];
    let failed: Vec<&str> = checks.iter().filter(|(title, check)| reports(step(title, check))).map(|(title, _)| *title).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Shows an error; whether there was one.
fn reports(done: Result<()>) -> bool {
    done.inspect_err(|error| eprintln!("    {error:#}")).is_err()
}

/// Addons, and with them the SDK, have code that only exists for this target.
fn clippy_for_components(workspace: &Workspace) -> Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--target", TARGET]);
    let addons: Vec<_> = workspace.addons().map(|(name, _)| name).collect();
    if addons.is_empty() {
        return Ok(());
    }
    for name in addons.iter().copied().chain(workspace.packages.contains_key("tollgate-sdk").then_some("tollgate-sdk")) {
        clippy.args(["--package", name]);
    }
    process::run(clippy.args(["--", "-D", "warnings"]))
}

/// The filter that `bench` compares with is outside of the workspace, and kept to the same rules.
fn filter(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root.join("tests/bench/filter/Cargo.toml");
    process::run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(&manifest))?;
    let mut clippy = cargo();
    clippy.args(["clippy", "--locked", "--manifest-path"]).arg(&manifest);
    process::run(clippy.arg("--target-dir").arg(workspace.target.join("bench/filter")).args(["--", "-D", "warnings"]))
}

/// Who may depend on whom, and what may be named where.
fn boundaries(workspace: &Workspace) -> Result<()> {
    let mut broken = boundaries::dependencies(workspace);
    broken.extend(boundaries::names(&workspace.root)?);
    for breach in &broken {
        eprintln!("    {breach}");
    }
    if !broken.is_empty() {
        bail!("{} boundaries are crossed; ARCHITECTURE.md tells why they are there", broken.len());
    }
    Ok(())
}
