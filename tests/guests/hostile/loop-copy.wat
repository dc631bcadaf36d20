;; Keeps the host at copying.
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (drop (memory.grow (i32.const 170)))
  (loop $again
    (call $set_body (local.get $request) (i32.const 65536) (i32.const 10485760) (global.get $answer))
    (br $again))
  unreachable)
