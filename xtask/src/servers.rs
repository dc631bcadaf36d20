//! Servers that run as long as we want them to.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    http::ask,
    process::{command, works},
};

/// How long a server may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How often is looked whether something has happened.
pub(crate) const GLANCE: Duration = Duration::from_millis(50);

/// A running program. It ends with this value, at the latest.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
}

impl Server {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start the {name}"))?;
        Ok(Self { name, child })
    }

    /// The first line that it prints; its output must be piped. None if it ends before.
    pub(crate) fn first_line(&mut self) -> Option<String> {
        let mut line = String::new();
        BufReader::new(self.child.stdout.take()?).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned()).filter(|line| !line.is_empty())
    }

    /// Waits for a line that it prints; its output must be piped. Fails if it ends before.
    pub(crate) fn wait_for_line(&mut self, wanted: &str) -> Result<()> {
        let output = self.child.stdout.take().with_context(|| format!("the output of the {} is read already", self.name))?;
        for line in BufReader::new(output).lines() {
            if line? == wanted {
                return Ok(());
            }
        }
        bail!("the {} ended, and never said {wanted:?}", self.name)
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("the {} ended with {status}", self.name),
            None => Ok(()),
        }
    }

    /// Waits until this path answers 200.
    pub(crate) fn wait_until_ready(&mut self, address: SocketAddr, path: &str, patience: Duration) -> Result<()> {
        let start = Instant::now();
        while !matches!(ask(address, "GET", path), Ok((200, _))) {
            self.check()?;
            if start.elapsed() > patience {
                bail!("the {} is not ready after {} s: http://{address}{path}", self.name, patience.as_secs());
            }
            sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Politely first, by the system's own program: what we could do without it is to kill.
        let is_asked = works(command("kill").args(["-TERM", &self.child.id().to_string()]));
        let start = Instant::now();
        while is_asked && start.elapsed() < GRACE && matches!(self.child.try_wait(), Ok(None)) {
            sleep(GLANCE);
        }
        // An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This port of 127.0.0.1, or a free one if it is taken.
pub(crate) fn free_port(preferred: u16) -> Result<SocketAddr> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(preferred).or_else(|_| bind(0)).context("no port of 127.0.0.1 is free")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_are_left_alone() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let again = TcpListener::bind(taken).expect("the same port");
        let free = free_port(taken.port()).expect("another port");
        assert_ne!(free, taken);
        drop(again);
        assert_eq!(free_port(taken.port()).expect("the port"), taken);
    }

    #[test]
    fn servers_end_with_their_value() {
        let mut server = Server::start("sleeper", command("sleep").arg("60")).expect("a server");
        let process = format!("/proc/{}", server.child.id());
        server.check().expect("it runs");
        let start = Instant::now();
        drop(server);
        assert!(start.elapsed() < GRACE && !std::path::Path::new(&process).exists());
    }
}
