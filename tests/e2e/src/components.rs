//! Addons that come with this repository, as `cargo xtask build --addons` leaves them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// One of those in `plugins/`.
#[must_use]
pub fn bundled(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(format!("{name}.wasm")))
}

/// One of those in `examples/`.
#[must_use]
pub fn example(name: &str) -> Vec<u8> {
    read(&target().join("addons").join(format!("{name}.wasm")))
}

/// Where code that was compiled once is kept for all tests, of later runs too.
#[must_use]
pub fn cache() -> PathBuf {
    target().join("tmp").join("host-cache")
}

/// The build directory of these tests, whatever the profile.
fn target() -> PathBuf {
    // target/debug/deps/test-0123
    let own = env::current_exe().expect("a program");
    own.ancestors().nth(3).expect("a build directory").to_owned()
}

/// The same code from another build: other bytes that do the same.
#[must_use]
pub fn rebuilt(component: &[u8]) -> Vec<u8> {
    // A custom section: id, length, length of its name, name.
    [component, b"\0\x08\x07rebuilt"].concat()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build --addons` builds it", path.display()))
}
