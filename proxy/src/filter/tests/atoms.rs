//! What each atom looks at.

use super::{Answer, Flow, Scheme};
use crate::http::Authority;

fn flow() -> Flow {
    Flow::get("http://Example.org:8448/a/B?c=d")
}

#[test]
fn requests_and_responses_are_told_apart() {
    flow().expect(true, &["~q", "!~s"]);
    flow().expect(false, &["~s", "!~q"]);
    flow().answered(200).expect(true, &["~s", "!~q"]);
    flow().answered(200).expect(false, &["~q", "!~s"]);
}

#[test]
fn all_and_http_hold_always() {
    flow().expect(true, &["~all", "~http", "~all & ~http"]);
}

#[test]
fn errors_and_websockets_follow_the_view() {
    flow().expect(false, &["~e", "~websocket"]);
    Flow { has_error: true, ..flow() }.expect(true, &["~e", "!~websocket"]);
    Flow { is_websocket: true, ..flow() }.expect(true, &["~websocket", "!~e"]);
}

#[test]
fn atoms_of_other_worlds_match_nothing() {
    for atom in ["~tcp", "~udp", "~dns", "~marked", "~replay", "~replayq", "~replays", "~meta .", "~marker ''", "~comment .*"] {
        flow().answered(200).expect(false, &[atom]);
        flow().answered(200).expect(true, &[&*format!("!{atom}"), &*format!("~q | !({atom} )")]);
    }
}

#[test]
fn status_is_compared_as_number() {
    flow().expect(false, &["~c 200"]);
    flow().expect(true, &["!~c 200"]);
    flow().answered(404).expect(true, &["~c 404", "(~c 404)", "~c 0404", "~c 404&~s", "~c 200 | ~c 404"]);
    flow().answered(404).expect(false, &["~c 200", "~c 401 | ~c 200"]);
}

#[test]
fn assets_are_told_by_content_type() {
    for kind in [
        "text/javascript",
        "application/x-javascript",
        "application/javascript; charset=utf-8",
        "text/css",
        "image/svg+xml",
        "font/woff2",
        "application/font-woff",
    ] {
        flow().answered(200).answer_header("Content-Type", kind).expect(true, &["~a", "~s ~a"]);
    }
    for kind in ["text/html", "application/json", "audio/ogg", "IMAGE/PNG"] {
        flow().answered(200).answer_header("content-type", kind).expect(false, &["~a"]);
    }
    flow().header("Content-Type", "image/png").expect(false, &["~a"]);
    flow().answered(200).expect(false, &["~a"]);
}

#[test]
fn method_ignores_case() {
    flow().method("PUT").expect(true, &["~m PUT", "~m put", "~m ^P", "~m U", "~m ^put$", "~m \"^(put|post)$\"", "~m t$"]);
    flow().method("PUT").expect(false, &["~m GET", "~m PUTT", "~m ^U", "~m ^pu$"]);
    flow().method("pUt").expect(true, &["~m PUT", "~m \"P[U]T\""]);
}

#[test]
fn domain_ignores_case_and_port() {
    flow().expect(true, &["~d example", "~d EXAMPLE.ORG", "~d ^example\\.org$", "~d ^ex.*[g]$", "~d .org"]);
    flow().expect(false, &["~d 8448", "~d http", "~d /a", "~d example.com"]);
    Flow::get("http://[2001:DB8::1]:80/").expect(true, &["~d ^2001:db8::1$"]);
}

#[test]
fn domain_knows_the_upstream_too() {
    flow().expect(true, &["~d ^hs1$", "~d HS1"]);
    flow().expect(false, &["~d 8008"]);
}

#[test]
fn url_keeps_case_query_and_port() {
    flow().expect(true, &["~u ^http://Example.org:8448/a/B\\?c=d$", "~u c=d", "~u Example", "http://Example.org:8448/a/B"]);
    flow().expect(false, &["~u example", "~u /A", "~u a/b"]);
}

