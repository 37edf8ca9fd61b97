//! STUB, to be replaced: prints the banner, then gives up because the proxy is not wired yet.

use std::process::ExitCode;

use crate::banner;
use crate::config::{Loaded, Sources};

/// Runs the proxy until it has drained. `sources` allow to load the configuration again.
pub fn run(_sources: Sources, loaded: Loaded) -> ExitCode {
    eprint!(
        "{}",
        banner::started(&loaded.settings, &loaded, banner::Style::of_stderr(), jiff::Timestamp::now())
    );
    eprintln!("error: not wired yet");
    ExitCode::FAILURE
}
