//! Seeded mutations of well-formed and malformed messages: the stable tests' stand-in for a fuzzer.

/// Splitmix64: a small generator that is the same everywhere, so that a failing seed can be replayed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }
}

/// What has confused parsers before.
const INTERESTING: [&[u8]; 42] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b" ",
    b"\t",
    b":",
    b" :",
    b",",
    b";",
    b"?",
    b"#",
    b"%",
    b"/",
    b"*",
    b"0",
    b"-1",
    b"+1",
    b"0x1",
    b"1e1",
    b"18446744073709551616",
    b"ffffffffffffffff",
    b"Content-Length: 3\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"transfer-encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"chunked",
    b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
];

/// One to four edits of `data`.
pub fn mutate(data: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(out.len() + 1);
        let end = (at + 1 + random.below(8)).min(out.len());
        match random.below(6) {
            0 if at < out.len() => out[at] = random.next() as u8,
            1 if at < out.len() => out[at] ^= 1 << random.below(8),
            2 if at < end => drop(out.drain(at..end)),
            3 if at < end => {
                let copy = out[at..end].to_vec();
                out.splice(at..at, copy);
            }
            _ => {
                let insert = INTERESTING[random.below(INTERESTING.len())];
                out.splice(at..at, insert.iter().copied());
            }
        }
    }
    out
}
