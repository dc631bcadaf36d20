//! Messages both ways, after an upgrade whose messages hooks decide about.
//!
//! Each direction is read, decided about and written by itself: what cannot be written is not read either. Between messages
//! nothing is held for a connection, and it may be silent for as long as it likes; within one, for `timeouts.body_idle`.

mod sides;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::Poll,
};

use futures_util::future::{Either, join, select};
use tokio::{task::coop, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    flow::{Decided, Ending, Record, Socket},
    heavy,
    hooks::Close,
    http::body::Peer,
    upstream::Tunnel,
    websocket::{
        Message, Opcode, Passed, Piece, Violation, Work,
        close::{self, BAD_GATEWAY, GOING_AWAY, INTERNAL, LOST},
        deflate,
        frame::Opening,
    },
};
use sides::{LINGER, Sink, Source, WRITE, close_both};

/// Why a direction ended.
enum Ended {
    /// Its sender has closed, and the other side knows.
    Closed,
    /// This side broke the rules.
    Broken(Peer, Violation),
    /// This side is gone.
    Lost(Peer),
    /// An addon wants an end, or the process is to stop; with why, if that is a failure.
    Ordered(Close, Option<String>),
}

/// Carries messages until both sides have closed, or one is lost or breaks the rules, or an addon ends it, or the process is to
/// stop.
pub(super) async fn run(client: Tunnel, upstream: Tunnel, mut ending: Ending, socket: Box<Socket>, draining: &CancellationToken) {
    let record = ending.record();
    let mut from_client = Source::new(Peer::Client, client.reader, client.buffer, &socket);
    let mut from_upstream = Source::new(Peer::Upstream, upstream.reader, upstream.buffer, &socket);
    let hold = || record.exchange.holdings().hold();
    let mut to_client = Sink::new(Peer::Client, client.writer, hold());
    let mut to_upstream = Sink::new(Peer::Upstream, upstream.writer, hold());
    let is_ending = AtomicBool::new(false);
    let ended = {
        let up = pin!(carry(&mut from_client, &mut to_upstream, &socket, &is_ending));
        let down = pin!(carry(&mut from_upstream, &mut to_client, &socket, &is_ending));
        let carried = async {
            match select(up, down).await {
                Either::Left((Ended::Broken(Peer::Client, violation), down)) => {
                    // What it said before is still answered.
                    let _ = timeout(LINGER, down).await;
                    Ended::Broken(Peer::Client, violation)
                }
                Either::Left((Ended::Closed, down)) => last(down, Peer::Upstream, record, &record.response_bytes).await,
                Either::Right((Ended::Closed, up)) => last(up, Peer::Client, record, &record.request_bytes).await,
                Either::Left((ended, _)) | Either::Right((ended, _)) => ended,
            }
        };
        tokio::select! {
            ended = carried => ended,
            () = draining.cancelled() => {
                Ended::Ordered(Close { code: GOING_AWAY, reason: "the proxy stops".to_owned() }, None)
            }
        }
    };
    let why = explain(&ended);
    if why.is_some() || matches!(ended, Ended::Ordered(..)) {
        socket.closed(match &ended {
            Ended::Closed | Ended::Lost(_) => Some(LOST),
            Ended::Broken(_, violation) => Some(violation.code()),
            Ended::Ordered(close, _) => Some(close.code),
        });
    }
    for sink in [&mut to_client, &mut to_upstream] {
        if let Some((code, reason)) = told(&ended, sink.peer()) {
            sink.close(code, &reason);
        }
    }
    Box::pin(close_both((from_client, to_client), (from_upstream, to_upstream), record)).await;
    drop(socket);
    match why {
        None => ending.complete(),
        Some(why) => record.fail(why),
    }
}

