//! The tables, read on their own, and what they say of requests.

use std::collections::BTreeSet;

/// The Matrix specification v1.11.
pub(crate) const MATRIX: &str = include_str!("../../../plugins/version-clamp/tables/matrix-v1.11.tsv");
/// What the TIM messenger-proxy lets in.
pub(crate) const TIM: &str = include_str!("../../../plugins/version-clamp/tables/tim.tsv");
/// What it lets out.
pub(crate) const TIM_OUTBOUND: &str = include_str!("../../../plugins/version-clamp/tables/tim-outbound.tsv");

/// What a parameter holds: all that looks like more than one segment.
const FILLING: &str = "%21a%2Fb:example.org";

/// A table.
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

/// A row of it.
pub(crate) struct Row {
    method: &'static str,
    path: &'static str,
    query: Vec<&'static str>,
    refused: Option<(u16, &'static str)>,
}

/// A request, and what becomes of it.
pub(crate) struct Case {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) expected: Expected,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// It arrives.
    Passes,
    /// 405, and these methods are told, in order.
    Method(Vec<&'static str>),
    /// 404.
    Unknown,
    /// 400.
    Query,
    /// As the row says.
    Refused(u16, &'static str),
}

impl Table {
    pub(crate) fn read(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
        let row = |line: &'static str| {
            let mut columns = line.split('\t').chain(["", ""]);
            let mut next = || columns.next().expect("a column");
            let (method, path, query, refused) = (next(), next(), next(), next());
            let query = query.split(',').filter(|name| !name.is_empty()).collect();
            let refused = refused.split_once(' ').map(|(status, code)| (status.parse().expect("a status"), code));
            Row { method, path, query, refused }
        };
        Self { rows: lines.map(row).collect() }
    }

    /// Every row with every method, without each of its query parameters, and paths that are nearly its own.
    pub(crate) fn cases(&self, methods: &[&'static str]) -> Vec<Case> {
        let mut cases = Vec::new();
        let mut seen = BTreeSet::new();
        for row in &self.rows {
            for path in row.samples() {
                for method in methods.iter().filter(|method| seen.insert((**method, path.clone()))) {
                    cases.push(self.case(method, &path));
                }
                let method = if row.method == "ANY" { "GET" } else { row.method };
                if row.refused.is_none() {
                    cases.extend(row.query.iter().map(|missing| row.without(method, &path, missing)));
                    let unknown = |path: String| Case { method, target: path, expected: Expected::Unknown };
                    cases.extend(near(&path).filter(|path| !self.rows.iter().any(|row| row.is_about(path))).map(unknown));
                }
            }
        }
        cases
    }

    fn case(&self, method: &'static str, path: &str) -> Case {
        let about: Vec<&Row> = self.rows.iter().filter(|row| row.is_about(path)).collect();
        let takes = |row: &&&Row, method: &str| row.method == "ANY" || row.method == method;
        if let Some((status, code)) = about.iter().filter(|row| takes(row, method)).find_map(|row| row.refused) {
            return Case { method, target: path.to_owned(), expected: Expected::Refused(status, code) };
        }
        let get = if method == "HEAD" { "GET" } else { method };
        let own = about.iter().filter(|row| takes(row, get) || method == "OPTIONS");
        // The most literal one says which parameters it wants.
        let Some(own) = own.min_by_key(|row| row.path.matches('{').count()) else {
            let mut allowed: Vec<&str> = about.iter().map(|row| row.method).collect();
            if allowed.contains(&"GET") {
                allowed.push("HEAD");
            }
            allowed.push("OPTIONS");
            allowed.sort_unstable();
            allowed.dedup();
            return Case { method, target: path.to_owned(), expected: Expected::Method(allowed) };
        };
        Case { method, target: own.target(path, ""), expected: Expected::Passes }
    }
}

impl Row {
    /// Paths that it is about: an optional last segment is there, empty, and missing.
    fn samples(&self) -> Vec<String> {
        let mut samples = vec![String::new()];
        for segment in self.path.split('/').skip(1) {
            let endings = match segment {
                "{...}" => vec!["/a/b".to_owned(), "/".to_owned()],
                _ if segment.ends_with("?}") => vec![String::new(), "/".to_owned(), format!("/{FILLING}")],
                _ if segment.starts_with('{') => vec![format!("/{FILLING}")],
                _ => vec![format!("/{segment}")],
            };
            samples = samples.iter().flat_map(|sample| endings.iter().map(move |ending| format!("{sample}{ending}"))).collect();
        }
        samples
    }

    /// Whether it is about this path.
    fn is_about(&self, path: &str) -> bool {
        let mut segments = path.split('/').skip(1);
        for part in self.path.split('/').skip(1) {
            match (part, segments.next()) {
                ("{...}", Some(_)) => return true,
                _ if part.ends_with("?}") => {}
                (_, Some(segment)) if part == segment || (part.starts_with('{') && !segment.is_empty()) => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// A target with all parameters but one.
    fn target(&self, path: &str, missing: &str) -> String {
        let names = self.query.iter().filter(|name| **name != missing);
        let query = names.map(|name| format!("{name}=1")).collect::<Vec<_>>().join("&");
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    fn without(&self, method: &'static str, path: &str, missing: &str) -> Case {
        Case { method, target: self.target(path, missing), expected: Expected::Query }
    }
}

/// Paths that are not this one, but nearly.
fn near(path: &str) -> impl Iterator<Item = String> {
    [
        format!("{path}/"),
        format!("{path}x/y/z"),
        format!("/{path}"),
        format!("/x{path}"),
        path.replacen("/_matrix/", "/_MATRIX/", 1),
        path.replacen(FILLING, "a/b", 1),
        path.replace(&format!("/{FILLING}"), "/"),
        format!("{path}/%2e%2e/versions"),
    ]
    .into_iter()
}
