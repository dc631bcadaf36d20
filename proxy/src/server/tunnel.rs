//! Bytes both ways, after an upgrade.

use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::future::{Either, select};
use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf},
    time::{Instant, sleep, timeout},
};

use crate::{
    flow::Ending,
    http1::{ReadSide, WriteSide},
    socket::End,
    upstream::Tunnel,
};

/// How much is copied at once.
const PIECE: usize = 16 * 1024;

/// How many looks at a tunnel there are within the time that it may be silent for.
const LOOKS: u32 = 8;

/// Copies until both sides have closed, or one is lost, or nothing has moved for longer than `silence`. A side that closes its
/// sending is closed towards the other, which may go on as long as it sends something within the idle timeout. Where it broke, both
/// connections are reset, so that neither side takes what it got for all there was.
pub(super) async fn run(client: Tunnel, upstream: Tunnel, silence: Option<Duration>, mut ending: Ending) {
    let record = Arc::clone(ending.record());
    let ends = [client.end, upstream.end];
    ends.iter().for_each(End::by_reset);
    let up = pin!(copy(client.reader, client.buffer, upstream.writer, &record.request_bytes));
    let down = pin!(copy(upstream.reader, upstream.buffer, client.writer, &record.response_bytes));
    let idle = record.site.timeouts.idle;
    let first = tokio::select! {
        first = select(up, down) => Some(first),
        () = silent([&record.request_bytes, &record.response_bytes], silence) => None,
    };
    let ended = match first {
        Some(Either::Left((Ok(()), down))) => finish(down, &record.response_bytes, idle).await,
        Some(Either::Right((Ok(()), up))) => finish(up, &record.request_bytes, idle).await,
        Some(Either::Left((Err(error), _)) | Either::Right((Err(error), _))) => Err(error),
        None => Err(io::ErrorKind::TimedOut.into()),
    };
    match ended {
        Ok(()) => {
            ends.iter().for_each(End::in_order);
            ending.complete();
        }
        Err(error) => record.fail(format!("the tunnel broke: {error}")),
    }
}

/// Waits until nothing has been counted for so long; for ever if there is no limit.
async fn silent(counts: [&AtomicU64; 2], limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    let read = || counts.map(|count| count.load(Relaxed));
    let (mut last, mut moved) = (read(), Instant::now());
    while moved.elapsed() < limit {
        sleep((limit / LOOKS).max(Duration::from_millis(1))).await;
        let now = read();
        if now != last {
            (last, moved) = (now, Instant::now());
        }
    }
}

/// The direction that is left, while it moves.
async fn finish(mut copy: impl Future<Output = io::Result<()>> + Unpin, count: &AtomicU64, idle: Duration) -> io::Result<()> {
    loop {
        let before = count.load(Relaxed);
        match timeout(idle, &mut copy).await {
            Ok(ended) => return ended,
            Err(_) if count.load(Relaxed) == before => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
    }
}

async fn copy(mut from: ReadSide, mut buffer: BytesMut, mut to: WriteSide, count: &AtomicU64) -> io::Result<()> {
    loop {
        if !buffer.is_empty() {
            count.fetch_add(buffer.len() as u64, Relaxed);
            to.write_all_buf(&mut buffer).await?;
            to.flush().await?;
        }
        // Most tunnels are silent most of the time, and hold nothing then.
        buffer = BytesMut::new();
        if fill(&mut from, &mut buffer).await? == 0 {
            return to.shutdown().await;
        }
    }
}

/// Reads once, and makes room for no more than came: nothing is held while nothing comes. 0 is the end.
pub(super) async fn fill(from: &mut ReadSide, buffer: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|context| {
        let mut bytes = [MaybeUninit::uninit(); PIECE];
        let mut target = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *from).poll_read(context, &mut target))?;
        buffer.extend_from_slice(target.filled());
        Poll::Ready(Ok(target.filled().len()))
    })
    .await
}
