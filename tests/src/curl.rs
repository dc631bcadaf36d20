//! curl, the client that people try first.

use std::{ffi::OsStr, process::Stdio};

use tokio::process::Command;

use crate::patience::within;

/// A call of curl.
pub struct Curl(Command);

/// What curl got.
#[derive(Debug, Clone)]
pub struct CurlAnswer {
    /// Exit code; 0 if there was a response.
    pub code: i32,
    /// Status of the response; 0 if there was none.
    pub status: u16,
    /// `1.1`, `2`.
    pub version: String,
    /// The body.
    pub body: Vec<u8>,
    /// What it said on standard error.
    pub stderr: String,
}

impl Curl {
    /// To this URL.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let mut command = Command::new("curl");
        // The user's own settings and proxies are no part of a test.
        command.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", "30"]);
        command.args(["--write-out", "\n%{http_code} %{http_version}", url]);
        Self(command)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.0.args(arguments);
        self
    }

    /// Runs it.
    pub async fn run(mut self) -> CurlAnswer {
        let output = self.0.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = within(output).await.expect("curl is installed");
        let end = output.stdout.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        let (body, tail) = output.stdout.split_at(end);
        let tail = String::from_utf8_lossy(tail).trim().to_owned();
        let (status, version) = tail.split_once(' ').unwrap_or_default();
        CurlAnswer {
            code: output.status.code().unwrap_or(-1),
            status: status.parse().unwrap_or(0),
            version: version.to_owned(),
            body: body.to_vec(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
