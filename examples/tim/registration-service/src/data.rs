//! What the service knows: a file.

use std::{fmt, fs, io, path::Path};

use serde_json::Value;

/// A federation list and support pages: `{"federation":{"version":1,"domainList":[…]},"support":{"hs1":{…}}}`.
#[derive(Debug, Clone)]
pub struct Data {
    version: u64,
    federation: Value,
    support: Value,
}

/// Why a file is no data.
#[derive(Debug)]
pub enum DataError {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It is no JSON.
    NotJson(serde_json::Error),
    /// It has no `federation` with a `version`, a whole number, and a `domainList`.
    NoList,
}

impl Data {
    /// Reads a file. What it says of domains is passed on as it is, right or wrong.
    ///
    /// # Errors
    ///
    /// If there is no list in it.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(DataError::Unreadable)?;
        let mut document: Value = serde_json::from_slice(&bytes).map_err(DataError::NotJson)?;
        let mut member = |name: &str| document.get_mut(name).map(Value::take).unwrap_or_default();
        let (federation, support) = (member("federation"), member("support"));
        let version = federation.get("version").and_then(Value::as_u64).ok_or(DataError::NoList)?;
        if !federation.get("domainList").is_some_and(Value::is_array) {
            return Err(DataError::NoList);
        }
        Ok(Self { version, federation, support })
    }

    /// Which list it is.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The list as it is sent.
    #[must_use]
    pub const fn federation(&self) -> &Value {
        &self.federation
    }

    /// The support page of a server.
    #[must_use]
    pub fn support(&self, server: &str) -> Option<&Value> {
        self.support.get(server)
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(_) => out.write_str("it cannot be read"),
            Self::NotJson(_) => out.write_str("it is no JSON"),
            Self::NoList => out.write_str("it has no federation with a version, which is a whole number, and a domainList"),
        }
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::NotJson(error) => Some(error),
            Self::NoList => None,
        }
    }
}
