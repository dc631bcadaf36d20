//! Tests against a real Synapse, those of examples that are not in Rust, and Autobahn's of WebSockets.

mod js_sdk;
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

/// Installs what the tests run against, builds what they start, and runs them; those with matrix-js-sdk only where there is
/// a Node.js that can run it, Autobahn's only where there is a Python 2.7.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let python = step("Synapse", || synapse::prepare(&workspace.target.join("e2e-venv")))?;
    let folder = workspace.target.join("e2e-node");
    let has_js_sdk = step("matrix-js-sdk", || js_sdk::prepare(&folder))?;
    test::prepare(workspace)?;
    step("end-to-end tests", || {
        let mut tests = cargo();
        tests.args(["test", "--package", PACKAGE, "--test", "synapse"]).env(synapse::PYTHON, &python);
        if has_js_sdk {
            tests.args(["--test", "js_sdk"]).env("TOLLGATE_E2E_JS_SDK", &folder);
        }
        process::run(tests.args(arguments))
    })?;
    if !arguments.is_empty() {
        return Ok(());
    }
    step("examples in Python", || pytest::run(workspace))?;
    step("WebSockets by Autobahn's judgement", || autobahn::run_quick(workspace, &workspace.target.join("debug/tollgate")))
}
