//! A Redis server for tests: the real one, on a port of its own, gone with its last owner.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::super::{Redis, RedisSettings};
use crate::upstream::Dial;

pub(in crate::kv) struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Server {
    pub(in crate::kv) async fn start(arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let directory = tempfile::tempdir().expect("a directory");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(port, &directory, &arguments);
        let server = Self { child, port, directory, arguments };
        server.answers().await;
        server
    }

    async fn answers(&self) {
        for _ in 0..2_000 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("redis-server (Debian package redis-server) does not answer");
    }

    pub(in crate::kv) fn kill(&mut self) {
        self.child.kill().expect("a server that runs");
        self.child.wait().expect("a server that ended");
    }

    pub(in crate::kv) async fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.arguments);
        self.answers().await;
    }

    pub(in crate::kv) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("a server that runs");
    }

    pub(in crate::kv) fn settings(&self) -> RedisSettings {
        RedisSettings {
            dial: Dial { host: "127.0.0.1".into(), port: self.port, tls: None },
            shown: format!("127.0.0.1:{}/0", self.port).into(),
            database: 0,
            user: None,
            password: None,
            timeout: Duration::from_secs(30),
        }
    }

    pub(in crate::kv) async fn store(&self) -> Redis {
        let redis = Redis::start(self.settings());
        redis.tried().await;
        redis
    }

    /// Asks the server itself.
    pub(in crate::kv) async fn ask(&self, command: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("a client");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let (name, arguments) = command.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query_async(&mut connection).await.expect("an answer")
    }
}

fn spawn(port: u16, directory: &tempfile::TempDir, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]).args(arguments);
    command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server, of the Debian package redis-server")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
