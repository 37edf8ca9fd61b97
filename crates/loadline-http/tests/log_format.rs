//! Log formats against lines recorded from HAProxy 2.6.12, and the mistakes it refuses.

use std::net::SocketAddr;
use std::time::Duration;

use loadline_http::log::{Counters, HeaderLookup, LogFormat, Record, Timers};

/// 2026-11-20T18:05:47.991Z
const INSTANT: i64 = 1_795_197_947_991_000_000;

fn render(format: &str, record: &Record<'_>) -> String {
    let format = LogFormat::parse(format).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::new();
    format.render(record, &mut out);
    String::from_utf8(out).unwrap()
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn ms(milliseconds: u64) -> Option<Duration> {
    Some(Duration::from_millis(milliseconds))
}

/// `GET /0.4` that took 401 ms, 4 connections open, 3 in flight.
fn served() -> Record<'static> {
    Record {
        now_ns: INSTANT + 401_000_000,
        accepted_at_ns: INSTANT,
        started_at_ns: INSTANT,
        timers: Timers {
            request: ms(0),
            queue: ms(0),
            connect: ms(0),
            response: ms(401),
            transfer: ms(0),
            total: Duration::from_millis(401),
            ..Timers::default()
        },
        frontend: "http",
        backend: "app",
        server: Some("main"),
        client: address("127.0.0.1:59522"),
        local: address("127.0.0.1:8000"),
        source: address("127.0.0.1:46352"),
        upstream: address("127.0.0.1:20999"),
        method: b"GET",
        target: b"/0.4",
        version: b"HTTP/1.1",
        response_version: b"HTTP/1.1",
        status: Some(200),
        bytes_in: 43,
        bytes_out: 85,
        counters: Counters {
            active_connections: 4,
            frontend_connections: 4,
            backend_connections: 3,
            request_counter: 0x15,
            ..Counters::default()
        },
        hostname: "vm",
        pid: 20325,
        decision: "admitted",
        class: "normal",
        limit: 3,
        in_flight: 3,
        ..Record::default()
    }
}

/// A request line that could not be parsed.
fn bad() -> Record<'static> {
    Record {
        accepted_at_ns: INSTANT,
        started_at_ns: INSTANT,
        frontend: "http",
        client: address("127.0.0.1:51636"),
        local: address("127.0.0.1:8000"),
        status: Some(400),
        counters: Counters { active_connections: 1, frontend_connections: 1, ..Counters::default() },
        termination: *b"PR",
        hostname: "vm",
        ..Record::default()
    }
}

