//! What arrived, for somebody who watches.

use std::io::Write;

use serde_json::{Value, json};

/// Header fields that prove who somebody is.
const SECRETS: [&str; 4] = ["authorization", "cookie", "set-cookie", "proxy-authorization"];
const LEFT_OUT: &str = "[left out]";

/// Writes a payload to standard output.
pub(crate) fn write(body: &[u8]) {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(mut payload) => {
            redact(&mut payload);
            format!("{payload:#}")
        }
        Err(_) => format!("{} bytes that are no JSON", body.len()),
    };
    // Nobody watches any more: nothing to be done.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Takes credentials out: tokens in header fields and in the query. Those in payloads stay.
fn redact(payload: &mut Value) {
    for message in ["request", "response"] {
        let headers = payload.pointer_mut(&format!("/{message}/headers")).and_then(Value::as_object_mut);
        for (name, value) in headers.into_iter().flatten() {
            if SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
                *value = json!(LEFT_OUT);
            }
        }
    }
    if let Some(Value::String(uri)) = payload.pointer_mut("/request/URI")
        && let Some((path, query)) = uri.split_once('?')
        && query.contains("access_token")
    {
        *uri = format!("{path}?{LEFT_OUT}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_left_out() {
        let mut payload = json!({
            "request": {"URI": "/a?b=c&access_token=hunter2", "headers": {"Authorization": "Bearer hunter2", "X": "y"}},
            "response": {"headers": {"Set-Cookie": "hunter2"}},
        });
        redact(&mut payload);
        let text = payload.to_string();
        assert!(!text.contains("hunter2") && text.contains("\"X\":\"y\""), "{text}");
    }

    #[test]
    fn other_queries_stay() {
        let mut payload = json!({"request": {"URI": "/a?b=c", "headers": null}, "response": null});
        let before = payload.clone();
        redact(&mut payload);
        assert_eq!(payload, before);
    }
}
