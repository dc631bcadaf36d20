use super::{super::grants::Names, *};
use crate::{
    hooks::Source,
    http::{Field, Holdings, RequestHead, ResponseHead, Scheme, Version},
};

fn stage(access: Access) -> (Arc<Exchange>, Stage) {
    stage_with(access, None)
}

fn stage_with(access: Access, body_cap: Option<usize>) -> (Arc<Exchange>, Stage) {
    let head = RequestHead {
        method: Method::GET,
        scheme: Scheme::Http,
        authority: "a".parse().expect("authority"),
        target: Bytes::from_static(b"/"),
        version: Version::Http11,
        headers: [Field::from_static("Accept", "*/*"), Field::from_static("X-Old", "1")].into_iter().collect(),
    };
    let upstream = Arc::new("http://up".parse().expect("origin"));
    let exchange = Arc::new(Exchange::new(
        RequestMessage { head, body: StagedBody::Streaming, upstream, guard: None, follow: None },
        Arc::new(Holdings::new(usize::MAX)),
    ));
    exchange.lock().response = Some(ResponseMessage {
        head: ResponseHead::new(StatusCode::OK),
        body: StagedBody::Truncated(Bytes::from_static(b"cut")),
        origin: Source::Upstream,
        may_have_body: true,
        extent: Extent::Whole,
    });
    let limits = Limits { header_count: 4, header_bytes: 100, max_body: 10, ..Limits::default() };
    (Arc::clone(&exchange), Stage::new(exchange, access, body_cap, limits, Arc::default()))
}

fn value(stage: &Stage, name: &str) -> Option<String> {
    stage.request(|request| request.head.headers.get_str(name).map(str::to_owned))
}

#[test]
fn uncommitted_edits_leave_no_trace() {
    let (exchange, mut stage) = stage(Access::Request);
    assert_eq!(stage.set_header(Kind::Request, "X-Old", vec![b"2".to_vec()]), Ok(()));
    assert_eq!(stage.set_note("key".to_owned(), "value".to_owned()), Ok(()));
    assert_eq!(value(&stage, "x-old").as_deref(), Some("2"));
    drop(stage);
    assert_eq!(exchange.lock().request.head.headers.get("x-old"), Some(&b"1"[..]));
    assert!(exchange.lock().notes.is_empty());
}

#[test]
fn committed_edits_arrive_together() {
    let (exchange, mut stage) = stage(Access::Request);
    assert_eq!(stage.set_method("PATCH"), Ok(()));
    assert_eq!(stage.set_target("/b?c".to_owned()), Ok(()));
    assert_eq!(stage.set_upstream("https://other:1", |_| Ok(None)), Ok(()));
    assert_eq!(stage.set_body(Kind::Request, vec![1]), Ok(()));
    assert_eq!(stage.set_note("key".to_owned(), "old".to_owned()), Ok(()));
    assert_eq!(stage.set_note("key".to_owned(), "new".to_owned()), Ok(()));
    assert_eq!(stage.note("key").as_deref(), Some("new"));
    stage.commit("addon", Event::Request);
    let messages = exchange.lock();
    assert_eq!((messages.request.head.method.as_str(), messages.request.head.target_str()), ("PATCH", "/b?c"));
    assert_eq!(messages.request.upstream.to_string(), "https://other:1");
    assert!(matches!(&messages.request.body, StagedBody::Replaced(body) if **body == [1]));
    assert_eq!(messages.notes, [("key".to_owned(), "new".to_owned())]);
    assert!(matches!(messages.response.as_ref().map(|response| &response.body), Some(StagedBody::Truncated(_))));
}

#[test]
fn messages_of_other_hooks_are_read_only() {
    let (_, mut responding) = stage(Access::Response);
    assert_eq!(responding.set_method("GET"), Err(EditError::ReadOnly));
    assert_eq!(responding.set_status(204), Ok(()));
    let (_, mut finished) = stage(Access::Nothing);
    assert_eq!(finished.set_status(200), Err(EditError::ReadOnly));
    assert_eq!(finished.set_note(String::new(), String::new()), Err(EditError::ReadOnly));
    let (_, mut failing) = stage(Access::Notes);
    assert_eq!(failing.set_note(String::new(), String::new()), Ok(()));
    assert_eq!(failing.append_header(Kind::Request, "a".to_owned(), Vec::new()), Err(EditError::ReadOnly));
}

