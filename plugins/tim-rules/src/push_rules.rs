//! Paths of push rules that lack a part, or have a wrong one, are told so at once.

use crate::{
    options::Settings,
    path::{decoded, word},
    refusal::Refused,
    route::client,
};

/// Attributes of a rule.
const ATTRIBUTES: [&str; 2] = ["actions", "enabled"];

/// Slashes at the end count here: `/pushrules/global/` is all of a scope, `/pushrules/global` is nothing.
pub(crate) fn check(settings: &Settings, method: &str, target: &str) -> Result<(), Refused> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let segments: Vec<String> = path.split('/').skip(1).map(decoded).collect();
    let words: Vec<String> = segments.iter().map(|segment| word(segment)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(["pushrules", rest @ ..]) = client(&words).and_then(|start| words.get(start..)) else { return Ok(()) };
    let is_missing = match (method, rest) {
        ("GET" | "HEAD", [scope]) => !scope.is_empty(),
        ("GET" | "HEAD" | "PUT", [_, kind]) => !kind.is_empty(),
        ("PUT", [_]) => true,
        _ => false,
    };
    let is_wrong = match (method, rest) {
        ("GET" | "HEAD" | "PUT", [_, _, rule, attribute]) => {
            !rule.is_empty() && !attribute.is_empty() && !ATTRIBUTES.contains(attribute)
        }
        ("PUT", [_, kind, ""]) => !kind.is_empty(),
        _ => false,
    };
    if is_missing {
        return Err(Refused::new(400, "M_MISSING_PARAM", &settings.texts.push_rules));
    }
    if is_wrong { Err(Refused::new(400, "M_INVALID_PARAM", &settings.texts.push_rules)) } else { Ok(()) }
}
