//! Runs libraries on hostile input so that neither their panics nor their recursion end the process.
//!
//! Decoders of formats that anybody can write panic on some damaged files. Such a panic is bad
//! input, not a bug here: it must neither end the process nor print a backtrace.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Stack for [`with_deep_stack`], in bytes.
const DEEP_STACK: usize = 256 << 20;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic inside becomes its message.
///
/// # Errors
/// What `work` returns, or the panic's message.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    silence_guarded_panics();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(format!("the decoder gave up: {message}"))
    })
}

/// Runs `work` on a thread with a stack that recursion over a user's expression cannot exhaust. Only
/// touched pages of it cost memory.
///
/// # Panics
/// If `work` panics, or no thread can be started.
pub fn with_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(DEEP_STACK)
            .spawn_scoped(scope, work);
        thread
            .expect("a thread can be started")
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Installs, once, a panic hook that stays silent inside [`guarded`] and defers to the hook that
/// was there before everywhere else.
fn silence_guarded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        let caught = guarded::<()>(|| panic!("offset {} beyond 3", 7));
        assert_eq!(caught, Err("the decoder gave up: offset 7 beyond 3".into()));
        assert_eq!(guarded(|| Ok(1)), Ok(1));
    }
}
