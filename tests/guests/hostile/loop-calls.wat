;; Asks the host the same for ever.
(func $on_request (param i32 i32 i32) (result i32)
  (loop $again
    (drop (call $flow_id))
    (br $again))
  unreachable)
