//! Options without their secrets.

use crate::json::Json;

/// What stands in place of a secret. Sent back in a PUT, it keeps the secret in force.
pub(super) const REDACTED: &str = "[redacted]";

/// Words in keys whose values are not for showing.
const SECRET_WORDS: [&str; 10] =
    ["token", "password", "passphrase", "passwd", "secret", "authorization", "bearer", "credential", "cookie", "private"];

/// The document with the values of secret keys replaced.
pub(super) fn redact(value: &Json) -> Json {
    match value {
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(key, value)| {
                    let is_shown = !is_secret(key) || *value == Json::Null;
                    (key.clone(), if is_shown { redact(value) } else { Json::Text(REDACTED.to_owned()) })
                })
                .collect(),
        ),
        Json::List(values) => Json::List(values.iter().map(redact).collect()),
        Json::Text(text) => Json::Text(without_user(text)),
        other => other.clone(),
    }
}

/// Puts the secrets of `current` back where `value` has their place holder. Fails with the path of one that is not there.
pub(super) fn restore(value: &mut Json, current: Option<&Json>) -> Result<(), String> {
    restore_at(value, current, &mut String::new())
}

fn restore_at(value: &mut Json, current: Option<&Json>, path: &mut String) -> Result<(), String> {
    let len = path.len();
    match value {
        Json::Text(text) if text.contains(REDACTED) => {
            let is_shown =
                |current: &&Json| text == REDACTED || matches!(current, Json::Text(current) if without_user(current) == *text);
            *value = current.filter(is_shown).cloned().ok_or_else(|| path.clone())?;
        }
        Json::Object(members) => {
            for (key, value) in members {
                path.push_str(if len == 0 { "" } else { "." });
                path.push_str(key);
                restore_at(value, current.and_then(|current| current.get(key)), path)?;
                path.truncate(len);
            }
        }
        Json::List(values) => {
            // Where elements were added or removed, nobody can tell whose secret is meant.
            let current = match current {
                Some(Json::List(current)) if current.len() == values.len() => current.as_slice(),
                _ => &[],
            };
            for (index, value) in values.iter_mut().enumerate() {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
                restore_at(value, current.get(index), path)?;
                path.truncate(len);
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_secret(key: &str) -> bool {
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    key.ends_with("key") || SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// A URL without user and password.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{REDACTED}{}", rest.get(at..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    fn json(text: &str) -> Json {
        read(text.as_bytes()).expect(text).json
    }

    #[test]
    fn secrets_are_not_shown() {
        let options =
            json(r#"{"max": "v1.11", "apiToken": "t", "hooks": [{"Password": 5, "url": "http://u:p@h/x"}], "tokens": null}"#);
        let shown = r#"{"max":"v1.11","apiToken":"[redacted]","hooks":[{"Password":"[redacted]","url":"http://[redacted]@h/x"}],"tokens":null}"#;
        assert_eq!(redact(&options).to_string(), shown);
    }

    #[test]
    fn secrets_of_policies_are_not_shown() {
        let policy = json(
            r#"{"users": [{"id": "@a:b", "authType": "passwordHash", "authCredential": "hunter2"}], "hooks": [{"id": "h",
                "RESTServiceRequestHeaders": {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2", "X-Access-Token": "hunter2",
                "X-Plain": "shown"}, "RESTServiceURL": "https://hunter2:hunter2@h/x"}], "sharedSecret": "hunter2"}"#,
        );
        let shown = redact(&policy).to_string();
        assert!(
            !shown.contains("hunter2") && shown.contains("passwordHash") && shown.contains("\"X-Plain\":\"shown\""),
            "{shown}"
        );
        let mut sent = redact(&policy);
        assert_eq!(restore(&mut sent, Some(&policy)), Ok(()));
        assert_eq!(sent, policy);
    }

    #[test]
    fn shown_options_can_be_sent_back() {
        let current = json(r#"{"a": {"token": "t"}, "b": [1, {"secret": "s"}]}"#);
        let mut sent = redact(&current);
        assert_eq!(restore(&mut sent, Some(&current)), Ok(()));
        assert_eq!(sent, current);
        for (unknown, path) in [
            (r#"{"b": [1, {"secret": "s"}, "[redacted]"]}"#, "b[2]"),
            (r#"{"b": [{"secret": "[redacted]"}]}"#, "b[0].secret"),
            (r#"{"c": "http://[redacted]@h"}"#, "c"),
        ] {
            assert_eq!(restore(&mut json(unknown), Some(&current)), Err(path.to_owned()));
            assert_eq!(restore(&mut json(unknown), None), Err(path.to_owned()));
        }
    }

    #[test]
    fn users_in_urls_can_be_sent_back() {
        let current = json(r#"{"url": "http://u:p@h/x"}"#);
        let mut sent = redact(&current);
        assert_eq!(restore(&mut sent, Some(&current)), Ok(()));
        assert_eq!(sent, current);
        let mut other = json(r#"{"url": "http://[redacted]@elsewhere/x"}"#);
        assert_eq!(restore(&mut other, Some(&current)), Err("url".to_owned()));
    }
}
