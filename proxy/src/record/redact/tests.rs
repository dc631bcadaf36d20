use super::*;

#[test]
fn parameters_lose_their_secrets() {
    for (input, expected) in [
        ("/a?x=1&access_token=s3&y=2", "/a?x=1&access_token=***&y=2"),
        ("/a?ACCESS%5FTOKEN=s3", "/a?ACCESS%5FTOKEN=***"),
        ("http://h/cb#id_token=s3&state=1", "http://h/cb#id_token=***&state=1"),
        ("/a?token=a'b\"c<d>e f\\g;h#i&b=1", "/a?token=***&b=1"),
        ("/a?b=1;token=s3", "/a?b=1;token=***"),
        ("/a?x'token=s3", "/a?x'token=***"),
        ("<http://h/?token=a's3>; rel=next", "<http://h/?token=***"),
        ("/a?code=s3&sig=s3&key=s3", "/a?code=***&sig=***&key=***"),
        ("/a?token=", "/a?token="),
        ("/a?token", "/a?token"),
        ("/a?since=s1_2&timeout=0", "/a?since=s1_2&timeout=0"),
        ("token=plain text", "token=***"),
        ("a=1; token=s3", "a=1; token=***"),
        ("", ""),
    ] {
        assert_eq!(text(input), expected, "{input}");
    }
    assert_eq!(form("password=s3&user=u&token=s3"), "password=***&user=u&token=***");
    assert_eq!(form("user=u&password=it's-s3#s3 \n<s3&a=b"), "user=u&password=***&a=b");
    assert_eq!(form(r#"a={"password":"s3"}&b=1"#), r#"a={"password":"[redacted]"}&b=1"#);
    assert_eq!(form("user=u"), "user=u");
}

#[test]
fn urls_lose_their_users() {
    for (input, expected) in [
        ("http://u:p@h/x", "http://***@h/x"),
        ("see https://u:p@w@h/, and http://h/@x", "see https://***@h/, and http://h/@x"),
        ("http://u:p'\"<> \\s3@h/", "http://***@h/"),
        ("http://h/", "http://h/"),
        ("mailto:u@h", "mailto:u@h"),
        ("http://u:p@", "http://***@"),
    ] {
        assert_eq!(text(input), expected, "{input}");
    }
}

#[test]
fn fields_lose_their_secrets() {
    for name in [
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "SET-COOKIE",
        "X-Api-Key",
        "X-Auth-Token",
        "X-Amz-Security-Token",
        "Sec-WebSocket-Protocol",
        "apikey",
        "X-JWT-Assertion",
        "X-Auth",
        "DPoP",
        "Signature",
        "X-Session",
        "Cf-Access-Jwt-Assertion",
    ] {
        assert_eq!(field(name, b"s3"), REDACTED, "{name}");
    }
    for (name, value, expected) in [
        ("Access-Control-Allow-Credentials", "true", "true"),
        ("X-Error-Code", "17", "17"),
        ("Referer", "http://u:p@h/?token=s3", "http://***@h/?token=***"),
        ("Location", "/cb?code=s3", "/cb?code=***"),
        ("Accept", "text/html;q=0.9", "text/html;q=0.9"),
    ] {
        assert_eq!(field(name, value.as_bytes()), expected, "{name}");
    }
}

#[test]
fn documents_lose_their_secrets_and_nothing_else() {
    for (input, expected) in [
        (r#"{ "user" : "u", "password" : "s3" }"#, r#"{ "user" : "u", "password" : "[redacted]" }"#),
        (r#"{"access_token":"s3","n":1.10}"#, r#"{"access_token":"[redacted]","n":1.10}"#),
        (r#"{"code":"s3","grant_type":"x"}"#, r#"{"code":"[redacted]","grant_type":"x"}"#),
        (r#"{"code":"E1","error":"x"}"#, r#"{"code":"E1","error":"x"}"#),
        (r#"{"a":[{"refresh_token":12345,"b":2}]}"#, r#"{"a":[{"refresh_token":"[redacted]","b":2}]}"#),
        (r#"{"client_secret":{"x":["}",{"y":1}]},"b":2}"#, r#"{"client_secret":"[redacted]","b":2}"#),
        (r#"{"access\u005ftoken":"s3"}"#, r#"{"access\u005ftoken":"[redacted]"}"#),
        (r#"{"password":null,"token":true,"x":"\u00e9\/"}"#, r#"{"password":null,"token":true,"x":"\u00e9\/"}"#),
        (
            r#"{"type":"m.login.password","next_batch":"s1","token_type":"Bearer"}"#,
            r#"{"type":"m.login.password","next_batch":"s1","token_type":"Bearer"}"#,
        ),
        (r#"{"url":"http://u:p@h/?a=1\u0026access_token=s3"}"#, r#"{"url":"http://***@h/?a=1&access_token=***"}"#),
        (r#"{"s":"{\"password\":\"s3\"}"}"#, r#"{"s":"{\"password\":\"[redacted]\"}"}"#),
        (r#"{"url":"http://h/?token=a's3 s3\u003cs3","b":"c"}"#, r#"{"url":"http://h/?token=***","b":"c"}"#),
        (r#"{"url":"http://u:s'3@h/","b":"c"}"#, r#"{"url":"http://***@h/","b":"c"}"#),
        (r#"{"form":"password=s3 s3&user=u"}"#, r#"{"form":"password=***&user=u"}"#),
        (
            r#"{"session_key":"s3","bearer":"s3","signatures":{}}"#,
            r#"{"session_key":"[redacted]","bearer":"[redacted]","signatures":{}}"#,
        ),
        ("password=s3&user=u", "password=***&user=u"),
        ("[]", "[]"),
    ] {
        assert_eq!(json(input), expected, "{input}");
    }
}

#[test]
fn documents_that_are_cut_tell_no_secret() {
    for input in [
        r#"{"password":"s3cret s3cret"#,
        r#"{"password":"s3\"cret"#,
        r#"{"password": {"a":"s3cret"#,
        r#"{"password":[1,"s3cret""#,
        r#"{"token":s3cret"#,
        r#"{"s":"{\"password\":\"s3cret"#,
        r#"{"s":"{\"password\":\"s3cret\"#,
        r#"{"u":"http://h/?token=s3cret"#,
    ] {
        let shown = json(input);
        assert!(!shown.contains("s3"), "{input}: {shown}");
        assert!(shown.starts_with(input.get(..3).expect("a beginning")), "{input}: {shown}");
    }
}

#[test]
fn documents_within_documents_are_looked_into() {
    let mut nested = r#"{"password":"s3cret"}"#.to_owned();
    for depth in 1..8 {
        nested = serde_json::json!({ "inner": nested }).to_string();
        assert!(!json(&nested).contains("s3cret"), "{depth}: {}", json(&nested));
    }
}

#[test]
fn lines_stand_for_themselves() {
    let input = "event: a\ndata: {\"access_token\":\"s3\"}\n\nit's \"open\ndata: {\"password\": \"s3\"}\n";
    let expected = "event: a\ndata: {\"access_token\":\"[redacted]\"}\n\nit's \"open\ndata: {\"password\": \"[redacted]\"}\n";
    assert_eq!(lines(input), expected);
}

#[test]
fn texts_lose_their_secrets() {
    for (input, expected) in [
        ("password=s3 s3\"s3&user=u\nuser=u\n token=s3", "password=***&user=u\nuser=u\n token=***"),
        ("<a href=\"/x?loginToken=s3's3\">a</a>", "<a href=\"/x?loginToken=***\">a</a>"),
        ("see a?b=1&amp;token=s3 c", "see a?b=1&amp;token=*** c"),
        ("see /?token=a's3<s3\\s3 c", "see /?token=*** c"),
        ("see /?token=\"s3 s3\"s3 c", "see /?token=*** c"),
        ("see /?token=s3\"s3 s3", "see /?token=***"),
        ("see http://u:p's3@h, or http://u:\"s3@h c@d", "see http://***@h, or http://***@h c@d"),
        ("is it? token = \"a\" or http://h \"b@c\"", "is it? token = \"a\" or http://h \"b@c\""),
        ("a=b", "a=b"),
    ] {
        assert_eq!(lines(input), expected, "{input}");
    }
}

#[test]
fn what_is_coded_in_parameters_loses_its_secrets() {
    for (input, expected) in [
        (
            "/login?redirect_uri=https%3A%2F%2Fa%2F%3Faccess_token%3Ds3&x=1",
            "/login?redirect_uri=https%3A//a/%3Faccess_token%3D***&x=1",
        ),
        ("/login?to=/a%3ftoken%3Ds3:s3=s3", "/login?to=/a%3Ftoken%3D***"),
        ("/login?to=https%3A%2F%2Fu%3As3%40h%2F", "/login?to=https%3A//***%40h/"),
        ("/login?to=%2Fa%3Fto%3D%252Fb%253Fcode%253Ds3", "/login?to=/a%3Fto%3D/b%253Fcode%253D***"),
        ("/login?with=%7B%22password%22%3A%22s3%22%7D", "/login?with=%7B%22password%22%3A%22%5Bredacted%5D%22%7D"),
        ("/to/https%3A%2F%2Fa%2F%3Ftoken%3Ds3?b=1", "/to/https%3A//a/%3Ftoken%3D***?b=1"),
        ("to=%2Fa%3Ftoken%3Ds3", "to=/a%3Ftoken%3D***"),
        ("/a?since=s1%5F2&filter=%7B%22room%22%3A1%7D", "/a?since=s1%5F2&filter=%7B%22room%22%3A1%7D"),
        ("/a?q=100%&r=%zz", "/a?q=100%&r=%zz"),
        ("/%C3%A4?b=%C3%A4", "/%C3%A4?b=%C3%A4"),
    ] {
        assert_eq!(text(input), expected, "{input}");
    }
    let quoted = r#"{"url":"http://h/?to=%2Fa%3Ftoken%3Ds3","b":"c"}"#;
    assert_eq!(json(quoted), r#"{"url":"http://h/?to=/a%3Ftoken%3D***","b":"c"}"#);
    assert_eq!(lines("see /?to=%2Fa%3Ftoken%3Ds3 c"), "see /?to=/a%3Ftoken%3D*** c");
}

/// However often it was coded, and at no cost that grows with that.
#[test]
fn what_is_coded_many_times_tells_no_secret() {
    let mut value = "/a?token=s3cret".to_owned();
    for times in 1..10 {
        value = format!("/a?to={}", utf8_percent_encode(&value, NON_ALPHANUMERIC));
        assert!(!text(&value).contains("s3cret"), "{times}: {}", text(&value));
    }
    let deep = format!("/a?to=%{}3Dtoken", "25".repeat(100_000));
    assert_eq!(text(&deep), "/a?to=***");
}

#[test]
fn single_quotes_hide_no_secret() {
    for (input, expected) in [
        ("{'user': 'u', 'password': 's3'}", "{'user': 'u', 'password': '[redacted]'}"),
        ("{'access_token':'s3','n':1}", "{'access_token':'[redacted]','n':1}"),
        ("{'token': \"it's s3\", 'n': 1}", "{'token': '[redacted]', 'n': 1}"),
        ("{'password': 's3\\'s3', 'n': 1}", "{'password': '[redacted]', 'n': 1}"),
        ("{'credentials': {'a': '}', 'b': 's3'}, 'n': 1}", "{'credentials': '[redacted]', 'n': 1}"),
        ("{'password': None, 'token': true}", "{'password': None, 'token': true}"),
        ("{'next_batch': 's1', 'token_type': 'Bearer'}", "{'next_batch': 's1', 'token_type': 'Bearer'}"),
        ("it's a 'token' and that's it: 's", "it's a 'token' and that's it: 's"),
    ] {
        assert_eq!(lines(input), expected, "{input}");
    }
    for input in ["{'password': 's3cret s3cret", "{'password':{'a':'s3cret", "{'password':s3cret"] {
        assert!(!lines(input).contains("s3"), "{input}: {}", lines(input));
    }
}

/// What is looked at stays in proportion to the length, whatever is in a text.
#[test]
fn hostile_texts_cost_no_more_than_their_length() {
    let begun = std::time::Instant::now();
    for (pattern, is_within) in [
        (";a=%25252541", true),
        ("?a=%25252541", true),
        ("#a=%25252541", true),
        ("&a=%25252541", true),
        (";a=", true),
        (";a=\"", true),
        (";a=%41\" \"", true),
        (";a=%7B", false),
        (";a={", false),
        ("%25", true),
        ("=", true),
        ("\"", true),
        ("'", true),
        ("{\"", true),
        ("'a':", true),
        ("://", true),
    ] {
        let hostile = format!("/?x=1{}", pattern.repeat((16 << 10) / pattern.len()));
        let left = work(&hostile);
        let look = Look { depth: DEPTH, left: &left, is_grant: false };
        let shown = text_within(&hostile, look);
        assert!(shown.starts_with("/?x="), "{pattern}");
        assert_eq!(left.get() > 0, is_within, "{pattern}");
        let _ = (lines(&hostile), json(&hostile), form(&hostile));
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// Also where it stands in what was looked at as part of another value.
#[test]
fn values_within_values_tell_no_secret() {
    for input in [
        "/a?x=1;to=token%3Ds3",
        "/a?x=1;y=2;to=/b%3Ftoken%3Ds3",
        "/a?x=1;to=%7B%22a%22:1;b,%22password%22:%22s3%22%7D",
        "/a?x=1;to=/b;%74oken%3Ds3",
        "/a?x=1;to=/b&y=1;to=token%3Ds3",
    ] {
        assert!(!text(input).contains("s3"), "{input}: {}", text(input));
        assert!(!lines(&format!("see {input} c")).contains("s3"), "{input}");
    }
}
