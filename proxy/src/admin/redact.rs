//! Options without their secrets.

use serde_json::Value;

/// What stands in place of a secret. Sent back in a PUT, it keeps the secret in force.
pub(super) const REDACTED: &str = "[redacted]";

/// Words in keys whose values are not for showing.
const SECRET_WORDS: [&str; 10] =
    ["token", "password", "passphrase", "passwd", "secret", "authorization", "bearer", "credential", "cookie", "private"];

/// The document with the values of secret keys replaced.
pub(super) fn redact(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| {
                let shown = if is_secret(key) && !value.is_null() { REDACTED.into() } else { redact(value) };
                (key.clone(), shown)
            })
            .collect(),
        Value::Array(values) => values.iter().map(redact).collect(),
        Value::String(text) => without_user(text).into(),
        other => other.clone(),
    }
}

/// Puts the secrets of `current` back where `value` has their place holder. Fails with the path of one that is not there.
pub(super) fn restore(value: &mut Value, current: &Value) -> Result<(), String> {
    restore_at(value, Some(current), &mut String::new())
}

fn restore_at(value: &mut Value, current: Option<&Value>, path: &mut String) -> Result<(), String> {
    let len = path.len();
    match value {
        Value::String(text) if text.contains(REDACTED) => {
            let is_shown =
                |current: &&Value| text == REDACTED || current.as_str().is_some_and(|current| without_user(current) == *text);
            *value = current.filter(is_shown).cloned().ok_or_else(|| path.clone())?;
        }
        Value::Object(members) => {
            for (key, value) in members {
                path.push_str(if len == 0 { "" } else { "." });
                path.push_str(key);
                restore_at(value, current.and_then(|current| current.get(key)), path)?;
                path.truncate(len);
            }
        }
        Value::Array(values) => {
            // Where elements were added or removed, nobody can tell whose secret is meant.
            let current = current.filter(|current| current.as_array().is_some_and(|current| current.len() == values.len()));
            for (index, value) in values.iter_mut().enumerate() {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
                restore_at(value, current.and_then(|current| current.get(index)), path)?;
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
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let options =
            json!({"max": "v1.11", "apiToken": "t", "hooks": [{"Password": 5, "url": "http://u:p@h/x"}], "tokens": null});
        assert_eq!(
            redact(&options),
            json!({"max": "v1.11", "apiToken": REDACTED, "hooks": [{"Password": REDACTED, "url": "http://[redacted]@h/x"}], "tokens": null})
        );
    }

    #[test]
    fn shown_options_can_be_sent_back() {
        let current = json!({"a": {"token": "t"}, "b": [1, {"secret": "s"}]});
        let mut sent = redact(&current);
        assert_eq!(restore(&mut sent, &current), Ok(()));
        assert_eq!(sent, current);
        for (mut unknown, path) in [
            (json!({"b": [1, {"secret": "s"}, REDACTED]}), "b[2]"),
            (json!({"b": [{"secret": REDACTED}]}), "b[0].secret"),
            (json!({"c": "http://[redacted]@h"}), "c"),
        ] {
            assert_eq!(restore(&mut unknown, &current), Err(path.to_owned()));
        }
    }

    #[test]
    fn users_in_urls_can_be_sent_back() {
        let current = json!({"url": "http://u:p@h/x"});
        let mut sent = redact(&current);
        assert_eq!(restore(&mut sent, &current), Ok(()));
        assert_eq!(sent, current);
        let mut other = json!({"url": "http://[redacted]@elsewhere/x"});
        assert_eq!(restore(&mut other, &current), Err("url".to_owned()));
    }
}
