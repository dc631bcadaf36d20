;; Gives the host room beyond the end of its memory.
(global $armed (mut i32) (i32.const 0))
(func $realloc (param i32 i32 i32 i32) (result i32)
  (select (i32.const 0xfffffffc) (i32.const 40960) (global.get $armed)))
(func $configure (param i32 i32) (result i32)
  (global.set $armed (i32.const 1))
  (global.get $configured))
