;; Answers pieces of a request's body with bytes that the test chose.
(data (i32.const 8192) "{answer}")
(func $on_request_chunk (param $matched i32) (param $count i32) (param $request i32) (param i32 i32 i32) (result i32)
  (drop (memory.grow (i32.const 3200)))
  (call $drop_request (local.get $request))
  (i32.const 8192))
