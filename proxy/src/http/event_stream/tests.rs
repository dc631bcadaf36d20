use super::*;

/// All parts of a stream that comes in these pieces; over the cap as it comes by.
fn read(pieces: &[&[u8]], cap: usize) -> Vec<Item> {
    let (mut parser, mut items) = (Parser::new(cap), Vec::new());
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.read() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(TooLarge) => parser.pass(),
            }
        }
    }
    items.extend(parser.end());
    items
}

fn events(items: &[Item]) -> Vec<StreamEvent> {
    items.iter().filter_map(|item| if let Item::Event(block) = item { Some(block.event.clone()) } else { None }).collect()
}

fn bytes(items: &[Item]) -> Vec<u8> {
    let bytes = items.iter().map(|item| match item {
        Item::Bytes(bytes) | Item::Tail(bytes) => bytes,
        Item::Event(block) => &block.bytes,
    });
    bytes.flatten().copied().collect()
}

fn event(kind: Option<&str>, id: Option<&str>, data: &str, retry: Option<u64>) -> StreamEvent {
    StreamEvent { event: kind.map(str::to_owned), id: id.map(str::to_owned), data: data.to_owned(), retry }
}

const STREAM: &str = "\u{feff}: héllo\n\nevent: add\ndata: a €\ndata:b\nid: 1\n: inside\nretry: 10\n\ndata\n\nid\n\nother: x\n\n";

fn expected() -> Vec<StreamEvent> {
    vec![event(Some("add"), Some("1"), "a €\nb", Some(10)), event(None, None, "", None), event(None, Some(""), "", None)]
}

#[test]
fn streams_may_be_cut_anywhere_whatever_ends_their_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = STREAM.replace('\n', end);
        let stream = stream.as_bytes();
        for cut in 0..=stream.len() {
            let items = read(&[&stream[..cut], &stream[cut..]], 1 << 10);
            assert_eq!(events(&items), expected(), "{end:?} {cut}");
            assert!(bytes(&items) == stream, "{end:?} {cut}");
        }
        let slowly: Vec<&[u8]> = stream.chunks(1).collect();
        let items = read(&slowly, 1 << 10);
        assert_eq!((events(&items), bytes(&items)), (expected(), stream.to_vec()), "{end:?}");
    }
}

#[test]
fn an_event_is_there_with_its_last_byte() {
    for stream in ["data: x\n\n", "data: x\r\r", "data: x\r\n\r\n"] {
        let mut parser = Parser::new(100);
        let (last, first) = stream.as_bytes().split_last().expect("bytes");
        parser.push(first);
        let early = parser.read().expect("within the cap");
        // CR alone may be all of an end, and LF comes after it.
        assert_eq!(early.is_some(), stream.contains("\r\n"), "{stream:?}");
        parser.push(&[*last]);
        let item = early.or_else(|| parser.read().expect("within the cap"));
        assert!(matches!(item, Some(Item::Event(_))), "{stream:?}");
    }
}

#[test]
fn comments_do_not_wait_for_an_event() {
    let mut parser = Parser::new(4);
    for part in [&b": hea"[..], b"rtbeat\n", b"\n"] {
        parser.push(part);
        assert_eq!(parser.read(), Ok(Some(Item::Bytes(Bytes::copy_from_slice(part)))));
        assert_eq!(parser.read(), Ok(None));
    }
}

#[test]
fn fields_are_read_as_the_standard_says() {
    for (block, expected) in [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", event(None, None, "YHOO\n+2\n10", None)),
        ("data:  two\n\n", event(None, None, " two", None)),
        ("data\ndata\n\n", event(None, None, "\n", None)),
        ("event: a\nevent: b\ndata: x\n\n", event(Some("b"), None, "x", None)),
        ("id: a\0b\ndata: x\n\n", event(None, None, "x", None)),
        ("retry: 1x\nretry: 7\nretry:\ndata: x\n\n", event(None, None, "x", Some(7))),
        ("data:a:b\n\n", event(None, None, "a:b", None)),
        ("data: x", event(None, None, "x", None)),
    ] {
        assert_eq!(events(&read(&[block.as_bytes()], 100)), [expected], "{block:?}");
    }
    for nothing in ["\n\n\n", ":x\n\n", "Data: x\n\n", "datax: y\n\n"] {
        assert_eq!(events(&read(&[nothing.as_bytes()], 100)), [], "{nothing:?}");
    }
}

#[test]
fn events_over_the_cap_go_by() {
    let stream = b"data: 12\n\ndata: 123\n\ndata: 12\n\n";
    for cut in 0..=stream.len() {
        let items = read(&[&stream[..cut], &stream[cut..]], 10);
        assert_eq!(events(&items), [event(None, None, "12", None), event(None, None, "12", None)], "{cut}");
        assert_eq!(bytes(&items), stream, "{cut}");
    }
    let mut parser = Parser::new(10);
    parser.push(b"data: 12345");
    assert_eq!(parser.read(), Err(TooLarge));
    parser.pass();
    for _ in 0..3 {
        parser.push(&[b'x'; 100]);
        assert!(matches!(parser.read(), Ok(Some(Item::Bytes(_)))));
        assert_eq!(parser.held(), 0);
    }
}

#[test]
fn replaced_events_are_read_as_they_were_meant() {
    let Some(Item::Event(block)) = read(&[b"id: 1\n: keep\ndata: x\n\n"], 100).pop() else { panic!("no event") };
    assert_eq!(block.comments(), b": keep\n");
    for other in [
        event(Some("add"), Some("2"), "a\nb", Some(5)),
        event(None, None, "", None),
        event(None, None, " leading\n\ntrailing\n", None),
    ] {
        let made = block.replaced(&other);
        assert!(made.starts_with(b": keep\n"));
        assert_eq!(events(&read(&[&made], 100)), [other]);
    }
    let made = block.replaced(&event(None, None, "a\rb\r\nc", None));
    assert_eq!(events(&read(&[&made], 100)), [event(None, None, "a\nb\nc", None)]);
}
