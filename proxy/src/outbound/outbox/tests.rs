//! Outboxes with a scripted peer. Waits are a few milliseconds; nothing is asserted that a slow machine breaks.

use bytes::Bytes;
use http::Method;
use tokio::{runtime::Handle, time::sleep};

use super::{
    super::HttpGrants,
    carrier::{Answer, Check, Send},
    pause::Waits,
    *,
};
use crate::http::Headers;

type Answers = dyn Fn(&str, usize) -> Result<Answer, Error> + std::marker::Send + Sync;

/// A peer, and what it was sent: bodies in order.
#[derive(Default)]
struct Peer {
    seen: Mutex<Vec<String>>,
    /// On their way at one time, and the most that ever were.
    now: AtomicUsize,
    most: AtomicUsize,
}

struct World {
    peer: Arc<Peer>,
    carrier: Carrier,
    outbox: Arc<Outbox>,
    room: Room,
}

#[allow(clippy::unnecessary_wraps, reason = "what a peer may do")]
fn status(status: u16) -> Result<Answer, Error> {
    Ok(Answer { status, retry_after: None })
}

/// A peer that answers by body and by how often it saw that.
fn world(answers: impl Fn(&str, usize) -> Result<Answer, Error> + std::marker::Send + Sync + 'static) -> World {
    world_with(Duration::from_millis(3), Arc::new(answers))
}

fn world_with(first: Duration, answers: Arc<Answers>) -> World {
    let peer = Arc::<Peer>::default();
    let check: Check = Arc::new(|letter| {
        let url = &letter.request.url;
        // Without grants to hold it against, whoever asks may.
        if url.contains("denied") || letter.caller.grants.iter().any(|grant| grant.to_string() == "revoked") {
            Err(Error::Denied(url.clone()))
        } else {
            Ok(url.as_str().into())
        }
    });
    let at = Arc::clone(&peer);
    let send: Send = Arc::new(move |letter| {
        let (peer, answers) = (Arc::clone(&at), Arc::clone(&answers));
        Box::pin(async move {
            let body = String::from_utf8_lossy(&letter.request.body).into_owned();
            let now = peer.now.fetch_add(1, Relaxed) + 1;
            peer.most.fetch_max(now, Relaxed);
            let count = {
                let mut seen = peer.seen.lock();
                seen.push(body.clone());
                seen.iter().filter(|one| **one == body).count()
            };
            sleep(Duration::from_millis(2)).await;
            peer.now.fetch_sub(1, Relaxed);
            answers(&body, count)
        })
    });
    let waits = Waits { first, longest: 20 * first, jitter: || 1.0 };
    let carrier = Carrier::with(check, send, waits, Handle::current());
    World { peer, carrier, outbox: Arc::default(), room: Room::default() }
}

fn letter(body: &str, lifetime: Duration) -> Letter {
    let request = Request {
        method: Method::POST,
        url: "http://a/".to_owned(),
        headers: Headers::new(),
        body: Bytes::from(body.to_owned()),
    };
    let caller = Caller { grants: HttpGrants::default(), upstream: None, way: None };
    Letter { request, caller, timeout: Duration::from_secs(1), lifetime }
}

impl World {
    fn put(&self, body: &str) -> Result<(), Refused> {
        self.put_for(body, Duration::from_hours(1))
    }

    fn put_to(&self, url: &str, body: &str) -> Result<(), Refused> {
        let mut letter = letter(body, Duration::from_hours(1));
        url.clone_into(&mut letter.request.url);
        self.outbox.put(&"a".into(), letter, self.room, &self.carrier)
    }

    fn grant(&self, addon: &str, grant: &str) {
        let grants = std::iter::once(grant.parse::<super::super::HttpGrant>().expect("a grant")).collect();
        self.carrier.grant(HashMap::from([(addon.to_owned(), grants)]));
    }

    fn put_for(&self, body: &str, lifetime: Duration) -> Result<(), Refused> {
        self.outbox.put(&"a".into(), letter(body, lifetime), self.room, &self.carrier)
    }

