;; Sets a body of so many bytes; the answer says whether it was taken.
(data (i32.const 8192) "x-taken")
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (drop (memory.grow (i32.const 3200)))
  (call $set_body (local.get $request) (i32.const 65536) (i32.const {bytes}) (global.get $answer))
  (if (i32.eqz (i32.load8_u (global.get $answer)))
    (then
      (call $append_header
        (local.get $request) (i32.const 8192) (i32.const 7) (i32.const 8192) (i32.const 7) (global.get $answer))))
  (call $drop_request (local.get $request))
  (global.get $ok))
