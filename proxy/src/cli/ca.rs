//! `tollgate ca`: authorities for listeners that look into TLS.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use time::OffsetDateTime;

use crate::mint::{self, Description, New};

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Make a new authority: a certificate, and its key in a file that only you can read. Neither replaces a file.
    Init {
        /// Where its certificate goes.
        #[arg(long, value_name = "FILE", default_value = "ca.pem")]
        ca: PathBuf,

        /// Where its key goes.
        #[arg(long, value_name = "FILE", default_value = "ca.key")]
        key: PathBuf,

        /// Its name, as trust stores show it: 1 to 64 characters.
        #[arg(long, value_name = "NAME", default_value = "Tollgate CA", value_parser = name)]
        name: String,

        /// How many days it is good for.
        #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: u32,
    },
    /// Tell whose an authority is, its fingerprint, and until when it is good.
    Show {
        /// PEM file with its certificate.
        #[arg(value_name = "FILE", default_value = "ca.pem")]
        ca: PathBuf,
    },
    /// Write an authority's certificate, and never its key, for those who are to trust it.
    Export {
        /// PEM file with its certificate.
        #[arg(value_name = "FILE", default_value = "ca.pem")]
        ca: PathBuf,

        /// `pem` for most programs, `der` for Windows, Android and Java.
        #[arg(long, value_enum, default_value_t = Format::Pem)]
        format: Format,

        /// Where it goes; a file that is there is not replaced [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// How a certificate is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Pem,
    Der,
}

/// Does what was asked for.
pub(super) fn run(command: CaCommand) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        CaCommand::Init { ca, key, name, days } => {
            let new = New { name, days, certificate: ca, key };
            mint::create(&new, OffsetDateTime::now_utc())?;
            let (description, _) = Description::read(&new.certificate)?;
            writeln!(out, "certificate  {}\nkey          {}", new.certificate.display(), new.key.display())?;
            show(&mut out, &description)?;
        }
        CaCommand::Show { ca } => show(&mut out, &Description::read(&ca)?.0)?,
        CaCommand::Export { ca, format, out: to } => {
            let (_, certificate) = Description::read(&ca)?;
            let bytes = match format {
                Format::Pem => mint::pem(&certificate).into_bytes(),
                Format::Der => certificate.to_vec(),
            };
            match to {
                Some(path) => write(&path, &bytes).with_context(|| format!("{}: cannot be written", path.display()))?,
                None => out.write_all(&bytes)?,
            }
        }
    }
    Ok(out.flush()?)
}

fn show(out: &mut impl std::io::Write, description: &Description) -> std::io::Result<()> {
    let Description { subject, issuer, serial, begin, end, is_authority, fingerprint } = description;
    let kind = if *is_authority { "yes" } else { "no: it cannot sign for a listener" };
    writeln!(
        out,
        "subject      {subject}\nissuer       {issuer}\nserial       {serial}\nvalid from   {begin}\nvalid until  {end}"
    )?;
    writeln!(out, "authority    {kind}\nSHA-256      {fingerprint}")
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
}

fn name(text: &str) -> Result<String, String> {
    let is_legal = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_legal { Ok(text.to_owned()) } else { Err("must have 1 to 64 characters, none of them a control character".to_owned()) }
}
