//! Texts with names in braces.

/// Puts in place of each `{name}` or `{name:argument}` what `value` says. A brace that is not closed stays.
pub(crate) fn fill(template: &str, mut value: impl FnMut(&str, &str) -> String) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            rest = after;
            filled.push('{');
            break;
        };
        let (name, argument) = inside.split_once(':').unwrap_or((inside, ""));
        filled.push_str(&value(name, argument));
        rest = behind;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_way_to_values() {
        let value = |name: &str, argument: &str| format!("<{name}|{argument}>");
        assert_eq!(fill("a{b}c{d:e:f}{", value), "a<b|>c<d|e:f>{");
        assert_eq!(fill("{}", value), "<|>");
    }
}
