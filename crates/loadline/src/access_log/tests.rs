//! The writer against real targets: pipes, sockets that die, sockets that appear later, readers that do not read.

use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use loadline_http::log::LogFormat;
use loadline_http::syslog::{HeaderFormat, LogTarget, Severity};

use super::*;

/// Far longer than anything here takes; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn settings(address: &str) -> LogSettings {
    LogSettings::new(LogTarget::parse(address).unwrap(), LogFormat::default())
}

fn raw(address: &str) -> LogSettings {
    let mut settings = settings(address);
    settings.syslog.format = HeaderFormat::Raw;
    settings
}

fn submit(log: &AccessLog, text: &str) {
    log.submit(Severity::Info, 0, |out| out.extend_from_slice(text.as_bytes()));
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn receive(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 70_000];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn udp() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// A path for a socket of this test alone, removed at the end.
struct SocketPath(PathBuf);

impl SocketPath {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("loadline-{}-{name}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn off_renders_nothing() {
    let log = AccessLog::off();
    log.submit(Severity::Info, 0, |_| panic!("rendered"));
    assert!(!log.is_on());
    assert!(log.close(Duration::ZERO));
    assert_eq!((log.written(), log.dropped()), (0, 0));
}

#[test]
fn a_record_becomes_one_datagram_with_a_syslog_header() {
    let (socket, address) = udp();
    let mut settings = settings(&address);
    settings.syslog.pid = 7;
    settings.separate_errors = true;
    let log = AccessLog::start(settings).unwrap();
    assert!(log.format().is_some_and(|format| format.needs().request_headers.is_empty()));
    log.record(&Record { backend: "app", status: Some(200), ..Record::default() });
    log.record(&Record { backend: "app", status: Some(504), ..Record::default() });
    let (ok, failed) = (receive(&socket), receive(&socket));
    assert!(
        ok.starts_with("<134>1 1970-01-0") && ok.ends_with(" - loadline 7 - - app 200 0 -1/-1\n"),
        "{ok}"
    );
    assert!(failed.starts_with("<131>1 "), "{failed}");
    assert!(log.close(PATIENCE));
    assert_eq!((log.written(), log.dropped()), (2, 0));
}

#[test]
fn a_datagram_is_cut_at_1024_bytes_and_a_stream_is_not() {
    let long = "x".repeat(3000);
    let (socket, address) = udp();
    let log = AccessLog::start(raw(&address)).unwrap();
    submit(&log, &long);
    assert_eq!(receive(&socket).len(), 1025);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = AccessLog::start(raw(&format!("tcp@{}", listener.local_addr().unwrap()))).unwrap();
    submit(&log, &long);
    let (mut stream, _) = listener.accept().unwrap();
    assert!(log.close(PATIENCE));
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!(received, format!("{long}\n"));
}

#[test]
fn lines_reach_an_inherited_pipe_in_order() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let log = AccessLog::start(raw(&format!("fd@{}", writer.as_raw_fd()))).unwrap();
    for number in 0..2000 {
        submit(&log, &format!("line {number}"));
    }
    assert!(log.close(PATIENCE));
    drop(writer);
    let mut received = String::new();
    reader.read_to_string(&mut received).unwrap();
    let expected: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(received, expected);
    assert_eq!((log.written(), log.dropped()), (2000, 0));
}

#[test]
fn a_reader_that_does_not_read_blocks_nobody_and_every_line_is_accounted_for() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut settings = raw(&format!("fd@{}", writer.as_raw_fd()));
    settings.queue_lines = 16;
    let log = AccessLog::start(settings).unwrap();
    let line = "y".repeat(1000);
    let began = Instant::now();
    for _ in 0..1000 {
        submit(&log, &line); // 1 MB into a pipe of 64 kB
    }
    assert!(began.elapsed() < PATIENCE / 2, "handing over waited for the reader");
    assert!(log.dropped() > 0);
    wait_until("the writer holds its own descriptor", || log.written() > 0);

    // The reader wakes up: what was kept arrives whole.
    drop(writer);
    let drain = thread::spawn(move || {
        let mut received = String::new();
        reader.read_to_string(&mut received).unwrap();
        received
    });
    assert!(log.close(PATIENCE));
    let (written, dropped) = (log.written(), log.dropped());
    drop(log);
    let received = drain.join().unwrap();
    assert_eq!(written + dropped, 1000);
    assert_eq!(received.lines().count() as u64, written);
    assert!(received.lines().all(|l| l == line), "a line was torn");
}

