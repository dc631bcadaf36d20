//! Options: from where the configuration says to the document that `configure` gets.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use serde_json::Value;

use super::{component::LoadError, settings::OptionsSource};

/// The document for this source; `limit` in bytes for files. Reads a file: not for a thread that serves.
pub(super) fn document(source: &OptionsSource, limit: u64) -> Result<Arc<str>, LoadError> {
    match source {
        OptionsSource::None => Ok(Arc::from("{}")),
        OptionsSource::Inline(value) => Ok(text(value)),
        OptionsSource::File(path) => {
            let bytes = read(path, "an options file", limit)?;
            serde_json::from_slice(&bytes).map(|value: Value| text(&value)).map_err(LoadError::OptionsSyntax)
        }
    }
}

/// The document for this value: one form for all ways of writing it, so that the same options give the same snapshot.
pub(super) fn text(value: &Value) -> Arc<str> {
    Arc::from(value.to_string())
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
        std::fs::write(&path, "{ \"b\": 1,\n \"a\": [ ] }")?;
        let source = OptionsSource::File(path.clone());
        assert_eq!(document(&source, 100).ok().as_deref(), Some("{\"b\":1,\"a\":[]}"));
        assert_eq!(document(&OptionsSource::None, 0).ok().as_deref(), Some("{}"));
        assert!(matches!(document(&source, 5), Err(LoadError::TooLarge { bytes: 21, .. })));
        std::fs::write(&path, "{")?;
        assert!(matches!(document(&source, 100), Err(LoadError::OptionsSyntax(_))));
        std::fs::remove_file(&path)?;
        assert!(matches!(document(&source, 100), Err(LoadError::Read { .. })));
        Ok(())
    }
}
