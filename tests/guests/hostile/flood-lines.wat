;; Prints short lines for ever.
(func $on_request (param i32 i32 i32) (result i32)
  (local $out i32) (local $place i32)
  (local.set $out (call $stdout))
  (local.set $place (i32.const 8192))
  (loop $more
    (i32.store16 (local.get $place) (i32.const 0x0a79))
    (local.set $place (i32.add (local.get $place) (i32.const 2)))
    (br_if $more (i32.lt_u (local.get $place) (i32.const 12288))))
  (loop $again
    (call $print (local.get $out) (i32.const 8192) (i32.const 4096) (global.get $answer))
    (br $again))
  unreachable)
