//! One budget, very often: for instruction counts.
//!
//! ```text
//! cargo build --release -p loadline-http --example deadline_loop
//! valgrind --tool=callgrind target/release/examples/deadline_loop rfc3339 20000
//! ```
//!
//! Divide the difference of two runs' `Ir` by the difference of their rounds. Each round reads the fields of a request:
//! one deadline alone, or among a browser's fields (`browser-none`, `browser`). `write-…` writes one value.

use std::{hint::black_box, time::Duration};

use loadline_http::deadline::{DeadlineHeaders, DeadlineKind, DeadlineSettings, NaiveZone, write_remaining};

/// 2026-11-20T15:27:23.726505710Z
const NOW: i64 = 1_795_188_443_726_505_710;

const BROWSER: [(&str, &str); 12] = [
    ("Host", "www.example.com"),
    ("Connection", "keep-alive"),
    ("sec-ch-ua-mobile", "?0"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
    ("Accept", "*/*"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "no-cors"),
    ("Sec-Fetch-Dest", "script"),
    ("Referer", "https://www.example.com/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    ("Cookie", "session=3f1b2c9e7a5d4c1f; theme=dark"),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let case = arguments.next().unwrap_or_else(|| "rfc3339".to_owned());
    let rounds: u32 = arguments.next().map_or(100_000, |text| text.parse().expect("a number"));

    let mut zone = NaiveZone::Utc;
    let mut fields = Vec::new();
    match case.as_str() {
        "rfc3339" => fields.push(("X-Respond-By", "2026-11-20T15:27:24.226505Z")),
        "naive-utc" => fields.push(("X-Respond-By", "2026-11-20T15:27:24.226505")),
        // Run with TZ=Europe/Berlin.
        "naive-local" => {
            fields.push(("X-Respond-By", "2026-11-20T16:27:24.226505"));
            zone = NaiveZone::Local;
        }
        "epoch" => fields.push(("X-Request-Deadline", "1795188444.226505")),
        "millis" => fields.push(("X-Request-Deadline", "1795188444226")),
        "imf" => fields.push(("X-Respond-By", "Fri, 20 Nov 2026 15:27:24 GMT")),
        "timeout-ms" => fields.push(("X-Request-Timeout-Ms", "250")),
        "grpc" => fields.push(("grpc-timeout", "250m")),
        "start" => fields.push(("X-Request-Start", "t=1795188443.226")),
        "garbage" => fields.push(("X-Respond-By", "next tuesday")),
        "browser-none" => fields.extend(BROWSER),
        "browser" => {
            fields.extend(BROWSER);
            fields.push(("X-Respond-By", "2026-11-20T15:27:24.226505Z"));
        }
        "write-instant" => return write(DeadlineKind::Instant, rounds),
        "write-ms" => return write(DeadlineKind::Milliseconds, rounds),
        "write-grpc" => return write(DeadlineKind::GrpcTimeout, rounds),
        other => panic!("unknown case {other}"),
    }
    let settings = DeadlineSettings { zone, ..DeadlineSettings::default() };
    let headers = DeadlineHeaders::new(settings).expect("the default is valid");
    for _ in 0..rounds {
        let fields = black_box(&fields).iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        black_box(headers.budget(fields, black_box(NOW), true));
    }
}

fn write(kind: DeadlineKind, rounds: u32) {
    let mut out = Vec::with_capacity(64);
    for _ in 0..rounds {
        out.clear();
        write_remaining(kind, black_box(Duration::from_nanos(249_731_004)), black_box(NOW), &mut out);
        black_box(&out);
    }
}
