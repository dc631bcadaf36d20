//! A set answers as its filters do.

use std::fmt::Write as _;

use super::{Answer, Filter, Flow};
use crate::filter::{FilterSet, Texts, View};

/// A small deterministic generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())]
    }

    fn filter(&mut self, depth: usize) -> String {
        let mut text = String::new();
        for side in 0..=self.roll(2) {
            if side > 0 {
                text.push(' ');
            }
            self.write_filter(depth, &mut text);
        }
        text
    }

    fn write_filter(&mut self, depth: usize, out: &mut String) {
        if depth == 0 {
            return self.write_atom(out);
        }
        match self.roll(5) {
            0 => {
                out.push('!');
                self.write_filter(depth - 1, out);
            }
            1 => {
                out.push('(');
                self.write_filter(depth - 1, out);
                out.push_str(self.pick(&[" & ", " | "]));
                self.write_filter(depth - 1, out);
                out.push(')');
            }
            2 => {
                self.write_filter(depth - 1, out);
                out.push_str(self.pick(&[" & ", " | "]));
                self.write_filter(depth - 1, out);
            }
            _ => self.write_atom(out),
        }
    }

    fn write_atom(&mut self, out: &mut String) {
        const PLAIN: [&str; 8] = ["~q", "~s", "~a", "~e", "~all", "~tcp", "~websocket", "~c 200"];
        const NAMES: [&str; 16] = ["u", "m", "d", "h", "hq", "hs", "b", "bq", "bs", "t", "tq", "ts", "src", "dst", "p", "p"];
        const PATTERNS: [&str; 24] = [
            "sync",
            "^/sync$",
            "^/sync",
            "sync$",
            "s[y]nc",
            "^/[^/]+$",
            "GET",
            "^(GET|PUT)$",
            "get|put",
            "a+b",
            "\\\\d+",
            "8008",
            "x.*y",
            "^http",
            "json",
            "image/",
            "X-A",
            "^X-A: .+$",
            "^x",
            "(?i)SYNC",
            "hs[12]",
            ".",
            "",
            "[0-9]{2,3}$",
        ];
        match self.roll(8) {
            0 => out.push_str(self.pick(&PLAIN)),
            1 => out.push_str(self.pick(&["~l matrix", "~l other"])),
            2..=4 => write!(out, "~u '{}'", self.pick(&PATTERNS)).unwrap(),
            _ => write!(out, "~{} '{}'", self.pick(&NAMES), self.pick(&PATTERNS)).unwrap(),
        }
    }

    fn flow(&mut self) -> Flow {
        let mut flow = Flow::get(self.pick(&[
            "http://hs1/sync",
            "https://hs2:8008/sync?x=1y",
            "http://a/a%2Fb",
            "http://a/%73ync%0a/12",
            "http://[::1]:8008/",
            "http://a/image/aab.png?GET",
        ]))
        .method(self.pick(&["GET", "PUT", "get", "OPTIONS"]));
        for _ in 0..self.roll(3) {
            flow = flow.header(self.pick(&["X-A", "x-a", "Content-Type"]), self.pick(&["sync", "json", "12", ""]));
        }
        if self.roll(2) == 0 {
            flow = flow.answered(self.pick(&[200, 404]));
            for _ in 0..self.roll(3) {
                flow = flow.answer_header(self.pick(&["X-A", "content-type"]), self.pick(&["image/png", "json", "x y"]));
            }
        }
        if self.roll(2) == 0 {
            flow = flow.body(self.pick(&[&b""[..], b"sync", b"x\n\xffy", b"12"]));
        }
        if self.roll(2) == 0 {
            flow = flow.answer_body(self.pick(&[&b""[..], b"json", b"X-A: 1"]));
        }
        flow.has_error = self.roll(2) == 0;
        flow.is_websocket = self.roll(2) == 0;
        flow.listener = self.pick(&["matrix", "other"]);
        flow
    }
}

fn hits(set: &FilterSet, view: &View<'_>) -> Vec<(usize, Answer)> {
    let mut hits = Vec::new();
    set.evaluate(&Texts::new(view), |index, answer| hits.push((index, answer)));
    hits
}

