;; Never comes to be.
(func $begin
  (loop $again (br $again)))
(start $begin)
