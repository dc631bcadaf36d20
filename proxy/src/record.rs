//! Flows on disk, as HAR 1.2: what clients sent and got.
//!
//! Where there is a [`Recorder`], each flow has a [`Tape`] that takes heads, bodies and times as they pass. When the flow is over
//! the tape goes to a thread of its own through a queue with an end: a disk that is slow or full costs flows nothing, and what
//! finds no room is counted and told of.

mod body;
mod cookies;
mod counts;
mod document;
mod entry;
mod har;
mod redact;
mod tape;
mod timings;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    config::Recording,
    http::{Holdings, RequestHead},
    metrics::Metrics,
};

pub use document::OpenError;
pub(crate) use tape::{Sent, Tape};

use counts::{Counts, Loss};
use document::{Document, PushError};
use tape::Ended;

/// Flows that may wait for the disk.
const QUEUE: usize = 4096;

/// Records flows to a file.
pub struct Recorder {
    sender: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    holdings: Arc<Holdings>,
    /// Bytes of each body.
    bodies: usize,
    counts: Arc<Counts>,
}

/// What the writing thread is told.
enum Message {
    Flow(Box<Ended>),
    /// Nothing comes any more.
    End,
}

/// How entries are written.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Bytes of each body.
    bodies: usize,
    /// Whether credentials are written.
    has_secrets: bool,
}

impl Recorder {
    /// Begins the file, or continues the recording that is there.
    ///
    /// # Errors
    /// When there is another file, or none can be made.
    pub fn start(recording: &Recording, metrics: &Metrics) -> Result<Arc<Self>, OpenError> {
        let document = Document::open(&recording.file, recording.max_bytes)?;
        let counts = Arc::new(Counts::default());
        metrics.watch(Box::new(counts::Watch(Arc::clone(&counts))));
        let (sender, receiver) = sync_channel(QUEUE);
        let style = Style { bodies: recording.bodies, has_secrets: recording.secrets };
        let writer = Writer { document, style, counts: Arc::clone(&counts) };
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || writer.run(&receiver));
        let thread = thread.map_err(|error| OpenError::new(&recording.file, error.to_string()))?;
        tracing::info!(record.file = %recording.file.display(), record.secrets = recording.secrets, "flows are recorded");
        Ok(Arc::new(Self {
            sender,
            thread: Mutex::new(Some(thread)),
            holdings: Arc::new(Holdings::new(recording.memory)),
            bodies: recording.bodies,
            counts,
        }))
    }

    /// A tape for a flow that begins with this head, as it was received. None if there is no memory for it: then the flow is not
    /// recorded.
    pub(crate) fn tape(self: &Arc<Self>, head: &RequestHead) -> Option<Arc<Tape>> {
        let tape = Tape::new(self, head);
        if tape.is_none() {
            self.counts.lose(Loss::Memory);
        }
        tape
    }

    /// Writes what still waits, for at most so long. What comes later is not recorded.
    pub async fn finish(&self, patience: Duration) {
        let Some(thread) = self.thread.lock().take() else { return };
        let sender = self.sender.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let _ = sender.send(Message::End);
            let _ = thread.join();
        });
        if tokio::time::timeout(patience, ended).await.is_err() {
            tracing::warn!("the disk took too long: the last flows are not recorded");
        }
    }

    fn submit(&self, ended: Ended) {
        if self.sender.try_send(Message::Flow(Box::new(ended))).is_err() {
            self.counts.lose(Loss::Queue);
        }
    }
}

/// Writes entries, one after the other.
struct Writer {
    document: Document,
    style: Style,
    counts: Arc<Counts>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(Message::Flow(ended)) = receiver.recv() {
            let line = entry::line(&ended, self.style);
            // What it held is free before a disk makes anybody wait.
            drop(ended);
            let pushed = match line {
                Ok(line) => self.document.push(&line),
                Err(error) => Err(PushError::Io(error.into())),
            };
            match pushed {
                Ok(()) => self.counts.wrote(),
                Err(error @ PushError::TooLarge(_)) => self.counts.lose_since(Loss::Size, &error),
                Err(error) => self.counts.lose_since(Loss::Disk, &error),
            }
        }
    }
}
