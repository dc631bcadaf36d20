//! What a child writes, kept in memory.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes that are kept; the oldest go first.
const KEPT: usize = 4 << 20;

/// A pipe that is read to its end.
pub(super) struct Output(Arc<Mutex<Read>>);

#[derive(Default)]
struct Read {
    bytes: Vec<u8>,
    is_ended: bool,
}

impl Output {
    /// Reads from now on, in a task.
    pub(super) fn read(mut pipe: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let shared = Arc::new(Mutex::new(Read::default()));
        let read = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                let mut read = read.lock();
                read.bytes.extend_from_slice(&buffer[..count]);
                if read.bytes.len() > 2 * KEPT {
                    let gone = read.bytes.len() - KEPT;
                    read.bytes.drain(..gone);
                }
            }
            read.lock().is_ended = true;
        });
        Self(shared)
    }

    /// What came so far, without its oldest part if that was too much.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().bytes).into_owned()
    }

    /// Whether no more will come.
    pub(super) fn is_ended(&self) -> bool {
        self.0.lock().is_ended
    }
}
