//! Tests against a real Synapse and with a client of Mastodon, those of examples that are not in Rust, and Autobahn's of WebSockets.

mod npm;
mod pytest;
mod synapse;

use anyhow::Result;

use crate::{
    autobahn,
    process::{self, cargo, step},
    test,
    workspace::Workspace,
};

/// The tests; no other chore runs them.
pub(crate) const PACKAGE: &str = "tollgate-e2e";

/// The tests with a client of Mastodon, by the name with which they can be run alone.
pub(crate) const MASTODON: &str = "mastodon";

/// Installs what the tests run against, builds what they start, and runs them; those with clients from npm only where there is
/// a Node.js that can run them, Autobahn's only where there is a Python 2.7.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let python = step("Synapse", || synapse::prepare(&workspace.target.join("e2e-venv")))?;
    let folder = workspace.target.join("e2e-node");
    let has_js_sdk = step("matrix-js-sdk", || npm::MATRIX.prepare(&folder))?;
    test::prepare(workspace)?;
    step("end-to-end tests", || {
        let mut tests = cargo();
        tests.args(["test", "--package", PACKAGE, "--test", "synapse", "--test", "federation"]).env(synapse::PYTHON, &python);
        if has_js_sdk {
            tests.args(["--test", "js_sdk"]).env(npm::MATRIX.variable, &folder);
        }
        process::run(tests.args(arguments))
    })?;
    mastodon_tests(workspace, arguments)?;
    if !arguments.is_empty() {
        return Ok(());
    }
    step("examples in Python", || pytest::run(workspace))?;
    step("WebSockets by Autobahn's judgement", || autobahn::run_quick(workspace, &workspace.target.join("debug/tollgate")))
}

/// Those with a client of Mastodon alone, which need no Synapse.
pub(crate) fn mastodon(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    test::prepare(workspace)?;
    mastodon_tests(workspace, arguments)
}

fn mastodon_tests(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let folder = workspace.target.join("e2e-masto");
    if !step("masto", || npm::MASTODON.prepare(&folder))? {
        return Ok(());
    }
    step("a client of Mastodon", || {
        let mut tests = cargo();
        tests.args(["test", "--package", PACKAGE, "--test", MASTODON]).env(npm::MASTODON.variable, &folder);
        process::run(tests.args(arguments))
    })
}