#[test]
fn url_leaves_the_default_port_out() {
    Flow::get("http://a/").expect(true, &["^http://a/$"]);
    Flow::get("http://a:80/").expect(true, &["^http://a/$"]);
    Flow::get("https://a:443/").expect(true, &["^https://a/$"]);
    Flow::get("https://a:80/").expect(true, &["^https://a:80/$"]);
    Flow::get("http://[::1]:81/").expect(true, &[r"'^http://\\[::1\\]:81/$'"]);
}

/// As suites know it that were written for a proxy that has one URL only.
#[test]
fn url_is_that_asked_for_or_that_of_the_upstream() {
    let flow = Flow::get("https://proxy.test/a?b");
    flow.expect(true, &["~u ^https://proxy\\.test/a", "~u ^http://hs1:8008/a.b$", "~u hs1:8008", "hs1"]);
    flow.expect(false, &["~u ^http://proxy", "~u ^https://hs1", "~u proxy.test:8008", "!~u hs1 | !~u proxy"]);
}

#[test]
fn url_of_a_star_has_no_path() {
    let mut options = Flow::get("http://a:81").method("OPTIONS");
    options.request.target = "*".into();
    options.expect(true, &["^http://a:81$"]);
}

#[test]
fn url_of_a_tunnel_is_its_authority() {
    Flow::get("http://a:443").method("CONNECT").expect(true, &["^a:443$"]);
    let mut websocket = Flow::get("https://a/chat").method("CONNECT");
    websocket.is_websocket = true;
    websocket.expect(true, &["^https://a/chat$"]);
}

#[test]
fn url_without_host_is_the_upstream() {
    let mut old = Flow::get("http://a/x");
    old.request.authority = Authority::default();
    old.expect(true, &["^http://hs1:8008/x$", "~d ^hs1$"]);
    old.upstream = "http://hs2".parse().unwrap();
    old.expect(true, &["^http://hs2/x$"]);
    old.request.scheme = Scheme::Https;
    old.expect(true, &["^https://hs2:80/x$"]);
}

#[test]
fn path_is_decoded_without_query() {
    flow().expect(true, &["~p ^/a/B$"]);
    flow().expect(false, &["~p c=d", "~p Example", "~p /b"]);
    Flow::get("http://a/%5fmatrix/%73ync?x=%2F").expect(true, &["~p ^/_matrix/sync$"]);
    Flow::get("http://a/a+b").expect(true, &["~p ^/a\\+b$"]);
    Flow::get("http://a/?").expect(true, &["~p ^/$"]);
}

#[test]
fn encoded_slash_stays_encoded() {
    for target in ["/u/a%2Fb", "/u/a%2fb"] {
        let flow = Flow::get(&format!("http://a{target}"));
        flow.expect(true, &["~p ^/u/[^/]+$", "~p \"a%2[fF]b\""]);
        flow.expect(false, &["~p ^/u/a/b$", "~p ^/u/[^/]+/"]);
    }
    Flow::get("http://a/%61%2F%62%20").expect(true, &["~p '^/a%2Fb $'"]);
}

#[test]
fn decoding_happens_once() {
    Flow::get("http://a/a%252Fb%2525").expect(true, &["~p ^/a%2Fb%25$"]);
}

#[test]
fn broken_encodings_stay_as_they_are() {
    Flow::get("http://a/%zz%4%").expect(true, &["~p ^/%zz%4%$"]);
    Flow::get("http://a/%%41%4").expect(true, &["~p ^/%A%4$"]);
}

#[test]
fn any_byte_is_part_of_a_segment() {
    for target in ["/u/%ff%FEx", "/u/%0a", "/u/%00", "/u/%C3%A4"] {
        Flow::get(&format!("http://a{target}")).expect(true, &["~p ^/u/[^/]+$", "~p ^/u/.+$"]);
    }
    Flow::get("http://a/%C3%A4").expect(true, &["~p ^/\u{e4}$", "~p \u{e4}", "~p '(?u:^/[\u{e4}]$)'", "~p '\\\\xc3'"]);
    Flow::get("http://a/a%0A").expect(false, &["~p ^/a$"]);
}

#[test]
fn listener_is_compared_whole() {
    flow().expect(true, &["~l matrix", "~l \"matrix\"", "(~l matrix)"]);
    flow().expect(false, &["~l matri", "~l Matrix", "~l m.*", "~l 'matrix '"]);
    Flow { listener: "the (one)", ..flow() }.expect(true, &["~l 'the (one)'"]);
}

