//! Standard output and error as log lines; standard input at its end; exit as a trap.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use tracing::Level;
use wasmtime::{Result, component::Resource};
use wasmtime_wasi::{
    I32Exit, async_trait,
    p2::{
        DynInputStream, DynOutputStream, OutputStream, Pollable, StreamResult,
        bindings::cli::{exit, stderr, stdin, stdout},
        pipe::ClosedInputStream,
    },
};

use super::{super::lines::Lines, HostState};

const MAX_LINE: usize = 8 << 10;
const MAX_WRITE: usize = 64 << 10;

impl stdin::Host for HostState {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.wasi().table.push(stream)?)
    }
}

impl stdout::Host for HostState {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.output(Level::INFO)
    }
}

impl stderr::Host for HostState {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.output(Level::WARN)
    }
}

impl exit::Host for HostState {
    fn exit(&mut self, status: std::result::Result<(), ()>) -> Result<()> {
        Err(wasmtime::Error::new(I32Exit(status.map_or(1, |()| 0))))
    }

    fn exit_with_code(&mut self, status: u8) -> Result<()> {
        Err(wasmtime::Error::new(I32Exit(status.into())))
    }
}

impl HostState {
    fn output(&mut self, level: Level) -> Result<Resource<DynOutputStream>> {
        let lines = self.lines.clone();
        let wasi = self.wasi();
        let now = Arc::clone(&wasi.flow);
        let stream: DynOutputStream = Box::new(Output { lines, flow: now.load(Relaxed), now, level, line: Vec::new() });
        Ok(wasi.table.push(stream)?)
    }
}

/// Collects lines; a longer one than `MAX_LINE` goes out in pieces, the last one when the stream goes.
struct Output {
    lines: Lines,
    // That the line is of, and that the instance is of; 0: none.
    flow: u64,
    now: Arc<AtomicU64>,
    level: Level,
    line: Vec<u8>,
}

impl Output {
    fn write_line(&mut self) {
        if !self.line.is_empty() {
            let flow = Some(self.flow).filter(|flow| *flow != 0);
            self.lines.write(self.level, flow, &String::from_utf8_lossy(&self.line), Vec::new);
            self.line.clear();
        }
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let now = self.now.load(Relaxed);
        if now != self.flow {
            // What another flow left is that one's.
            self.write_line();
            self.flow = now;
        }
        for &byte in &bytes {
            if byte == b'\n' {
                self.write_line();
                continue;
            }
            if self.line.len() == MAX_LINE {
                self.write_line();
            }
            self.line.push(byte);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.write_line();
    }
}
