//! `loadline app:8080 3`: a load-shedding reverse proxy.

#[cfg_attr(not(test), expect(dead_code, reason = "the pipeline that logs is not in this tree yet"))]
mod access_log;

fn main() {}
