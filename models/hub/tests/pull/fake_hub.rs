//! A hub of one file over plain HTTP: HEAD, GET, ranges, cut connections.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Clone, Default)]
pub(crate) struct FakeHub {
    pub(crate) body: Vec<u8>,
    pub(crate) digest: Option<String>,
    pub(crate) status: Option<&'static str>,
    pub(crate) ignores_ranges: bool,
    /// Bytes after which successive GETs are cut.
    pub(crate) cuts: Arc<Mutex<Vec<usize>>>,
    /// `METHOD path range` of each request.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl FakeHub {
    pub(crate) fn of(body: Vec<u8>, digest: &str) -> Self {
        Self { body, digest: Some(digest.to_owned()), ..Self::default() }
    }

    pub(crate) fn cut_after(self, cuts: &[usize]) -> Self {
        *self.cuts.lock().unwrap() = cuts.iter().rev().copied().collect();
        self
    }

    /// Serves until the test ends; returns the endpoint.
    pub(crate) fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let hub = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that went away is its own affair.
                let _gone = stream.and_then(|stream| hub.answer(stream));
            }
        });
        endpoint
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().unwrap_or(Ok(String::new()))?;
        let mut range = None;
        for line in lines {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("range: ") {
                range = Some(value.to_owned());
            }
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        self.requests.lock().unwrap().push(format!("{method} {path} {}", range.as_deref().unwrap_or("-")));

        if let Some(status) = self.status {
            return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        let etag =
            self.digest.as_ref().map_or(String::new(), |digest| format!("X-Linked-Etag: \"{digest}\"\r\n"));
        if method == "HEAD" {
            let length = self.body.len();
            let head = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/store\r\nConnection: close";
            return write!(stream, "{head}\r\n{etag}Content-Length: {length}\r\n\r\n");
        }
        let from: usize = range
            .filter(|_| !self.ignores_ranges)
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
            .unwrap_or(0);
        let total = self.body.len();
        let status = match from {
            0 => "200 OK".to_owned(),
            from => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}", total - 1),
        };
        let rest = &self.body[from..];
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len())?;
        let cut = self.cuts.lock().unwrap().pop().unwrap_or(rest.len());
        stream.write_all(&rest[..cut.min(rest.len())])
    }
}
