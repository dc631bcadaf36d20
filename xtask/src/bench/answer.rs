//! One request, looked at closely: whether a peer does what its rounds are to measure.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::process::command;

use super::{Bench, proxy::Proxy};

/// Seconds for a request.
const PATIENCE: &str = "10";

/// An answer as curl saw it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `HTTP/1.1`, `HTTP/2`.
    pub(crate) version: String,
    pub(crate) status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Asks for a path with these fields besides.
    pub(crate) fn of(proxy: &Proxy, path: &str, fields: &[&str]) -> Result<Self> {
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--insecure", "--include", "--noproxy", "*", "--max-time", PATIENCE]);
        curl.arg(if proxy.speaks_http2 { "--http2-prior-knowledge" } else { "--http1.1" });
        for field in fields {
            curl.args(["--header", field]);
        }
        let said = curl.arg(proxy.url(path)).output().context("cannot start curl")?;
        ensure!(said.status.success(), "{}: {}", proxy.label, String::from_utf8_lossy(&said.stderr).trim());
        Self::parse(&said.stdout).with_context(|| format!("{} does not answer in HTTP", proxy.label))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = text.split_at_checked(end)?;
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (version, status) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Some(Self { version, status, fields, body: body.get(4..)?.to_vec() })
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Bench {
    /// 200 with what the origin has there, by the version of HTTP that is measured.
    pub(crate) fn same_as_origin(&self, proxy: &Proxy, path: &str) -> Result<Answer> {
        let answer = Answer::of(proxy, path, &[])?;
        ensure!(answer.status == 200, "{} answers {} to {path}", proxy.label, answer.status);
        let version = if proxy.speaks_http2 { "HTTP/2" } else { "HTTP/1.1" };
        ensure!(answer.version == version, "{} speaks {}, not {version}", proxy.label, answer.version);
        let file = self.origin.file(path);
        let wanted = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(answer.body == wanted, "{} has another body at {path}: {} bytes", proxy.label, answer.body.len());
        Ok(answer)
    }

    /// That this peer judges requests by the rules and edits both messages, and that another does not.
    pub(crate) fn judges(&self, proxy: &Proxy, path: &str, is_meant: bool) -> Result<()> {
        let answer = self.same_as_origin(proxy, path)?;
        let seen = (answer.field("x-saw"), answer.field("x-seen-by"));
        let wanted = if is_meant { (Some("0000"), Some("bench")) } else { (None, None) };
        ensure!(seen == wanted, "{} made edits {seen:?}, not {wanted:?}", proxy.label);
        Ok(())
    }
}

/// That each rule finds what it is for.
pub(crate) fn finds(proxy: &Proxy, path: &str) -> Result<()> {
    for (fields, wanted) in [("User-Agent: SQLmap/1", "0100"), ("Host: a.blocked.example", "0010")] {
        let answer = Answer::of(proxy, path, &[fields])?;
        let found = answer.field("x-saw");
        ensure!(found == Some(wanted), "{}: the rules find {found:?} in {fields:?}, not {wanted}", proxy.label);
    }
    // The origin has nothing there, and says what it saw all the same.
    let answer = Answer::of(proxy, "/api/v1/rooms/a/send/b", &[])?;
    ensure!(answer.field("x-saw") == Some("1000"), "{}: the rule on paths finds nothing", proxy.label);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let answer = Answer::parse(b"HTTP/2 404 \r\nx-saw: 1:0\r\nB:\r\n\r\n\r\n\r\nbody").expect("an answer");
        assert_eq!((answer.version.as_str(), answer.status), ("HTTP/2", 404));
        assert_eq!((answer.field("x-saw"), answer.field("b"), answer.field("c")), (Some("1:0"), Some(""), None));
        assert_eq!(answer.body, b"\r\n\r\nbody");
        assert_eq!(Answer::parse(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
