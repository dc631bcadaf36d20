//! Texts that are no filters.

use super::Filter;

fn fail(text: &str) -> (usize, String) {
    let error = Filter::parse(text).expect_err(text);
    assert!(!error.message.contains('\n'), "{error}");
    (error.position, error.message)
}

fn expect(cases: &[(&str, usize, &str)]) {
    for (text, position, message) in cases {
        assert_eq!(fail(text), (*position, (*message).to_owned()), "{text}");
    }
}

#[test]
fn display_names_position_and_fault() {
    let error = Filter::parse("~m GET ~x").unwrap_err();
    assert_eq!(error.to_string(), "position 7: there is no ~x");
    let _: &dyn std::error::Error = &error;
}

#[test]
fn positions_count_characters_not_bytes() {
    expect(&[("\u{e4}\u{1f600} ~x", 3, "there is no ~x"), ("'\u{e4}' ~u \"\u{e4}[\"", 8, UNCLOSED_CLASS)]);
}

#[test]
fn unknown_atoms_are_named() {
    expect(&[
        ("~x", 0, "there is no ~x"),
        ("~U foo", 0, "there is no ~U"),
        ("~url foo", 0, "there is no ~url"),
        ("foo ~c200", 4, "there is no ~c200"),
        ("~", 0, "\"~\" has no letter after it"),
        ("~ q", 0, "\"~\" has no letter after it"),
        ("(~)", 1, "\"~\" has no letter after it"),
        ("~averyveryverylongname", 0, "there is no ~averyveryverylon"),
    ]);
}

#[test]
fn missing_operands_are_found() {
    expect(&[
        ("~q &", 4, "a filter is missing after \"&\""),
        ("~q | ", 5, "a filter is missing after \"|\""),
        ("!", 1, "a filter is missing after \"!\""),
        ("& ~q", 0, "a filter is missing before \"&\""),
        ("~q & | ~s", 5, "a filter is missing after \"&\""),
        ("a || b", 3, "a filter is missing after \"|\""),
        ("(!)", 2, "a filter is missing after \"!\""),
        ("()", 1, "a filter is missing after \"(\""),
        ("(| a)", 1, "a filter is missing after \"(\""),
        ("(a & )", 5, "a filter is missing after \"&\""),
    ]);
}

#[test]
fn unbalanced_parentheses_are_found() {
    expect(&[
        ("(~q", 0, "\"(\" is not closed"),
        ("~q & (a | (b)", 5, "\"(\" is not closed"),
        ("~q)", 2, "\")\" closes nothing"),
        (")", 0, "\")\" closes nothing"),
        ("(a) )", 4, "\")\" closes nothing"),
    ]);
}

#[test]
fn juxtaposition_in_parentheses_is_refused() {
    expect(&[
        ("(~m GET ~u x)", 8, "filters in parentheses are joined by \"&\" or \"|\""),
        ("(a b)", 3, "filters in parentheses are joined by \"&\" or \"|\""),
        ("~q & (a | (b !c))", 13, "filters in parentheses are joined by \"&\" or \"|\""),
    ]);
}

#[test]
fn missing_arguments_are_found() {
    expect(&[
        ("~u", 2, "~u needs a regular expression"),
        ("~u ~q", 3, "~u needs a regular expression"),
        ("(~hq )", 5, "~hq needs a regular expression"),
        ("(~hq)", 4, "~hq needs a regular expression"),
        ("~u (a|b)", 3, "~u needs a regular expression, in quotes if it starts with \"(\""),
        ("~l", 2, "~l needs the name of a listener"),
        ("~c", 2, "~c needs a status from 100 to 999"),
    ]);
}

#[test]
fn atoms_end_with_a_space() {
    expect(&[
        ("~u\"x\"", 2, "a space is missing after ~u"),
        ("~u&x", 2, "a space is missing after ~u"),
        ("~q~s", 2, "a space is missing after ~q"),
        ("~q!~s", 2, "a space is missing after ~q"),
        ("~q'x'", 2, "a space is missing after ~q"),
        ("~c(200)", 2, "a space is missing after ~c"),
    ]);
}

