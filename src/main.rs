//! The `ultrapack` program: the library does the work.

use std::process::ExitCode;

/// The number of threads that `rayon` and `candle` read.
const THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> ExitCode {
    // Without it, candle opens and reads /proc/cpuinfo for every product of matrices: a fifth of a small
    // model's step.
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // SAFETY: nothing has run yet, so no other thread reads or writes the environment.
        unsafe { std::env::set_var(THREADS, cores.to_string()) };
    }
    ExitCode::from(ultrapack::cli::main() as u8)
}
