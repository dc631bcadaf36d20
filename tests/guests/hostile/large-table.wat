;; Asks for more than a table may have before its first function runs.
(table $table 20001 funcref)
