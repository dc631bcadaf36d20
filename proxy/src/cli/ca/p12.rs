//! Authorities in PKCS#12 (RFC 7292): AES-256 and HMAC-SHA-256, as OpenSSL 3, Windows and Java write it.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, anyhow, bail};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};

use crate::mint::{Authority, Description};

/// Longest password in bytes.
const MAX_PASSWORD: u64 = 1024;

/// The certificate alone, as stores of trust have it, or with its key.
pub(super) fn write(
    description: &Description,
    certificate: &[u8],
    key: Option<&Path>,
    password: &Path,
) -> anyhow::Result<Vec<u8>> {
    let password = read_password(password)?;
    let parsed = Certificate::from_der(certificate).map_err(|error| anyhow!("the certificate cannot be written: {error}"))?;
    let entry = match key {
        None => KeyStoreEntry::Certificate(parsed),
        Some(path) => {
            let shown = path.display();
            let key = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|_| {
                anyhow!("{shown}: holds no private key in PKCS#8: `openssl pkcs8 -topk8 -nocrypt` makes one of others")
            })?;
            Authority::owns(certificate, &PrivateKeyDer::Pkcs8(key.clone_key())).map_err(|why| anyhow!("{shown}: {why}"))?;
            let key = PrivateKey::from_der(key.secret_pkcs8_der())
                .map_err(|error| anyhow!("{shown}: the private key cannot be written: {error}"))?;
            KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("tollgate", key, [parsed]))
        }
    };
    let mut store = KeyStore::new();
    store.add_entry(&description.subject, entry);
    store.writer(&password).write().map_err(|error| anyhow!("the p12 cannot be written: {error}"))
}

/// The first line.
fn read_password(path: &Path) -> anyhow::Result<String> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?)
    };
    let mut line = String::new();
    let read = BufReader::new(input.take(MAX_PASSWORD + 2)).read_line(&mut line);
    read.with_context(|| format!("{}: cannot be read as text", path.display()))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() as u64 > MAX_PASSWORD {
        bail!("{}: the password must have 1 to {MAX_PASSWORD} bytes", path.display());
    }
    Ok(password.to_owned())
}