fn expect_agreement(texts: &[String], filters: &[Filter], flow: &Flow) {
    let set = FilterSet::new(filters);
    let view = flow.view();
    let alone: Vec<_> =
        filters.iter().map(|filter| filter.evaluate(&view)).enumerate().filter(|(_, answer)| *answer != Answer::No).collect();
    assert_eq!(hits(&set, &view), alone, "{texts:#?} {view:?}");
}

#[test]
fn sets_agree_with_their_filters() {
    let mut dice = Dice(0x5eed);
    for _ in 0..300 {
        let texts: Vec<String> = (0..=dice.roll(24)).map(|_| dice.filter(2)).collect();
        let filters: Vec<Filter> = texts.iter().map(|text| Filter::parse(text).unwrap()).collect();
        for _ in 0..12 {
            expect_agreement(&texts, &filters, &dice.flow());
        }
    }
}

#[test]
fn generated_flows_give_all_answers() {
    let mut dice = Dice(1);
    let mut seen = [0; 3];
    for _ in 0..2_000 {
        let filter = Filter::parse(&dice.filter(2)).unwrap();
        seen[filter.evaluate(&dice.flow().view()) as usize] += 1;
    }
    assert!(seen.iter().all(|&count| count > 30), "{seen:?}");
}

#[test]
fn one_search_serves_many_filters() {
    let texts: Vec<String> = (0..40).map(|index| format!("~p ^/thing{index}/[^/]+$ ~m GET")).collect();
    let filters: Vec<Filter> = texts.iter().map(|text| Filter::parse(text).unwrap()).collect();
    let set = FilterSet::new(&filters);
    assert_eq!(hits(&set, &Flow::get("http://a/thing7/x").view()), [(7, Answer::Yes)]);
    assert_eq!(hits(&set, &Flow::get("http://a/thing7/x/y").view()), []);
    assert_eq!(hits(&set, &Flow::get("http://a/thing7/x").method("PUT").view()), []);
}

#[test]
fn many_plain_texts_are_found() {
    let texts: Vec<String> = (0..20).map(|index| format!("thing{index:02}")).collect();
    let filters: Vec<Filter> = texts.iter().map(|text| Filter::parse(text).unwrap()).collect();
    let set = FilterSet::new(&filters);
    assert_eq!(hits(&set, &Flow::get("http://a/thing19/thing03").view()), [(3, Answer::Yes), (19, Answer::Yes)]);
    assert_eq!(hits(&set, &Flow::get("http://a/x").view()), []);
}

#[test]
fn unknown_answers_are_hits() {
    let filters = ["~bq x", "~q ~bq x", "~s ~bq x", "~tcp", ""].map(|text| Filter::parse(text).unwrap());
    let set = FilterSet::new(&filters);
    let view = [(0, Answer::Unknown), (1, Answer::Unknown), (4, Answer::Yes)];
    assert_eq!(hits(&set, &Flow::get("http://a/").view()), view);
}

#[test]
fn too_many_patterns_still_work_alone() {
    let filters: Vec<Filter> = (0..60).map(|index| Filter::parse(&format!("~u [a-z]{{{}}}x", 20_000 + index)).unwrap()).collect();
    let set = FilterSet::new(&filters);
    assert_eq!(hits(&set, &Flow::get("http://a/x").view()), []);
    let long = format!("http://a/{}x", "y".repeat(20_000));
    assert_eq!(hits(&set, &Flow::get(&long).view()), [(0, Answer::Yes)]);
}

#[test]
fn no_filters_have_no_hits() {
    assert_eq!(hits(&FilterSet::default(), &Flow::get("http://a/").view()), []);
}

#[test]
fn evaluating_inside_a_hit_works() {
    let filters = ["~u x", "~p /x", "~hq ."].map(|text| Filter::parse(text).unwrap());
    let flow = Flow::get("http://a/%78").header("A", "b");
    let set = FilterSet::new(&filters);
    let mut inner = Vec::new();
    set.evaluate(&Texts::new(&flow.view()), |_, _| inner.push(hits(&set, &flow.view())));
    assert_eq!(inner, vec![vec![(1, Answer::Yes), (2, Answer::Yes)]; 2]);
}
