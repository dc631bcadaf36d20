//! The known name that a misspelled one was meant to be.

/// The nearest of `known`, if it is near enough to be a slip.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = ((name.chars().count() + 1) / 3).max(1);
    known
        .iter()
        .map(|&candidate| (distance(name, candidate), candidate))
        .min()
        .filter(|(edits, _)| *edits <= allowed)
        .map(|(_, near)| near)
}

/// Insertions, removals and replacements that make one of the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, left) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(to.chars()) {
            let edits = (diagonal + usize::from(left != right)).min(before + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, edits);
            before = edits;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_edits() {
        for (from, to, edits) in
            [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("bind", "bind", 0), ("bnd", "bind", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["header_count", "header_bytes", "connections"];
        assert_eq!(nearest("header_cout", &known), Some("header_count"));
        assert_eq!(nearest("conections", &known), Some("connections"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
