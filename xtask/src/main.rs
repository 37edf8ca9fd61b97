//! `cargo xtask`: benchmarks and checks that need more than `cargo test`.
//!
//! Each task is one module; this file only parses the command line. A task prints what it found on stdout, its progress
//! on stderr, and ends with 0 when everything ran and held, 1 when something did not.

mod bench;
mod deploy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure loadline beside HAProxy and nginx.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write the files below deploy/ that repeat another one.
    Deploy,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Bench(bench) => bench::run(&bench),
        Task::Deploy => deploy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
