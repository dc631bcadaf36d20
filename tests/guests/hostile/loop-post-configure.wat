;; Answers, and never gives the answer's memory back.
(func $post_configure (param i32)
  (loop $again (br $again)))
