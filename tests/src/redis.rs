//! A Redis server: the real one, of the Debian package `redis-server`.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{patience::eventually, ports::Port, tls::Identity};

/// A server on 127.0.0.1 and a port of its own, empty, that ends when this is dropped.
pub struct RedisServer {
    child: Child,
    port: Port,
    arguments: Vec<String>,
    _directory: TempDir,
}

impl RedisServer {
    /// Started, and answering.
    pub async fn start() -> Self {
        let port = Port::reserve();
        let arguments = vec!["--port".to_owned(), port.number().to_string()];
        Self::with(port, arguments).await
    }

    /// The same with TLS as this identity, and nothing else.
    pub async fn tls(identity: &Identity) -> Self {
        let reserved = Port::reserve();
        let (cert, key) = (identity.cert.to_string_lossy(), identity.key.to_string_lossy());
        let port = reserved.number().to_string();
        let arguments =
            ["--port", "0", "--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
        Self::with(reserved, arguments.map(str::to_owned).into()).await
    }

    async fn with(port: Port, mut arguments: Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let common = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &directory.path().to_string_lossy()];
        arguments.extend(common.map(str::to_owned));
        let server = Self { child: spawn(&arguments), port, arguments, _directory: directory };
        server.listens().await;
        server
    }

    /// `redis://` and where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Ends it at once; what it held is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("a server that runs");
        self.child.wait().expect("a server that ended");
    }

    /// Starts it again at the same place.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.arguments);
        self.listens().await;
    }

    /// Stops it where it is: connections stay, and nothing is answered.
    pub fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).expect("a server that runs");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).expect("a server that runs");
    }

    /// What it answers to a command, as it is sent.
    pub async fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.expect("a connection");
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn listens(&self) {
        eventually(async || TcpStream::connect(self.address()).await.is_ok()).await;
    }
}

fn spawn(arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server, of the Debian package redis-server")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
