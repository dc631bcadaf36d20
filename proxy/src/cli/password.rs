//! `tollgate hash-password`.

use std::io::{BufRead as _, Read as _, Write as _};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::users::{Kind, Users, hash};

/// Longest line: the longest password, and its end.
const MAX_LINE: u64 = 1026;

#[derive(Debug, Args)]
pub(super) struct HashArguments {
    /// Print `NAME:HASH`, a line of a `users_file`.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Hash by bcrypt with this cost, from 4 to 15, as `htpasswd -B` does [default: argon2id].
    #[arg(long, value_name = "COST", num_args = 0..=1, default_missing_value = "12", value_parser = clap::value_parser!(u32).range(4..=15))]
    bcrypt: Option<u32>,
}

/// Reads a password and prints its hash.
pub(super) fn run(arguments: &HashArguments) -> anyhow::Result<()> {
    let mut line = Vec::new();
    std::io::stdin().lock().take(MAX_LINE).read_until(b'\n', &mut line).context("standard input cannot be read")?;
    let password = line.strip_suffix(b"\n").unwrap_or(&line);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    let hash = hash(password, arguments.bcrypt.map_or(Kind::Argon2, Kind::Bcrypt))?;
    let mut out = std::io::stdout().lock();
    match &arguments.user {
        None => writeln!(out, "{hash}")?,
        Some(name) => {
            if let Err(error) = Users::default().add(name, &hash) {
                bail!("--user: {error}");
            }
            writeln!(out, "{name}:{hash}")?;
        }
    }
    Ok(out.flush()?)
}
