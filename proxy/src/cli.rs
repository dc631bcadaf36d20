//! The command line: which sources a configuration has, and what is done with it.

mod ca;
mod password;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};

use crate::{
    app,
    config::{Change, ConfigErrors, Override, Sources},
};

/// Exit code for a configuration that is wrong; the command line's own errors have the same.
const WRONG_CONFIGURATION: u8 = 2;

/// A programmable HTTP proxy whose addons are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Run(ConfigArguments),
    /// Validate configuration and addons without serving; exit code 0 if all is well.
    Check(ConfigArguments),
    /// Print what an addon asks for, beside what it is granted.
    Inspect {
        /// A component; its name without `.wasm` is the addon's.
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,

        #[command(flatten)]
        config: InspectArguments,
    },
    /// Authorities for listeners that look into TLS.
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// Hash a password for `users` of a listener: one line of standard input, which is not shown.
    HashPassword(password::HashArguments),
}

/// Where settings come from: the file, over it variables and flags, over these `--set`. A flag replaces its variable.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// Configuration file in TOML; paths in it are relative to its directory.
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,

    /// One more reverse listener, as `http://127.0.0.1:8008@127.0.0.1:3000`; repeatable.
    ///
    /// A bare port listens on 127.0.0.1, `*:3000` on every IPv4 address. The listener's name is `reverse-3000`. The variable
    /// takes several with spaces between.
    #[arg(long, value_name = "UPSTREAM@[HOST:]PORT", env = "TOLLGATE_REVERSE", hide_env_values = true)]
    reverse: Vec<String>,

    /// One more forward listener, as `8080`: clients say where they go; repeatable.
    ///
    /// A bare port listens on 127.0.0.1, `*:8080` on every IPv4 address. Only clients of this machine may use it, unless `clients`
    /// of the listener says otherwise. Its name is `forward-8080`. The variable takes several with spaces between.
    #[arg(long, value_name = "[HOST:]PORT", env = "TOLLGATE_FORWARD", hide_env_values = true)]
    forward: Vec<String>,

    /// Directory of addons, watched [default: plugins].
    #[arg(long, value_name = "DIRECTORY", env = "TOLLGATE_PLUGINS")]
    plugins: Option<String>,

    /// Directory for compiled addons [default: tollgate in the user's cache directory].
    #[arg(long, value_name = "DIRECTORY", env = "TOLLGATE_CACHE")]
    cache: Option<String>,

    /// Turn the admin listener on; without an address at 127.0.0.1:9900.
    #[arg(long, value_name = "[HOST:]PORT", env = "TOLLGATE_ADMIN", num_args = 0..=1, default_missing_value = "9900")]
    admin: Option<String>,

    /// Answer the pages of the admin listener at `http://NAME/` through forward listeners, too.
    #[arg(long, value_name = "NAME", env = "TOLLGATE_CONTROLLER_HOST")]
    controller_host: Option<String>,

    /// Let an addon send requests of its own, as `callback=*,private`: adds to `addon.NAME.http`; repeatable.
    ///
    /// The variable takes several with spaces between.
    #[arg(long, value_name = "NAME=GRANT,…", env = "TOLLGATE_GRANT")]
    grant: Vec<String>,

    /// What to log: off, error, warn, info, debug, trace, also by module as `info,tollgate::http1=debug` [default: info].
    #[arg(long, value_name = "LEVEL", env = "TOLLGATE_LOG")]
    log: Option<String>,

    /// Record every flow to this file, as HAR 1.2; credentials are replaced.
    #[arg(long, value_name = "FILE.har", env = "TOLLGATE_RECORD")]
    record: Option<String>,

    /// Record credentials, too.
    #[arg(long)]
    record_secrets: bool,

    /// Any setting, as `addon.version-clamp.options={max="v1.10"}` or `listener.NAME.preserve_host=true`; repeatable.
    ///
    /// The value is TOML; a single word needs no quotes. Listeners go by number or name. Later ones win. The variable takes
    /// several, one a line.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE", env = "TOLLGATE_SET", hide_env_values = true)]
    set: Vec<String>,
}

