;; Runs where the engine cannot stop it: in single instructions that take many milliseconds.
(data (i32.const 8192) "filled")
(func $on_request (param i32 i32 i32) (result i32)
  (drop (memory.grow (i32.const 4080)))
  (loop $again
    (memory.fill (i32.const 65536) (i32.const 1) (i32.const 267000000))
    (call $log (i32.const 2) (i32.const 8192) (i32.const 6) (i32.const 0) (i32.const 0))
    (br $again))
  unreachable)
