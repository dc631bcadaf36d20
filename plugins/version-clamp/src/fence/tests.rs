//! The fence, over every row of its tables.

use std::collections::BTreeSet;

use super::{Fence, Refused};
use crate::options::Table;

const MATRIX: (Table, &str) = (Table::Matrix, include_str!("../../tables/matrix-v1.11.tsv"));
const TIM: (Table, &str) = (Table::Tim, include_str!("../../tables/tim.tsv"));

const TIM_OUTBOUND: (Table, &str) = (Table::TimOutbound, include_str!("../../tables/tim-outbound.tsv"));

const METHODS: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "get"];

/// A row of a table, read on its own.
struct Row {
    method: &'static str,
    path: &'static str,
    query: Vec<&'static str>,
    is_refused: bool,
}

fn rows(table: &'static str) -> Vec<Row> {
    let lines = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    let row = |line: &'static str| {
        let mut columns = line.split('\t').chain(["", ""]);
        let mut next = || columns.next().unwrap_or_default();
        let (method, path, query, refused) = (next(), next(), next(), next());
        let query = query.split(',').filter(|name| !name.is_empty()).collect();
        Row { method, path, query, is_refused: !refused.is_empty() }
    };
    lines.map(row).collect()
}

impl Row {
    /// Paths that the row is about: parameters hold an encoded slash, optional ones are there, empty and missing.
    fn samples(&self) -> Vec<String> {
        let mut samples = vec![String::new()];
        for segment in self.path.split('/').skip(1) {
            let fillings: &[&str] = match segment {
                "{...}" => &["/a/b", "/", "/a//"],
                _ if segment.ends_with("?}") => &["", "/", "/a%2Fb"],
                _ if segment.starts_with('{') => &["/%21a%2Fb:example.org"],
                _ => &[],
            };
            let literal = format!("/{segment}");
            let fillings = if fillings.is_empty() { &[literal.as_str()][..] } else { fillings };
            samples =
                samples.iter().flat_map(|sample| fillings.iter().map(move |filling| format!("{sample}{filling}"))).collect();
        }
        samples
    }

    /// Whether the row is about this path: slowly, as it is written in the table's head.
    fn is_about(&self, path: &str) -> bool {
        let mut segments = path.split('/').skip(1);
        for part in self.path.split('/').skip(1) {
            let segment = segments.next();
            match (part, segment) {
                ("{...}", Some(_)) => return true,
                (_, _) if part.ends_with("?}") => {}
                (_, Some(segment)) if part.starts_with('{') && !segment.is_empty() => {}
                (_, Some(segment)) if part == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    fn query_string(&self) -> String {
        let pairs: Vec<_> = self.query.iter().map(|name| format!("{name}=1&")).collect();
        pairs.concat()
    }
}

fn fence(table: Table) -> Fence {
    Fence::new(Fence::table(table).expect("a table that can be read"))
}

fn every_row_decides((table, text): (Table, &'static str)) {
    let fence = fence(table);
    let rows = rows(text);
    for row in rows.iter().filter(|row| !row.is_refused) {
        for sample in row.samples() {
            let about: Vec<_> = rows.iter().filter(|row| row.is_about(&sample)).collect();
            let is_any = about.iter().any(|row| row.method == "ANY");
            let mut expected: BTreeSet<&str> = about.iter().map(|row| row.method).collect();
            if expected.contains("GET") {
                expected.insert("HEAD");
            }
            expected.insert("OPTIONS");
            let target = format!("{sample}?{}", row.query_string());
            for method in METHODS {
                let answer = fence.check(method, &target);
                if is_any || expected.contains(method) {
                    // Another row of the same path may want other query parameters; its own turn comes.
                    let is_own = row.method == method || row.method == "ANY" || method == "OPTIONS";
                    assert!(!is_own || answer.is_ok(), "{method} {target}: {answer:?}");
                } else {
                    let Err(Refused::Method { allow, .. }) = answer else { panic!("{method} {target}: {answer:?}") };
                    assert_eq!(allow.split(", ").collect::<BTreeSet<_>>(), expected, "{method} {target}");
                }
            }
        }
    }
}

fn every_query_parameter_is_required((table, text): (Table, &'static str)) {
    let fence = fence(table);
    for row in rows(text).iter().filter(|row| !row.query.is_empty()) {
        for sample in row.samples() {
            for missing in &row.query {
                let others = row.query_string().replace(&format!("{missing}=1&"), "");
                let answer = fence.check(row.method, &format!("{sample}?x={missing}&{others}"));
                assert_eq!(answer, Err(Refused::Query(vec![missing])), "{sample}");
            }
        }
    }
}

fn near_misses_are_unknown((table, text): (Table, &'static str)) {
    let fence = fence(table);
    let rows = rows(text);
    for row in rows.iter().filter(|row| !row.is_refused) {
        for sample in row.samples() {
            let misses = [
                format!("{sample}/"),
                format!("{sample}x/y/z"),
                format!("/{sample}"),
                format!("/x{sample}"),
                sample.replacen("example.org", "example.org/a", 1),
                sample.replace("/%21a%2Fb:example.org", "/"),
                sample.replacen("/_matrix/", "/_MATRIX/", 1),
                format!("{sample}/%2e%2e/versions"),
            ];
            for path in misses.iter().filter(|path| !rows.iter().any(|row| row.is_about(path))) {
                assert_eq!(fence.check(row.method, path), Err(Refused::Unknown), "{path}");
            }
        }
    }
}

#[test]
fn every_row_of_matrix_decides() {
    every_row_decides(MATRIX);
}

#[test]
fn every_row_of_tim_decides() {
    every_row_decides(TIM);
    every_row_decides(TIM_OUTBOUND);
}

#[test]
fn required_query_parameters_are_named() {
    every_query_parameter_is_required(MATRIX);
    every_query_parameter_is_required(TIM);
    every_query_parameter_is_required(TIM_OUTBOUND);
}

#[test]
fn paths_beside_matrix_are_unknown() {
    near_misses_are_unknown(MATRIX);
}

#[test]
fn paths_beside_tim_are_unknown() {
    near_misses_are_unknown(TIM);
    near_misses_are_unknown(TIM_OUTBOUND);
}
