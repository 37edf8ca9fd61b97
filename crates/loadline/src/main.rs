//! `loadline app:8080 3`: a load-shedding reverse proxy.

pub mod banner;
pub mod cli;
pub mod config;
pub mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect(), std::env::vars_os().collect())
}
