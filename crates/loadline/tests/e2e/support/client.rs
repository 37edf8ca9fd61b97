//! A raw HTTP/1.1 client: sends the bytes it is given, reads one response at a time, never helps.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::{PATIENCE, find};

/// How a response's body was delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    #[default]
    None,
    Length,
    Chunked,
    Close,
}

/// One response as it was received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names as they came, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    /// Statuses and fields of the 1xx responses before it.
    pub(crate) interim: Vec<(u16, Vec<(String, String)>)>,
}

impl Response {
    /// The value of the first field of this name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `reason` of a rejection's problem+json body.
    #[track_caller]
    pub(crate) fn reason(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not a problem+json body ({error}): {self:?}"));
        body["reason"].as_str().unwrap_or_else(|| panic!("no reason: {self:?}")).to_owned()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("the proxy accepts connections")
    }

    pub(crate) fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Connects with a small receive buffer, for a client that is to be a slow reader.
    #[track_caller]
    pub(crate) fn connect_narrow(addr: SocketAddr, receive_buffer: usize) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(receive_buffer).unwrap();
        socket.connect_timeout(&addr.into(), PATIENCE).expect("the proxy accepts connections");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, unread: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).expect("the proxy takes the bytes");
        self
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a GET with a Host and nothing else.
    #[track_caller]
    pub(crate) fn send_get(&mut self, target: &str) -> &mut Self {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n\r\n"))
    }

    /// Sends a GET and reads its response.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send_get(target).read()
    }

    /// Ends the sending direction.
    pub(crate) fn finish_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Leaves with a reset, as a killed client does.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads the response to a request that was not HEAD.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Response {
        self.try_read().expect("a whole response")
    }

    pub(crate) fn try_read(&mut self) -> io::Result<Response> {
        self.try_read_for("GET")
    }

    /// Reads the response to a request of this method.
    pub(crate) fn try_read_for(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        let mut response = loop {
            let head = self.read_head()?;
            if (200..).contains(&head.status) || head.status == 101 {
                break head;
            }
            interim.push((head.status, head.headers));
        };
        response.interim = interim;
        self.read_body(method, &mut response)?;
        Ok(response)
    }

    /// Reads only the next head, an interim one too.
    pub(crate) fn read_head(&mut self) -> io::Result<Response> {
        let head = self.read_until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default();
        let status = parts.next().and_then(|status| status.parse().ok());
        let (Some(status), true) = (status, version.starts_with("HTTP/1.")) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("status line {status_line:?}")));
        };
        Ok(Response { status, headers: fields(lines), ..Response::default() })
    }

    /// Reads the next head, an interim one too, with its body, and returns its status.
    pub(crate) fn read_head_and_body(&mut self) -> io::Result<u16> {
        let mut response = self.read_head()?;
        if response.status >= 200 {
            self.read_body("GET", &mut response)?;
        }
        Ok(response.status)
    }

    /// How long a read waits from now on.
    pub(crate) fn patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// Reads exactly `count` bytes.
    pub(crate) fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < count {
            self.fill()?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Reads up to and with `mark`.
    pub(crate) fn read_until(&mut self, mark: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.unread, mark) {
                return Ok(self.unread.drain(..at + mark.len()).collect());
            }
            self.fill()?;
        }
    }

    /// Everything until the peer closes; a reset counts as a close.
    ///
    /// # Errors
    /// When it does not close in time.
    pub(crate) fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) if is_close(&error) => return Ok(std::mem::take(&mut self.unread)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Everything until the connection ends, and the error with which it does, if it is not a usual close.
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Option<io::Error>) {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) => {
                    let usual = error.kind() == io::ErrorKind::UnexpectedEof;
                    return (std::mem::take(&mut self.unread), (!usual).then_some(error));
                }
            }
        }
    }

    /// Asserts that the peer closes without sending anything more.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        let rest = self.read_to_close().expect("the proxy closes the connection");
        assert!(rest.is_empty(), "closed, but first sent {:?}", String::from_utf8_lossy(&rest));
    }

    fn read_body(&mut self, method: &str, response: &mut Response) -> io::Result<()> {
        let chunked = response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
        let length = response.header("content-length").map(str::parse::<usize>);
        if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
            return Ok(());
        }
        if chunked {
            response.framing = Framing::Chunked;
            (response.body, response.trailers) = self.read_chunked()?;
        } else if let Some(length) = length {
            let length = length.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            response.framing = Framing::Length;
            response.body = self.read_exact(length)?;
        } else {
            response.framing = Framing::Close;
            response.body = self.read_to_close()?;
        }
        Ok(())
    }

    #[expect(clippy::type_complexity, reason = "a body and its trailers, used once")]
    fn read_chunked(&mut self) -> io::Result<(Vec<u8>, Vec<(String, String)>)> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(b"\r\n")?;
            let line = String::from_utf8_lossy(&line);
            let size = usize::from_str_radix(line.trim_end().split(';').next().unwrap_or_default(), 16)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{line:?}: {error}")))?;
            if size == 0 {
                break;
            }
            body.extend(self.read_exact(size)?);
            if self.read_exact(2)? != b"\r\n" {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no CRLF after a chunk"));
            }
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.read_until(b"\r\n")?;
            if line == b"\r\n" {
                return Ok((body, trailers));
            }
            trailers.extend(fields(std::iter::once(String::from_utf8_lossy(&line).trim_end())));
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

fn is_close(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect()
}

/// One GET on a connection of its own.
#[track_caller]
pub(crate) fn get(addr: SocketAddr, target: &str) -> Response {
    Client::connect(addr).get(target)
}

/// Runs `count` clients at once, each on its own thread, and returns what they return, in order.
pub(crate) fn parallel<T: Send>(count: usize, client: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let client = &client;
        let handles: Vec<_> = (0..count).map(|index| scope.spawn(move || client(index))).collect();
        handles.into_iter().map(|handle| handle.join().expect("the client thread does not panic")).collect()
    })
}
