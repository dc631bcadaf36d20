;; Takes a hundred handles, and gives none back.
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (local $left i32)
  (local.set $left (i32.const 100))
  (loop $again
    (drop (call $alarm (i64.const 1000000000)))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (local.get $left)))
  (call $drop_request (local.get $request))
  (global.get $ok))