/// The direction that is left after one side has closed: to the other side's close, while it moves. A side that is gone by then
/// had nothing left to say.
async fn last(mut carry: impl Future<Output = Ended> + Unpin, sender: Peer, record: &Record, count: &AtomicU64) -> Ended {
    loop {
        let before = count.load(Relaxed);
        match timeout(record.site.timeouts.idle, &mut carry).await {
            Ok(Ended::Lost(_)) => return Ended::Closed,
            Ok(ended) => return ended,
            Err(_) if count.load(Relaxed) == before => return Ended::Lost(sender),
            Err(_) => {}
        }
    }
}

/// Why the flow is not complete.
fn explain(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Closed | Ended::Ordered(_, None) => None,
        Ended::Broken(peer, violation) => Some(format!("the {peer} broke the WebSocket: {violation}")),
        Ended::Lost(peer) => Some(format!("the {peer} went away without a close")),
        Ended::Ordered(_, Some(why)) => Some(why.clone()),
    }
}

/// What a side is told, if it was not told before.
fn told(ended: &Ended, peer: Peer) -> Option<(u16, String)> {
    let of_other = if peer == Peer::Client { BAD_GATEWAY } else { GOING_AWAY };
    match ended {
        Ended::Closed => None,
        Ended::Broken(broken, violation) if *broken == peer => Some((violation.code(), violation.to_string())),
        Ended::Lost(lost) if *lost == peer => None,
        Ended::Broken(other, _) | Ended::Lost(other) => Some((of_other, lost(*other))),
        Ended::Ordered(close, _) => Some((close.code, close.reason.clone())),
    }
}

fn lost(peer: Peer) -> String {
    format!("the {peer} is lost")
}

/// Carries what one side sends to the other, through the hooks. Where the client broke the rules, the upstream is told that it is
/// gone; its own close goes no further then.
async fn carry(from: &mut Source, to: &mut Sink, socket: &Socket, is_ending: &AtomicBool) -> Ended {
    let ended = relay(from, to, socket, is_ending).await;
    if let Ended::Broken(Peer::Client, _) = ended {
        is_ending.store(true, Relaxed);
        to.close(GOING_AWAY, &lost(Peer::Client));
        let _ = timeout(LINGER, to.flush(socket.record())).await;
    }
    ended
}

/// The same. Dropped at any time, what was taken to be written still can be.
async fn relay(from: &mut Source, to: &mut Sink, socket: &Socket, is_ending: &AtomicBool) -> Ended {
    let record = socket.record();
    loop {
        let passed = match from.next() {
            Err(violation) => return Ended::Broken(from.peer(), violation),
            Ok(None) => {
                if to.flush(record).await.is_err() {
                    return Ended::Lost(to.peer());
                }
                match fill(from, record).await {
                    Ok(()) => continue,
                    Err(ended) => return ended,
                }
            }
            Ok(Some(Piece::Control(Opcode::Close, payload))) => {
                return match close::parse(&payload) {
                    Err(violation) => Ended::Broken(from.peer(), violation),
                    Ok(_) if is_ending.load(Relaxed) => Ended::Closed,
                    Ok(close) => {
                        socket.closed(close.map(|close| close.code));
                        to.pass_close(&payload);
                        if to.flush(record).await.is_ok() { Ended::Closed } else { Ended::Lost(to.peer()) }
                    }
                };
            }
            Ok(Some(Piece::Control(opcode, payload))) => to.frame(opcode, true, false, &payload),
            Ok(Some(Piece::Data { opening, payload, is_last })) => {
                // Many small pieces may have come at one time. What takes room is boxed: a connection that waits for messages should
                // hold none for it.
                coop::consume_budget().await;
                let passed = match from.put_together(opening, payload, is_last) {
                    Ok(Passed::Unfinished(work)) => match Box::pin(finish(work, from, to, record)).await {
                        Ok(passed) => passed,
                        Err(ended) => return ended,
                    },
                    passed => passed,
                };
                match passed {
                    Err(violation) => return Ended::Broken(from.peer(), violation),
                    Ok(Passed::Nothing | Passed::Unfinished(_)) => Ok(()),
                    Ok(Passed::Fragment(fragment)) => {
                        to.frame(opcode_of(fragment.opening), fragment.is_last, is_compressed(fragment.opening), &fragment.data)
                    }
                    Ok(Passed::Message(message)) => match Box::pin(decide(from.peer(), message, to, socket)).await {
                        Ok(()) => Ok(()),
                        Err(ended) => return ended,
                    },
                }
            }
        };
        if passed.is_err() || (to.pending() >= WRITE && to.flush(record).await.is_err()) {
            return Ended::Lost(to.peer());
        }
    }
}

