use super::*;
use crate::websocket::deflate::compress;

const BOUNDS: Bounds = Bounds { cap: 8, refuses: false, ratio: 200, window: usize::MAX };
const TEXT: Opening = Opening { is_text: true, is_compressed: false };
const BYTES: Opening = Opening { is_text: false, is_compressed: false };
const PRESSED: Opening = Opening { is_text: false, is_compressed: true };

fn assembler(bounds: Bounds) -> (Assembler, Arc<Holdings>) {
    let holdings = Arc::new(Holdings::new(1 << 20));
    (Assembler::new(bounds, Arc::clone(&holdings)), holdings)
}

/// What these pieces come to, all of them of one message.
fn push(assembler: &mut Assembler, opening: Opening, pieces: &[&[u8]]) -> Result<Vec<Passed>, Violation> {
    let last = pieces.len() - 1;
    let passed = pieces.iter().enumerate().map(|(place, piece)| {
        match assembler.push((place == 0).then_some(opening), BytesMut::from(*piece), place == last)? {
            Passed::Unfinished(work) => assembler.resume(work.run()?),
            passed => Ok(passed),
        }
    });
    let passed: Vec<_> = passed.collect::<Result<_, _>>()?;
    Ok(passed.into_iter().filter(|passed| !matches!(passed, Passed::Nothing)).collect())
}

fn message(passed: Result<Vec<Passed>, Violation>) -> Message {
    match passed.expect("a message").pop() {
        Some(Passed::Message(message)) => message,
        other => panic!("no message: {other:?}"),
    }
}

fn fragments(passed: Result<Vec<Passed>, Violation>) -> (Vec<Option<Opening>>, Vec<u8>) {
    let fragments = passed.expect("fragments").into_iter().map(|passed| match passed {
        Passed::Fragment(fragment) => (fragment.opening, fragment.data),
        other => panic!("no fragment: {other:?}"),
    });
    let (openings, data): (_, Vec<_>) = fragments.unzip();
    (openings, data.concat())
}

#[test]
fn fragments_make_a_message_up_to_the_cap() {
    for (pieces, is_seen) in
        [(&[&b"1234"[..], b"567"][..], true), (&[b"1234", b"5678"], true), (&[b"1234", b"5678", b"9"], false)]
    {
        let (mut assembler, holdings) = assembler(BOUNDS);
        let passed = push(&mut assembler, TEXT, pieces);
        if is_seen {
            let message = message(passed);
            assert!(message.is_text && message.data == pieces.concat() && message.compressed.is_none());
            assert_eq!(holdings.held(), message.data.len());
        } else {
            let (openings, data) = fragments(passed);
            assert_eq!((openings, data), (vec![Some(TEXT)], pieces.concat()));
        }
        assert_eq!(holdings.held(), 0);
    }
}

#[test]
fn a_message_over_the_cap_ends_the_socket_where_a_hook_wants_that() {
    let bounds = Bounds { refuses: true, ..BOUNDS };
    assert_eq!(message(push(&mut assembler(bounds).0, BYTES, &[&[7; 8]])).data.len(), 8);
    assert_eq!(push(&mut assembler(bounds).0, BYTES, &[&[7; 9]]).err(), Some(Violation::TooLarge(8)));
    let compressed = compress(&[7; 9]).expect("compressed");
    assert_eq!(push(&mut assembler(bounds).0, PRESSED, &[&compressed]).err(), Some(Violation::TooLarge(8)));
}

#[test]
fn what_is_unseen_is_not_held() {
    let (mut assembler, holdings) = assembler(BOUNDS);
    let first = assembler.push(Some(BYTES), BytesMut::from(&[1; 100][..]), false).expect("a piece");
    assert!(matches!(first, Passed::Fragment(Fragment { opening: Some(BYTES), is_last: false, .. })));
    drop(first);
    assert_eq!(holdings.held(), 0);
    let last = assembler.push(None, BytesMut::new(), true).expect("a piece");
    assert!(matches!(last, Passed::Fragment(Fragment { opening: None, is_last: true, .. })), "{last:?}");
}

#[test]
fn compressed_messages_keep_their_bytes() {
    for (data, is_seen) in [(&b"aaaaaaaa"[..], true), (b"aaaaaaaaa", false)] {
        let compressed = compress(data).expect("compressed");
        let pieces: Vec<&[u8]> = compressed.chunks(1).collect();
        let passed = push(&mut assembler(BOUNDS).0, PRESSED, &pieces);
        if is_seen {
            let message = message(passed);
            assert_eq!((&message.data[..], message.compressed.as_deref()), (data, Some(&compressed[..])));
        } else {
            let (openings, sent) = fragments(passed);
            assert_eq!((openings[0], sent), (Some(PRESSED), compressed));
        }
    }
}

