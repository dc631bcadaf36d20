//! Components, sound and bad ones, and how they get into the directory of addons.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

/// What `tests/guests/scripted` shows as `{build}`: the digits may be changed in the component.
const BUILD: &[u8] = b"guest-build-00000000";

/// Magic number, version and layer (component model, Binary.md).
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The component of a guest of this workspace.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    let path = target().join("guests").join(format!("guest-{name}.wasm"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build --addons` builds it", path.display()))
}

/// The component of an addon that comes with this repository.
#[must_use]
pub fn bundled(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(format!("{name}.wasm"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build --addons` builds it", path.display()))
}

/// The scripted guest with other code: `{build}` shows `guest-build-` and these eight digits.
#[must_use]
pub fn rebuilt(number: u32) -> Vec<u8> {
    let mut component = guest("scripted");
    let place = component.windows(BUILD.len()).position(|window| window == BUILD).expect("the mark of the build");
    let mark = format!("guest-build-{number:08}");
    component[place..place + BUILD.len()].copy_from_slice(mark.as_bytes());
    component
}

/// A module, not a component.
#[must_use]
pub fn core_module() -> Vec<u8> {
    b"\0asm\x01\0\0\0".to_vec()
}

/// A component that imports and exports nothing.
#[must_use]
pub fn empty_component() -> Vec<u8> {
    COMPONENT.to_vec()
}

/// A component that exports an empty interface of this name.
#[must_use]
pub fn exporting(interface: &str) -> Vec<u8> {
    // A component instance of no inline exports, then its export.
    let instance = section(5, &[&[1, 1, 0]]);
    let export = section(11, &[&[1, 0], &name(interface), &[5, 0, 0]]);
    [COMPONENT, &instance, &export].concat()
}

/// A component that imports an empty interface of this name.
#[must_use]
pub fn importing(interface: &str) -> Vec<u8> {
    // An instance type of no declarations, then an import of it.
    let ty = section(7, &[&[1, 0x42, 0]]);
    let import = section(10, &[&[1, 0], &name(interface), &[5, 0]]);
    [COMPONENT, &ty, &import].concat()
}

fn section(id: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[id, u8::try_from(content.len()).expect("a small section")][..], &content].concat()
}

fn name(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).expect("a short name")][..], name.as_bytes()].concat()
}

/// In hexadecimal, as `GET /addons` shows it.
#[must_use]
pub fn sha256(component: &[u8]) -> String {
    Sha256::digest(component).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Puts a component into a directory at once: written aside, then renamed.
pub fn drop_in(directory: &Path, name: &str, component: &[u8]) {
    let aside = directory.join(format!(".{name}.aside"));
    fs::write(&aside, component).expect("a file");
    fs::rename(aside, path(directory, name)).expect("a name");
}

/// Copies a component into a directory as a slow network does: in pieces, with pauses between.
pub async fn drop_in_slowly(directory: &Path, name: &str, component: &[u8], pieces: usize, pause: Duration) {
    let mut file = fs::File::create(path(directory, name)).expect("a file");
    for piece in component.chunks(component.len().div_ceil(pieces)) {
        file.write_all(piece).expect("written");
        // Time is what this is about: a file that is being written.
        sleep(pause).await;
    }
}

/// Removes a component from a directory.
pub fn take_out(directory: &Path, name: &str) {
    fs::remove_file(path(directory, name)).expect("a file");
}

fn path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.wasm"))
}

/// The build directory of these tests, whatever the profile.
pub(super) fn target() -> PathBuf {
    // target/debug/deps/test-0123
    let own = env::current_exe().expect("a program");
    own.ancestors().nth(3).expect("a build directory").to_owned()
}
