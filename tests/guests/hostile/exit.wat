;; Ends the program, in success.
(func $on_request (param i32 i32 i32) (result i32)
  (call $exit (i32.const 0))
  unreachable)