#[test]
fn framing_fields_are_the_core_s() {
    let (_, mut stage) = stage(Access::Request);
    for name in ["Content-Length", "transfer-encoding", "CONNECTION", "te", "Upgrade", "trailer", "Keep-Alive", "Host"] {
        let refused = Err(EditError::Forbidden(name.to_ascii_lowercase()));
        assert_eq!(stage.set_header(Kind::Request, name, Vec::new()), refused, "{name}");
        assert_eq!(stage.append_header(Kind::Request, name.to_owned(), Vec::new()), refused, "{name}");
    }
    assert_eq!(check_name(Kind::Response, "Host"), Ok(()));
}

#[test]
fn header_limits_hold_at_the_edge() {
    let (_, mut stage) = stage(Access::Request);
    let many = |count| vec![b"v".to_vec(); count];
    assert_eq!(stage.set_header(Kind::Request, "a", many(2)), Ok(()));
    assert!(matches!(stage.set_header(Kind::Request, "a", many(3)), Err(EditError::TooLarge(_))));
    assert!(matches!(stage.append_header(Kind::Request, "b".to_owned(), Vec::new()), Err(EditError::TooLarge(_))));
    assert!(matches!(stage.set_header(Kind::Request, "a", vec![vec![b'v'; 100]]), Err(EditError::TooLarge(_))));
    assert_eq!(stage.set_header(Kind::Request, "a", Vec::new()), Ok(()));
    assert_eq!(stage.request(|request| request.head.headers.len()), 2);
}

/// A stage on a request with a secret of this length that the hook cannot read.
fn withholding(length: usize) -> Stage {
    let (exchange, _) = stage(Access::Request);
    let secret = Field::new("X-Secret", "s".repeat(length)).expect("a field");
    exchange.lock().request.head.headers = [Field::from_static("Accept", "*/*"), secret].into_iter().collect();
    let limits = Limits { header_count: 8, header_bytes: 100, ..Limits::default() };
    let grants = Grants { withhold_headers: names(&["x-secret*"]), ..Grants::default() };
    Stage::new(exchange, Access::Request, None, limits, Arc::new(grants))
}

fn names(names: &[&str]) -> Names {
    Names::new(names.iter().map(|&name| name.to_owned())).expect("names")
}

#[test]
fn limits_tell_no_length_of_a_hidden_value() {
    let mut told = Vec::new();
    for length in [0, 1, 10, 60, 500] {
        let mut ended = Vec::new();
        for bytes in 0..100 {
            let mut stage = withholding(length);
            ended.push(stage.set_header(Kind::Request, "a", vec![vec![b'v'; bytes]]));
            ended.push(withholding(length).append_header(Kind::Request, "a".to_owned(), vec![b'v'; bytes]));
            // Its own value in place of the hidden one, then beside it.
            ended.push(stage.set_header(Kind::Request, "x-secret", vec![vec![b'v'; bytes]]));
            ended.push(stage.append_header(Kind::Request, "x-secret".to_owned(), vec![b'v'; 100 - bytes]));
        }
        assert!(ended.iter().any(Result::is_ok) && ended.iter().any(Result::is_err));
        told.push(ended);
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "what is withheld is told by what fits");
}

#[test]
fn own_values_count_though_they_are_hidden_ones() {
    let mut stage = withholding(500);
    assert_eq!(stage.set_header(Kind::Request, "x-secret", vec![vec![b'v'; 50]]), Ok(()));
    assert!(matches!(stage.set_header(Kind::Request, "x-secret-2", vec![vec![b'v'; 50]]), Err(EditError::TooLarge(_))));
    assert!(matches!(stage.append_header(Kind::Request, "x-secret-2".to_owned(), vec![b'v'; 50]), Err(EditError::TooLarge(_))));
    assert_eq!(stage.set_header(Kind::Request, "x-secret", Vec::new()), Ok(()));
    assert_eq!(stage.set_header(Kind::Request, "x-secret-2", vec![vec![b'v'; 50]]), Ok(()));
}

#[test]
fn trace_is_no_way_to_what_is_hidden() {
    assert!(matches!(withholding(1).set_method("TRACE"), Err(EditError::Forbidden(_))));
    assert_eq!(stage(Access::Request).1.set_method("TRACE"), Ok(()));
}

