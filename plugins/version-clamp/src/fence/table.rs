//! The tables that the addon is built with.

use super::{Effect, Rule};

/// Reads the rows: method, path, required query parameters (`a,b`), and how it is refused (`404 M_NOT_FOUND`), separated by
/// tabs; the last two may be missing. Lines that start with `#` and the line with the names of columns say nothing.
///
/// # Errors
///
/// The first line that can't be read.
pub(super) fn parse(table: &'static str) -> Result<Vec<Rule>, &'static str> {
    let lines = table.lines().filter(|line| !line.starts_with('#') && !line.starts_with("method\t"));
    lines.map(|line| row(line).ok_or(line)).collect()
}

fn row(line: &'static str) -> Option<Rule> {
    let mut columns = line.split('\t');
    let method = columns.next()?;
    let path = columns.next()?;
    let query = columns.next().unwrap_or_default();
    let effect = match columns.next().unwrap_or_default().split_once(' ') {
        Some((status, errcode)) => Effect::Refuse { status: status.parse().ok()?, errcode },
        None => Effect::Pass(query),
    };
    Rule::new(method, path, effect).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fence::Fence, options::Table};

    #[test]
    fn tables_can_be_read_whole() {
        assert_eq!(Fence::table(Table::Matrix).map(|rules| rules.len()), Ok(191));
        assert_eq!(Fence::table(Table::Tim).map(|rules| rules.len()), Ok(189));
        assert_eq!(Fence::table(Table::TimOutbound).map(|rules| rules.len()), Ok(45));
    }

    #[test]
    fn broken_rows_are_named() {
        for line in ["GET", "GET a", "get\t/a", "GET\t/a\t\tx M_A"] {
            assert_eq!(parse(line), Err(line));
        }
    }
}
