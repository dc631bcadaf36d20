use std::net::Ipv4Addr;

use hickory_resolver::proto::{
    op::{Message, OpCode},
    rr::{Record, rdata::SRV},
};
use tokio::{net::UdpSocket, task::JoinHandle};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers each question so, or not at all.
async fn server(answer: impl Fn(Name) -> Option<(ResponseCode, Vec<SRV>)> + Send + 'static) -> (Names, JoinHandle<()>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let names = Names::new(Some(vec![socket.local_addr().expect("an address")]));
    let task = tokio::spawn(async move {
        let mut packet = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
            let asked = Message::from_vec(&packet[..length]).expect("a question");
            let query = asked.queries.first().expect("a question").clone();
            let Some((code, records)) = answer(query.name().clone()) else { continue };
            let mut message = Message::response(asked.metadata.id, OpCode::Query);
            message.metadata.response_code = code;
            message.add_query(query.clone());
            message
                .add_answers(records.into_iter().map(|record| Record::from_rdata(query.name().clone(), 60, RData::SRV(record))));
            let _ = socket.send_to(&message.to_vec().expect("a message"), peer).await;
        }
    });
    (names, task)
}

fn record(priority: u16, weight: u16, target: &str) -> SRV {
    SRV::new(priority, weight, 8448, Name::from_ascii(target).expect("a name"))
}

#[tokio::test]
async fn services_come_in_the_order_to_be_tried() {
    let (names, _server) = server(|name| {
        assert_eq!(name.to_ascii(), "_matrix._tcp.example.org.");
        Some((ResponseCode::NoError, vec![record(2, 9, "C.example."), record(1, 1, "b.example."), record(1, 5, "a.example.")]))
    })
    .await;
    let found = names.services("_matrix._tcp.example.org", PATIENCE).await.expect("records");
    let shown: Vec<_> = found.iter().map(|service| (service.target.as_str(), service.priority, service.port)).collect();
    assert_eq!(shown, [("a.example.", 1, 8448), ("b.example.", 1, 8448), ("c.example.", 2, 8448)]);
}

#[tokio::test]
async fn names_without_records_have_none() {
    for code in [ResponseCode::NXDomain, ResponseCode::NoError] {
        let (names, _server) = server(move |_| Some((code, Vec::new()))).await;
        assert_eq!(names.services("a.example", PATIENCE).await, Ok(Vec::new()), "{code}");
    }
}

#[tokio::test]
async fn who_does_not_know_has_not_answered() {
    let (names, _server) = server(|_| Some((ResponseCode::ServFail, Vec::new()))).await;
    assert!(matches!(names.services("a.example", PATIENCE).await, Err(Error::Failed(_))));
    let (names, _server) = server(|_| None).await;
    assert_eq!(names.services("a.example", Duration::from_millis(50)).await, Err(Error::Timeout));
}

#[tokio::test]
async fn so_many_records_are_taken() {
    for (count, expected) in [(31, Ok(31)), (32, Ok(32)), (33, Err(Error::TooLarge(32)))] {
        let (names, _server) =
            server(move |_| Some((ResponseCode::NoError, (0..count).map(|port| SRV::new(1, 1, port, Name::root())).collect())))
                .await;
        assert_eq!(names.services("a.example", PATIENCE).await.map(|found| found.len()), expected);
    }
}

#[test]
fn names_are_whole_and_legal() {
    let long = format!("{}.de", ["a"; 126].join("."));
    assert_eq!(long.len(), 254);
    for name in ["a", "_matrix._tcp.example.org", "example.org.", &long[1..]] {
        assert!(legal(name).is_ok_and(|name| name.is_fqdn()) || name.starts_with('.'), "{name}");
    }
    for name in ["", "a b", "a..b", "\u{e4}.de", "a/b", "a\\.b", &long, &"a".repeat(64)] {
        assert!(matches!(legal(name), Err(Error::Invalid(_))), "{name}");
    }
}

#[tokio::test]
async fn so_many_are_asked_at_one_time() {
    let names = Names::new(Some(vec![([127, 0, 0, 1], 9).into()]));
    let held = Arc::clone(&names.under_way).acquire_many_owned(MAX_UNDER_WAY).await.expect("permits");
    let busy = names.services("a.test", Duration::from_millis(1)).await;
    assert_eq!(busy, Err(Error::Busy(MAX_UNDER_WAY)));
    drop(held);
    assert_ne!(names.services("a.test", Duration::from_millis(1)).await, busy);
}
