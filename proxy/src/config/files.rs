//! Files that the configuration names.

use std::{fs::File, io::Read, path::Path};

/// Options files may be this large.
pub(super) const OPTIONS_BYTES: u64 = 8 << 20;
/// Token files may be this large: the longest token with room for white space.
pub(super) const TOKEN_BYTES: u64 = 8 << 10;
/// Configuration files may be this large.
pub(super) const CONFIG_BYTES: u64 = 4 << 20;

/// The text of a file of at most `limit` bytes.
pub(super) fn text(path: &Path, limit: u64) -> Result<String, String> {
    String::from_utf8(bytes(path, limit)?).map_err(|_| "the file is not UTF-8".to_owned())
}

/// The content of a file of at most `limit` bytes.
pub(super) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| cannot_read(&error))?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(&error))?;
    if bytes.len() as u64 > limit {
        return Err(format!("the file is larger than {} KiB", limit >> 10));
    }
    Ok(bytes)
}

/// Whether a file can be read.
pub(super) fn readable(path: &Path) -> Result<(), String> {
    File::open(path).and_then(|mut file| file.read(&mut [0]).map(drop)).map_err(|error| cannot_read(&error))
}

fn cannot_read(error: &std::io::Error) -> String {
    format!("the file cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        for (length, is_read) in [(0, true), (7, true), (8, true), (9, false)] {
            std::fs::write(&path, "x".repeat(length)).expect("a file");
            assert_eq!(text(&path, 8).is_ok(), is_read, "{length}");
        }
    }

    #[test]
    fn missing_and_odd_files_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        assert!(text(&path, 8).is_err() && readable(&path).is_err());
        assert!(readable(directory.path()).is_err());
        std::fs::write(&path, b"\xff").expect("a file");
        assert!(text(&path, 8).is_err() && readable(&path).is_ok());
    }
}
