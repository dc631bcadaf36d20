//! The file: a whole JSON document after each entry.
//!
//! Each entry is one line, the first line is what comes before them and the last what closes them. An entry is written over the
//! closing line, together with a new one, in one write. A write that was cut by a crash leaves a last line that is none: without
//! it, and with the closing line, the document is whole again.

#[cfg(test)]
mod tests;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// How each of our recordings begins, whatever the version.
const MARK: &str = r#"{"log":{"version":"1.2","creator":{"name":"Tollgate","version":""#;
/// How the first line ends.
const OPENING: &str = "\"entries\":[\n";
/// The last line.
const CLOSING: &str = "]}}\n";
/// Bytes of a first line that is looked for.
const MAX_FIRST: usize = 1 << 10;
/// Whom the file is for.
const MODE: u32 = 0o600;

/// Why a file cannot be recorded to.
#[derive(Debug, thiserror::Error)]
#[error("record.file: {}: {why}", .path.display())]
pub struct OpenError {
    path: PathBuf,
    why: String,
}

/// Why an entry was not written. The document is as it was before.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    /// The entry alone makes a file of so many bytes.
    #[error("the entry needs a file of {0} bytes, more than record.max_bytes")]
    TooLarge(u64),
    /// The full file cannot make room for a new one.
    #[error("{}: the full file cannot be moved there: {why}", .aside.display())]
    Rotate {
        /// Where to.
        aside: PathBuf,
        /// Why not.
        why: String,
    },
    /// Somebody has put another file there.
    #[error("{}: there is another file by now, and it is not written to: move it away", .0.display())]
    Replaced(PathBuf),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that is recorded to.
#[derive(Debug)]
pub(super) struct Document {
    path: PathBuf,
    file: File,
    /// Where the closing line begins.
    end: u64,
    has_entries: bool,
    max_bytes: u64,
}

impl OpenError {
    pub(super) fn new(path: &Path, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into() }
    }
}

impl Document {
    /// Begins the file, or continues the recording that is there, whose last line is left out if it was cut.
    pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Self, OpenError> {
        let opened = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
            Err(error) => Err(error),
            Ok(metadata) if !metadata.is_file() => Err(io::Error::other("is no regular file")),
            Ok(_) => resume(path),
        };
        let (file, end, has_entries) = opened.map_err(|error| OpenError::new(path, error.to_string()))?;
        Ok(Self { path: path.to_owned(), file, end, has_entries, max_bytes })
    }

    /// Adds an entry: one line, its end included. If the file has another name by now, it keeps that, and a new one is begun, as
    /// where it is gone. After an error the document is as it was before; another time may do better.
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<(), PushError> {
        self.find()?;
        let size = |end: u64, has_entries: bool| end + u64::from(has_entries) + (entry.len() + CLOSING.len()) as u64;
        if size(self.end, self.has_entries) > self.max_bytes {
            let alone = size(first_line().len() as u64, false);
            if alone > self.max_bytes {
                return Err(PushError::TooLarge(alone));
            }
            self.rotate()?;
        }
        let comma: &[u8] = if self.has_entries { b"," } else { b"" };
        let text = [comma, entry, CLOSING.as_bytes()].concat();
        if let Err(error) = self.file.write_all_at(&text, self.end) {
            // Where there was room for the closing line before, there most likely is now; if not, the next entry will tell.
            let _ = self.file.set_len(self.end).and_then(|()| self.file.write_all_at(CLOSING.as_bytes(), self.end));
            return Err(error.into());
        }
        self.end += (comma.len() + entry.len()) as u64;
        self.has_entries = true;
        Ok(())
    }

    /// Makes sure that what is written is at the path.
    fn find(&mut self) -> Result<(), PushError> {
        match std::fs::metadata(&self.path) {
            Ok(there) => {
                let own = self.file.metadata()?;
                let is_own = (there.dev(), there.ino()) == (own.dev(), own.ino());
                if is_own { Ok(()) } else { Err(PushError::Replaced(self.path.clone())) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (self.file, self.end, self.has_entries) = create(&self.path)?;
                tracing::warn!(record.file = %self.path.display(), "the recording was removed or renamed: a new one is begun");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the full file aside and begins a new one.
    fn rotate(&mut self) -> Result<(), PushError> {
        let aside = aside(&self.path);
        let failed = |why: String| PushError::Rotate { aside: aside.clone(), why };
        match File::open(&aside) {
            Ok(old) if !is_ours(&old) => {
                return Err(failed("there is a file that is no recording of Tollgate".to_owned()));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error.to_string())),
            _ => {}
        }
        std::fs::rename(&self.path, &aside).map_err(|error| failed(error.to_string()))?;
        tracing::info!(record.file = %self.path.display(), record.aside = %aside.display(), "the recording was full");
        (self.file, self.end, self.has_entries) = create(&self.path)?;
        Ok(())
    }
}

/// `FILE.1`.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn first_line() -> String {
    format!("{MARK}{}\"}},{OPENING}", env!("CARGO_PKG_VERSION"))
}

/// A new file without entries.
fn create(path: &Path) -> io::Result<(File, u64, bool)> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path)?;
    begin(file).inspect_err(|_| {
        // Else it would be in the way of the next try.
        let _ = std::fs::remove_file(path);
    })
}

