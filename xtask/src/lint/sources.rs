//! Rust files as checks look at them: line by line, without comments, texts and tests.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Paths, relative to the root with `/` between, and texts of all Rust files in a folder but those of tests.
pub(super) fn rust_files(root: &Path, folder: &str) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).with_context(|| format!("cannot read {folder}"))?;
        for entry in entries {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let is_tests = path.ends_with("/tests.rs") || path.ends_with("/tests");
            if is_tests {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {path}"))?;
                files.push((path, text));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Numbers and code of the lines before the tests, which are at the end of a file or are a file of their own.
pub(super) fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let begins_tests =
        |pair: &[&str]| matches!(pair, [first, second] if first.trim() == "#[cfg(test)]" && !second.ends_with(';'));
    let end = lines.windows(2).position(begins_tests).unwrap_or(lines.len());
    lines.into_iter().take(end).enumerate().map(|(place, line)| (place + 1, code(line)))
}

/// A line without comment and without what is in quotes. A text that goes over several lines is taken for code.
fn code(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let (mut is_text, mut is_escaped, mut previous) = (false, false, ' ');
    for character in line.chars() {
        if is_text {
            is_text = is_escaped || character != '"';
            is_escaped = !is_escaped && character == '\\';
        } else if character == '"' {
            // A quote in a character literal opens nothing.
            is_text = previous != '\'';
        } else if character == '/' && previous == '/' {
            code.pop();
            return code;
        } else {
            code.push(character);
        }
        previous = character;
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_no_code() {
        for (line, expected) in [
            ("let a = 1; // b", "let a = 1; "),
            ("/// a", ""),
            ("a(\"b\", c)", "a(, c)"),
            ("a(\"b \\\" c\", d)", "a(, d)"),
            ("a(\"http://b\", c)", "a(, c)"),
            ("a(\"b\\\\\", c)", "a(, c)"),
            ("a('\"', b)", "a('', b)"),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn tests_at_the_end_are_left_out() {
        let lines: Vec<_> = code_lines("#[cfg(test)]\nmod tests;\nc // b\n#[cfg(test)]\nmod tests {").collect();
        assert_eq!(lines, [(1, "#[cfg(test)]".to_owned()), (2, "mod tests;".to_owned()), (3, "c ".to_owned())]);
    }
}