/// Reads once. What is held of a message is not held for one who sends no more of it.
async fn fill(from: &mut Source, record: &Record) -> Result<(), Ended> {
    let read = match record.site.timeouts.body_idle.filter(|_| from.is_open()) {
        None => from.fill(record).await,
        // Boxed: a connection that waits for messages holds no timer.
        Some(patience) => {
            let read = Box::pin(timeout(patience, from.fill(record))).await;
            read.map_err(|_| Ended::Broken(from.peer(), Violation::Idle))?
        }
    };
    if matches!(read, Ok(1..)) { Ok(()) } else { Err(Ended::Lost(from.peer())) }
}

/// Inflates a long piece, off the threads that serve.
async fn finish(work: Work, from: &mut Source, to: &mut Sink, record: &Record) -> Result<Result<Passed, Violation>, Ended> {
    let done = beside(heavy::run(move || work.run()), to, record).await?;
    let why = || "a message could not be decompressed".to_owned();
    let done = done.ok_or_else(|| Ended::Ordered(Close { code: INTERNAL, reason: why() }, Some(why())))?;
    Ok(done.and_then(|work| from.resume(work)))
}

/// Awaits what may take long. What came before it does not wait for that.
async fn beside<T>(work: impl Future<Output = T>, to: &mut Sink, record: &Record) -> Result<T, Ended> {
    let mut work = pin!(work);
    match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => {
            let (done, flushed) = join(work, to.flush(record)).await;
            flushed.map_err(|_| Ended::Lost(to.peer()))?;
            Ok(done)
        }
    }
}

/// Asks the hooks about a message, and sends on what they made of it.
async fn decide(sender: Peer, message: Message, to: &mut Sink, socket: &Socket) -> Result<(), Ended> {
    let decided = beside(socket.decide(sender == Peer::Client, &message), to, socket.record()).await?;
    let opcode = if message.is_text { Opcode::Text } else { Opcode::Binary };
    let sent = match decided {
        Decided::Drop => Ok(()),
        Decided::Close(close, why) => return Err(Ended::Ordered(close, why)),
        Decided::Pass(None) => match &message.compressed {
            Some(compressed) => to.frame(opcode, true, true, compressed),
            None => to.frame(opcode, true, false, &message.data),
        },
        Decided::Pass(Some(data)) => {
            // Towards the upstream any window will do.
            let window = socket.deflate().filter(|_| message.was_compressed);
            let window = window.map_or(0, |agreed| if sender == Peer::Client { usize::MAX } else { agreed.window() });
            let compressed = match data.len() {
                0 => None,
                length if length > window => None,
                length if length <= heavy::SMALL => deflate::compress(&data),
                _ => {
                    let data = data.clone();
                    heavy::run(move || deflate::compress(&data)).await.flatten()
                }
            };
            match compressed {
                Some(compressed) => to.frame(opcode, true, true, &compressed),
                None => to.frame(opcode, true, false, &data),
            }
        }
    };
    sent.map_err(|_| Ended::Lost(to.peer()))
}

fn opcode_of(opening: Option<Opening>) -> Opcode {
    match opening {
        None => Opcode::Continuation,
        Some(Opening { is_text: true, .. }) => Opcode::Text,
        Some(_) => Opcode::Binary,
    }
}

fn is_compressed(opening: Option<Opening>) -> bool {
    opening.is_some_and(|opening| opening.is_compressed)
}