#[test]
fn a_dead_target_delays_nothing_and_its_lines_are_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = raw(&format!("tcp@{closed}"));
    settings.queue_lines = 4;
    let log = AccessLog::start(settings).unwrap();
    submit(&log, "first");
    wait_until("the trouble shows", || log.trouble().is_some());
    let trouble = log.trouble().unwrap();
    assert!(trouble.starts_with(&format!("tcp@{closed}: ")), "{trouble}");
    for _ in 0..100 {
        submit(&log, "more");
    }
    assert!(log.dropped() >= 90);
    assert!(log.close(Duration::from_millis(50)), "the writer ends when its time is up");
    assert_eq!((log.written(), log.dropped()), (0, 101));
}

#[test]
fn an_unresolvable_host_does_not_prevent_the_start() {
    let log = AccessLog::start(raw("no-such-host.invalid:514")).unwrap();
    submit(&log, "lost");
    wait_until("the trouble shows", || log.trouble().is_some());
    log.close(Duration::ZERO);
    wait_until("the line is counted", || log.dropped() == 1);
}

#[test]
fn a_socket_that_appears_later_and_is_replaced_gets_every_line() {
    let path = SocketPath::new("later");
    let log = AccessLog::start(raw(path.0.to_str().unwrap())).unwrap();
    submit(&log, "before");
    wait_until("the trouble shows", || log.trouble().is_some());

    let first = UnixDatagram::bind(&path.0).unwrap();
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(first.recv(&mut buffer).unwrap(), "before\n".len());
    wait_until("the trouble is over", || log.trouble().is_none());

    drop(first);
    std::fs::remove_file(&path.0).unwrap();
    let second = UnixDatagram::bind(&path.0).unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    submit(&log, "after");
    assert_eq!(second.recv(&mut buffer).unwrap(), "after\n".len());
    assert!(log.close(PATIENCE));
    assert_eq!((log.written(), log.dropped()), (2, 0));
}

#[test]
fn a_stream_that_the_server_closed_is_opened_again_before_the_next_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = AccessLog::start(raw(&format!("tcp@{}", listener.local_addr().unwrap()))).unwrap();
    let mut buffer = [0; 100];
    for text in ["one", "two", "three"] {
        submit(&log, text);
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = stream.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], format!("{text}\n").as_bytes());
    }
    assert_eq!(log.dropped(), 0);
}

#[test]
fn a_reload_keeps_the_totals_and_loses_nothing() {
    let (first, address) = udp();
    let old = AccessLog::start(raw(&address)).unwrap();
    submit(&old, "one");
    let (second, address) = udp();
    let new = old.successor(Some(raw(&address))).unwrap();
    submit(&old, "two");
    drop(old);
    submit(&new, "three");
    assert_eq!([receive(&first), receive(&first), receive(&second)], ["one\n", "two\n", "three\n"]);
    wait_until("all are counted", || new.written() == 3);

    let off = new.successor(None).unwrap();
    assert_eq!((off.written(), off.is_on()), (3, false));
}

#[test]
fn lines_after_close_are_counted_as_dropped() {
    let (_socket, address) = udp();
    let log = AccessLog::start(raw(&address)).unwrap();
    assert!(log.close(PATIENCE));
    submit(&log, "late");
    assert_eq!(log.dropped(), 1);
}

#[test]
fn an_unknown_descriptor_is_a_trouble_and_not_a_panic() {
    let log = AccessLog::start(raw("fd@1000000")).unwrap();
    submit(&log, "lost");
    wait_until("the trouble shows", || log.trouble().is_some());
}
