//! A new authority in files of its own.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

/// What a new authority is to be.
#[derive(Debug, Clone)]
pub struct New {
    /// Its name, as trust stores show it: 1 to 64 characters.
    pub name: String,
    /// How long it is good for, from a day ago on.
    pub days: u32,
    /// Where its certificate goes.
    pub certificate: PathBuf,
    /// Where its key goes: nobody else can read it.
    pub key: PathBuf,
}

/// Where it is now.
#[derive(Debug)]
pub struct Written {
    /// Until when it is good.
    pub end: OffsetDateTime,
}

/// Why there is no new authority. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Something is there already; it stays.
    #[error("{0}: is there already, and is not overwritten")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{0}: cannot be written: {1}")]
    Io(PathBuf, io::Error),
    /// It cannot be made.
    #[error("the authority cannot be made: {0}")]
    Made(#[from] rcgen::Error),
}

/// Makes an authority, ECDSA P-256, and writes both files: the key with the mode 0600, the certificate with 0644. Neither replaces
/// anything.
pub fn create(new: &New, now: OffsetDateTime) -> Result<Written, CreateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, new.name.as_str());
    params.distinguished_name.push(DnType::OrganizationName, "Tollgate");
    // One that signs nothing but leaves.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(i64::from(new.days));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    if new.certificate.symlink_metadata().is_ok() {
        return Err(CreateError::Exists(new.certificate.clone()));
    }
    write(&new.key, &key.serialize_pem(), 0o600)?;
    if let Err(error) = write(&new.certificate, &certificate.pem(), 0o644) {
        // It was made just now, and is of no use.
        let _ = fs::remove_file(&new.key);
        return Err(error);
    }
    Ok(Written { end: params.not_after })
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CreateError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(path.to_owned()),
        _ => CreateError::Io(path.to_owned(), error),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path);
        failed(error)
    })
}
