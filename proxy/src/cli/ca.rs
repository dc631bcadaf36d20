//! `tollgate ca`: authorities for listeners that look into TLS.

mod p12;

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
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
    /// Write an authority's certificate for those who are to trust it. Its key is never written, unless a p12 is asked for with --key.
    Export {
        /// PEM file with its certificate.
        #[arg(value_name = "FILE", default_value = "ca.pem")]
        ca: PathBuf,

        /// `pem` for most programs, `der` for Windows, Android and Java, `p12` for stores with a password (PKCS#12).
        #[arg(long, value_enum, default_value_t = Format::Pem)]
        format: Format,

        /// Where it goes; a file that is there is not replaced [default: standard output].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,

        /// File whose first line is the password of the p12, `-` for standard input.
        #[arg(long, value_name = "FILE", required_if_eq("format", "p12"))]
        password_file: Option<PathBuf>,

        /// PEM file of the authority's key (PKCS#8), to be written, too: p12 alone, and into a file that only you can read.
        #[arg(long, value_name = "FILE", requires = "out")]
        key: Option<PathBuf>,
    },
}

/// How a certificate is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Pem,
    Der,
    P12,
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
        CaCommand::Export { ca, format, out: to, password_file, key } => {
            let (description, certificate) = Description::read(&ca)?;
            let is_pair = key.is_some();
            let bytes = match (format, password_file) {
                (Format::P12, Some(password)) => p12::write(&description, &certificate, key.as_deref(), &password)?,
                (_, password) if password.is_some() || is_pair => bail!("--password-file and --key are for --format p12"),
                (Format::Der, _) => certificate.to_vec(),
                _ => mint::pem(&certificate).into_bytes(),
            };
            match to {
                Some(path) => write(&path, &bytes, format == Format::P12)
                    .with_context(|| format!("{}: cannot be written", path.display()))?,
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

/// A file of its own; one that may hold a key is for its owner alone.
fn write(path: &Path, bytes: &[u8], is_private: bool) -> std::io::Result<()> {
    let mode = if is_private { 0o600 } else { 0o666 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(bytes)
}

fn name(text: &str) -> Result<String, String> {
    let is_legal = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_legal { Ok(text.to_owned()) } else { Err("must have 1 to 64 characters, none of them a control character".to_owned()) }
}
