(table $table 1 funcref)
(func $on_request (param i32 i32 i32) (result i32)
  (call_indirect $table (result i32) (i32.const 0)))
