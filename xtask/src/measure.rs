//! What hostile addons cost others, and what WebSockets cost, in numbers.

use anyhow::Result;

use crate::{
    build,
    process::{self, cargo, step},
    workspace::Workspace,
};

/// Builds addons and proxy for release, and measures the proxy with the tests that are for that.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    build::all(workspace)?;
    step("measuring", || {
        let mut measure = cargo();
        measure.env("TOLLGATE_BIN", workspace.target.join("release/tollgate"));
        measure.args(["test", "--package", "tollgate-tests", "--test", "measure_sandbox", "--test", "measure_websocket", "--"]);
        process::run(measure.args(["--ignored", "--nocapture", "--test-threads", "1"]))
    })
}
