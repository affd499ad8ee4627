//! The `lethe` command; everything it does lives in the library.

fn main() -> std::process::ExitCode {
    lethe::cli::run()
}
