//! Documents name tests that are there.
#![cfg(test)]

use std::{fs, path::Path};

#[test]
fn promises_name_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("SECURITY.md")).expect("the document");
    let (_, promises) = document.split_once("## Promises").expect("the promises");
    let named: Vec<(&str, &str)> = promises.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::")).collect();
    assert!(named.len() > 50, "only {} tests are named", named.len());
    for (file, test) in named {
        let path = root.join("tests/tests").join(file).with_extension("rs");
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
