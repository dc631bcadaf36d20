//! Where the binary is.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// `TOLLGATE_BIN`, else the one in the build directory of these tests. One that is missing is built, by one test at a time;
/// one that is older than the sources is taken as it is, and said to be: `cargo xtask test` builds it first.
pub(crate) fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| env::var_os("TOLLGATE_BIN").map_or_else(built, PathBuf::from))
}

fn built() -> PathBuf {
    // target/debug/deps/test-0123
    let own = env::current_exe().expect("a program");
    let directory = own.ancestors().nth(2).expect("a build directory");
    let binary = directory.join("tollgate");
    if !binary.exists() {
        let lock = File::create(directory.join(".tollgate-tests.lock")).expect("a file");
        lock.lock().expect("a lock");
        if !binary.exists() {
            build(directory);
        }
    }
    if is_older(&binary) {
        eprintln!("{} is older than proxy/src: `cargo build --workspace --bins` makes it anew", binary.display());
    }
    binary
}

fn build(directory: &Path) {
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--package", "tollgate", "--bin", "tollgate"]).current_dir(root());
    if directory.ends_with("release") {
        build.arg("--release");
    }
    build.env("CARGO_TARGET_DIR", directory.parent().expect("a build directory"));
    assert!(build.status().expect("cargo").success(), "tollgate cannot be built");
}

fn is_older(binary: &Path) -> bool {
    let built = binary.metadata().and_then(|metadata| metadata.modified()).expect("a binary");
    let mut folders = vec![root().join("proxy/src"), root().join("wit")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.modified().is_ok_and(|modified| modified > built) {
                return true;
            }
        }
    }
    false
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
