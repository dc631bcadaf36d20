//! The merged document, and which source each value of it comes from.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::key::Key;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In the file.
    File(PathBuf),
    /// In a flag or a variable of this name.
    Flag(String),
}

/// A document, and marks for what flags changed in it.
#[derive(Debug)]
pub(super) struct Tree {
    root: Value,
    base: Source,
    marks: Vec<(Key, Source)>,
}

impl Source {
    /// How errors name it.
    pub(super) fn label(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Flag(name) => name.clone(),
        }
    }

    /// What relative paths are relative to.
    pub(super) fn directory(&self) -> &Path {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")),
            Self::Flag(_) => Path::new(""),
        }
    }
}

impl Tree {
    /// What a file says, or nothing.
    pub(super) const fn new(table: Table, base: Source) -> Self {
        Self { root: Value::Table(table), base, marks: Vec::new() }
    }

    /// All of it.
    pub(super) const fn root(&self) -> &Value {
        &self.root
    }

    /// The value at a key.
    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        key.0.iter().try_fold(&self.root, |value, segment| match value {
            Value::Table(table) => table.get(segment),
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Who wrote the value at a key, or would have to where there is none.
    pub(super) fn source(&self, key: &Key) -> &Source {
        self.marks.iter().rev().find(|(mark, _)| mark.contains(key)).map_or(&self.base, |(_, source)| source)
    }

    /// Puts a value at a path, making tables on the way; it replaces what is there. In arrays a segment is an index, one past
    /// the end adds an item; among listeners it may also be a name.
    pub(super) fn set(&mut self, path: &[String], value: Value, source: Source) -> Result<Key, String> {
        let mut key = Key::root();
        let mut slot = &mut self.root;
        for segment in path {
            let is_listeners = key.0.as_slice() == ["listener"];
            if is_listeners && slot.as_table().is_some_and(Table::is_empty) {
                *slot = Value::Array(Vec::new());
            }
            slot = match slot {
                Value::Table(table) => {
                    key = key.join(segment);
                    table.entry(segment.as_str()).or_insert_with(|| Value::Table(Table::new()))
                }
                Value::Array(items) => {
                    let place = place_of(segment, items).ok_or_else(|| no_such_item(&key, segment, is_listeners))?;
                    key = key.join(place);
                    if place == items.len() {
                        items.push(Value::Table(Table::new()));
                    }
                    items.get_mut(place).ok_or_else(|| no_such_item(&key, segment, is_listeners))?
                }
                _ => return Err(format!("{key} is a plain value and has no keys")),
            };
        }
        *slot = value;
        self.marks.push((key.clone(), source));
        Ok(key)
    }
}

/// Index of an item, or one past the end.
fn place_of(segment: &str, items: &[Value]) -> Option<usize> {
    let by_name = || items.iter().position(|item| item.get("name").and_then(Value::as_str) == Some(segment));
    segment.parse::<usize>().ok().filter(|place| *place <= items.len()).or_else(by_name)
}

fn no_such_item(key: &Key, segment: &str, is_listeners: bool) -> String {
    if is_listeners {
        format!("there is no listener named {segment:?}, and it is no number of one")
    } else {
        format!("{key} has no item {segment:?}: items are numbered from 0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        Tree::new(toml::from_str(text).expect("a document"), Source::File("dir/a.toml".into()))
    }

    fn set(tree: &mut Tree, path: &[&str], value: i64) -> Result<String, String> {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        tree.set(&path, Value::Integer(value), Source::Flag("--set".to_owned())).map(|key| key.to_string())
    }

    #[test]
    fn tables_are_made_on_the_way() {
        let mut tree = tree("");
        assert_eq!(set(&mut tree, &["addon", "a.b", "cpu"], 1).as_deref(), Ok("addon.\"a.b\".cpu"));
        assert_eq!(tree.root().to_string().replace(char::is_whitespace, ""), "{addon={\"a.b\"={cpu=1}}}");
    }

    #[test]
    fn listeners_go_by_number_and_name() {
        let mut tree = tree("listener = [{ name = 'one' }]");
        assert_eq!(set(&mut tree, &["listener", "one", "x"], 1).as_deref(), Ok("listener.0.x"));
        assert_eq!(set(&mut tree, &["listener", "0", "y"], 1).as_deref(), Ok("listener.0.y"));
        assert_eq!(set(&mut tree, &["listener", "1", "z"], 1).as_deref(), Ok("listener.1.z"));
        assert!(set(&mut tree, &["listener", "3", "z"], 1).is_err());
        assert!(set(&mut tree, &["listener", "two", "z"], 1).is_err());
    }

    #[test]
    fn first_listener_may_be_added() {
        let mut tree = tree("");
        assert_eq!(set(&mut tree, &["listener", "0", "x"], 1).as_deref(), Ok("listener.0.x"));
        assert!(set(&mut tree, &["listener", "0", "x", "y"], 1).is_err());
    }

    #[test]
    fn values_know_who_wrote_them() {
        let mut tree = tree("[limits]\nconnections = 1\nh2_streams = 2");
        assert_eq!(set(&mut tree, &["limits", "connections"], 3).as_deref(), Ok("limits.connections"));
        let limits = Key::root().join("limits");
        assert_eq!(tree.source(&limits.join("connections")).label(), "--set");
        assert_eq!(tree.source(&limits.join("h2_streams")).label(), "dir/a.toml");
        assert_eq!(tree.source(&limits).directory(), Path::new("dir"));
    }
}
