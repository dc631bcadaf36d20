//! The list, asked for over the wire and kept.

use futures_util::future::join_all;
use serde_json::json;
use tollgate_tests::{RawOrigin, eventually, within};

use super::common::{Registration, ask, document, guarded, refusal, status};

#[tokio::test]
async fn lists_are_asked_for_once_and_again() {
    let (origin, service) = (RawOrigin::ok().await, Registration::with(7, &["a.de"]).await);
    let options = json!({"inbound": ["main"], "url": service.url(), "interval": "1s"});
    let host = guarded(&origin.url(), &options).start().await;
    let first = join_all((0..16).map(|index| status(&host, if index % 2 == 0 { "a.de" } else { "b.de" })));
    let expected: Vec<_> = (0..16).map(|index| if index % 2 == 0 { 200 } else { 403 }).collect();
    assert_eq!(within(first).await, expected);
    assert_eq!(service.targets().iter().filter(|target| *target == "/backend/federation").count(), 1);
    service.answers(200, document(8, &["b.de"]));
    eventually(async || status(&host, "b.de").await == 200).await;
    assert_eq!(status(&host, "a.de").await, 403);
    assert!(service.targets().contains(&"/backend/federation?version=7".to_owned()), "{:?}", service.targets());
    service.answers(304, "");
    let before = service.asked();
    eventually(async || status(&host, "b.de").await == 200 && service.asked() > before + 1).await;
    assert_eq!(service.targets().last().map(String::as_str), Some("/backend/federation?version=8"));
}

#[tokio::test]
async fn nobody_waits_for_the_service_once_there_is_a_list() {
    let (origin, service) = (RawOrigin::ok().await, Registration::with(7, &["a.de"]).await);
    let options = json!({"inbound": ["main"], "url": service.url(), "interval": "1s", "timeout": "20s"});
    let host = guarded(&origin.url(), &options).start().await;
    assert_eq!(status(&host, "a.de").await, 200);
    service.hold(true);
    let before = service.asked();
    // Until it is asked, and from then on: it answers nobody, and flows have their answers.
    eventually(async || status(&host, "a.de").await == 200 && service.asked() > before).await;
    for _ in 0..20 {
        assert_eq!((status(&host, "a.de").await, status(&host, "b.de").await), (200, 403));
    }
    assert_eq!(service.asked(), before + 1);
    service.answers(200, document(8, &["b.de"]));
    service.hold(false);
    eventually(async || status(&host, "b.de").await == 200).await;
}

#[tokio::test]
async fn the_last_good_list_outlives_the_process_and_the_service() {
    let origin = RawOrigin::ok().await;
    let directory = tempfile::tempdir().expect("a directory");
    let state = format!("'redb:{}'", directory.path().join("state").display());
    let service = Registration::with(7, &["a.de"]).await;
    let options = json!({"inbound": ["main"], "url": service.url(), "interval": "1s", "timeout": "1s"});
    let host = || guarded(&origin.url(), &options).set("state", &state);
    let first = host().start().await;
    assert_eq!(status(&first, "a.de").await, 200);
    service.answers(200, "{\"version\":8,\"domainList\":[{\"domain\":\"b.de\"},{\"domain\":1}]}");
    eventually(async || status(&first, "b.de").await == 403 && first.logs().contains("no new federation list")).await;
    let mut first = first;
    first.terminate();
    first.ended().await;
    service.answers(500, "");
    let second = host().start().await;
    assert_eq!((status(&second, "a.de").await, status(&second, "b.de").await), (200, 403));
}

#[tokio::test]
async fn without_a_list_there_is_a_clear_error_and_a_pause() {
    let (origin, service) = (RawOrigin::ok().await, Registration::with(7, &["a.de"]).await);
    service.answers(200, "no list");
    let options = json!({"inbound": ["main"], "url": service.url()});
    let host = guarded(&origin.url(), &options).start().await;
    let expected = (503, "M_UNKNOWN".to_owned(), "the federation list is not available".to_owned());
    for _ in 0..5 {
        assert_eq!(refusal(&ask(&host, "a.de").await), expected);
    }
    assert_eq!((service.asked(), origin.requests().len()), (1, 0));
    host.logged("the list is none").await;
    service.answers(200, document(1, &["a.de"]));
    // The first pause is five seconds.
    eventually(async || status(&host, "a.de").await == 200).await;
    assert_eq!(service.asked(), 2);
}

#[tokio::test]
async fn services_that_may_not_be_asked_have_no_list() {
    let (origin, service) = (RawOrigin::ok().await, Registration::with(7, &["a.de"]).await);
    let options = json!({"inbound": ["main"], "url": service.url()});
    let host = guarded(&origin.url(), &options).set("addon.federation.http", "[]").start().await;
    assert_eq!((status(&host, "a.de").await, service.asked()), (503, 0));
    host.logged("denied").await;
}

#[tokio::test]
async fn large_lists_are_whole() {
    let (origin, service) = (RawOrigin::ok().await, Registration::with(0, &[]).await);
    let names: Vec<_> = (0..20_000).map(|index| format!("messenger-{index}.tim.example.de")).collect();
    service.answers(200, document(1, &names.iter().map(String::as_str).collect::<Vec<_>>()));
    let options = json!({"inbound": ["main"], "url": service.url()});
    let host = guarded(&origin.url(), &options).set("addon.federation.cpu", "'5s'").start().await;
    for name in [&*names[0], &names[9_999], &names[19_999]] {
        assert_eq!(status(&host, name).await, 200, "{name}");
    }
    assert_eq!((status(&host, "tim.example.de").await, service.asked()), (403, 1));
}
