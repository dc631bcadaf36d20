;; Logs short lines for ever.
(data (i32.const 8192) "again and again")
(func $on_request (param i32 i32 i32) (result i32)
  (loop $again
    (call $log (i32.const 2) (i32.const 8192) (i32.const 15) (i32.const 0) (i32.const 0))
    (br $again))
  unreachable)