    /// Waits until nothing is left to be sent.
    async fn settle(&self) -> OutboxCounters {
        for _ in 0..10_000 {
            if self.outbox.lanes.lock().is_empty() && self.outbox.counters().waiting == 0 {
                return self.outbox.counters();
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("still waiting: {:?}", self.outbox.counters());
    }

    fn seen(&self) -> Vec<String> {
        self.peer.seen.lock().clone()
    }
}

fn count(counters: &OutboxCounters, outcome: &str) -> u64 {
    counters.requests.get(outcome).copied().unwrap_or_default()
}

#[tokio::test]
async fn what_is_taken_is_sent_once() {
    let world = world(|_, _| status(204));
    for body in ["1", "2", "3"] {
        world.put(body).expect("room");
    }
    let counters = world.settle().await;
    assert_eq!((count(&counters, "delivered"), counters.tries, counters.waiting_bytes), (3, 3, 0));
    // The lane is gone; another one takes over.
    world.put("4").expect("room");
    assert_eq!(count(&world.settle().await, "delivered"), 4);
}

#[tokio::test]
async fn what_may_be_taken_later_is_tried_again() {
    for answer in [
        status(408),
        status(425),
        status(429),
        status(500),
        status(502),
        status(503),
        status(504),
        status(507),
        Err(Error::Connect("no".to_owned())),
        Err(Error::Dns("no".to_owned())),
        Err(Error::Timeout),
        Err(Error::Closed("no".to_owned())),
    ] {
        let first = answer.clone();
        let world = world(move |_, count| if count < 4 { first.clone() } else { status(200) });
        world.put("1").expect("room");
        let counters = world.settle().await;
        assert_eq!((count(&counters, "delivered"), counters.tries), (1, 4), "{answer:?}");
    }
}

#[tokio::test]
async fn what_will_never_be_taken_is_not_tried_again() {
    for answer in [
        status(301),
        status(400),
        status(401),
        status(404),
        status(413),
        Err(Error::Denied("no".to_owned())),
        Err(Error::TooLarge(1)),
    ] {
        let always = answer.clone();
        let world = world(move |_, _| always.clone());
        world.put("1").expect("room");
        let counters = world.settle().await;
        assert_eq!((count(&counters, "rejected"), counters.tries), (1, 1), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_over_its_time_is_given_up() {
    let world = world(|_, _| status(503));
    world.put_for("1", Duration::from_millis(60)).expect("room");
    let counters = world.settle().await;
    assert_eq!(count(&counters, "expired"), 1);
    assert!(counters.tries >= 1, "{counters:?}");
}

#[tokio::test]
async fn one_that_cannot_be_taken_does_not_stop_the_others() {
    for broken in [status(500), Err(Error::Closed("it crashed".to_owned()))] {
        let poison = broken.clone();
        let world = world(move |body, _| if body == "poison" { poison.clone() } else { status(200) });
        world.put_for("poison", Duration::from_secs(2)).expect("room");
        for index in 0..50 {
            world.put(&index.to_string()).expect("room");
        }
        let counters = world.settle().await;
        assert_eq!((count(&counters, "delivered"), count(&counters, "expired")), (50, 1), "{broken:?}");
    }
}

#[tokio::test]
async fn an_origin_that_fails_is_tried_one_by_one() {
    let world = world(|_, _| Err(Error::Connect("down".to_owned())));
    for index in 0..30 {
        world.put_for(&index.to_string(), Duration::from_millis(150)).expect("room");
    }
    let counters = world.settle().await;
    assert_eq!(count(&counters, "expired"), 30);
    // Eight before it is known, then one after each wait: 3, 6, 12, 24, 48, 60 ms … within 150 ms.
    assert!(world.seen().len() < 30, "{} tries", world.seen().len());
    assert!(world.peer.most.load(Relaxed) <= 8);
}

#[tokio::test]
async fn eight_are_on_their_way_at_one_time() {
    let world = world(|_, _| status(200));
    for index in 0..64 {
        world.put(&index.to_string()).expect("room");
    }
    assert_eq!(count(&world.settle().await, "delivered"), 64);
    assert_eq!(world.peer.most.load(Relaxed), 8);
}

#[tokio::test]
async fn sixty_four_are_on_their_way_to_all_origins() {
    for (origins, expected) in [(7_u64, 56), (8, 64), (9, 64), (40, 64)] {
        let world = world_with(Duration::from_millis(3), Arc::new(|_, _| status(200)));
        for origin in 0..origins * 8 {
            world.put_to(&format!("http://{}/", origin % origins), &origin.to_string()).expect("room");
        }
        assert_eq!(count(&world.settle().await, "delivered"), 8 * origins);
        assert_eq!(world.peer.most.load(Relaxed), expected, "{origins}");
    }
}

#[tokio::test]
async fn silent_origins_leave_turns_to_others() {
    let world = world_with(Duration::from_mins(1), Arc::new(|_, _| status(200)));
    let held = Arc::clone(&world.outbox.turns).acquire_many_owned(63).await.expect("turns");
    for origin in 0..20 {
        for body in 0..4 {
            world.put_to(&format!("http://{origin}/"), &format!("{origin} {body}")).expect("room");
        }
    }
    world.put_to("http://last/", "last").expect("room");
    while !world.seen().contains(&"last".to_owned()) {
        sleep(Duration::from_millis(1)).await;
    }
    // Each of the others had its turn before, and not all of theirs.
    assert!(world.seen().len() < 50, "{:?}", world.seen());
    drop(held);
    assert_eq!(count(&world.settle().await, "delivered"), 81);
}

#[tokio::test]
async fn what_is_not_granted_any_more_is_dropped() {
    let world = world_with(Duration::from_mins(1), Arc::new(|_, _| status(503)));
    for body in 0..12 {
        world.put(&body.to_string()).expect("room");
    }
    while world.peer.now.load(Relaxed) > 0 || world.seen().len() < 8 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.outbox.counters().waiting, 12);
    world.grant("b", "revoked");
    world.grant("a", "c");
    assert_eq!(world.outbox.counters().waiting, 12);
    world.grant("a", "revoked");
    let counters = world.settle().await;
    assert_eq!((count(&counters, "revoked"), counters.waiting_bytes, world.seen().len()), (12, 0, 8));
    // Who still goes by old grants puts it in, and it is not tried.
    world.put("late").expect("room");
    assert_eq!((count(&world.settle().await, "revoked"), world.seen().len()), (13, 8));
}

#[tokio::test]
async fn so_many_wait_and_no_more() {
    let mut world = world_with(Duration::from_mins(1), Arc::new(|_, _| status(503)));
    world.room.messages = 3;
    for body in ["1", "2", "3"] {
        assert_eq!(world.put(body), Ok(()));
    }
    let full = Refused::Full("3 requests wait, limit 3 (outbox_messages)".to_owned());
    assert_eq!(world.put("4"), Err(full));
    let counters = world.outbox.counters();
    assert_eq!((counters.waiting, count(&counters, "full")), (3, 1));
}

#[tokio::test]
async fn so_many_bytes_wait_and_no_more() {
    let mut world = world_with(Duration::from_mins(1), Arc::new(|_, _| status(503)));
    let each = OVERHEAD + "http://a/".len() + 100;
    world.room.bytes = 2 * each;
    assert_eq!(world.put(&"x".repeat(100)), Ok(()));
    assert!(matches!(world.put(&"x".repeat(101)), Err(Refused::Full(text)) if text.contains("outbox_bytes")));
    assert_eq!(world.put(&"x".repeat(100)), Ok(()));
    assert_eq!(world.outbox.counters().waiting_bytes, 2 * each);
}

#[tokio::test]
async fn what_may_not_be_sent_takes_no_room() {
    let world = world(|_, _| status(200));
    let mut letter = letter("1", Duration::from_secs(1));
    letter.request.url = "http://denied/".to_owned();
    let refused = world.outbox.put(&"a".into(), letter, world.room, &world.carrier);
    assert_eq!(refused, Err(Refused::Never(Error::Denied("http://denied/".to_owned()))));
    assert_eq!(world.outbox.counters(), OutboxCounters::default());
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_nobody() {
    let world =
        world_with(Duration::from_mins(1), Arc::new(|body, count| status(if body == "2" && count > 1 { 200 } else { 503 })));
    for body in ["1", "2", "3"] {
        world.put(body).expect("room");
    }
    while world.seen().len() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    // Until the answers are known.
    while world.peer.now.load(Relaxed) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(20)).await;
    world.carrier.close(Duration::from_secs(30)).await;
    let counters = world.outbox.counters();
    assert_eq!((count(&counters, "delivered"), count(&counters, "lost"), counters.waiting), (1, 2, 0));
}
