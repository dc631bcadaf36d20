use super::*;

fn frame(opcode: Opcode, is_final: bool, payload: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(&mut bytes, opcode, is_final, false, Some([1, 2, 3, 4]), payload);
    bytes
}

fn read(bytes: &[u8]) -> Result<Option<Piece>, Violation> {
    Decoder::new(true, false).next(&mut BytesMut::from(bytes))
}

/// All pieces of these bytes, given one at a time.
fn read_slowly(bytes: &[u8], is_client: bool) -> Result<Vec<Piece>, Violation> {
    let (mut decoder, mut buffer, mut pieces) = (Decoder::new(is_client, true), BytesMut::new(), Vec::new());
    for byte in bytes {
        buffer.put_u8(*byte);
        while let Some(piece) = decoder.next(&mut buffer)? {
            pieces.push(piece);
        }
    }
    Ok(pieces)
}

#[test]
fn lengths_take_as_few_bytes_as_they_can() {
    for (length, header) in [(0, 6), (125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
        let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
        let bytes = frame(Opcode::Binary, true, &payload);
        assert_eq!(bytes.len(), header + length);
        let Ok(Some(Piece::Data { opening: Some(opening), payload: read, is_last: true })) = read(&bytes) else {
            panic!("no message of {length} bytes");
        };
        assert!(read == payload && !opening.is_text, "{length}");
    }
}

#[test]
fn frames_may_be_cut_anywhere() {
    let mut bytes = frame(Opcode::Text, false, b"one");
    bytes.extend_from_slice(&frame(Opcode::Ping, true, b"ping"));
    bytes.extend_from_slice(&frame(Opcode::Continuation, true, &[7; 200]));
    bytes.extend_from_slice(&frame(Opcode::Close, true, b"\x03\xe8"));
    let pieces = read_slowly(&bytes, true).expect("frames");
    let mut data = Vec::new();
    let mut order = Vec::new();
    for piece in &pieces {
        match piece {
            Piece::Data { payload, is_last, .. } => {
                data.extend_from_slice(payload);
                order.extend(is_last.then_some("message"));
            }
            Piece::Control(Opcode::Ping, payload) => {
                assert_eq!(&payload[..], b"ping");
                order.push("ping");
            }
            Piece::Control(Opcode::Close, _) => order.push("close"),
            Piece::Control(..) => panic!("{piece:?}"),
        }
    }
    assert_eq!((order, data), (vec!["ping", "message", "close"], [&b"one"[..], &[7; 200]].concat()));
}

#[test]
fn what_is_no_frame_is_refused() {
    let cases: &[(&[u8], &str)] = &[
        (b"\x81\x00", "no mask"),
        (b"\x91", "RSV3"),
        (b"\xa1", "RSV2"),
        (b"\xc1", "RSV1, not agreed on"),
        (b"\x83", "opcode 3"),
        (b"\x87", "opcode 7"),
        (b"\x8b", "opcode 11"),
        (b"\x8f", "opcode 15"),
        (b"\x80", "continuation of nothing"),
        (b"\x09", "ping in fragments"),
        (b"\x08", "close in fragments"),
        (b"\x89\xfe", "ping of 126 bytes"),
        (b"\x88\xff", "close of many bytes"),
        (b"\x82\xfe\x00\x7d", "125 in 16 bits"),
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", "65,535 in 64 bits"),
        (b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", "64 bits"),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", "64 bits, all of them"),
    ];
    for (bytes, what) in cases {
        assert_eq!(read(bytes).map_err(Violation::code), Err(1002), "{what}");
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(None), "{what}, cut after {cut} bytes");
        }
    }
}

#[test]
fn a_length_of_63_bits_is_waited_for() {
    let mut buffer = BytesMut::from(&b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0ab"[..]);
    let mut decoder = Decoder::new(true, false);
    let first = decoder.next(&mut buffer);
    assert!(matches!(first, Ok(Some(Piece::Data { is_last: false, ref payload, .. })) if &payload[..] == b"ab"), "{first:?}");
    assert_eq!(decoder.next(&mut buffer), Ok(None));
}

#[test]
fn messages_do_not_overlap() {
    for second in [Opcode::Text, Opcode::Binary] {
        let mut bytes = frame(Opcode::Text, false, b"a");
        bytes.extend_from_slice(&frame(second, true, b"b"));
        assert_eq!(read_slowly(&bytes, true).map_err(Violation::code), Err(1002));
    }
    let mut bytes = frame(Opcode::Text, true, b"a");
    bytes.extend_from_slice(&frame(Opcode::Continuation, true, b"b"));
    assert_eq!(read_slowly(&bytes, true).map_err(Violation::code), Err(1002));
}

#[test]
fn compression_is_told_by_the_first_frame_alone() {
    let compressed = |opcode, is_final| {
        let mut bytes = BytesMut::new();
        encode(&mut bytes, opcode, is_final, true, None, b"x");
        bytes
    };
    let pieces = read_slowly(&compressed(Opcode::Text, true), false).expect("a message");
    assert!(matches!(pieces[..], [Piece::Data { opening: Some(Opening { is_compressed: true, is_text: true }), .. }]));
    let mut bytes = compressed(Opcode::Text, false);
    bytes.extend_from_slice(&compressed(Opcode::Continuation, true));
    assert_eq!(read_slowly(&bytes, false).map_err(Violation::code), Err(1002));
    assert_eq!(read_slowly(&compressed(Opcode::Ping, true), false).map_err(Violation::code), Err(1002));
}

#[test]
fn servers_do_not_mask() {
    assert_eq!(read_slowly(&frame(Opcode::Text, true, b"a"), false).map_err(Violation::code), Err(1002));
}
