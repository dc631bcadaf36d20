//! Options: from where the configuration says to the document that `configure` gets.

mod copy;
mod fetch;
mod status;
mod supply;

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{component::LoadError, engine::Engine, settings::OptionsSource};
use crate::json::{self, Lenient};

pub(super) use copy::{Copy, directory as copies};
pub(super) use fetch::{Had, fetch};
pub use status::{OptionsSourceKind, OptionsStatus};
use supply::Look;
pub(super) use supply::{Choice, Offer, Origin, Supply};

/// A document as `configure` gets it: compact JSON with the digits of numbers and the order of members as they were written, so
/// that the same options give the same snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub(super) text: Arc<str>,
    pub(super) warnings: Arc<[String]>,
}

/// Of the bytes that a source showed.
pub(super) type Content = [u8; 32];

impl Document {
    /// Reads what a file or a server holds: see [`json::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(bytes: &[u8]) -> Result<Self, json::Error> {
        json::read(bytes).map(Self::from)
    }

    /// The document for this value.
    pub(super) fn of(value: &Value) -> Self {
        Self { text: Arc::from(value.to_string()), warnings: Arc::default() }
    }
}

impl From<Lenient> for Document {
    fn from(lenient: Lenient) -> Self {
        let warnings = lenient.warnings.iter().map(ToString::to_string).collect();
        Self { text: Arc::from(lenient.json.to_string()), warnings }
    }
}

/// What tells these bytes from others.
pub(super) fn content(bytes: &[u8]) -> Content {
    Sha256::digest(bytes).into()
}

/// What this source shows, servers excepted; `limit` in bytes for files. Reads a file: not for a thread that serves.
pub(super) fn offer(source: &OptionsSource, limit: u64) -> Offer {
    let of = |value: &Value| {
        let document = Document::of(value);
        let content = content(document.text.as_bytes());
        Offer { document: Ok(document), origin: Origin::Configured, look: Look::Content(content) }
    };
    match source {
        OptionsSource::None | OptionsSource::Url(_) => of(&Value::Object(serde_json::Map::new())),
        OptionsSource::Inline(value) => of(value),
        OptionsSource::File(path) => match read(path, "an options file", limit) {
            Ok(bytes) => {
                let look = Look::Content(content(&bytes));
                Offer { document: Document::read(&bytes).map_err(LoadError::OptionsSyntax), origin: Origin::Configured, look }
            }
            Err(error) => Offer { document: Err(error), origin: Origin::Configured, look: Look::Nothing },
        },
    }
}

/// The document of this source, wherever it is, for somebody who wants it once.
pub(super) async fn document(engine: &Engine, source: &OptionsSource, limit: u64) -> Result<Document, LoadError> {
    match source {
        OptionsSource::Url(url) => match fetch(engine, url, None, limit).await? {
            Had::New { bytes, .. } => Document::read(&bytes).map_err(LoadError::OptionsSyntax),
            Had::Unchanged => Err(LoadError::Internal("a document is unchanged that never was had".to_owned())),
        },
        _ => offer(source, limit).document,
    }
}

/// Reads a whole file that may change its size meanwhile. What is no regular file is not opened: a pipe would keep the reader.
pub(super) fn read(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    if bytes > limit {
        return Err(LoadError::TooLarge { what, bytes, limit });
    }
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
    match content.len() as u64 {
        bytes if bytes > limit => Err(LoadError::TooLarge { what, bytes, limit }),
        _ => Ok(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_compact_json() -> std::io::Result<()> {
        let home = tempfile::tempdir()?;
        let path = home.path().join("options.json");
        let document = |source: &OptionsSource, limit| offer(source, limit).document;
        std::fs::write(&path, "{ \"b\": 1.0,\n \"a\": [ ] }")?;
        let source = OptionsSource::File(path.clone());
        assert_eq!(document(&source, 100).ok().map(|document| document.text).as_deref(), Some("{\"b\":1.0,\"a\":[]}"));
        assert_eq!(document(&OptionsSource::None, 0).ok().map(|document| document.text).as_deref(), Some("{}"));
        for (limit, is_read) in [(22, false), (23, true), (24, true)] {
            assert_eq!(document(&source, limit).is_ok(), is_read, "{limit}");
        }
        assert!(matches!(document(&source, 5), Err(LoadError::TooLarge { bytes: 23, .. })));
        std::fs::write(&path, "{")?;
        assert!(matches!(document(&source, 100), Err(LoadError::OptionsSyntax(_))));
        std::fs::remove_file(&path)?;
        assert!(matches!(document(&source, 100), Err(LoadError::Read { .. })));
        Ok(())
    }
}
