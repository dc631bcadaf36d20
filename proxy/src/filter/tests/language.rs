//! Precedence, words and quotes.

use super::{Filter, Flow};

/// The answers of a filter over three atoms for all values of them, `~e` lowest, then `~websocket`, then `~s`.
fn table(filter: &str) -> Vec<bool> {
    (0..8)
        .map(|bits| {
            let mut flow = Flow::get("http://a/x");
            flow.has_error = bits & 1 != 0;
            flow.is_websocket = bits & 2 != 0;
            if bits & 4 != 0 {
                flow = flow.answered(200);
            }
            flow.matches(filter)
        })
        .collect()
}

fn expect_table(filter: &str, meant: impl Fn(bool, bool, bool) -> bool) {
    let wanted: Vec<bool> = (0..8).map(|bits| meant(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0)).collect();
    assert_eq!(table(filter), wanted, "{filter}");
}

#[test]
fn blank_text_matches_everything() {
    for text in ["", " ", " \t\r\n ", "~all", "~http", "!~tcp", "~all | ~u x", "~u .*", "\"\""] {
        assert!(Filter::parse(text).unwrap().is_match_all(), "{text:?}");
        assert!(Flow::get("http://a/").matches(text), "{text:?}");
    }
    for text in ["~q", "~u x", "~q | ~s", "~hs .*", "~tcp"] {
        assert!(!Filter::parse(text).unwrap().is_match_all(), "{text:?}");
    }
}

#[test]
fn operators_do_what_they_say() {
    expect_table("~e & ~websocket", |e, w, _| e && w);
    expect_table("~e | ~websocket", |e, w, _| e || w);
    expect_table("~e ~websocket", |e, w, _| e && w);
    expect_table("!~e", |e, _, _| !e);
    expect_table("~e & ~websocket & ~s", |e, w, s| e && w && s);
    expect_table("~e | ~websocket | ~s", |e, w, s| e || w || s);
}

#[test]
fn not_binds_tighter_than_and() {
    expect_table("!~e & ~websocket", |e, w, _| !e && w);
    expect_table("~e & !~websocket", |e, w, _| e && !w);
    expect_table("!(~e & ~websocket)", |e, w, _| !(e && w));
}

#[test]
fn and_binds_tighter_than_or() {
    expect_table("~e | ~websocket & ~s", |e, w, s| e || w && s);
    expect_table("~e & ~websocket | ~s", |e, w, s| e && w || s);
    expect_table("~e & (~websocket | ~s)", |e, w, s| e && (w || s));
}

#[test]
fn juxtaposition_binds_least() {
    expect_table("~e | ~websocket ~s", |e, w, s| (e || w) && s);
    expect_table("~s ~e | ~websocket", |e, w, s| s && (e || w));
    expect_table("~e !~s", |e, _, s| e && !s);
    expect_table("!~e ~s", |e, _, s| !e && s);
    let get = Flow::get("http://a/nope").method("GET");
    assert!(get.matches("~m PUT | ~m GET ~u nope"));
    assert!(!Flow::get("http://a/x").method("PUT").matches("~m PUT | ~m GET ~u nope"));
}

#[test]
fn negations_and_parentheses_nest() {
    expect_table("!!~e", |e, _, _| e);
    expect_table("! ! !~e", |e, _, _| !e);
    expect_table("((!(~e)))", |e, _, _| !e);
    expect_table("!(~e | !(~websocket | ~s))", |e, w, s| !e && (w || s));
    expect_table("(~e)(~s)", |e, _, s| e && s);
    expect_table("(~e&~s)|~websocket", |e, w, s| e && s || w);
}

#[test]
fn white_space_around_operators_is_free() {
    expect_table("\t( ~e\n&~s )\r\n| ~websocket ", |e, w, s| e && s || w);
}

#[test]
fn bare_words_are_urls() {
    let flow = Flow::get("http://a/sync");
    flow.expect(true, &["sync", "\"sync\"", "'sync'", "http a", "!nope", "http://a/sync"]);
    flow.expect(false, &["nope", "!sync", "sync nope"]);
}

