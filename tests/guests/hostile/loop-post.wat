;; Edits, answers, and never gives the answer's memory back.
(data (i32.const 8192) "x-editedPUT")
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (call $append_header (local.get $request) (i32.const 8192) (i32.const 8) (i32.const 8192) (i32.const 8) (global.get $answer))
  (call $set_method (local.get $request) (i32.const 8200) (i32.const 3) (global.get $answer))
  (call $drop_request (local.get $request))
  (global.get $ok))
(func $post_on_request (param i32)
  (loop $again (br $again)))
