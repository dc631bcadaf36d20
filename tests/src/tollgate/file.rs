//! Configurations that are there already.

use std::path::PathBuf;

use super::Builder;

impl Builder {
    /// This configuration file, with what is set, in place of one that is written.
    #[must_use]
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }
}
