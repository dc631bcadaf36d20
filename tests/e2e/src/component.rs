//! Addons as files.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The bytes of a component, and the ways in which they come into a directory.
#[derive(Debug, Clone)]
pub struct Component(Vec<u8>);

impl Component {
    /// One of those that are bundled with Tollgate.
    #[must_use]
    pub fn bundled(name: &str) -> Self {
        Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(format!("{name}.wasm")))
    }

    /// One of the examples.
    #[must_use]
    pub fn example(name: &str) -> Self {
        // target/debug/deps/test-0123
        let own = env::current_exe().expect("a program");
        let target = own.ancestors().nth(3).expect("a build directory");
        Self::read(&target.join("addons").join(format!("{name}.wasm")))
    }

    fn read(path: &Path) -> Self {
        let bytes = fs::read(path);
        Self(bytes.unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask build --addons` makes it", path.display())))
    }

    /// The same code from another build: it does the same, and is not the same file.
    #[must_use]
    pub fn rebuilt(&self) -> Self {
        // A custom section: id, length, length of its name, name.
        let mut bytes = self.0.clone();
        bytes.extend_from_slice(b"\0\x08\x07rebuilt");
        Self(bytes)
    }

    /// Puts it there at once, as a careful installer does.
    pub fn rename_to(&self, path: &Path) {
        let temporary = path.with_extension("new");
        fs::write(&temporary, &self.0).expect("a file");
        fs::rename(&temporary, path).expect("a file");
    }

    /// Writes it there piece by piece, as `scp` over a slow line does.
    pub async fn copy_to(&self, path: &Path, mut between: impl AsyncFnMut()) {
        use std::io::Write as _;

        let mut file = fs::File::create(path).expect("a file");
        for piece in self.0.chunks(self.0.len().div_ceil(PIECES)) {
            file.write_all(piece).expect("space");
            between().await;
        }
    }

    /// Puts it into a new directory of addons.
    pub(crate) fn alone_in(&self, directory: PathBuf, name: &str) -> PathBuf {
        fs::create_dir_all(&directory).expect("a directory");
        self.rename_to(&directory.join(format!("{name}.wasm")));
        directory
    }
}

/// Of a slow copy.
const PIECES: usize = 5;
