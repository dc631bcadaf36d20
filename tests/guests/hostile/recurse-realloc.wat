;; Recurses while the host hands over the arguments of a hook: what is left of the stack is the host's own.
(global $armed (mut i32) (i32.const 0))
(func $realloc (param i32 i32 i32 i32) (result i32)
  (if (global.get $armed)
    (then (drop (call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3)))))
  (i32.const 40960))
(func $configure (param i32 i32) (result i32)
  (global.set $armed (i32.const 1))
  (global.get $configured))
