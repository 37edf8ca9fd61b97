//! WebSocket and other upgrades: a tunnel in both directions that occupies one slot until it is closed.

use std::thread;
use std::time::Duration;

use crate::support::{Client, Setup, Upstream, eventually, find};

const REQUEST: &str = "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Switches, greets, and returns every four bytes reversed until the tunnel is closed.
fn application() -> Upstream {
    Upstream::start(|exchange| {
        if exchange.header("upgrade").is_none() {
            return exchange.respond(200, b"hello");
        }
        exchange.send(SWITCHED)?;
        exchange.send("greeting")?;
        while let Ok(mut bytes) = exchange.read_exact(4) {
            if bytes == b"quit" {
                break;
            }
            bytes.reverse();
            exchange.send(&bytes)?;
        }
        exchange.close();
        Ok(())
    })
}

fn tunnel(proxy: &crate::support::Proxy) -> Client {
    let mut client = proxy.connect();
    client.send(REQUEST);
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert!(head.header("sec-websocket-accept").is_some());
    assert_eq!(client.read_exact(8).unwrap(), b"greeting");
    client
}

#[test]
fn a_tunnel_both_ways_holds_one_slot_until_the_client_closes() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = tunnel(&proxy);
    client.send("abcd");
    assert_eq!(client.read_exact(4).unwrap(), b"dcba");
    let mut waiting = proxy.send_get("/waiting");
    proxy.wait_load(1, 1);
    client.send("efgh");
    assert_eq!(client.read_exact(4).unwrap(), b"hgfe");
    drop(client);
    assert_eq!(waiting.read().status, 200);
    proxy.wait_load(0, 0);
    let request = &upstream.requests()[0];
    assert_eq!(request.header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(request.header("connection").unwrap().to_lowercase(), "upgrade");
    assert_eq!(request.header("sec-websocket-key").as_deref(), Some("dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn the_application_closes_the_tunnel() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = tunnel(&proxy);
    client.send("quit");
    client.expect_close();
    proxy.wait_load(0, 0);
}

#[test]
fn bytes_sent_with_the_upgrade_belong_to_the_tunnel() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    client.send(format!("{REQUEST}abcd"));
    assert_eq!(client.read_head().unwrap().status, 101);
    assert_eq!(client.read_exact(12).unwrap(), b"greetingdcba");
}

#[test]
fn an_idle_tunnel_survives_the_server_timeout() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1)
        .set("timeouts.upstream", "200ms")
        .set("timeouts.client", "200ms")
        .set("timeouts.idle", "200ms")
        .start();
    let mut client = tunnel(&proxy);
    // The rule is about real time: three timeouts long nothing is said.
    thread::sleep(Duration::from_millis(650));
    client.send("abcd");
    assert_eq!(client.read_exact(4).unwrap(), b"dcba");
    assert_eq!(proxy.status().in_flight, 1);
}

/// Nobody owes anything in a tunnel: without the kernel's questions, a client without power would hold its slot for ever.
#[test]
#[cfg(target_os = "linux")]
fn both_ends_of_a_tunnel_are_asked_whether_they_are_there() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1).start();
    let _client = tunnel(&proxy);
    let [client_side, upstream_side] = [(1, proxy.addr()), (2, upstream.addr())]
        .map(|(end, address)| (end, format!("0100007F:{:04X}", address.port())));
    let asked = |(end, address): &(usize, String)| {
        // Columns: number, local and remote address, state (01: established), queues, timer (02: keepalive).
        std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            columns[*end] == *address && columns[3] == "01" && columns[5].starts_with("02:")
        })
    };
    eventually("the client is asked", || asked(&client_side));
    eventually("the application is asked", || asked(&upstream_side));
}

#[test]
fn much_data_through_the_tunnel() {
    let upstream = application();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = tunnel(&proxy);
    for _ in 0..50 {
        client.send("abcd".repeat(1000));
        assert!(client.read_exact(4000).unwrap() == "dcba".repeat(1000).as_bytes());
    }
}

#[test]
fn a_declined_upgrade_is_an_ordinary_answer() {
    let upstream = Upstream::hello();
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.connect();
    // What follows is a request of its own, and must not pass through as the bytes of a tunnel.
    client.send(format!(
        "{REQUEST}GET /second HTTP/1.1\r\nHoSt: x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n"
    ));
    assert_eq!(client.read().text(), "hello");
    // Closing instead is right too.
    let _ = client.read_to_close().unwrap();
    for received in upstream.received() {
        assert_eq!(find(&received, b"HoSt"), None, "{}", String::from_utf8_lossy(&received));
        assert_eq!(find(&received, b"X-Hop"), None, "{}", String::from_utf8_lossy(&received));
    }
    proxy.wait_load(0, 0);
}

#[test]
fn a_switch_that_nobody_asked_for_is_an_error() {
    let upstream = Upstream::raw(SWITCHED, true);
    let proxy = Setup::to(&upstream, 1).start();
    let mut client = proxy.send_get("/not-asked-for");
    assert_eq!(client.read().status, 502, "nobody asked for another protocol");
    proxy.wait_load(0, 0);
}