#[test]
fn statuses_are_three_digits() {
    for text in ["~c x", "~c 99", "~c 1000", "~c -200", "~c +200", "~c 200abc", "~c 99999999999999999999", "~c '200'", "~c 20.0"]
    {
        assert_eq!(fail(text), (3, "~c needs a status from 100 to 999".to_owned()), "{text}");
    }
}

#[test]
fn open_quotes_are_found() {
    expect(&[
        ("~u \"abc", 3, "the quote is not closed"),
        ("~u 'abc\"", 3, "the quote is not closed"),
        ("a 'b\\'", 2, "the quote is not closed"),
        ("'\\", 0, "the quote is not closed"),
        ("~u \"a\nb\"", 5, "a line break in quotes is written \\n"),
    ]);
}

const UNCLOSED_CLASS: &str = "~u: the regular expression does not compile: unclosed character class";

#[test]
fn bad_regexes_tell_their_start_and_reason() {
    expect(&[
        ("~m GET ~u [a", 10, UNCLOSED_CLASS),
        ("~u \"[a\"", 4, UNCLOSED_CLASS),
        ("[a", 0, UNCLOSED_CLASS),
        ("'(a'", 1, "~u: the regular expression does not compile: unclosed group"),
        ("~hq *a", 4, "~hq: the regular expression does not compile: repetition operator missing expression"),
    ]);
}

#[test]
fn what_the_engine_lacks_is_named() {
    let reason = |text: &str| fail(text).1.split_once("compile: ").map(|(_, reason)| reason.to_owned()).unwrap_or_default();
    for text in ["'a(?=b)'", "'a(?!b)'", "'(?<=a)b'", "'(?<!a)b'"] {
        assert_eq!(reason(text), "look-around, including look-ahead and look-behind, is not supported", "{text}");
    }
    for text in [r"'(a)\\1'", "'(?P<n>a)(?P=n)'"] {
        assert_eq!(reason(text), "backreferences are not supported", "{text}");
    }
    assert_eq!(reason("'(?>a)'"), "atomic groups are not supported");
    assert_eq!(reason("'(?#a)'"), "comments are not supported");
    assert!(reason("~b [\u{e4}]").contains("(?u:"));
}

#[test]
fn regexes_of_atoms_that_never_match_are_checked() {
    for name in ["meta", "marker", "comment"] {
        assert_eq!(fail(&format!("~{name} [")).0, name.len() + 2);
    }
}

#[test]
fn errors_never_quote_a_regex() {
    for text in ["~hq syt_secret[", "~hq 'syt_secret", "(~hq syt_secret x)", "~hq syt_secret{2,1}"] {
        assert!(!fail(text).1.contains("syt"), "{text}");
    }
}

#[test]
fn length_is_capped_at_65536_characters() {
    let longest = "\u{e4}".to_owned() + &" ".repeat(65_535);
    assert!(Filter::parse(&longest).is_ok());
    assert_eq!(fail(&(longest + "x")), (65_536, "a filter has at most 65536 characters".to_owned()));
}

#[test]
fn atoms_are_capped_at_1024() {
    let most = "~q ".repeat(512) + &"a ".repeat(512);
    assert!(Filter::parse(&most).is_ok());
    assert_eq!(fail(&(most + "~s")), (2_560, "a filter has at most 1024 atoms".to_owned()));
}

#[test]
fn parentheses_are_capped_at_64_deep() {
    let nested = |depth: usize| "(".repeat(depth) + "~q" + &")".repeat(depth);
    assert!(Filter::parse(&nested(64)).is_ok());
    assert_eq!(fail(&nested(65)), (64, "parentheses are at most 64 deep".to_owned()));
    assert_eq!(fail(&"(".repeat(60_000)).0, 64);
    assert!(Filter::parse(&("!".repeat(60_000) + "~q")).is_ok());
}

#[test]
fn huge_regexes_are_refused() {
    let (position, message) = fail("~u [a-z]{500000}");
    assert_eq!(position, 3);
    assert_eq!(message, "~u: the regular expression compiles to more than 2097152 bytes");
}
