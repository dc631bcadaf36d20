;; Answers with 40,000 fields: what holds them has no room for more than 32,768.
(data (i32.const 8192) "\00\00\00\00\02\00\00\00\c8\00\00\00\00\00\01\00\40\9c\00\00\00\00\00\00\00\00\00\00")
(data (i32.const 12288) "x")
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (local $place i32)
  (drop (memory.grow (i32.const 16)))
  (local.set $place (i32.const 65536))
  (loop $more
    (i32.store (local.get $place) (i32.const 12288))
    (i32.store offset=4 (local.get $place) (i32.const 1))
    (local.set $place (i32.add (local.get $place) (i32.const 16)))
    (br_if $more (i32.lt_u (local.get $place) (i32.const 705536))))
  (call $drop_request (local.get $request))
  (i32.const 8192))