fn begin(file: File) -> io::Result<(File, u64, bool)> {
    lock(&file)?;
    // Whatever the process takes away from the mode of new files, and whatever an empty one had.
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    let first = first_line();
    file.write_all_at(format!("{first}{CLOSING}").as_bytes(), 0)?;
    Ok((file, first.len() as u64, false))
}

/// A recording that is there.
fn resume(path: &Path) -> io::Result<(File, u64, bool)> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        return begin(file);
    }
    lock(&file)?;
    if !is_ours(&file) {
        let why = "there is a file that is no recording of Tollgate, and it is not overwritten: give another name";
        return Err(io::Error::other(why));
    }
    file.set_permissions(std::fs::Permissions::from_mode(MODE))?;
    let (end, lines) = whole_lines(&file)?;
    let len = file.metadata()?.len();
    let mut tail = vec![0; usize::try_from(len.saturating_sub(end)).unwrap_or(usize::MAX).min(CLOSING.len() + 1)];
    file.read_exact_at(&mut tail, end)?;
    if tail != CLOSING.as_bytes() {
        file.set_len(end)?;
        file.write_all_at(CLOSING.as_bytes(), end)?;
        tracing::warn!(record.file = %path.display(), record.cut_bytes = len - end, "the recording was cut, most likely by a crash: its last line is left out");
    }
    Ok((file, end, lines > 1))
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another process records there"),
        TryLockError::Error(error) => error,
    })
}

fn is_ours(file: &File) -> bool {
    let mut start = vec![0; MAX_FIRST];
    let read = file.read_at(&mut start, 0).unwrap_or_default();
    start.truncate(read);
    let first = start.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    first.starts_with(MARK.as_bytes()) && first.ends_with(OPENING.as_bytes())
}

/// Where the last line ends that is whole and no closing one, and how many there are until there. Entries have no line breaks
/// within, so a line that has an end is whole.
fn whole_lines(file: &File) -> io::Result<(u64, u64)> {
    let mut reader = BufReader::with_capacity(64 << 10, file.take(u64::MAX));
    reader.get_mut().get_mut().seek(SeekFrom::Start(0))?;
    let (mut place, mut end, mut lines) = (0_u64, 0_u64, 0_u64);
    // The first byte of the line that goes on.
    let mut first = None;
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok((end, lines));
        }
        let (taken, is_end) = match memchr::memchr(b'\n', piece) {
            Some(at) => (at + 1, true),
            None => (piece.len(), false),
        };
        first = first.or_else(|| piece.first().copied());
        reader.consume(taken);
        place += taken as u64;
        if is_end {
            if first == Some(b']') {
                return Ok((end, lines));
            }
            (end, lines, first) = (place, lines + 1, None);
        }
    }
}
