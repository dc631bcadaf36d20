;; Keeps the host while it hands over the arguments of a hook; those of `configure` are taken.
(global $armed (mut i32) (i32.const 0))
(func $realloc (param i32 i32 i32 i32) (result i32)
  (loop $again (br_if $again (global.get $armed)))
  (i32.const 40960))
(func $configure (param i32 i32) (result i32)
  (global.set $armed (i32.const 1))
  (global.get $configured))
