use std::sync::Arc;

use super::{super::conformance::{Bench, conformance}, server::Server};

async fn bench() -> Bench {
    let server = Server::start(&[]).await;
    Bench { store: Arc::new(server.store().await), _held: Box::new(server) }
}

conformance!(bench());
