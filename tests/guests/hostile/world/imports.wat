;; What every hostile guest can call, by the canonical ABI. Where a function answers more than a number, the last parameter
;; says where to put it. After that the memory, its first free byte, and where zeros are: the answer `ok`, go on.

(import "tollgate:addon/flow@0.1.0" "id" (func $flow_id (result i64)))
(import "tollgate:addon/flow@0.1.0" "set-note" (func $set_note (param i32 i32 i32 i32 i32)))
(import "tollgate:addon/flow@0.1.0" "[method]request.method" (func $method (param i32 i32)))
(import "tollgate:addon/flow@0.1.0" "[method]request.set-method" (func $set_method (param i32 i32 i32 i32)))
(import "tollgate:addon/flow@0.1.0" "[method]request.set-header" (func $set_header (param i32 i32 i32 i32 i32 i32)))
(import "tollgate:addon/flow@0.1.0" "[method]request.append-header" (func $append_header (param i32 i32 i32 i32 i32 i32)))
(import "tollgate:addon/flow@0.1.0" "[method]request.set-body" (func $set_body (param i32 i32 i32 i32)))
(import "tollgate:addon/flow@0.1.0" "[resource-drop]request" (func $drop_request (param i32)))
(import "tollgate:addon/flow@0.1.0" "[resource-drop]response" (func $drop_response (param i32)))
(import "tollgate:addon/flow@0.1.0" "[resource-drop]outcome" (func $drop_outcome (param i32)))
(import "tollgate:addon/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
(import "tollgate:addon/log@0.1.0" "panicked" (func $panicked (param i32 i32 i32 i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_pollable (param i32)))
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $alarm (param i64) (result i32)))
(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $print (param i32 i32 i32 i32)))
(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))

(memory (export "memory") 1)
(global $free (mut i32) (i32.const 32768))
(global $ok i32 (i32.const 256))
(global $configured i32 (i32.const 1024))
;; A place for answers of the host.
(global $answer i32 (i32.const 512))
