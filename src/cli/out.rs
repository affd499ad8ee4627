//! What a command answers, on a standard output whose reader may leave, as `head` does.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// A line of the answer.
macro_rules! say {
    () => { crate::cli::out::write(format_args!("\n")) };
    ($($text:tt)*) => { crate::cli::out::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// A part of the answer that ends its lines itself.
macro_rules! say_as_is {
    ($($text:tt)*) => { crate::cli::out::write(format_args!($($text)*)) };
}

pub(super) use {say, say_as_is};

/// Once nobody reads, the work goes on in silence: its effects and the exit code are still wanted. An answer
/// that cannot be kept (a full disk) ends the program.
pub(super) fn write(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    match stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            eprintln!("error: cannot write the answer: {error}");
            std::process::exit(1);
        }
    }
}
