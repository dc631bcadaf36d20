//! What is taken for a secret by its name, wherever something is shown or recorded.

/// What stands in place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// Words in names whose values are not for showing.
const WORDS: [&str; 10] =
    ["token", "password", "passphrase", "passwd", "secret", "authorization", "bearer", "credential", "cookie", "private"];

/// Whether a key of options, a header field or a parameter of this name holds one, whatever its case and its punctuation.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = letters(name);
    name.ends_with("key") || WORDS.iter().any(|word| name.contains(word))
}

/// The name in lower case, letters and digits alone.
pub(crate) fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}
