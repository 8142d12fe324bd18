//! See the library: [`azul_backup::main_with_args`].

fn main() -> std::process::ExitCode {
    azul_backup::main_with_args(std::env::args_os())
}