#[test]
fn operators_inside_words_belong_to_them() {
    Flow::get("http://a/async").expect(true, &["~u foo|sync", "foo|sync", "x|y|sync"]);
    Flow::get("http://a/sync&~").expect(false, &["sync&~m PUT"]);
    Flow::get("http://a/sync&").method("PUT").expect(true, &["sync&~m PUT"]);
    Flow::get("http://a/sync").method("PUT").expect(false, &["sync&~m PUT"]);
    Flow::get("http://a/a!b").expect(true, &["~u a!b", "~u !b"]);
}

#[test]
fn words_end_at_delimiters() {
    let flow = Flow::get("http://a/foobar");
    flow.expect(true, &["(~u foo)", "(foo)", "foo(bar)", "foo~m GET", "foo\"bar\"", "'foo'bar", "foo!bar | foo"]);
    flow.expect(false, &["foo(nope)", "foo~m PUT", "foo'nope'", "'nope'foo"]);
}

#[test]
fn words_reach_over_other_characters() {
    let flow = Flow::get("http://a/b").header("X-A", "\u{a0}\u{2003};,=");
    flow.expect(true, &["~hq \u{a0}\u{2003};,=$", "~hq \u{2003}"]);
}

#[test]
fn quotes_hold_blanks_and_delimiters() {
    let flow = Flow::get("http://a/async").header("X-A", "a (b) ~c 'd' \"e\"");
    flow.expect(true, &["~u \"(a|s)ync\"", "~hq 'a \\\\(b\\\\) ~c'", "~hq \"c 'd'\"", "~hq 'd. \"e\"'"]);
}

#[test]
fn backslashes_in_quotes_escape() {
    let flow = Flow::get("http://a/d1").body(b"\"it's\"\t\n\r\x0c\\");
    flow.expect(true, &[r#"~bq "\"it""#, r"~bq 'it\'s'", r#"~bq "^.it's.\t\n\r\f\\\\$""#, r#"~u "\\d""#, r#"~u "/\d\\d$""#]);
    flow.expect(false, &[r#"~p "\d\d""#, r#"~p "\\d\\d""#]);
}

#[test]
fn backslashes_in_words_are_the_regex_own() {
    Flow::get("http://a/1.x").expect(true, &[r"~u /\d\.x$", r"/\d\.x$"]);
    Flow::get("http://a/1yx").expect(false, &[r"~u /\d\.x$"]);
}

#[test]
fn empty_quotes_match_everything() {
    Flow::get("http://a/").expect(true, &["~u \"\"", "''", "~hq ''", "~m \"\""]);
    Flow::get("http://a/").expect(false, &["~hs ''", "~tq ''"]);
}

#[test]
fn regexes_are_searched_unanchored() {
    let flow = Flow::get("http://a/one/two/three");
    flow.expect(true, &["two", "~u ^http", "~u three$", "~u .*two.*", "~p ^/one/two/three$"]);
    flow.expect(false, &["~u ^two", "~u two$", "~p ^/one/two$"]);
}

#[test]
fn python_syntax_is_understood() {
    let flow = Flow::get("http://a/").body(br#"{"a":[1]}<b>"#);
    flow.expect(true, &[r#"~bq '^{"a":'"#, "~bq [[]1[]]}", r"~bq '\\<b\\>\\Z'", "~bq 1{,2}]"]);
    flow.expect(true, &["~bq '(?P<n>1)'", "~bq '(?i)A'"]);
}

#[test]
fn complement_crypto_filters_work() {
    let flow = Flow::get("http://127.0.0.1:3000/_matrix/client/v3/capabilities").header("Authorization", "Bearer syt_a_b_c");
    flow.expect(
        true,
        &[
            " ~u .*/_matrix/client/v3/capabilities.* ~m GET ~hq syt_a_b_c",
            "~u capabilities",
            "~m GET ~u capabilities ~hq syt_a_b_c",
            "~m GET",
            " ~u .*capabilities.* ",
        ],
    );
    flow.expect(false, &["~u account_data", "~m PUT", "~hq syt_other", "~m GET ~u capabilities ~hq syt_x"]);
}

#[test]
fn debug_shows_no_token() {
    let filter = Filter::parse("~hq syt_secret").unwrap();
    let shown = format!("{filter:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("needs_request_body: false"), "{shown}");
}

#[test]
fn filters_cross_threads() {
    const fn check<T: Send + Sync + Clone>(_: &T) {}
    let filter = Filter::parse("~u a+").unwrap();
    check(&filter);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Flow::get("http://x/aa").expect(true, &["~u a+"]));
        }
    });
}
