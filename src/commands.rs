//! One module per subcommand that is not a mode of the program.

pub mod get_samples;
