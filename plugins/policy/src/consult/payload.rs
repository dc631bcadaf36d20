//! What services are told.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use tollgate_sdk::Header;

/// The document that a service is sent.
#[derive(Debug, Serialize)]
pub(crate) struct Payload<'a> {
    meta: Meta<'a>,
    request: Request<'a>,
    /// `null` before.
    response: Option<Response<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    hook_id: &'a str,
    authenticated_matrix_user_id: Option<&'a str>,
}

/// The request as it stands.
#[derive(Debug, Serialize)]
pub(crate) struct Request<'a> {
    /// With query, as it was sent.
    #[serde(rename = "URI")]
    pub(crate) uri: String,
    /// Decoded, without query.
    pub(crate) path: Cow<'a, str>,
    pub(crate) method: &'a str,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Cow<'a, str>,
}

/// The response as it stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a> {
    pub(crate) status_code: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Cow<'a, str>,
}

/// Codings that the core takes off bodies: what was coded so is not any more.
const CODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "br", "zstd", "identity"];

impl<'a> Payload<'a> {
    pub(crate) const fn new(hook: &'a str, user: Option<&'a str>, request: Request<'a>, response: Option<Response<'a>>) -> Self {
        Self { meta: Meta { hook_id: hook, authenticated_matrix_user_id: user }, request, response }
    }
}

/// Header fields by name, as Go writes names, values of one name joined. Without Host, and without the coding of a body that is
/// told without it.
pub(crate) fn headers(fields: &[Header]) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fields {
        let value = String::from_utf8_lossy(value);
        let is_undone = name.eq_ignore_ascii_case("content-encoding")
            && value.split(',').all(|coding| CODINGS.contains(&coding.trim().to_ascii_lowercase().as_str()));
        if name.eq_ignore_ascii_case("host") || is_undone {
            continue;
        }
        match headers.get_mut(&canonical(name)) {
            Some(before) => {
                before.push_str(", ");
                before.push_str(&value);
            }
            None => drop(headers.insert(canonical(name), value.into_owned())),
        }
    }
    headers
}

/// `x-mAtrix-id` as `X-Matrix-Id`.
fn canonical(name: &str) -> String {
    let mut is_first = true;
    name.chars()
        .map(|character| {
            let shown = if is_first { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
            is_first = character == '-';
            shown
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonical_and_values_joined() {
        let fields = [("x-m", "1"), ("hOST", "a"), ("X-M", "2"), ("content-encoding", "gzip, br"), ("dnt", "\u{e4}")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let told: Vec<_> = headers(&fields).into_iter().collect();
        assert_eq!(told, [("Dnt".to_owned(), "\u{e4}".to_owned()), ("X-M".to_owned(), "1, 2".to_owned())]);
    }

    #[test]
    fn unknown_codings_are_told() {
        let told = headers(&[("Content-Encoding".to_owned(), b"gzip, exi".to_vec())]);
        assert_eq!(told.get("Content-Encoding").map(String::as_str), Some("gzip, exi"));
    }
}
