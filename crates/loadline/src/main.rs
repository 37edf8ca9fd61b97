//! `loadline app:8080 3`: a load-shedding reverse proxy.

mod config;

fn main() {}
