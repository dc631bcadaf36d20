;; Answers a request with bytes that the test chose, from what it took for its answer's room: a result with a verdict in it.
(data (i32.const 8192) "{answer}")
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (call $drop_request (local.get $request))
  (i32.const {place}))
