//! The boundaries between the parts, as tables.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;

use super::sources::{code_lines, rust_files};
use crate::workspace::Workspace;

/// A package that must not come to depend on another, however far.
struct Apart {
    /// Packages by name, or all below a folder that ends with `/`.
    from: &'static str,
    to: &'static str,
    why: &'static str,
}

const APART: [Apart; 5] = [
    Apart { from: "tollgate", to: "tollgate-sdk", why: "the proxy knows addons by wit/ alone" },
    Apart { from: "tollgate-sdk", to: "tollgate", why: "the SDK knows the proxy by wit/ alone" },
    Apart { from: "plugins/", to: "tollgate", why: "addons know the SDK alone" },
    Apart { from: "examples/", to: "tollgate", why: "examples are what a user can write: with the SDK alone" },
    Apart { from: "xtask", to: "tollgate", why: "chores start the proxy as a program, and have to compile without it" },
];

/// Names that only some files may use.
struct Reserved {
    /// As they begin in code.
    names: &'static [&'static str],
    /// Folder that the rule is for.
    within: &'static str,
    /// Beginnings of the paths of files that may use them.
    allowed: &'static [&'static str],
    why: &'static str,
}

const RESERVED: [Reserved; 2] = [
    Reserved {
        names: &["wasmtime"],
        within: "proxy/src",
        allowed: &["proxy/src/addons"],
        why: "only the addon host names wasmtime: the flow sees hooks",
    },
    Reserved {
        names: &[
            "tokio::net",
            "std::net::Tcp",
            "std::net::Udp",
            "std::os::unix::net",
            "socket2",
            "TcpListener",
            "TcpStream",
            "TcpSocket",
            "UdpSocket",
            "UnixListener",
            "UnixStream",
        ],
        within: "proxy/src",
        allowed: &["proxy/src/server", "proxy/src/upstream", "proxy/src/admin", "proxy/src/socket.rs"],
        why: "only server, upstream and admin own sockets: all else works on streams that it is given",
    },
];

/// What depends on what it must not.
pub(super) fn dependencies(workspace: &Workspace) -> Vec<String> {
    let mut broken = Vec::new();
    for Apart { from, to, why } in &APART {
        for (name, package) in &workspace.packages {
            let is_meant = if from.ends_with('/') { package.folder.starts_with(from) } else { name == from };
            if is_meant && let Some(way) = way(workspace, name, to) {
                broken.push(format!("{}: {why}", way.join(" -> ")));
            }
        }
    }
    broken
}

/// How a package of the workspace comes to depend on another.
fn way<'a>(workspace: &'a Workspace, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = vec![vec![from]];
    while let Some(way) = ways.pop() {
        let package = workspace.packages.get(*way.last()?);
        for dependency in package.map(|package| package.dependencies.as_slice()).unwrap_or_default() {
            let longer = || way.iter().copied().chain([dependency.as_str()]).collect();
            if dependency == to {
                return Some(longer());
            }
            if seen.insert(dependency) {
                ways.push(longer());
            }
        }
    }
    None
}

/// What is named where it must not be. Tests may name anything.
pub(super) fn names(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for Reserved { names, within, allowed, why } in &RESERVED {
        for (path, text) in rust_files(root, within)? {
            if allowed.iter().any(|beginning| path.starts_with(beginning)) {
                continue;
            }
            for (number, line) in code_lines(&text) {
                if let Some(name) = names.iter().find(|name| names_it(&line, name)) {
                    broken.push(format!("{path}:{number}: {name}: {why}"));
                }
            }
        }
    }
    Ok(broken)
}

/// Whether a word of the line begins with the name.
fn names_it(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(place, _)| {
        !line.get(..place).unwrap_or_default().ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;
    use crate::workspace::Package;

    fn workspace(packages: &[(&str, &str, &[&str])]) -> Workspace {
        let packages: BTreeMap<_, _> = packages
            .iter()
            .map(|(name, folder, dependencies)| {
                let dependencies = dependencies.iter().map(ToString::to_string).collect();
                ((*name).to_owned(), Package { folder: folder.into(), is_addon: false, dependencies })
            })
            .collect();
        Workspace { root: "/w".into(), target: "/t".into(), packages }
    }

    #[test]
    fn far_dependencies_are_found() {
        let sound = workspace(&[
            ("tollgate", "proxy", &["serde"]),
            ("tollgate-sdk", "plugin-sdk", &["serde"]),
            ("policy", "plugins/policy", &["tollgate-sdk"]),
            ("tollgate-tests", "tests", &["tollgate", "tollgate-sdk"]),
        ]);
        assert_eq!(dependencies(&sound), Vec::<String>::new());
        let broken = workspace(&[
            ("tollgate", "proxy", &["helper"]),
            ("helper", "helper", &["tollgate-sdk", "helper"]),
            ("policy", "plugins/policy", &["tollgate"]),
        ]);
        let broken = dependencies(&broken);
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken.iter().any(|line| line.starts_with("tollgate -> helper -> tollgate-sdk: ")), "{broken:?}");
        assert!(broken.iter().any(|line| line.starts_with("policy -> tollgate: ")), "{broken:?}");
    }

    #[test]
    fn reserved_names_are_found_in_code() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = directory.path().join("proxy/src").join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("addons.rs", "use wasmtime::Engine;\n");
        write("addons/engine.rs", "use wasmtime::Engine;\n");
        write("server/accept.rs", "use tokio::net::TcpListener;\n");
        write("flow.rs", "// wasmtime is not named here\nlet text = \"wasmtime\";\nlet my_wasmtime = 1;\n");
        write("http.rs", "fn f() {}\n#[cfg(test)]\nmod tests { use tokio::net::TcpStream; }\n");
        assert_eq!(names(directory.path()).expect("files"), Vec::<String>::new());
        write("flow.rs", "\nuse wasmtime_wasi::p2; // no\n");
        write("http/body.rs", "use tokio::net::TcpStream;\n");
        let broken = names(directory.path()).expect("files");
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken.iter().any(|line| line.starts_with("proxy/src/flow.rs:2: wasmtime: ")), "{broken:?}");
        assert!(broken.iter().any(|line| line.starts_with("proxy/src/http/body.rs:1: tokio::net: ")), "{broken:?}");
    }
}
