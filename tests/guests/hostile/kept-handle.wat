;; Takes an alarm while it is configured, and waits for it in a hook.
(global $alarm_of_configure (mut i32) (i32.const 0))
(func $configure (param i32 i32) (result i32)
  (global.set $alarm_of_configure (call $alarm (i64.const 1)))
  (global.get $configured))
(func $on_request (param $matched i32) (param $count i32) (param $request i32) (result i32)
  (call $block (global.get $alarm_of_configure))
  (call $drop_request (local.get $request))
  (global.get $ok))
