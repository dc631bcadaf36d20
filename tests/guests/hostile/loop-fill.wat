;; Runs where the engine cannot stop it: in single instructions that take milliseconds.
(func $on_request (param i32 i32 i32) (result i32)
  (drop (memory.grow (i32.const 900)))
  (loop $again
    (memory.fill (i32.const 65536) (i32.const 1) (i32.const 58982400))
    (br $again))
  unreachable)
