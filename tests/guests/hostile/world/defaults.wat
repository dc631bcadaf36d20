;; What a guest is in all but its misbehaviour: each function stands here for a guest that has none of this name.

(func $realloc (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
  (local $place i32)
  (local.set $place
    (i32.and (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1))) (i32.sub (i32.const 0) (local.get $align))))
  (global.set $free (i32.add (local.get $place) (local.get $size)))
  (block $fits
    (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
    (br_if $fits (i32.ne (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))) (i32.const -1)))
    unreachable)
  (local.get $place))

(func $configure (param $options i32) (param $bytes i32) (result i32)
  (global.get $configured))

(func $on_connect (param i32 i32 i32 i32 i32 i32) (result i32)
  unreachable)

(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (call $drop_request (local.get $request))
  (global.get $ok))

(func $on_request_chunk (param i32 i32 i32 i32 i32 i32) (result i32)
  unreachable)

(func $on_response (param $matched i32) (param $count i32) (param $request i32) (param $response i32) (result i32)
  (call $drop_request (local.get $request))
  (call $drop_response (local.get $response))
  (global.get $ok))

(func $on_response_chunk (param i32 i32 i32 i32 i32 i32 i32) (result i32)
  unreachable)

(func $on_sse_event (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64) (result i32)
  unreachable)

(func $on_websocket_message (param i32 i32 i32 i32 i32 i32 i32) (result i32)
  unreachable)

(func $on_upstream_error (param i32 i32 i32 i32 i32 i32) (result i32)
  unreachable)

(func $on_finish (param $matched i32) (param $count i32) (param $request i32) (param $outcome i32) (result i32)
  (call $drop_request (local.get $request))
  (call $drop_outcome (local.get $outcome))
  (global.get $ok))