/// Where options, grants and budgets of an addon come from, if not from the defaults.
#[derive(Debug, Args)]
struct InspectArguments {
    /// Configuration file in TOML; paths in it are relative to its directory.
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,

    /// Any setting, as `addon.version-clamp.edit=false`; repeatable.
    #[arg(long = "set", value_name = "KEY.PATH=VALUE", env = "TOLLGATE_SET", hide_env_values = true)]
    set: Vec<String>,
}

/// Does what the command line says. Errors go to standard error, one a line: exit code 2 for those of the configuration,
/// 1 for all others.
#[must_use]
pub fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let settings = matches.subcommand().map(|(_, settings)| settings);
    let done = match arguments.command {
        Command::Run(arguments) => app::run(arguments.sources(settings)),
        Command::Check(arguments) => app::check(&arguments.sources(settings)),
        Command::Inspect { file, config } => app::inspect(&file, &config.sources(settings)),
        Command::Ca(command) => ca::run(command),
        Command::HashPassword(arguments) => password::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    let mut out = std::io::stderr().lock();
    // Who closed standard error does not want to read it.
    if let Some(errors) = error.chain().find_map(|cause| cause.downcast_ref::<ConfigErrors>()) {
        for error in errors {
            let _ = writeln!(out, "error: {error}");
        }
        return ExitCode::from(WRONG_CONFIGURATION);
    }
    let _ = writeln!(out, "error: {error:#}");
    ExitCode::FAILURE
}

impl ConfigArguments {
    /// The sources, each change with the flag or the variable that it came by.
    fn sources(self, matches: Option<&ArgMatches>) -> Sources {
        let is_variable = |name: &str| is_variable(matches, name);
        let mut overrides = Vec::new();
        for (name, value, change) in [
            ("plugins", self.plugins, Change::Plugins as fn(String) -> Change),
            ("cache", self.cache, Change::Cache),
            ("admin", self.admin, Change::Admin),
            ("controller-host", self.controller_host, Change::ControllerHost),
            ("log", self.log, Change::Log),
            ("record", self.record, Change::Record),
        ] {
            let is_variable = is_variable(&name.replace('-', "_"));
            overrides.extend(changes(name, value, is_variable, char::is_control, change));
        }
        if self.record_secrets {
            overrides.push(Override { source: "--record-secrets".to_owned(), change: Change::RecordSecrets });
        }
        for (name, values, change) in [
            ("reverse", self.reverse, Change::Reverse as fn(String) -> Change),
            ("forward", self.forward, Change::Forward),
            ("grant", self.grant, Change::Grant),
        ] {
            overrides.extend(changes(name, values, is_variable(name), char::is_whitespace, change));
        }
        overrides.extend(settings(self.set, is_variable("set")));
        Sources { file: file(self.config), overrides }
    }
}

impl InspectArguments {
    fn sources(self, matches: Option<&ArgMatches>) -> Sources {
        Sources { file: file(self.config), overrides: settings(self.set, is_variable(matches, "set")) }
    }
}

/// Whether the value comes from the argument's variable.
fn is_variable(matches: Option<&ArgMatches>, name: &str) -> bool {
    matches.is_some_and(|matches| matches.value_source(name) == Some(ValueSource::EnvVariable))
}

