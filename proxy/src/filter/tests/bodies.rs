//! Bodies, known and not.

use super::{Answer, Filter, Flow, Seen};

fn flow() -> Flow {
    Flow::get("http://a/x").answered(200)
}

fn expect(flow: &Flow, answer: Answer, filters: &[&str]) {
    for filter in filters {
        assert_eq!(flow.answer(filter), answer, "{filter}");
    }
}

#[test]
fn bodies_are_searched_per_message() {
    let flow = flow().body(b"ask").answer_body(b"tell");
    flow.expect(true, &["~b ask", "~b tell", "~bq ^ask$", "~bs ^tell$", "~bs [t]ell", "~b \"t(e)ll\""]);
    flow.expect(false, &["~bq tell", "~bs ask", "~b x", "~b ASK"]);
}

#[test]
fn dot_matches_line_breaks_in_bodies() {
    let flow = flow().body(b"a\nb\xffc").answer_body(b"");
    flow.expect(true, &["~bq ^a.b.c$", "~bq 'a[^x]b'", "~bq '\\\\xffc'"]);
    flow.expect(false, &["~bq ^b"]);
}

#[test]
fn long_bodies_are_searched_whole() {
    let mut body = vec![b'-'; 1 << 20];
    body.extend_from_slice(b"needle");
    let flow = flow().body(&body).answer_body(b"");
    flow.expect(true, &["~bq needle", "~bq needle$", "~bq n[e]edle", "~b needle"]);
    flow.expect(false, &["~bq ^needle", "~bq needles", "~bq noodle"]);
}

#[test]
fn empty_bodies_are_texts() {
    let flow = flow().body(b"").answer_body(b"");
    flow.expect(true, &["~bq ^$", "~bs ''", "~b .*"]);
    flow.expect(false, &["~bq .", "~b x"]);
}

#[test]
fn bodies_not_collected_are_unknown() {
    expect(&flow(), Answer::Unknown, &["~b x", "~bq x", "~bs x", "~bq ''", "!~b x", "~q | ~bq x", "~s ~bs x"]);
}

#[test]
fn bodies_that_do_not_exist_match_nothing() {
    let flow = flow();
    let mut view = flow.view();
    view.request_body = Seen::Absent;
    view.response_body = Seen::Absent;
    for filter in ["~b ''", "~bq .*", "~bs ^$"] {
        assert_eq!(Filter::parse(filter).unwrap().evaluate(&view), Answer::No, "{filter}");
    }
}

#[test]
fn one_known_body_can_decide() {
    expect(&flow().body(b"x"), Answer::Yes, &["~b x"]);
    expect(&flow().body(b"y"), Answer::Unknown, &["~b x"]);
    expect(&flow().answer_body(b"x"), Answer::Yes, &["~b x"]);
    expect(&Flow::get("http://a/").body(b"y"), Answer::No, &["~b x"]);
}

#[test]
fn and_is_no_if_one_is() {
    expect(&flow(), Answer::No, &["~q & ~bq x", "~bq x & ~q", "~bq x ~bs y ~q", "!(~s | ~bq x)"]);
    expect(&flow(), Answer::Unknown, &["~s & ~bq x", "~bq x & ~s", "~bq x & ~bs y", "~bq x & !~bq x"]);
}

#[test]
fn or_is_yes_if_one_is() {
    expect(&flow(), Answer::Yes, &["~s | ~bq x", "~bq x | ~s", "~bq x | ~bs y | ~s", "!(~q & ~bq x)"]);
    expect(&flow(), Answer::Unknown, &["~q | ~bq x", "~bq x | ~q", "~bq x | ~bs y", "~bq x | !~bq x"]);
}

#[test]
fn negation_keeps_unknown() {
    expect(&flow(), Answer::Unknown, &["!~bq x", "!!~bq x", "!(~s & ~bq x)", "!(~q | ~bq x)"]);
}

#[test]
fn needed_bodies_are_known_beforehand() {
    for (text, request, response) in [
        ("", false, false),
        ("~u x ~hs y", false, false),
        ("~b x", true, true),
        ("~bq x", true, false),
        ("~bs x", false, true),
        ("~q | !(~s & ~bq x)", true, false),
        ("~bq x ~bs y", true, true),
        ("~all | ~b x", false, false),
    ] {
        let filter = Filter::parse(text).unwrap();
        assert_eq!((filter.needs_request_body(), filter.needs_response_body()), (request, response), "{text}");
    }
}
