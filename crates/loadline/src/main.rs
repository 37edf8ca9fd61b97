//! `loadline app:8080 3`: a load-shedding reverse proxy.

fn main() {}
