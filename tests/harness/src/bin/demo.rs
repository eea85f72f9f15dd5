//! `make demo`: see the whole thing work, in a few seconds, on this machine.

fn main() -> std::process::ExitCode {
    harness::demo::main()
}
