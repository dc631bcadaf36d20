//! A server of the domain name system that knows a few SRV records.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

/// Listens on a port of 127.0.0.1 until it is dropped.
pub struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// An SRV record: of this name, to this host and port, with priority and weight.
#[derive(Debug, Clone)]
pub struct SrvRecord {
    /// Without a dot at the end.
    pub name: String,
    /// The lowest first.
    pub priority: u16,
    /// The heaviest first.
    pub weight: u16,
    /// Of the host.
    pub port: u16,
    /// Without a dot at the end.
    pub target: String,
}

/// What it does with questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Says what it knows, and of other names that they are none.
    Knows,
    /// Says of all that it fails.
    Fails,
    /// Says nothing.
    IsSilent,
}

const QUESTION: usize = 12;

impl NameServer {
    /// With these records.
    pub async fn start(records: Vec<SrvRecord>, manner: Manner) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("an address");
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut packet = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                counted.fetch_add(1, SeqCst);
                if let Some(answer) = answer(&packet[..length], &records, manner) {
                    let _ = socket.send_to(&answer, peer).await;
                }
            }
        });
        Self { address, asked, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Packets that came.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SrvRecord {
    /// With priority and weight 1.
    #[must_use]
    pub fn new(name: &str, target: &str, port: u16) -> Self {
        Self { name: name.to_owned(), priority: 1, weight: 1, port, target: target.to_owned() }
    }
}

/// RFC 1035, 4.1.
fn answer(packet: &[u8], records: &[SrvRecord], manner: Manner) -> Option<Vec<u8>> {
    let (name, end) = name(packet)?;
    // Type and class.
    let question = packet.get(QUESTION..end + 4)?;
    let found: Vec<_> = records.iter().filter(|record| record.name.eq_ignore_ascii_case(&name)).collect();
    let (code, found) = match manner {
        Manner::IsSilent => return None,
        Manner::Fails => (2, Vec::new()),
        Manner::Knows => (if found.is_empty() { 3 } else { 0 }, found),
    };
    let mut out = packet[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1]);
    out.extend(u16::try_from(found.len()).ok()?.to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(question);
    for record in found {
        let mut target = Vec::new();
        for label in record.target.split('.').filter(|label| !label.is_empty()) {
            target.push(u8::try_from(label.len()).ok()?);
            target.extend(label.bytes());
        }
        target.push(0);
        // The name of the question, SRV, IN, a minute.
        out.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(target.len() + 6).ok()?.to_be_bytes());
        for number in [record.priority, record.weight, record.port] {
            out.extend(number.to_be_bytes());
        }
        out.extend(target);
    }
    Some(out)
}

/// That of the question, and where it ends.
fn name(packet: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut place) = (Vec::new(), QUESTION);
    loop {
        let length = usize::from(*packet.get(place)?);
        place += 1;
        if length == 0 {
            return Some((labels.join("."), place));
        }
        labels.push(String::from_utf8_lossy(packet.get(place..place + length)?).into_owned());
        place += length;
    }
}
