//! The chores of this workspace. `cargo xtask` without a command lists them.

mod autobahn;
mod bench;
mod build;
mod demo;
mod e2e;
mod http;
mod lint;
mod measure;
mod process;
mod servers;
mod test;
mod workspace;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  build          addons into plugins/ and target/addons/, the proxy into target/release/
  build --addons addons only
  demo           a sample origin, the proxy and the addons before it; ctrl-c stops
  demo --once    the same, asks what the demo suggests, checks the answers and stops
  test [ARGS]    all tests but e2e; ARGS go to cargo nextest run, or cargo test where that is not installed
  measure        what hostile addons cost other flows, what WebSockets and dedup cost, with a release build
  bench [CASES]  what the proxy costs beside nginx, Envoy, haproxy and mitmproxy; --quick, --rounds N, --install
  autobahn [CASES] Autobahn's WebSocket suite through the proxy, all of it with `all`; needs Python 2.7 with virtualenv
  e2e [ARGS]     against a real Synapse, installed below target/ if it is not there; ARGS go to cargo test
  e2e mastodon [ARGS] with a client of Mastodon alone
  lint           format, clippy, documentation, and who may depend on whom
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let known = ["build", "demo", "test", "measure", "bench", "autobahn", "e2e", "lint"];
    let is_known = words.first().is_some_and(|command| known.contains(command));
    if !is_known {
        print!("{USAGE}");
        if matches!(words.as_slice(), [] | ["help" | "--help" | "-h", ..]) {
            return Ok(());
        }
        bail!("there is no command {:?}", words.join(" "));
    }
    let workspace = Workspace::load()?;
    match words.as_slice() {
        ["build"] => build::all(&workspace),
        ["build", "--addons"] => build::addons(&workspace),
        ["demo"] => demo::run(&workspace, demo::Mode::UntilStopped),
        ["demo", "--once"] => demo::run(&workspace, demo::Mode::Once),
        ["test", rest @ ..] => test::run(&workspace, rest),
        ["measure"] => measure::run(&workspace),
        ["bench", arguments @ ..] => bench::run(&workspace, arguments),
        ["autobahn", cases @ ..] => autobahn::run(&workspace, cases),
        ["e2e", e2e::MASTODON, rest @ ..] => e2e::mastodon(&workspace, rest),
        ["e2e", rest @ ..] => e2e::run(&workspace, rest),
        ["lint"] => lint::run(&workspace),
        _ => bail!("unknown arguments: {}\n\n{USAGE}", words.join(" ")),
    }
}
