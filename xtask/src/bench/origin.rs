//! What all proxies stand before: nginx with files.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::servers::{GLANCE, Server};

use super::{cores::Cores, nginx, ports::Port, proxy::pinned, tools::Tools};

/// Paths that it has.
pub(crate) const SMALL: &str = "/v1/1k.json?page=2";
pub(crate) const MIDDLE: &str = "/v1/10k.json";
pub(crate) const LARGE: &str = "/v1/100k.json";
pub(crate) const QUARTER: &str = "/v1/256m.bin";
pub(crate) const HUGE: &str = "/v1/1g.bin";

/// Bytes at the last two.
pub(crate) const QUARTER_BYTES: u64 = HUGE_BYTES / 4;
pub(crate) const HUGE_BYTES: u64 = 1 << 30;

const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP/1.1 server of files. It ends with this value.
pub(crate) struct Origin {
    server: Option<Server>,
    files: PathBuf,
    port: Port,
}

impl Origin {
    /// Writes its files; zeros without a place on the disk where they are many.
    pub(crate) fn prepare(run: &Path) -> Result<Self> {
        let files = run.join("files");
        fs::create_dir_all(files.join("v1")).with_context(|| format!("cannot make {}", files.display()))?;
        let origin = Self { server: None, files, port: Port::reserve()? };
        for (path, bytes) in [(SMALL, 1 << 10), (MIDDLE, 10 << 10), (LARGE, 100 << 10)] {
            fs::write(origin.file(path), document(bytes)?).context("cannot write a document")?;
        }
        for (path, bytes) in [(QUARTER, QUARTER_BYTES), (HUGE, HUGE_BYTES)] {
            File::create(origin.file(path)).and_then(|file| file.set_len(bytes)).context("cannot make a file of zeros")?;
        }
        Ok(origin)
    }

    pub(crate) fn start(&mut self, tools: &Tools, cores: &Cores, run: &Path) -> Result<()> {
        let folder = run.join("origin");
        fs::create_dir_all(&folder)?;
        let config = folder.join("nginx.conf");
        fs::write(&config, nginx::origin(&folder, self.address(), &self.files))?;
        let program = nginx::program(&tools.nginx, &folder, &config);
        let mut server = Server::start("origin", &mut pinned(&cores.origin.to_string(), &program, &folder.join("log"))?)?;
        let start = Instant::now();
        while TcpStream::connect(self.address()).is_err() {
            server.check()?;
            if start.elapsed() > PATIENCE {
                bail!("the origin does not listen after {} s", PATIENCE.as_secs());
            }
            sleep(GLANCE);
        }
        self.server = Some(server);
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// What is served at a path.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.files.join(path.split('?').next().unwrap_or(path).trim_start_matches('/'))
    }
}

/// JSON of exactly so many bytes, in the shape of a page of a list.
fn document(bytes: usize) -> Result<String> {
    let mut text = String::from("{\"items\":[");
    for number in 0.. {
        let before = text.len();
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            "{comma}{{\"id\":{number},\"type\":\"m.room.message\",\"sender\":\"@user{number}:example.org\",\"is_read\":{},\"score\":{number}.25,\
             \"content\":{{\"body\":\"The quick brown fox jumps over the lazy dog, again and again\"}}}}",
            number % 2 == 0
        )?;
        if text.len() + "],\"rest\":\"\"}".len() > bytes {
            text.truncate(before);
            break;
        }
    }
    text.push_str("],\"rest\":\"");
    let left = bytes.checked_sub(text.len() + "\"}".len()).context("a document has to be longer")?;
    text.extend(std::iter::repeat_n('x', left));
    text.push_str("\"}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn documents_are_json_of_their_length() {
        for bytes in [100, 1024, 10_240, 102_400] {
            let text = document(bytes).expect("a document");
            assert_eq!(text.len(), bytes);
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert!(value["items"].is_array() && value["rest"].is_string());
        }
        assert!(document(10).is_err());
    }
}
