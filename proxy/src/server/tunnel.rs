//! Bytes both ways, after an upgrade.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    flow::Ending,
    http1::{ReadSide, WriteSide},
    upstream::Tunnel,
};

/// How much is copied at once.
const PIECE: usize = 16 * 1024;

/// Copies until both sides have closed, or one is lost. A side that closes its sending is closed towards the other, which
/// may go on.
pub(super) async fn run(client: Tunnel, upstream: Tunnel, mut ending: Ending) {
    let record = std::sync::Arc::clone(ending.record());
    let up = copy(client.reader, client.buffer, upstream.writer, &record.request_bytes);
    let down = copy(upstream.reader, upstream.buffer, client.writer, &record.response_bytes);
    match tokio::try_join!(up, down) {
        Ok(_) => ending.complete(),
        Err(error) => record.fail(format!("the tunnel broke: {error}")),
    }
}

async fn copy(mut from: ReadSide, mut buffer: BytesMut, mut to: WriteSide, count: &AtomicU64) -> io::Result<()> {
    loop {
        if !buffer.is_empty() {
            count.fetch_add(buffer.len() as u64, Relaxed);
            to.write_all_buf(&mut buffer).await?;
            to.flush().await?;
        }
        buffer.clear();
        buffer.reserve(PIECE);
        if from.read_buf(&mut buffer).await? == 0 {
            return to.shutdown().await;
        }
    }
}
