;; Waits for what is ready, for ever.
(func $on_request (param i32 i32 i32) (result i32)
  (local $alarm i32)
  (loop $again
    (local.set $alarm (call $alarm (i64.const 0)))
    (call $block (local.get $alarm))
    (call $drop_pollable (local.get $alarm))
    (br $again))
  unreachable)
