//! mitmproxy, with the addon of `tests/bench/mitmproxy`.

use anyhow::Result;

use crate::process::command;

use super::{
    Bench,
    proxy::{Place, Proxy, Wants},
};

/// Starts mitmdump before the upstream, quiet.
pub(crate) fn start(bench: &Bench, wants: &Wants<'_>) -> Result<Proxy> {
    let place = Place::reserve(bench, wants.label)?;
    let mut program = command(&bench.tools.mitmdump);
    program.args(["--quiet", "--mode", &format!("reverse:http://{}", wants.upstream)]);
    program.args(["--listen-host", "127.0.0.1", "--listen-port", &place.address.port().to_string()]);
    program.arg("--set").arg(format!("confdir={}", place.folder.display()));
    program.args(["--set", "flow_detail=0", "--set", "keep_host_header=true"]).arg("--scripts").arg(&bench.python_addon);
    Proxy::start(place, wants, false, &program)
}
