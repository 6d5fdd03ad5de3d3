//! Hands over to [`weir::cli`] and gives its exit code back.

fn main() -> std::process::ExitCode {
    weir::cli::main()
}
