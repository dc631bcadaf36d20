use super::*;

#[test]
fn bodies_are_kept_up_to_the_cap() {
    let holdings = Arc::new(Holdings::new(1 << 20));
    for (pieces, kept, is_cut) in [
        (&["abc"][..], "abc", false),
        (&["ab", "", "cd"], "abcd", false),
        (&["abcd", "e"], "abcd", true),
        (&["abcdef"], "abcd", true),
        (&[], "", false),
    ] {
        let mut body = Taken::nothing(&holdings);
        for piece in pieces {
            body.take(piece.as_bytes(), 4);
        }
        assert_eq!((body.bytes.as_slice(), body.is_cut()), (kept.as_bytes(), is_cut), "{pieces:?}");
        assert_eq!(body.total, pieces.concat().len() as u64);
    }
    let mut none = Taken::nothing(&holdings);
    none.take(b"a", 0);
    assert_eq!((none.bytes.len(), none.total, none.is_crowded, holdings.held()), (0, 1, false, 0));
}

#[test]
fn what_is_held_is_counted_and_bounded() {
    const CAP: usize = 1 << 20;
    let holdings = Arc::new(Holdings::new(10_000));
    let (mut one, mut two) = (Taken::nothing(&holdings), Taken::nothing(&holdings));
    for _ in 0..100 {
        one.take(&[b'x'; 50], CAP);
        assert!(one.bytes.capacity() <= holdings.held() && holdings.held() <= 10_000);
    }
    assert_eq!((one.bytes.len(), one.is_crowded), (5_000, false));
    two.take(&[b'y'; 3_000], CAP);
    assert!(two.is_crowded && two.bytes.is_empty() && two.total == 3_000);
    let held = holdings.held();
    two.take(b"more", CAP);
    assert_eq!((two.bytes.len(), holdings.held()), (0, held));
    drop((one, two));
    assert_eq!(holdings.held(), 0);
}

#[test]
fn heads_are_copied_field_by_field() {
    let fields = [("X-One", "1"), ("x-one", ""), ("Y", "a b")];
    let headers: Headers = fields.iter().map(|(name, value)| Field::from_static(name, value)).collect();
    let copied = copied(&headers);
    assert_eq!(copied, headers);
    let memory = |headers: &Headers| headers.get("y").map(<[u8]>::as_ptr);
    assert_ne!(memory(&copied), memory(&headers));
}
