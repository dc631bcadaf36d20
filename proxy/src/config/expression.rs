//! What `--set` takes: `key.path=value`.

use toml::{Table, Value};

/// Splits an assignment into the segments of its key and its value.
///
/// The key is a dotted key of TOML, so a name with dots goes in quotes: `addon."my.addon".cpu`. The value is TOML; one that is
/// not, but is a single word of letters, digits and `._:/@+-*`, is taken as a string, so that `log.level=debug` and
/// `listener.0.bind=127.0.0.1:80` need no quotes within quotes.
///
/// # Errors
/// A text for people that never holds the value: it may be a secret.
pub(super) fn parse(expression: &str) -> Result<(Vec<String>, Value), String> {
    let (key, value) = split(expression).ok_or("has no '=': expected key.path=value")?;
    let path = path(key).ok_or_else(|| format!("{key:?} is no key: expected names with dots between, odd names in quotes"))?;
    let value = value_of(value.trim()).ok_or_else(|| {
        format!(
            "the value for {} is not TOML: strings of more than a word need quotes, tables look like {{key=1}}",
            path.join(".")
        )
    })?;
    Ok((path, value))
}

/// At the first `=` outside of quotes.
fn split(expression: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (place, character) in expression.char_indices() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '=') => return Some((expression.get(..place)?, expression.get(place + 1..)?)),
            _ => {}
        }
    }
    None
}

fn path(key: &str) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut value = Value::Table(toml::from_str::<Table>(&format!("{} = 0", key.trim())).ok()?);
    while let Value::Table(table) = value {
        // More than one key comes of a line break within the text.
        let mut entries = table.into_iter();
        let (segment, below) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        path.push(segment);
        value = below;
    }
    Some(path)
}

fn value_of(text: &str) -> Option<Value> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@+-*".contains(&byte);
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => table.remove("value"),
        Err(_) if !text.is_empty() && text.bytes().all(is_word) => Some(Value::String(text.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(expression: &str) -> Option<(String, String)> {
        let (path, value) = parse(expression).ok()?;
        Some((path.join("/"), value.to_string()))
    }

    #[test]
    fn keys_and_values_are_toml() {
        for (expression, path, value) in [
            ("a=1", "a", "1"),
            ("a.b-c.d_e = true", "a/b-c/d_e", "true"),
            ("addon.\"a.b=c\".cpu=\"50ms\"", "addon/a.b=c/cpu", "\"50ms\""),
            ("addon.x.options={max=\"v1.10\"}", "addon/x/options", "{ max = \"v1.10\" }"),
            ("listener.0.addons=[\"a\", \"b\"]", "listener/0/addons", "[\"a\", \"b\"]"),
        ] {
            assert_eq!(parsed(expression), Some((path.to_owned(), value.to_owned())), "{expression}");
        }
    }

    #[test]
    fn single_words_need_no_quotes() {
        for (expression, value) in [
            ("a=debug", "debug"),
            ("a=127.0.0.1:80", "127.0.0.1:80"),
            ("a=http://h:1", "http://h:1"),
            ("a=50ms", "50ms"),
            ("a=*:80", "*:80"),
        ] {
            assert_eq!(parse(expression).ok().map(|(_, value)| value), Some(Value::String(value.to_owned())), "{expression}");
        }
    }

    #[test]
    fn broken_assignments_are_refused() {
        for expression in [
            "",
            "a",
            "=1",
            "a=",
            "a..b=1",
            "a b=1",
            ".a=1",
            "a={b",
            "a=two words",
            "a=1\nb=2",
            "a=1\n[c]",
            "a=[1]]",
            "a\nb=1",
            "[a]=1",
        ] {
            assert!(parse(expression).is_err(), "{expression:?}");
        }
    }

    #[test]
    fn errors_never_show_the_value() {
        let error = parse("admin.token={hunter2").expect_err("no value");
        assert!(error.contains("admin.token") && !error.contains("hunter2"), "{error}");
        assert!(!parse("hunter2").expect_err("no key").contains("hunter2"));
    }
}
