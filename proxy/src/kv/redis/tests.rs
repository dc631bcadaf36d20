pub(in crate::kv) mod server;

use std::{sync::Arc, time::Instant};

use ::redis::Value;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    super::{
        Quota,
        conformance::{Addon, Bench, at, conformance, value},
    },
    *,
};
use crate::upstream::Dial;
use server::Server;

async fn bench() -> Bench {
    let server = Server::start(&[]).await;
    Bench { store: Arc::new(server.store().await), _held: Box::new(server) }
}

conformance!(bench());

async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that");
}

async fn with(settings: RedisSettings) -> Bench {
    let redis = Redis::start(settings);
    redis.tried().await;
    Bench { store: Arc::new(redis), _held: Box::new(()) }
}

async fn is_up(addon: &Addon) -> bool {
    addon.run("up", Op::Set(value("1"), None)).await.is_ok()
}

async fn why(addon: &Addon) -> String {
    match addon.run("up", Op::Set(value("1"), None)).await {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    let mut server = Server::start(&[]).await;
    server.kill();
    let bench = with(server.settings()).await;
    let addon = bench.a();
    assert!(why(&addon).await.contains("refused"));
    assert!(bench.store.trouble().is_some());
    server.restart().await;
    eventually(async || bench.store.trouble().is_none()).await;
    eventually(async || is_up(&addon).await).await;
}

#[tokio::test]
async fn a_server_that_went_is_found_again() {
    let mut server = Server::start(&[]).await;
    let bench = with(server.settings()).await;
    let addon = bench.a();
    assert!(is_up(&addon).await);
    for _ in 0..2 {
        server.kill();
        eventually(async || !is_up(&addon).await).await;
        eventually(async || bench.store.trouble().is_some()).await;
        server.restart().await;
        eventually(async || is_up(&addon).await && bench.store.trouble().is_none()).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = Server::start(&[]).await;
    let mut settings = server.settings();
    settings.timeout = Duration::from_millis(300);
    let bench = with(settings).await;
    let addon = bench.a();
    assert!(is_up(&addon).await);
    server.signal(Signal::STOP);
    assert_eq!(why(&addon).await, "no answer within 300ms");
    // The next ones do not wait; a thousand that did would take minutes.
    let start = Instant::now();
    for _ in 0..1_000 {
        why(&addon).await;
    }
    assert!(start.elapsed() < Duration::from_mins(1));
    assert!(bench.store.trouble().is_some());
    server.signal(Signal::CONT);
    eventually(async || is_up(&addon).await).await;
}

#[tokio::test]
async fn a_server_that_is_full_changes_nothing() {
    let server = Server::start(&[]).await;
    let bench = with(server.settings()).await;
    let addon = bench.a();
    addon.set("k", "1").await;
    let before = addon.usage();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let batch = vec![(at("k"), Op::Delete), (at("new"), Op::Set(value("2"), None))];
    let refused = addon.all(batch).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    eventually(async || bench.store.trouble().is_some()).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    eventually(async || bench.store.trouble().is_none()).await;
    assert_eq!((addon.get("k").await, addon.get("new").await), (Some(value("1")), None));
    assert!(addon.run("up", Op::Delete).await.is_ok());
    assert_eq!(addon.usage(), before);
}

#[tokio::test]
async fn a_replica_is_no_store() {
    let server = Server::start(&[]).await;
    let bench = with(server.settings()).await;
    let addon = bench.a();
    assert!(is_up(&addon).await);
    server.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    eventually(async || bench.store.trouble().is_some_and(|why| why.contains("read only replica"))).await;
    assert!(!is_up(&addon).await);
    server.ask(&["REPLICAOF", "NO", "ONE"]).await;
    eventually(async || is_up(&addon).await).await;
}

#[tokio::test]
async fn passwords_open_servers() {
    let server = Server::start(&["--requirepass", "hunter2"]).await;
    for (password, is_right) in [(None, false), (Some("hunter3"), false), (Some("hunter2"), true)] {
        let mut settings = server.settings();
        settings.password = password.map(Box::from);
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        let bench = with(settings).await;
        assert_eq!(is_up(&bench.a()).await, is_right, "{password:?}");
        assert!(bench.store.trouble().is_none_or(|why| !why.contains("hunter")));
    }
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    for answer in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "\0\0\0\0",
        "+OK\r\n",
        "$-7\r\n",
        "*1000000000\r\n",
        "",
    ] {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = socket.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 1_024];
                    while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let dial = Dial { host: "127.0.0.1".into(), port, tls: None };
        let (shown, timeout) = ("fake".into(), Duration::from_millis(500));
        let bench = with(RedisSettings { dial, shown, database: 0, user: None, password: None, timeout }).await;
        let addon = bench.a();
        for _ in 0..3 {
            let refused = addon.run("k", Op::Get).await;
            assert!(matches!(&refused, Err(StoreError::Unavailable(_))), "{answer:?}: {refused:?}");
        }
        server.abort();
    }
}

#[tokio::test]
async fn what_the_server_evicted_is_counted_anew() {
    let server = Server::start(&[]).await;
    let bench = with(server.settings()).await;
    let addon = bench.addon("e", Quota { bytes: 10_000, keys: 3 });
    addon.set("1", "x").await;
    addon.run("2", Op::Set(value("x"), Some(Duration::from_hours(1)))).await.expect("set");
    let before = addon.usage();
    server.ask(&["DEL", "tollgate:{e}:order", "tollgate:{e}:times"]).await;
    server.ask(&["HSET", "tollgate:{e}:entries", "", "99999"]).await;
    assert_eq!(addon.run("3", Op::Delete).await, Ok(Answer::Done(false)));
    assert_eq!(addon.usage(), before);
    let scan = Scan::new("b", "", None, 9).expect("a scan");
    let space = Space { addon: "e".into(), quota: Quota::default() };
    assert_eq!(bench.store.scan(&space, scan).await.expect("a page").entries.len(), 2);
    server.ask(&["DEL", "tollgate:{e}:entries"]).await;
    addon.set("1", "y").await;
    assert_eq!(addon.usage().keys, 1);
}

#[tokio::test]
async fn nothing_is_left_of_what_expires() {
    let server = Server::start(&[]).await;
    let bench = with(server.settings()).await;
    let addon = bench.a();
    let exist = async || server.ask(&["EXISTS", "tollgate:{a}:entries", "tollgate:{a}:order", "tollgate:{a}:times"]).await;
    addon.set("ever", "1").await;
    addon.run("k", Op::Set(value("1"), Some(Duration::from_millis(50)))).await.expect("set");
    assert_eq!(exist().await, Value::Int(3));
    addon.run("ever", Op::Delete).await.expect("delete");
    drop((addon, bench));
    // No proxy is left that could sweep.
    eventually(async || exist().await == Value::Int(0)).await;
}

#[tokio::test]
async fn two_proxies_have_one_state() {
    let server = Server::start(&[]).await;
    let (one, other) = (with(server.settings()).await, with(server.settings()).await);
    let (one, other) = (one.a(), other.a());
    one.set("k", "1").await;
    assert_eq!(other.get("k").await, Some(value("1")));
    let ended = futures_util::future::join_all((0..100).map(|number| {
        let addon = if number % 2 == 0 { one.clone() } else { other.clone() };
        async move { addon.run("n", Op::Increment(1, None)).await }
    }))
    .await;
    assert!(ended.contains(&Ok(Answer::Sum(100))), "{ended:?}");
}
