//! The last good document of a server, on disk: for a start at which the server cannot be reached.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{super::status::hex, Content, Document, content};

/// A document that was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::addons) struct Copy {
    pub(in crate::addons) document: Document,
    /// What the server called it.
    pub(in crate::addons) etag: Option<String>,
    /// What tells the bytes that the server sent from others.
    pub(in crate::addons) content: Content,
}

/// The first line of the file; the document comes after it.
#[derive(Serialize, Deserialize)]
struct Head {
    etag: Option<String>,
    content: Content,
    /// Of the document that follows.
    sha256: String,
}

/// Longest first line, in bytes.
const MAX_HEAD: u64 = 4 << 10;

/// Where copies are, in the cache directory.
pub(in crate::addons) fn directory(cache: &Path) -> PathBuf {
    cache.join("options")
}

impl Copy {
    /// Keeps it as that of this addon and this URL: readable by its owner only, and all of it or, should the machine stop
    /// meanwhile, the one before.
    pub(in crate::addons) fn save(&self, directory: &Path, addon: &str, url: &str) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
        let text = self.document.text.as_bytes();
        let head = Head { etag: self.etag.clone(), content: self.content, sha256: hex(&content(text)) };
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer(&mut file, &head)?;
        file.write_all(b"\n")?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(path(directory, addon, url))?;
        Ok(())
    }

    /// The one that was kept, and when the server was last known to have it. None if there is none.
    pub(in crate::addons) fn load(
        directory: &Path,
        addon: &str,
        url: &str,
        limit: u64,
    ) -> io::Result<Option<(Self, SystemTime)>> {
        let file = match File::open(path(directory, addon, url)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let had = file.metadata()?.modified()?;
        // What was forgiven in the document as it came may have made it longer.
        let mut file = BufReader::new(file).take(MAX_HEAD.saturating_add(limit.saturating_mul(2)));
        let (mut head, mut text) = (Vec::new(), Vec::new());
        file.read_until(b'\n', &mut head)?;
        file.read_to_end(&mut text)?;
        let head: Head = serde_json::from_slice(&head)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the copy is damaged");
        if hex(&content(&text)) != head.sha256 {
            return Err(damaged());
        }
        let document = Document::read(&text).map_err(|_| damaged())?;
        Ok(Some((Self { document, etag: head.etag, content: head.content }, had)))
    }

    /// The server still has it.
    pub(in crate::addons) fn confirm(directory: &Path, addon: &str, url: &str) -> io::Result<()> {
        File::options().write(true).open(path(directory, addon, url))?.set_modified(SystemTime::now())
    }
}

fn path(directory: &Path, addon: &str, url: &str) -> PathBuf {
    let url = hex(&content(url.as_bytes()));
    directory.join(format!("{addon}-{}.json", url.get(..32).unwrap_or(&url)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(text: &str) -> Copy {
        let document = Document::read(text.as_bytes()).expect(text);
        Copy { document, etag: Some("\"1\"".to_owned()), content: content(b"as it came") }
    }

    #[test]
    fn copies_are_of_their_addon_and_url() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let directory = directory(&home.path().join("cache"));
        let load = |addon: &str, url: &str| Copy::load(&directory, addon, url, 100).map(|found| found.map(|(copy, _)| copy));
        assert_eq!(load("a", "http://h/")?, None);
        copy("{\"a\":1.0}").save(&directory, "a", "http://h/")?;
        copy("{\"b\":2}").save(&directory, "a", "http://h/2")?;
        assert_eq!(load("a", "http://h/")?, Some(copy("{\"a\":1.0}")));
        assert_eq!(load("b", "http://h/")?, None);
        copy("{\"a\":3}").save(&directory, "a", "http://h/")?;
        assert_eq!(load("a", "http://h/")?, Some(copy("{\"a\":3}")));
        assert_eq!(fs::read_dir(&directory)?.count(), 2);
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn copies_are_their_owners_alone() -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir()?;
        let directory = directory(home.path());
        copy("{}").save(&directory, "a", "http://h/")?;
        assert_eq!(fs::metadata(&directory)?.permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(path(&directory, "a", "http://h/"))?.permissions().mode() & 0o777, 0o600);
        Ok(())
    }

    #[test]
    fn damaged_copies_are_no_copies() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        let directory = directory(home.path());
        copy("{\"a\":1}").save(&directory, "a", "u")?;
        let whole = fs::read(path(&directory, "a", "u"))?;
        for end in 0..whole.len() {
            fs::write(path(&directory, "a", "u"), whole.get(..end).unwrap_or_default())?;
            assert!(Copy::load(&directory, "a", "u", 100).is_err(), "{end}");
        }
        Ok(())
    }
}
