//! The example for Mastodon: its configuration before its server.

use std::{net::SocketAddr, path::Path};

use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::components;
use crate::tollgate::{Builder, Tollgate};

/// The server of the example, in this process, and what proxies before it keep.
pub struct Fediverse {
    address: SocketAddr,
    serving: JoinHandle<()>,
    home: TempDir,
}

impl Fediverse {
    /// Name of the example's listener.
    pub const LISTENER: &'static str = "mastodon";

    /// The server alone.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        components::drop_in(home.path(), "dedup", &components::bundled("dedup"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let serving = tokio::spawn(mastodon_sample::serve(listener, mastodon_sample::HEARTBEAT));
        Self { address, serving, home }
    }

    /// Where the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A proxy with the example's configuration: but for what a test cannot leave as it is, namely ports and directories. Port 0
    /// lets the system choose. Several after one another share what they keep.
    #[must_use]
    pub fn proxy(&self, port: u16) -> Builder {
        let quoted = |path: &Path| format!("{:?}", path.to_string_lossy());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mastodon/tollgate.toml");
        Tollgate::builder()
            .file(file)
            .set("listener.mastodon.bind", format!("\"127.0.0.1:{port}\""))
            .set("listener.mastodon.upstream", format!("\"{}\"", self.url()))
            .set("admin.listen", "\"127.0.0.1:0\"")
            .set("plugins", quoted(self.home.path()))
            .set("state", format!("\"redb:{}\"", self.home.path().join("seen.redb").display()))
            .set("cache", quoted(&components::target().join("tmp").join("host-cache")))
    }

    /// Ends the server: nobody listens there any more.
    pub async fn end(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Fediverse {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