/// An empty variable names no file.
fn file(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// Changes by `--set` or its variable.
fn settings(values: Vec<String>, is_variable: bool) -> Vec<Override> {
    changes("set", values, is_variable, |character| character == '\n', Change::Set)
}

/// Changes by one flag, or by its variable: that is split, and what is empty in it left out.
fn changes(
    name: &str,
    values: impl IntoIterator<Item = String>,
    is_variable: bool,
    is_separator: fn(char) -> bool,
    change: fn(String) -> Change,
) -> Vec<Override> {
    let source = if is_variable { format!("TOLLGATE_{}", name.to_uppercase().replace('-', "_")) } else { format!("--{name}") };
    let parts = |value: String| -> Vec<String> {
        if is_variable {
            value.split(is_separator).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        } else {
            vec![value]
        }
    };
    values.into_iter().flat_map(parts).map(|value| Override { source: source.clone(), change: change(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[&str]) -> Result<Sources, clap::Error> {
        let matches = Arguments::command().try_get_matches_from(["tollgate"].iter().chain(line))?;
        match Arguments::from_arg_matches(&matches)?.command {
            Command::Run(arguments) | Command::Check(arguments) => {
                Ok(arguments.sources(matches.subcommand().map(|(_, settings)| settings)))
            }
            Command::Ca(_) | Command::HashPassword(_) => Ok(Sources { file: None, overrides: Vec::new() }),
            Command::Inspect { config, .. } => Ok(config.sources(matches.subcommand().map(|(_, settings)| settings))),
        }
    }

    fn flag(name: &str, change: Change) -> Override {
        Override { source: name.to_owned(), change }
    }

    #[test]
    fn command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_become_changes_in_order() {
        let sources = parsed(&[
            "run",
            "--set",
            "a=1",
            "--reverse",
            "http://h@1",
            "--config",
            "c.toml",
            "--admin",
            "--set",
            "b=2",
            "--plugins",
            "p",
            "--reverse",
            "http://h@2",
            "--log",
            "debug",
            "--record-secrets",
            "--record",
            "f.har",
            "--cache",
            "c",
            "--grant",
            "a=*,private",
            "--controller-host",
            "mitm.code",
            "--forward",
            "8080",
        ]);
        let expected = Sources {
            file: Some("c.toml".into()),
            overrides: vec![
                flag("--plugins", Change::Plugins("p".to_owned())),
                flag("--cache", Change::Cache("c".to_owned())),
                flag("--admin", Change::Admin("9900".to_owned())),
                flag("--controller-host", Change::ControllerHost("mitm.code".to_owned())),
                flag("--log", Change::Log("debug".to_owned())),
                flag("--record", Change::Record("f.har".to_owned())),
                flag("--record-secrets", Change::RecordSecrets),
                flag("--reverse", Change::Reverse("http://h@1".to_owned())),
                flag("--reverse", Change::Reverse("http://h@2".to_owned())),
                flag("--forward", Change::Forward("8080".to_owned())),
                flag("--grant", Change::Grant("a=*,private".to_owned())),
                flag("--set", Change::Set("a=1".to_owned())),
                flag("--set", Change::Set("b=2".to_owned())),
            ],
        };
        assert_eq!(sources.expect("sources"), expected);
    }

    #[test]
    fn variables_hold_several_values() {
        let text = || ["a = [1,\tb]\n\n b=2 \n".to_owned()];
        let lines = changes("set", text(), true, |character| character == '\n', Change::Set);
        assert_eq!(
            lines,
            [flag("TOLLGATE_SET", Change::Set("a = [1,\tb]".to_owned())), flag("TOLLGATE_SET", Change::Set("b=2".to_owned()))]
        );
        assert_eq!(changes("set", text(), false, |character| character == '\n', Change::Set).len(), 1);
        assert_eq!(changes("reverse", ["x@1  y@2".to_owned()], true, char::is_whitespace, Change::Reverse).len(), 2);
        let controller = changes("controller-host", ["h".to_owned()], true, char::is_control, Change::ControllerHost);
        assert_eq!(controller, [flag("TOLLGATE_CONTROLLER_HOST", Change::ControllerHost("h".to_owned()))]);
        assert_eq!(changes("plugins", [String::new()], true, char::is_control, Change::Plugins).len(), 0);
    }

    #[test]
    fn stray_arguments_are_refused() {
        for line in [&["run", "x"][..], &["serve"], &[], &["inspect"], &["run", "--colour"], &["run", "--config"]] {
            assert!(parsed(line).is_err(), "{line:?}");
        }
    }
}
