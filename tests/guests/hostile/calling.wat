;; Calls the host in a way that the test chose, and goes on.
(data (i32.const 8192) "x-called\ff\fe")
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  {call}
  (call $drop_request (local.get $request))
  (global.get $ok))