#[test]
fn parts_of_a_whole_are_not_replaced() {
    let (exchange, mut stage) = stage_with(Access::Response, None);
    let set = |extent| {
        let mut messages = exchange.lock();
        let response = messages.response.as_mut().expect("a response");
        (response.head.status, response.extent) = (StatusCode::PARTIAL_CONTENT, extent);
    };
    set(Extent::Part);
    assert!(matches!(stage.set_body(Kind::Response, vec![0]), Err(EditError::Invalid(_))));
    assert_eq!(stage.set_status(200), Ok(()));
    assert_eq!(stage.set_body(Kind::Response, vec![0]), Ok(()));
    for extent in [Extent::Whole, Extent::Ranged] {
        set(extent);
        assert_eq!(
            Stage::new(Arc::clone(&exchange), Access::Response, None, Limits::default(), Arc::default())
                .set_body(Kind::Response, vec![0]),
            Ok(())
        );
    }
    let (exchange, mut stage) = stage_with(Access::Request, None);
    exchange.lock().request.head.headers.push(Field::from_static("Content-Range", "bytes 0-1/9"));
    assert!(matches!(stage.set_body(Kind::Request, vec![0]), Err(EditError::Invalid(_))));
    assert_eq!(stage.set_header(Kind::Request, "content-range", Vec::new()), Ok(()));
    assert_eq!(stage.set_body(Kind::Request, vec![0]), Ok(()));
}

#[test]
fn illegal_values_change_nothing() {
    let (_, mut stage) = stage(Access::Request);
    let bad = vec![b"fine".to_vec(), b"a\r\nb".to_vec()];
    assert!(matches!(stage.set_header(Kind::Request, "X-Old", bad), Err(EditError::Invalid(_))));
    assert_eq!(value(&stage, "x-old").as_deref(), Some("1"));
    for target in ["", "b", "/a b", "/a#b", "/\u{e4}", "/a\n", "http://a/"] {
        assert!(matches!(stage.set_target(target.to_owned()), Err(EditError::Invalid(_))), "{target:?}");
    }
    for method in ["", "a b", "CONNECT", "G\u{e4}"] {
        assert!(matches!(stage.set_method(method), Err(EditError::Invalid(_))), "{method:?}");
    }
    for url in ["", "ftp://a", "http://", "http://a/b", "http://u@a"] {
        assert!(matches!(stage.set_upstream(url, |_| Ok(None)), Err(EditError::Invalid(_))), "{url:?}");
    }
}

#[test]
fn bodies_follow_what_the_message_allows() {
    let (_, mut stage) = stage_with(Access::Response, Some(10));
    assert_eq!(stage.set_body(Kind::Response, vec![0]), Err(EditError::ReadOnly));
    assert_eq!(stage.set_status(304), Ok(()));
    assert!(matches!(stage.set_body(Kind::Response, vec![0]), Err(EditError::Invalid(_))));
    for status in [0, 100, 199, 600, 999] {
        assert!(matches!(stage.set_status(status), Err(EditError::Invalid(_))), "{status}");
    }
    let (_, mut requesting) = super::tests::stage(Access::Request);
    assert!(matches!(requesting.set_body(Kind::Request, vec![0; 11]), Err(EditError::TooLarge(_))));
    assert_eq!(requesting.set_body(Kind::Request, vec![0; 10]), Ok(()));
    assert_eq!(requesting.body(Kind::Request).map(|body| body.len()), Some(10));
}

#[test]
fn bodies_not_asked_for_are_not_shown() {
    let (exchange, mut stage) = stage(Access::Request);
    exchange.lock().request.body = StagedBody::Replaced(Bytes::from_static(b"by another addon"));
    assert_eq!(stage.set_method("POST"), Ok(()));
    assert_eq!(stage.body(Kind::Request), None);
    assert!(!stage.is_truncated(Kind::Response));
}

#[test]
fn bodies_are_cut_at_the_cap() {
    for (cap, shown, is_cut) in [(9, "by anothe", true), (10, "by another", false), (11, "by another", false)] {
        let (exchange, mut stage) = stage_with(Access::Request, Some(cap));
        exchange.lock().request.body = StagedBody::Replaced(Bytes::from_static(b"by another"));
        assert_eq!(stage.body(Kind::Request).as_deref(), Some(shown.as_bytes()), "{cap}");
        assert_eq!(stage.is_truncated(Kind::Request), is_cut, "{cap}");
        assert_eq!(stage.set_body(Kind::Request, vec![0]).is_err(), is_cut, "{cap}");
    }
}

#[test]
fn bodies_that_others_saw_cut_can_be_replaced() {
    let (_, mut stage) = stage(Access::Response);
    assert_eq!(stage.set_body(Kind::Response, vec![0]), Ok(()));
}

#[test]
fn notes_are_limited() {
    let (_, mut stage) = stage(Access::Request);
    for index in 0..MAX_NOTES {
        assert_eq!(stage.set_note(index.to_string(), String::new()), Ok(()));
    }
    assert_eq!(stage.set_note("0".to_owned(), "again".to_owned()), Ok(()));
    assert!(matches!(stage.set_note("more".to_owned(), String::new()), Err(EditError::TooLarge(_))));
    assert!(matches!(stage.set_note("0".to_owned(), "v".repeat(MAX_NOTE_VALUE + 1)), Err(EditError::TooLarge(_))));
}
