//! The list of the federation, as the registration service writes it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};

use crate::server_name::ServerName;

/// Who is in the federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) version: u64,
    /// In their order, each once.
    pub(crate) domains: Vec<String>,
}

/// Of the document, in bytes.
pub(crate) const MAX_DOCUMENT: usize = 4 << 20;
/// In one list.
pub(crate) const MAX_DOMAINS: usize = 50_000;

struct Document {
    version: u64,
    domains: Vec<String>,
}

struct Domain(String);

impl List {
    /// Reads `{"version":…,"domainList":[{"domain":…,"isInsurance":…,"telematikID":…,"ik":[…]}]}`. Keys that are not known are
    /// passed over.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with the place in it. A list with one bad domain is bad.
    pub(crate) fn read(document: &[u8]) -> Result<Self, String> {
        if document.len() > MAX_DOCUMENT {
            return Err(format!("the list has {} bytes, at most {MAX_DOCUMENT}", document.len()));
        }
        let document: Document = serde_json::from_slice(document).map_err(|error| format!("the list is none: {error}"))?;
        Self::new(document)
    }

    /// The same of a document that is read already.
    pub(crate) fn of(value: serde_json::Value) -> Result<Self, String> {
        Self::new(Document::deserialize(value).map_err(|error| format!("the list is none: {error}"))?)
    }

    fn new(document: Document) -> Result<Self, String> {
        let Document { version, mut domains } = document;
        if domains.len() > MAX_DOMAINS {
            return Err(format!("the list has {} domains, at most {MAX_DOMAINS}", domains.len()));
        }
        domains.sort_unstable();
        domains.dedup();
        Ok(Self { version, domains })
    }

    pub(crate) fn contains(&self, name: &ServerName) -> bool {
        let name = name.to_string();
        self.domains.binary_search_by(|domain| domain.as_str().cmp(&name)).is_ok()
    }
}

struct DocumentVisitor;

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with \"version\" and \"domainList\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let (mut version, mut domains) = (None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "version" if version.is_none() => version = Some(map.next_value::<u64>()?),
                "domainList" if domains.is_none() => domains = Some(map.next_value::<Vec<Domain>>()?),
                "version" | "domainList" => return Err(A::Error::custom(format!("{key:?} is there twice"))),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let version = version.ok_or_else(|| A::Error::missing_field("version"))?;
        let domains = domains.ok_or_else(|| A::Error::missing_field("domainList"))?;
        Ok(Document { version, domains: domains.into_iter().map(|domain| domain.0).collect() })
    }
}

struct DomainVisitor;

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DomainVisitor)
    }
}

impl<'de> Visitor<'de> for DomainVisitor {
    type Value = Domain;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object with \"domain\"")
    }

    /// What is not used is looked at all the same: a list where it is of another kind is not what this is made for.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Domain, A::Error> {
        let mut domain = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "domain" if domain.is_none() => {
                    let text = map.next_value::<Cow<'de, str>>()?;
                    let name = ServerName::parse(&text);
                    let error =
                        || A::Error::custom(format!("{:?} is no server name", text.chars().take(100).collect::<String>()));
                    domain = Some(name.ok_or_else(error)?.to_string());
                }
                "domain" => return Err(A::Error::custom("\"domain\" is there twice")),
                "isInsurance" => drop(map.next_value::<bool>()?),
                "telematikID" => drop(map.next_value::<Option<Cow<'de, str>>>()?),
                "ik" => drop(map.next_value::<Option<Vec<Cow<'de, str>>>>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        domain.map(Domain).ok_or_else(|| A::Error::missing_field("domain"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<List, String> {
        List::read(text.as_bytes())
    }

    #[test]
    fn lists_are_read_and_put_in_order() {
        let list = read(
            r#"{"version":7,"new":{"a":[1]},"domainList":[
            {"domain":"B.de","isInsurance":false,"telematikID":"1-2","ik":["1","2"],"timAnbieter":"x"},
            {"telematikID":null,"domain":"a.de:8448","isInsurance":true},{"domain":"b.de"},{"domain":"[0::1]"}]}"#,
        )
        .expect("a list");
        assert_eq!((list.version, &*list.domains), (7, &["[::1]", "a.de:8448", "b.de"].map(str::to_owned)[..]));
        let has = |name: &str| list.contains(&ServerName::parse(name).expect(name));
        assert!(has("b.DE") && has("a.de:8448") && has("[::1]"));
        assert!(!has("a.de") && !has("b.de:8448") && !has("c.de"));
        assert_eq!(read(r#"{"domainList":[],"version":0}"#), Ok(List { version: 0, domains: Vec::new() }));
    }

    #[test]
    fn bad_lists_are_refused_with_the_place() {
        for (text, part) in [
            ("", "line 1"),
            ("[]", "expected an object"),
            ("null", "expected an object"),
            (r#"{"version":1}"#, "domainList"),
            (r#"{"domainList":[]}"#, "version"),
            (r#"{"version":-1,"domainList":[]}"#, "-1"),
            (r#"{"version":"1","domainList":[]}"#, "string"),
            (r#"{"version":1,"domainList":[["a.de",true,"x"]]}"#, "sequence"),
            (r#"{"version":1,"domainList":[{"isInsurance":true}]}"#, "missing field `domain`"),
            (r#"{"version":1,"domainList":[{"domain":"a.de"},{"domain":"a b"}]}"#, "\"a b\" is no server name at line 1 column"),
            (r#"{"version":1,"domainList":[{"domain":"a.de."}]}"#, "no server name"),
            (r#"{"version":1,"domainList":[{"domain":"a.de","domain":"b.de"}]}"#, "twice"),
            (r#"{"version":1,"domainList":[{"domain":"a.de","isInsurance":"no"}]}"#, "boolean"),
            (r#"{"version":1,"domainList":[{"domain":"a.de","ik":"1"}]}"#, "sequence"),
            (r#"{"version":1,"domainList":[],"domainList":[]}"#, "twice"),
            (r#"{"version":1,"domainList":[]} x"#, "trailing"),
            (r#"{"version":1,"domainList":[{"domain":"a.de"}"#, "EOF"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn lists_have_limits() {
        let list = |count: usize| {
            let domains: Vec<_> = (0..count).map(|index| format!(r#"{{"domain":"{index}.de"}}"#)).collect();
            format!(r#"{{"version":1,"domainList":[{}]}}"#, domains.join(","))
        };
        assert_eq!(read(&list(MAX_DOMAINS - 1)).map(|list| list.domains.len()), Ok(MAX_DOMAINS - 1));
        assert_eq!(read(&list(MAX_DOMAINS)).map(|list| list.domains.len()), Ok(MAX_DOMAINS));
        assert!(read(&list(MAX_DOMAINS + 1)).is_err_and(|error| error.contains("50001 domains")));
        let mut text = list(1);
        text.push_str(&" ".repeat(MAX_DOCUMENT - text.len()));
        assert!(read(&text).is_ok());
        text.push(' ');
        assert!(read(&text).is_err_and(|error| error.contains("4194305 bytes")));
    }
}
