//! Addons that come with this repository, as `cargo xtask build --addons` leaves them.

use std::{env, fs, path::Path};

/// One of those in `plugins/`.
#[must_use]
pub fn bundled(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(format!("{name}.wasm")))
}

/// One of those in `examples/`.
#[must_use]
pub fn example(name: &str) -> Vec<u8> {
    // target/debug/deps/test-0123
    let own = env::current_exe().expect("a program");
    let target = own.ancestors().nth(3).expect("a build directory");
    read(&target.join("addons").join(format!("{name}.wasm")))
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
