//! A minimal HTTP/1.1 client: sends the bytes of a request and reads the answer to its end.

use std::io::{self, Read};

use super::way::{Way, Wire};

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// A persistent connection.
pub struct Connection {
    wire: Box<dyn Wire>,
    /// Bytes read; those from `at` on are not used yet.
    buffer: Vec<u8>,
    at: usize,
}

/// An answer, read to its end.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    /// The header `x-lopper-status`.
    pub lopper: Option<String>,
    /// Bytes of the body, as they were sent.
    pub length: usize,
}

impl Connection {
    pub fn open(way: &Way) -> io::Result<Self> {
        Ok(Self { wire: way.connect()?, buffer: Vec::with_capacity(PIECE), at: 0 })
    }

    /// Sends a whole request and reads the answer.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        self.receive()
    }

    /// Sends a whole request.
    pub fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.wire.write_all(request)?;
        self.wire.flush()
    }

    /// Reads an answer.
    fn receive(&mut self) -> io::Result<Answer> {
        let mut answer = Answer::default();
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if answer.status == 0 {
                let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
                answer.status = status.ok_or_else(|| io::Error::other("no HTTP answer"))?;
            } else if let Some((name, value)) = line.split_once(':') {
                let value = value.trim();
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().ok(),
                    "x-lopper-status" => answer.lopper = Some(value.into()),
                    _ => {}
                }
            }
        }
        // Without a length the body is chunked, as the connection is persistent.
        match length {
            Some(length) => {
                self.skip(length)?;
                answer.length = length;
            }
            None => loop {
                let line = self.line()?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
                let size = size.map_err(io::Error::other)?;
                self.skip(size)?;
                self.line()?;
                answer.length += size;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(answer)
    }

    /// A line without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut searched = 0;
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(end) = rest[searched..].iter().position(|byte| *byte == b'\n') {
                let line = &rest[..searched + end];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
                self.at += searched + end + 1;
                return Ok(line);
            }
            searched = rest.len();
            self.more()?;
        }
    }

    fn skip(&mut self, mut length: usize) -> io::Result<()> {
        loop {
            let here = length.min(self.buffer.len() - self.at);
            self.at += here;
            length -= here;
            if length == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + PIECE, 0);
        let read = self.wire.read(&mut self.buffer[held..]);
        self.buffer.truncate(held + read.as_ref().map_or(0, |read| *read));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The bytes of a request.
pub fn request(way: &Way, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-stub\r\n\
         User-Agent: load\r\nAccept: */*\r\nContent-Length: {}\r\n\r\n",
        way.host,
        body.len()
    );
    [head.as_bytes(), body].concat()
}
