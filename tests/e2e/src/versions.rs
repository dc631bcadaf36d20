//! The answer to `GET /_matrix/client/versions`.

use std::io::Read as _;

use serde_json::{Map, Value};
use tollgate_tests::Answer;

/// What a homeserver says that it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// In order.
    pub versions: Vec<String>,
    /// By name.
    pub unstable_features: Map<String, Value>,
}

impl Versions {
    /// Where they are.
    pub const PATH: &str = "/_matrix/client/versions";

    /// Reads an answer, which may be compressed by gzip.
    #[must_use]
    pub fn read(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut json = Vec::new();
        match answer.header("content-encoding") {
            None => json.extend_from_slice(&answer.body),
            Some("gzip") => drop(flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut json).expect("gzip")),
            Some(other) => panic!("a coding that nobody asked for: {other}"),
        }
        Self::parse(&json)
    }

    /// Reads a page.
    #[must_use]
    pub fn parse(json: &[u8]) -> Self {
        let mut page: Value = serde_json::from_slice(json).expect("JSON");
        let versions = serde_json::from_value(page["versions"].take()).expect("a list of texts");
        let unstable_features = serde_json::from_value(page["unstable_features"].take()).expect("an object");
        Self { versions, unstable_features }
    }

    /// What version-clamp should make of them.
    #[must_use]
    pub fn clamped_to(&self, max: (u32, u32)) -> Self {
        let versions = self.versions.iter().filter(|version| numbers(version) <= max).cloned().collect();
        Self { versions, unstable_features: Map::new() }
    }
}

/// `v1.11` is (1, 11), `r0.6.1` is (0, 6): what is behind is of no interest here.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.trim_start_matches(['v', 'r']).split('.').map(|part| part.parse().expect("a number"));
    (parts.next().expect("a number"), parts.next().expect("two numbers"))
}
