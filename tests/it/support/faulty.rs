//! An upstream on a raw socket that does what it is told, faults included, and counts what it receives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::process::{FREE_ADMIN_PORT, LEXICAL, Lopper};

/// A route whose requests pass through.
pub const FILES: &str = "/v1/files";

/// A faulty upstream and a Lopper in front of it, which decides by words and has an admin port.
pub async fn pair(script: Vec<Step>) -> (Faulty, Lopper) {
    let upstream = Faulty::start(script).await;
    let lopper = Lopper::configured(&upstream.url("/v1"), LEXICAL, &[FREE_ADMIN_PORT]);
    (upstream, lopper)
}

/// What is done with a connection. After the last step it is closed.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads a request to the end of its body.
    Request,
    /// Sends these bytes at once.
    Send(Vec<u8>),
    /// Sends them a byte at a time.
    Trickle(Vec<u8>),
    /// Sends them again and again until the other side hangs up.
    Flood(Vec<u8>),
    /// Goes on at a [`Faulty::go_on`].
    Pause,
    /// Waits until the other side hangs up.
    Stall,
    /// Ends the connection with a reset in place of a proper end.
    Reset,
}

/// A running upstream. Every connection goes by the script of the time at which it was accepted.
pub struct Faulty {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Connections accepted.
    pub connections: usize,
    /// Of these, the ones that are still open.
    pub open: usize,
    /// Requests received to the last byte.
    pub requests: usize,
    /// Bytes that were taken from it.
    pub sent: usize,
}

struct Shared {
    script: Mutex<Vec<Step>>,
    /// Requests as they came.
    received: Mutex<Vec<Vec<u8>>>,
    pauses: Semaphore,
    counts: watch::Sender<Counts>,
}

impl Faulty {
    /// Starts one on a free port.
    pub async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            received: Mutex::default(),
            pauses: Semaphore::new(0),
            counts: watch::Sender::default(),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = accepting.clone();
                shared.count(|counts| (counts.connections, counts.open) = (counts.connections + 1, counts.open + 1));
                let script = shared.script.lock().unwrap().clone();
                tokio::spawn(async move {
                    shared.follow(stream, script).await;
                    shared.count(|counts| counts.open -= 1);
                });
            }
        });
        Self { address, shared }
    }

    /// The base URL, with `path` appended.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Another script, from the next connection on.
    pub fn follow(&self, script: Vec<Step>) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// Ends one [`Step::Pause`].
    pub fn go_on(&self) {
        self.shared.pauses.add_permits(1);
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until what has happened is as wished.
    pub async fn until(&self, wish: impl FnMut(&Counts) -> bool) -> Counts {
        *self.shared.counts.subscribe().wait_for(wish).await.unwrap()
    }

    /// The body of the last request that was received.
    pub fn last_body(&self) -> Vec<u8> {
        let received = self.shared.received.lock().unwrap();
        let last = received.last().expect("there was a request");
        last[head_length(last).unwrap()..].to_vec()
    }
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    /// Goes through the script, until the other side hangs up where it should not.
    async fn follow(&self, mut stream: TcpStream, script: Vec<Step>) {
        stream.set_nodelay(true).unwrap();
        let mut unread = Vec::new();
        for step in script {
            let is_there = match step {
                Step::Request => self.read_request(&mut stream, &mut unread).await.is_some(),
                Step::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
                Step::Trickle(bytes) => {
                    let mut taken = true;
                    for byte in bytes {
                        taken = taken && stream.write_all(&[byte]).await.is_ok();
                        // Or they would leave together.
                        tokio::task::yield_now().await;
                    }
                    taken
                }
                Step::Flood(bytes) => {
                    while let Ok(length) = stream.write(&bytes).await {
                        self.count(|counts| counts.sent += length);
                    }
                    false
                }
                Step::Pause => {
                    self.pauses.acquire().await.unwrap().forget();
                    true
                }
                Step::Stall => {
                    while stream.read(&mut [0; 4096]).await.is_ok_and(|length| length > 0) {}
                    false
                }
                Step::Reset => {
                    reset(stream);
                    return;
                }
            };
            if !is_there {
                return;
            }
        }
    }

    async fn read_request(&self, stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
        let length = loop {
            if let Some(length) = request_length(unread) {
                break length;
            }
            let mut piece = [0; 16 << 10];
            match stream.read(&mut piece).await {
                Ok(length) if length > 0 => unread.extend_from_slice(&piece[..length]),
                _ => return None,
            }
        };
        let rest = unread.split_off(length);
        self.received.lock().unwrap().push(std::mem::replace(unread, rest));
        self.count(|counts| counts.requests += 1);
        Some(())
    }
}

/// A step that sends this.
pub fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

/// A step that sends an event stream's head, with the body in chunks, and chunks of it.
pub fn stream(pieces: &[&[u8]]) -> Step {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend(pieces.iter().flat_map(|piece| chunk(piece)));
    Step::Send(bytes)
}

/// A chunk of a body.
pub fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// How long the request at the beginning of `bytes` is, if all of it is there.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let start = head_length(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..start]).to_lowercase();
    if head.contains("transfer-encoding: chunked") {
        let end = b"0\r\n\r\n";
        return bytes[start..].windows(end.len()).position(|window| window == end).map(|at| start + at + end.len());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = start + length.map_or(0, |length| length.parse().unwrap());
    (bytes.len() >= length).then_some(length)
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}
