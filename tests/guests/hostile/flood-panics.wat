;; Says that it panics, again and again, and does not.
(func $on_request (param i32 i32 i32) (result i32)
  (memory.fill (i32.const 8192) (i32.const 112) (i32.const 16384))
  (loop $again
    (call $panicked (i32.const 8192) (i32.const 16384) (i32.const 8192) (i32.const 16384))
    (br $again))
  unreachable)
