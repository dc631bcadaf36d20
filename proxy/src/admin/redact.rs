//! Options without their secrets.

use crate::{json::Json, secret::is_secret};

/// What stands in place of a secret. Sent back in a PUT, it keeps the secret in force.
pub(super) use crate::secret::REDACTED;

/// The document with the values of secret keys replaced.
pub(super) fn redact(value: &Json) -> Json {
    match value {
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(key, value)| {
                    // A switch is no secret, whatever it is about.
                    let is_shown = !is_secret(key) || matches!(value, Json::Null | Json::Bool(_));
                    (key.clone(), if is_shown { redact(value) } else { Json::Text(REDACTED.to_owned()) })
                })
                .collect(),
        ),
        Json::List(values) => Json::List(values.iter().map(redact).collect()),
        Json::Text(text) => Json::Text(without_user(text)),
        other => other.clone(),
    }
}

/// Puts the secrets of `current` back where `value` has their place holder.
///
/// Elements of lists are known by their `id`; without one, by being what they were. And nobody is told a secret in a roundabout
/// way: where the URLs beside it are others now, it has to be sent anew.
///
/// # Errors
/// The path of a place holder that stands for nothing.
pub(super) fn restore(value: &mut Json, current: Option<&Json>) -> Result<(), String> {
    let before = current.map(|json| Before { json, is_beside_the_same: has_urls_of(value, json) });
    restore_at(value, before, &mut String::new())
}

/// What was at a place.
#[derive(Clone, Copy)]
struct Before<'a> {
    json: &'a Json,
    /// Whether secrets there would go where they went.
    is_beside_the_same: bool,
}

fn restore_at(value: &mut Json, before: Option<Before<'_>>, path: &mut String) -> Result<(), String> {
    let len = path.len();
    match value {
        Json::Text(text) if text.contains(REDACTED) => {
            let is_shown =
                |current: &&Json| text == REDACTED || matches!(current, Json::Text(current) if without_user(current) == *text);
            let current = before.filter(|before| before.is_beside_the_same).map(|before| before.json);
            *value = current.filter(is_shown).cloned().ok_or_else(|| path.clone())?;
        }
        Json::Object(members) => {
            for (key, value) in members {
                path.push_str(if len == 0 { "" } else { "." });
                path.push_str(key);
                let before = before.and_then(|before| Some(Before { json: before.json.get(key)?, ..before }));
                restore_at(value, before, path)?;
                path.truncate(len);
            }
        }
        Json::List(values) => {
            let twins: Vec<_> = values
                .iter()
                .enumerate()
                .map(|(index, value)| before.and_then(|before| twin(value, index, values, before)))
                .collect();
            for (index, (value, twin)) in values.iter_mut().zip(twins).enumerate() {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
                restore_at(value, twin, path)?;
                path.truncate(len);
            }
        }
        _ => {}
    }
    Ok(())
}

/// What an element of a list was before: that with its `id`, if both lists have one such; without an `id`, that in its place, if
/// it is the same but for secrets.
fn twin<'a>(value: &Json, index: usize, values: &[Json], before: Before<'a>) -> Option<Before<'a>> {
    let Json::List(current) = before.json else { return None };
    let Some(id) = value.get("id") else {
        return current.get(index).filter(|current| redact(current) == *value).map(|json| Before { json, ..before });
    };
    let mut same = current.iter().filter(|current| current.get("id") == Some(id));
    let json = same.next().filter(|_| same.next().is_none())?;
    let is_one = values.iter().filter(|value| value.get("id") == Some(id)).count() == 1;
    is_one.then(|| Before { json, is_beside_the_same: has_urls_of(value, json) })
}

/// Whether the same URLs are in both, elements of lists apart that have an `id` of their own.
fn has_urls_of(value: &Json, current: &Json) -> bool {
    let (mut now, mut before) = (Vec::new(), Vec::new());
    urls(value, &mut now);
    urls(&redact(current), &mut before);
    now == before
}

fn urls(value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Text(text) if text.contains("://") => found.push(text.clone()),
        Json::Object(members) => members.iter().for_each(|(_, value)| urls(value, found)),
        Json::List(values) => values.iter().filter(|value| value.get("id").is_none()).for_each(|value| urls(value, found)),
        _ => {}
    }
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
    fn secrets_go_where_they_were() {
        let current = json(
            r#"{"hooks": [{"id": "a", "url": "http://a/", "headers": {"Authorization": "A"}},
                {"id": "b", "url": "http://b/", "headers": {"Authorization": "B"}}]}"#,
        );
        let mut turned = redact(&current);
        let Json::Object(members) = &mut turned else { panic!("{turned}") };
        let Json::List(hooks) = &mut members[0].1 else { panic!("a list") };
        hooks.reverse();
        assert_eq!(restore(&mut turned, Some(&current)), Ok(()));
        let shown = turned.to_string();
        assert!(shown.find("\"A\"") > shown.find("http://a/") && shown.find("\"B\"") < shown.find("http://a/"), "{shown}");
        for (sent, path) in [
            (
                r#"{"hooks": [{"id": "a", "url": "http://x/", "headers": {"Authorization": "[redacted]"}}]}"#,
                "hooks[0].headers.Authorization",
            ),
            (
                r#"{"hooks": [{"id": "c", "url": "http://a/", "headers": {"Authorization": "[redacted]"}}]}"#,
                "hooks[0].headers.Authorization",
            ),
            (r#"{"hooks": [{"id": "a", "url": "http://a/", "token": "[redacted]"}]}"#, "hooks[0].token"),
        ] {
            assert_eq!(restore(&mut json(sent), Some(&current)), Err(path.to_owned()), "{sent}");
        }
        let current = json(r#"{"url": "http://a/", "token": "t"}"#);
        assert_eq!(restore(&mut json(r#"{"url": "http://x/", "token": "[redacted]"}"#), Some(&current)), Err("token".to_owned()));
        let current = json(r#"[{"url": "http://a/", "token": "t"}, {"url": "http://b/", "token": "u"}]"#);
        let turned = r#"[{"url": "http://b/", "token": "[redacted]"}, {"url": "http://a/", "token": "[redacted]"}]"#;
        assert_eq!(restore(&mut json(turned), Some(&current)), Err("[0].token".to_owned()));
    }

    #[test]
    fn switches_are_no_secrets() {
        let flags = json(r#"{"allowUnauthenticatedPasswordResets": true}"#);
        assert_eq!(redact(&flags), flags);
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