fn request(target: &'static str) -> Record<'static> {
    Record { target: target.as_bytes(), ..served() }
}

#[test]
fn spillways_line() {
    let queued = |position, waited, response, status, termination| Record {
        queue_position: position,
        timers: Timers { queue: ms(waited), response, ..Timers::default() },
        status: Some(status),
        termination,
        ..served()
    };
    for (record, expected) in [
        (queued(3, 14, ms(34), 200, *b"--"), "app 200 3 14/34"),
        (queued(2, 702, None, 503, *b"sQ"), "app 503 2 702/-1"),
        (queued(0, 0, None, 504, *b"sH"), "app 504 0 0/-1"),
        (bad(), "http 400 0 -1/-1"),
    ] {
        assert_eq!(render("spillway", &record), expected);
        assert_eq!(render("%b %ST %bq %Tw/%Tr", &record), expected);
    }
    let mut out = Vec::new();
    LogFormat::default().render(&served(), &mut out);
    assert_eq!(out, b"app 200 0 0/401");
}

#[test]
fn httplog() {
    // The date is local; the zone of the machine that runs this is unknown.
    let without_date = |line: String| {
        let (before, rest) = line.split_once('[').unwrap();
        let (date, after) = rest.split_once(']').unwrap();
        assert_eq!(date.len(), "20/Nov/2026:18:05:47.991".len(), "{date}");
        assert!(date.ends_with(":47.991"), "{date}");
        format!("{before}[]{after}")
    };
    assert_eq!(
        without_date(render("httplog", &served())),
        r#"127.0.0.1:59522 [] http app/main 0/0/0/401/401 200 85 - - ---- 4/4/3/0/0 0/0 "GET /0.4 HTTP/1.1""#
    );
    assert_eq!(
        without_date(render("httplog", &bad())),
        r#"127.0.0.1:51636 [] http http/<NOSRV> -1/-1/-1/-1/0 400 0 - - PR-- 1/1/0/0/0 0/0 "<BADREQ>""#
    );
}

#[test]
fn clf() {
    assert_eq!(
        render("clf", &served()),
        "127.0.0.1 - - [20/Nov/2026:18:05:47 +0000] \"GET /0.4 HTTP/1.1\" 200 85 \"\" \"\" 59522 991 \"http\" \
         \"app\" \"main\" 0 0 0 401 401 ---- 4 4 3 0 0 0 0 \"\" \"\" "
    );
}

#[test]
fn flags() {
    let recorded = [
        (
            "%{+Q}b|%{+Q}ST|%{+Q}ci|%{+Q}cp|%{+Q}ts|%{+Q}tsc|%{+Q}ft|%{+Q}ID|%{+Q}CC|%{+Q}H|%{+Q}HM|%{+Q}HV|%{+Q}pid|%{+Q}sslc",
            r#""app"|200|"127.0.0.1"|59522|--|----|"http"|""|""|"vm"|"GET"|"HTTP/1.1"|20325|"""#,
        ),
        (
            "%{+X}ci|%{+X}rt|%{+X}pid|%{+X}ST|%{+X}lc|%{+X}B|%{+X,+Q}ci|%{+X}fi|%{+X}sp|%{+X}Tr|%{+X}Ts|%{+X}ms",
            "7F000001|0015|4F65|200|0000|85|7F000001|7F000001|5207|401|6B008BFB|3DF",
        ),
        ("%{+Q}o %fp %sp|%si|%{+X}sp", r#"8000 20999|"127.0.0.1"|5207"#),
        ("%ID|%{-M}ID|%{+Q,-M}ID", "-||\"\""),
        ("%{+Q}o %b %ST %ci %hr %{-Q}s %f %ID %CC", r#""app" 200 "127.0.0.1" main "http" "" """#),
        // Only the letter after the last sign before a comma counts, and only if nothing follows it.
        ("%{+Q -Q}b|%{Q}b|%{+Q+E}b|%{+Q,-Q}b|%{+QE}b|%{}b|%{+Z}b", "app|app|app|app|app|app|app"),
    ];
    for (format, expected) in recorded {
        assert_eq!(render(format, &served()), expected, "{format}");
    }
}

#[test]
fn text_spaces_and_quoting() {
    let recorded = [
        ("  a   %hr   b%hr %hs c  %ID  ", "a b c - "),
        ("%b%ST", "app200"),
        ("100%% %%b", "100% %b"),
        (r#"%-x %\"y %(z %."#, r#"-x "y (z ."#),
        (r"a\tb\x09c\x41\n%ST d\qe", "a\tb\tcA\n200 d\\qe"),
        (
            r#"{\"status\":%ST,"x":"\$HOME $HOME \\ \# \' \ y"}"#,
            r#"{"status":200,"x":"$HOME $HOME \ # ' y"}"#,
        ),
        ("é", "é"),
    ];
    for (format, expected) in recorded {
        assert_eq!(render(format, &served()), expected, "{format}");
    }
}

#[test]
fn request_line_and_its_parts() {
    let format = "%HQ|%{+Q}HQ|%HP|%HPO|%HU|%HM|%HV|%{+E}r|%{+E,+Q}r";
    assert_eq!(
        render(format, &bad()),
        r#"<BADREQ>|"<BADREQ>"|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|"<BADREQ>""#
    );
    assert_eq!(
        render(format, &request(r"/p\]?z")),
        r#"?z|"?z"|/p\]|/p\]|/p\]?z|GET|HTTP/1.1|GET /p\\\]?z HTTP/1.1|"GET /p\\\]?z HTTP/1.1""#
    );
    let absolute = request("http://ho.st/pa?q=http://x/y");
    assert_eq!(
        render("%HQ|%HP|%HPO|%[capture.req.uri]", &absolute),
        "?q=http://x/y|http://ho.st/pa|/pa|/pa?q=http://x/y"
    );
    for target in ["*", "http://host"] {
        let expected = format!("{target}|||-|\"\"");
        assert_eq!(render("%HP|%HPO|%HQ|%[capture.req.uri]|%{+Q}HPO", &request(target)), expected);
    }
    assert_eq!(render("%HP %HQ %s", &request("*")), "*  main", "an empty query is not merged away");
    assert_eq!(render("%r", &request("/a\"b#c\r\n{|}\x7fé")), "GET /a#22b#23c#0D#0A{|}#7F#C3#A9 HTTP/1.1");
}

#[test]
fn a_long_request_line_is_cut() {
    let target = format!("/{}?q", "a".repeat(1500));
    let record = Record { target: target.as_bytes(), ..served() };
    let line = render("%r", &record);
    assert_eq!(line, format!("GET {}", &target[..1019]));
    assert_eq!(line.len(), 1023);
    assert_eq!(render("%HM %HV", &record), "GET HTTP/1.1", "the cut does not reach other parts");
}

#[test]
fn addresses_and_servers() {
    let format = "%bi %bp %si %sp %s %rc %sc";
    assert_eq!(render(format, &served()), "127.0.0.1 46352 127.0.0.1 20999 main 0 0");
    assert_eq!(render(format, &bad()), "- - - - <NOSRV> 0 0");
    assert_eq!(render("%{+Q}o %fp %sp %bp|%si", &bad()), r#"8000 "" ""|"""#);
    let v6 = Record {
        client: address("[2001:db8::1]:443"),
        tls: true,
        tls_version: Some("TLSv1.3"),
        counters: Counters { retries: 2, redispatched: true, ..Counters::default() },
        ..served()
    };
    assert_eq!(
        render("%ci %{+X}ci %cp %{+X}cp %ft %sslv %rc", &v6),
        "2001:db8::1 20010DB8000000000000000000000001 443 01BB http~ TLSv1.3 +2"
    );
}

#[test]
fn timers() {
    let timers = Timers {
        handshake: Duration::from_millis(2),
        idle: Duration::from_millis(3),
        request: ms(5),
        queue: ms(7),
        connect: ms(11),
        response: ms(13),
        transfer: ms(17),
        total: Duration::from_millis(53),
    };
    let record = Record { timers, ..served() };
    assert_eq!(
        render("%Th %Ti %TR %Tq %Tw %Tc %Tr %Td %Ta %Tt %Tu %U %B", &record),
        "2 3 5 10 7 11 13 17 53 58 55 43 85"
    );
    assert_eq!(render("%Th %Ti %TR %Tq %Tw %Tc %Tr %Td %Ta %Tt %Tu", &bad()), "0 0 -1 -1 -1 -1 -1 -1 0 0 0");
    assert_eq!(render("%ST", &Record::default()), "-1");
}

#[test]
fn dates() {
    assert_eq!(
        render("%T %trg %Ts %ms", &served()),
        "20/Nov/2026:18:05:47 +0000 20/Nov/2026:18:05:47 +0000 1795197947 991"
    );
    let local = render("%t|%tr|%Tl|%trl", &served());
    let parts: Vec<_> = local.split('|').collect();
    assert_eq!((parts[0], parts[2]), (parts[1], parts[3]));
    assert_eq!(&parts[0][..20], &parts[2][..20]);
}

#[test]
fn sample_expressions() {
    let served_like = request(r"/p\]?z");
    let recorded = [
        (
            "%[capture.req.uri]|%[capture.req.method]|%[capture.req.ver]|%[capture.res.ver]|%{+Q}[status]|%{+X}[status]|%[method]|%[src]|%[be_name]|%[fe_name]|%[fc_http_major]|%[ssl_fc]|%[unique-id]|%{+Q}[unique-id]|%{+E}[capture.req.uri]",
            r#"/p\]?z|GET|HTTP/1.1|HTTP/1.1|"200"|200|GET|127.0.0.1|app|http|1|0|-|""|/p\\\]?z"#,
        ),
        (
            "%[date(0,ms)]|%[date]|%[date,utime(%Y-%m-%d)]|%[date(-3600),utime(%H)]|%[date(1,us)]",
            "1795197948392|1795197948|2026-11-20|17|1795197948392001",
        ),
        (
            r#"%[int(5)]|%[str(a#b),upper]|%[str("a,b)")]|%[str('c,d')]|%[str()]|%{+Q}[str()]|%[env(LOADLINE_NO_SUCH_VARIABLE)]"#,
            r#"5|A#B|a,b)|c,d|-|""|-"#,
        ),
        ("%[hostname]|%[bc_src]|%[dst]:%[dst_port]|%[src_port]", "vm|127.0.0.1|127.0.0.1:8000|59522"),
        (
            "%[src,upper]|%[status,lower]|%[int(3),utime(%Y,60)]|%[str(12),utime(%Y)]|%[str(x),utime(%Y)]",
            "127.0.0.1|200|1970|1970|1970",
        ),
    ];
    for (format, expected) in recorded {
        assert_eq!(render(format, &served_like), expected, "{format}");
    }
    assert_eq!(
        render(
            "%[capture.req.uri]|%{+Q}[capture.req.ver]|%[capture.res.ver]|%[method]|%[be_name]|%[bc_src]",
            &bad()
        ),
        "-|\"\"|-|-|-|-"
    );
}

#[test]
fn random_expressions() {
    let record = Record { entropy: 42, ..served() };
    let uuid = render("%[uuid()]", &record);
    assert_eq!(uuid.len(), 36);
    assert_eq!((uuid.as_bytes()[14], uuid.split('-').count()), (b'4', 5));
    assert_ne!(uuid, render("%[uuid]", &Record { entropy: 43, ..served() }));
    for entropy in 0..100 {
        let number: u32 = render("%[rand(10)]", &Record { entropy, ..served() }).parse().unwrap();
        assert!(number < 10);
    }
}

struct Headers(Vec<(&'static str, Vec<u8>)>);

impl HeaderLookup for Headers {
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice())
    }
}

#[test]
fn what_loadline_adds() {
    let format =
        LogFormat::parse("%[req.hdr(User-Agent)] %[res.hdr(X-Cache)] %[req.hdr(user-agent),lower]").unwrap();
    assert_eq!(format.needs().request_headers, ["user-agent"]);
    assert_eq!(format.needs().response_headers, ["x-cache"]);
    assert_eq!(LogFormat::parse("httplog").unwrap().needs().request_headers, Vec::<String>::new());

    let headers = Headers(vec![("user-agent", b"Curl {x}\r\nforged \"line\" \xff".to_vec())]);
    let record = Record {
        request_headers: Some(&headers),
        reason: Some("queue_full"),
        deadline_left_ms: Some(-7),
        target: b"/a/b?c=d",
        ..served()
    };
    let mut out = Vec::new();
    format.render(&record, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "Curl #7Bx#7D#0D#0Aforged #22line#22 #FF - curl #7Bx#7D#0D#0Aforged #22line#22 #FF"
    );
    assert_eq!(
        render(
            "%[path] %[query] %[loadline.reason] %[loadline.priority] %[loadline.limit] %[loadline.inflight] %[loadline.deadline_ms]",
            &record
        ),
        "/a/b c=d queue_full normal 3 3 -7"
    );
    assert_eq!(render("%[loadline.reason]|%[loadline.deadline_ms]|%[query]", &served()), "-|-|-");
}

#[test]
fn json_and_logfmt() {
    let record = Record {
        target: b"/a \"b\"?token=secret",
        reason: Some("queue_timeout"),
        decision: "shed",
        retry_after: Some(7),
        status: Some(503),
        route: "api",
        request_id: "r\n1",
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
        deadline_left_ms: Some(120),
        queue_position: 2,
        timers: Timers { queue: ms(702), ..Timers::default() },
        ..served()
    };
    assert_eq!(
        render("json", &record),
        concat!(
            r#"{"ts":"2026-11-20T18:05:48.392Z","level":"warn","msg":"request","backend":"app","status":503,"depth":2,"#,
            r#""queue_ms":702,"response_ms":-1,"decision":"shed","reason":"queue_timeout","retry_after":7,"priority":"normal","#,
            r#""method":"GET","path":"/a \"b\"","route":"api","request_id":"r\n1","#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","client":"127.0.0.1:59522","upstream":"127.0.0.1:20999","#,
            r#""bytes_in":43,"bytes_out":85,"proto":"HTTP/1.1","inflight":3,"limit":3,"deadline_left_ms":120,"attempt":1}"#
        )
    );
    assert_eq!(
        render("logfmt", &record),
        concat!(
            r#"ts=2026-11-20T18:05:48.392Z level=warn msg=request backend=app status=503 depth=2 queue_ms=702 "#,
            r#"response_ms=-1 decision=shed reason=queue_timeout retry_after=7 priority=normal method=GET path="/a \"b\"" route=api "#,
            r#"request_id="r\n1" trace_id=4bf92f3577b34da6a3ce929d0e0e4736 client=127.0.0.1:59522 "#,
            r#"upstream=127.0.0.1:20999 bytes_in=43 bytes_out=85 proto=HTTP/1.1 inflight=3 limit=3 "#,
            r#"deadline_left_ms=120 attempt=1"#
        )
    );
    assert!(
        render("json", &bad()).contains(r#""level":"info","msg":"request","backend":"http","status":400"#)
    );
}

/// Format, offset of the culprit, the culprit, and a word of the advice. HAProxy refuses each of them.
#[test]
fn mistakes_are_found_at_the_start() {
    let mistakes = [
        ("%zz", 0, "%zz", "%%"),
        ("x %Twx", 2, "%Twx", "`%Tw`"),
        ("%st", 0, "%st", "`%ST`"),
        ("abc %", 4, "%", "%%"),
        ("%{+Q", 0, "%{+Q", "never closed"),
        ("%{+Q}", 0, "%{+Q}", "must follow"),
        ("%{+Q} b", 0, "%{+Q}", "must follow"),
        ("%{+Q}%b", 0, "%{+Q}", "must follow"),
        ("%{+Q}oo", 0, "%{+Q}oo", "no such alias"),
        ("%1", 0, "%1", "%%"),
        ("a % b", 2, "% ", "%%"),
        ("%[src", 0, "%[src", "never closed"),
        ("%[src ,upper]", 0, "%[src", "never closed"),
        ("%[src,]", 6, "", "no such converter"),
        ("%[]", 2, "", "must be one of"),
        ("%b %[foo]", 5, "foo", "no such expression"),
        ("%[src(1)]", 2, "src", "no argument"),
        ("%[date(1,x)]", 2, "date", "`us`"),
        ("%[date(1h)]", 2, "date", "no integer"),
        ("%[int()]", 2, "int", "`int(number)`"),
        ("%[hostname,foo]", 11, "foo", "lower"),
        ("%[uuid(5)]", 2, "uuid", "version 4"),
        ("%[env(A,B)]", 2, "env", "`env(variable)`"),
        ("%[str(a]", 5, "(a]", "`)` must follow"),
        ("%[req.hdr(a b)]", 2, "req.hdr", "no header name"),
        (r"a\x4", 1, r"\x", "two hex digits"),
        (r"a\x4zq", 1, r"\x", "two hex digits"),
        (r"tail\", 4, r"\", r"`\\`"),
        (r#"\"\"%zz"#, 4, "%zz", "%%"),
    ];
    for (format, offset, culprit, advice) in mistakes {
        let error = LogFormat::parse(format).expect_err(format);
        assert_eq!((error.offset, error.culprit.as_str()), (offset, culprit), "{format}: {error}");
        assert!(error.to_string().contains(advice), "{format}: {error}");
    }
}