#[test]
fn a_small_window_is_kept_to() {
    let bounds = Bounds { cap: 1 << 20, window: 512, ..BOUNDS };
    for (length, is_kept) in [(512, true), (513, false)] {
        let compressed = compress(&vec![b'a'; length]).expect("compressed");
        let message = message(push(&mut assembler(bounds).0, PRESSED, &[&compressed]));
        assert_eq!((message.data.len(), message.compressed.is_some(), message.was_compressed), (length, is_kept, true));
    }
    let compressed = compress(&[b'a'; 1000]).expect("compressed");
    let (openings, sent) = fragments(push(&mut assembler(Bounds { cap: 8, ..bounds }).0, PRESSED, &[&compressed]));
    assert_eq!((openings[0], sent), (Some(BYTES), vec![b'a'; 1000]));
}

#[test]
fn what_takes_long_is_left_for_others_to_do() {
    let bounds = Bounds { cap: 1 << 20, refuses: true, ..BOUNDS };
    for (length, is_long) in [(AT_ONCE, false), (AT_ONCE + (16 << 10), true), (1 << 20, true), ((1 << 20) + 1, true)] {
        let data: Vec<u8> = (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as u8).collect();
        let compressed = compress(&data).expect("compressed");
        let mut assembler = assembler(bounds).0;
        let passed = assembler.push(Some(PRESSED), BytesMut::from(&compressed[..]), true).expect("a beginning");
        let passed = match passed {
            Passed::Unfinished(work) if is_long => work.run().and_then(|work| assembler.resume(work)),
            passed => Ok(passed),
        };
        match passed {
            Ok(Passed::Message(message)) => assert!(message.data == data && message.compressed == Some(compressed.into())),
            Err(violation) => assert_eq!((violation.code(), length), (1009, (1 << 20) + 1)),
            other => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn bombs_are_over_the_cap() {
    let bounds = Bounds { cap: usize::MAX, refuses: true, ratio: 100, window: usize::MAX };
    let bomb = compress(&vec![0; 1 << 20]).expect("compressed");
    assert_eq!(push(&mut assembler(bounds).0, PRESSED, &[&bomb]).err().map(Violation::code), Some(1009));
    let small = compress(&vec![0; 64 << 10]).expect("compressed");
    assert_eq!(message(push(&mut assembler(bounds).0, PRESSED, &[&small])).data.len(), 64 << 10);
}

#[test]
fn text_is_checked_as_it_comes() {
    let (mut assembler, _) = assembler(Bounds { cap: 1 << 10, ..BOUNDS });
    assert!(push(&mut assembler, TEXT, &[b"\xe2", b"\x82", b"\xac"]).is_ok());
    assert!(assembler.push(Some(TEXT), BytesMut::from(&b"a\xe2"[..]), false).is_ok());
    let broken = assembler.push(None, BytesMut::from(&b"a"[..]), false);
    assert_eq!(broken.err().map(Violation::code), Some(1007));
    let cut = push(&mut self::assembler(BOUNDS).0, TEXT, &[b"\xe2\x82"]);
    assert_eq!(cut.err().map(Violation::code), Some(1007));
    let unseen = push(&mut self::assembler(BOUNDS).0, TEXT, &[b"123456789", b"\xff"]);
    assert_eq!(unseen.err().map(Violation::code), Some(1007));
    assert!(push(&mut self::assembler(BOUNDS).0, BYTES, &[b"\xff"]).is_ok());
}

#[test]
fn all_flows_together_hold_no_more_than_they_may() {
    let holdings = Arc::new(Holdings::new(10));
    let mut one = Assembler::new(Bounds { cap: 100, ..BOUNDS }, Arc::clone(&holdings));
    let mut two = Assembler::new(Bounds { cap: 100, ..BOUNDS }, Arc::clone(&holdings));
    assert!(one.push(Some(BYTES), BytesMut::from(&[0; 6][..]), false).is_ok());
    assert!(two.push(Some(BYTES), BytesMut::from(&[0; 4][..]), false).is_ok());
    let over = one.push(None, BytesMut::from(&[0; 1][..]), false);
    assert_eq!(over.err(), Some(Violation::Crowded));
    drop((one, two));
    assert_eq!(holdings.held(), 0);
}
