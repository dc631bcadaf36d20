//! What the admin interface is told about options.

use std::{collections::BTreeMap, path::PathBuf};

use super::super::{settings::OptionsSource, status::hex};
use super::Content;

/// Where the options of an addon come from, and how that goes.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct OptionsStatus {
    /// Of those in force; where none are, as configured.
    pub source: OptionsSourceKind,
    /// `options_file`.
    pub file: Option<PathBuf>,
    /// `options_url`, without its query.
    pub url: Option<String>,
    /// Number of the change that put them in force; 0 if there are none.
    pub generation: u64,
    /// When that was, in milliseconds of Unix time.
    pub since_milliseconds: Option<u64>,
    /// Of the document in force, in hexadecimal.
    pub sha256: Option<String>,
    /// What the server calls the document in force.
    pub etag: Option<String>,
    /// Whether those in force are the copy on disk, as the server had none at the start.
    pub is_copy: bool,
    /// When the server last had a document or said that it is the same, in milliseconds of Unix time.
    pub had_milliseconds: Option<u64>,
    /// Since then.
    pub age_seconds: Option<u64>,
    /// Why what the source has is not in force.
    pub error: Option<String>,
    /// Requests to the server, by what became of them.
    pub fetches: Option<BTreeMap<&'static str, u64>>,
}

/// A kind of source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionsSourceKind {
    /// There are no options.
    #[default]
    None,
    /// `options`.
    Inline,
    /// `options_file`.
    File,
    /// `options_url`.
    Url,
    /// Somebody put them.
    Put,
    /// They are those of a lock.
    Lock,
}

impl OptionsStatus {
    /// As configured, with nothing in force.
    pub(in crate::addons) fn of(source: &OptionsSource) -> Self {
        let (kind, file, url) = match source {
            OptionsSource::None => (OptionsSourceKind::None, None, None),
            OptionsSource::Inline(_) => (OptionsSourceKind::Inline, None, None),
            OptionsSource::File(path) => (OptionsSourceKind::File, Some(path.clone()), None),
            OptionsSource::Url(url) => (OptionsSourceKind::Url, None, Some(url.shown().to_owned())),
        };
        Self { source: kind, file, url, ..Self::default() }
    }

    pub(super) fn hash(content: &Content) -> String {
        hex(content)
    }
}
