//! The program once more, for tests to link statically: `cargo rustc --example static -- -C target-feature=+crt-static`.
//! An example is built with what tests depend on, so that nothing but the link is new.

fn main() -> std::process::ExitCode {
    weir::cli::main()
}
