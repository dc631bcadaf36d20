//! The `tollgate` command.

use std::process::ExitCode;

/// Flows allocate in small pieces on many threads: that is what this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate::cli::main()
}
