//! Flows on disk, as HAR 1.2: what clients sent and got.
//!
//! Where there is a [`Recorder`], each flow has a tape that takes heads, bodies and times as they pass. When the flow is over
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
            tracing::warn!("there was no time left to write all flows: the last ones are not recorded");
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

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU64, time::SystemTime};

    use http::Method;

    use super::*;
    use crate::{
        hooks::{Facts, Outcome},
        http::{Headers, Scheme, Version},
    };

    fn recorder(room: usize) -> (Arc<Recorder>, Receiver<Message>) {
        let (sender, receiver) = sync_channel(room);
        let recorder = Recorder {
            sender,
            thread: Mutex::new(None),
            holdings: Arc::new(Holdings::new(1 << 20)),
            bodies: 1 << 10,
            counts: Arc::default(),
        };
        (Arc::new(recorder), receiver)
    }

    fn run_one(recorder: &Arc<Recorder>) {
        static ID: AtomicU64 = AtomicU64::new(1);
        let head = RequestHead {
            method: Method::GET,
            scheme: Scheme::Http,
            authority: "a.test".parse().expect("an authority"),
            target: "/".into(),
            version: Version::Http11,
            headers: Headers::new(),
        };
        let facts = Facts {
            id: ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            listener: "main".into(),
            peer: "127.0.0.1:1".parse().expect("an address"),
            is_tls: false,
            connect: None,
            user: None,
            started: SystemTime::UNIX_EPOCH,
            generation: 1,
            upstream: Arc::new("http://127.0.0.1:1".parse().expect("an origin")),
            way: None,
            guard: None,
            named: None,
            public: None,
        };
        let tape = recorder.tape(&head).expect("memory");
        tape.take_request(b"body");
        tape.finish(&Arc::new(facts), &Outcome::default(), || unreachable!("nothing was sent"));
    }

    #[test]
    fn nobody_waits_for_a_disk_that_stands_still() {
        let (recorder, receiver) = recorder(2);
        for (flows, lost) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
            run_one(&recorder);
            assert_eq!(recorder.counts.lost(Loss::Queue), lost, "{flows}");
        }
        let held = recorder.holdings.held();
        assert!(held > 0 && held < 16 << 10, "{held}");
        // What was waiting is there when the disk moves again, and holds nothing after that.
        for _ in 0..2 {
            assert!(matches!(receiver.try_recv(), Ok(Message::Flow(ended)) if ended.request_body.total == 4));
        }
        assert_eq!(recorder.holdings.held(), 0);
        run_one(&recorder);
        assert_eq!(recorder.counts.lost(Loss::Queue), 2);
    }
}
