;; Prints for ever, and no line ends.
(func $on_request (param i32 i32 i32) (result i32)
  (local $out i32)
  (local.set $out (call $stdout))
  (memory.fill (i32.const 8192) (i32.const 120) (i32.const 4096))
  (loop $again
    (call $print (local.get $out) (i32.const 8192) (i32.const 4096) (global.get $answer))
    (br $again))
  unreachable)