#[test]
fn source_is_the_client() {
    flow().expect(true, &["~src ^192.0.2.7:50000$", "~src :50000$", "~src '2\\\\.7'"]);
    flow().expect(false, &["~src hs1", "~src 8008"]);
    Flow { peer: "[2001:db8::1]:5", ..flow() }.expect(true, &["~src ^[[]2001:db8::1]:5$"]);
    Flow { peer: "[::ffff:192.0.2.7]:5", ..flow() }.expect(true, &["~src ^192.0.2.7:5$"]);
}

#[test]
fn destination_is_the_upstream() {
    flow().expect(true, &["~dst ^hs1:8008$", "~dst hs1", "~dst :8008"]);
    flow().expect(false, &["~dst Example", "~dst 8448", "~dst HS1"]);
    Flow { upstream: "https://hs1".parse().unwrap(), ..flow() }.expect(true, &["~dst ^hs1:443$"]);
}

#[test]
fn content_types_are_looked_at_per_message() {
    let flow =
        flow().header("content-type", "application/json").answered(200).answer_header("CONTENT-TYPE", "text/html; charset=x");
    flow.expect(true, &["~t json", "~t html", "~tq json", "~ts ^text/html", "~ts charset=x$", "~tq ^application/json$"]);
    flow.expect(false, &["~tq html", "~ts json", "~t css", "~tq JSON", "~tq Content"]);
    Flow::get("http://a/").expect(false, &["~t .*", "~tq .*", "~ts .*"]);
}

#[test]
fn every_content_type_counts() {
    let flow = flow().header("Content-Type", "a/b").header("content-type", "c/d");
    flow.expect(true, &["~tq ^a/b$", "~tq ^c/d$"]);
    flow.expect(false, &["~tq a/b.*c/d"]);
}

#[test]
fn headers_are_lines_in_wire_case() {
    let flow = flow().header("X-A", "one").header("x-b", "Two").answered(200).answer_header("X-C", "three");
    flow.expect(true, &["~hq 'X-A: one'", "~hq one", "~h three", "~hs 'X-C: th'", "~h X-A", "~hq \"^x-b: Two$\"", "~hq ^X-A"]);
    flow.expect(false, &["~hq x-a", "~hq ONE", "~hs X-A", "~hq X-C", "~hq ^one", "~hq X-A$", "~hq 'X-B'"]);
}

#[test]
fn anchors_match_at_each_header_line() {
    let flow = flow().header("X-A", "one").header("X-B", "two").header("X-C", "three");
    flow.expect(true, &["~hq 'one$'", "~hq '^X-B: two$'", "~hq '^X-C'", "~hq 'one\\\\r\\\\nX-B'", "~hq '(?s)one.*three'"]);
    flow.expect(false, &["~hq one.*three", "~hq ^two"]);
}

#[test]
fn absent_headers_are_no_line() {
    Flow::get("http://a/").expect(false, &["~hq .", "~hs .*", "~h x"]);
    Flow::get("http://a/").answered(200).expect(false, &["~hs .", "~h ."]);
}

#[test]
fn only_method_and_domain_ignore_case() {
    let flow =
        flow().header("Content-Type", "aa").body(b"aa").answered(200).answer_header("Content-Type", "aa").answer_body(b"aa");
    for name in ["u", "p", "h", "hq", "hs", "t", "tq", "ts", "b", "bq", "bs", "src", "dst"] {
        flow.expect(false, &[&format!("~{name} AA|HS1|/A"), &format!("~{name} '(AA|HS1|/A)'")]);
        assert!(flow.matches(&format!("~{name} '(?i)(AA|HS1|/A|192)'")), "{name}");
    }
    flow.expect(true, &["~m g", "~d EXAMPLE"]);
}

#[test]
fn response_atoms_are_no_before_it() {
    for atom in ["~s", "~a", "~c 200", "~hs .*", "~ts .*", "~bs .*"] {
        assert_eq!(flow().answer(atom), Answer::No, "{atom}");
        assert_eq!(flow().answer(&format!("!{atom}")), Answer::Yes, "{atom}");
    }
}
