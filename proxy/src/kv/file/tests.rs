use std::sync::Arc;

use super::{super::conformance::{Bench, conformance}, *};

async fn bench() -> Bench {
    let directory = tempfile::tempdir().expect("a directory");
    let store = File::open(&directory.path().join("state"), 1 << 30).expect("a store");
    Bench { store: Arc::new(store), _held: Box::new(directory) }
}

conformance!(bench());
