//! A homeserver as a child process.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Weak},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::Mutex};
use tollgate_tests::{Client, Version, eventually};

/// The homeserver's own name.
pub(crate) const NAME: &str = "localhost";

/// Ports that are tried: between our look for a free one and its use another process can take it.
const ATTEMPTS: usize = 3;

/// Synapse, but one that ends when nobody holds the other end of its standard input: not even a killed test leaves it behind.
const LAUNCHER: &str = "\
import os, sys, threading
from synapse.app.homeserver import main

def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)

threading.Thread(target=end_with_parent, daemon=True).start()
main()
";

static SHARED: Mutex<Weak<Synapse>> = Mutex::const_new(Weak::new());

/// A homeserver with an empty database, open registration and no limits of rates. It speaks with nobody but its clients, and
/// ends when this is dropped; if that is because a test fails, the end of its log is shown.
pub struct Synapse {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Synapse {
    /// The one that concurrent tests share; it ends with the last of them.
    pub async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(synapse) = shared.upgrade() {
            return synapse;
        }
        let synapse = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&synapse);
        synapse
    }

    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        generate(&directory);
        let mut synapse = Self::spawn(directory);
        for _ in 1..ATTEMPTS {
            if synapse.is_up().await {
                break;
            }
            let Self { directory, .. } = synapse.ended();
            synapse = Self::spawn(directory);
        }
        synapse
    }
}
