//! What a client says of itself in the field `useragent`.

use serde::Serialize;
use serde_json::{Map, Value};

/// What the service is told of it; what is not known is left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct UserAgent {
    #[serde(rename = "UA-A", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(rename = "UA-cid", skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(rename = "UA-OS-VERSION", skip_serializing_if = "Option::is_none")]
    system_version: Option<String>,
    #[serde(rename = "UA-OS", skip_serializing_if = "Option::is_none")]
    system: Option<String>,
    #[serde(rename = "UA-P", skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(rename = "UA-PTV", skip_serializing_if = "Option::is_none")]
    type_version: Option<String>,
    #[serde(rename = "UA-PV", skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

/// Of each part, in characters.
const MAX: usize = 256;
const KINDS: [&str; 2] = ["Messenger-Client", "Org-Admin-Client"];
const PLATFORMS: [&str; 3] = ["mobil", "stationaer", "web"];

impl UserAgent {
    /// From the value of the field: a JSON object. What is none says nothing.
    pub(crate) fn parse(value: Option<&str>) -> Self {
        let object: Map<String, Value> = value.and_then(|value| serde_json::from_str(value).ok()).unwrap_or_default();
        let part = |key: &str| {
            let text = object.get(key)?.as_str()?;
            Some(text.chars().take(MAX).collect::<String>()).filter(|text| !text.is_empty())
        };
        Self {
            kind: part("Auspraegung").filter(|kind| KINDS.contains(&kind.as_str())),
            client: part("client_id"),
            system_version: part("OS-Version"),
            system: part("OS"),
            platform: part("Plattform").filter(|platform| PLATFORMS.contains(&platform.as_str())),
            type_version: part("Produkttypversion"),
            version: part("Produktversion"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        for value in
            [None, Some(""), Some("Mozilla/5.0"), Some("[]"), Some("{}"), Some(r#"{"OS":null,"OS-Version":7,"client_id":""}"#)]
        {
            assert_eq!(UserAgent::parse(value), UserAgent::default(), "{value:?}");
        }
        let value = r#"{"Auspraegung":"Other","Plattform":"web","OS":"Linux","client_id":"c"}"#;
        let json = serde_json::to_string(&UserAgent::parse(Some(value))).expect("JSON");
        assert_eq!(json, r#"{"UA-cid":"c","UA-OS":"Linux","UA-P":"web"}"#);
    }

    #[test]
    fn long_parts_are_cut() {
        for (length, kept) in [(255, 255), (256, 256), (257, 256)] {
            let value = format!(r#"{{"OS":"{}"}}"#, "x".repeat(length));
            assert_eq!(UserAgent::parse(Some(&value)).system.map(|system| system.len()), Some(kept));
        }
    }
}
