;; Sleeps for five hundred years.
(func $on_request (param i32 i32 i32) (result i32)
  (call $block (call $alarm (i64.const -1)))
  unreachable)
