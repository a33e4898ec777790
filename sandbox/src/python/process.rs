//! One confined process: lines to it, lines from it, each before a deadline.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Python, Unavailable, confinement};

/// What the process runs before any code of others.
const CHILD: &str = include_str!("child.py");

/// Bytes between two looks at the clock.
const CHUNK: usize = 64 << 10;

/// Why a process says no more.
#[derive(Debug)]
pub(super) enum Broken {
    /// The deadline has passed.
    Late,
    /// It has ended, or closed its end.
    Closed,
    /// A line is too long.
    TooLarge,
    /// It never got to run the code of others.
    Unavailable(Unavailable),
}

impl From<Unavailable> for Broken {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable(why)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            _ => Self::Closed,
        }
    }
}

/// A confined process. It is killed when this is dropped; it cannot have children of its own.
pub(super) struct Process {
    child: Child,
    stream: BufReader<UnixStream>,
    until: Instant,
}

impl Process {
    /// Starts one that says and hears nothing after `until`.
    pub fn start(python: &Python, until: Instant) -> Result<Self, Unavailable> {
        let failed = |error: std::io::Error| Unavailable::NoProcess(error.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let (program, before) = confinement::launcher(python);
        let mut command = Command::new(program);
        command.args(before).args(["-I", "-S", "-B", "-c", CHILD]);
        command.env_clear().current_dir("/");
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = confinement::spawn(python, command)?;
        Ok(Self { child, stream: BufReader::with_capacity(CHUNK, ours), until })
    }

    /// Sends the first line.
    pub fn write_hello(&mut self, hello: &Value) -> Result<(), Broken> {
        self.write(&format!("h{hello}\n"))
    }

    /// Waits until it says that it has confined itself.
    pub fn is_confined(&mut self) -> Result<(), Broken> {
        let refused = |why: String| Broken::Unavailable(Unavailable::NoConfinement(why));
        match self.read(CHUNK) {
            Ok(line) if line.starts_with('r') => Ok(()),
            Ok(line) => Err(refused(line.trim_end().to_owned())),
            Err(Broken::Closed) => Err(refused("its process ended before it was confined".into())),
            Err(other) => Err(other),
        }
    }

    /// Sends a line, its end included.
    pub fn write(&mut self, line: &str) -> Result<(), Broken> {
        for chunk in line.as_bytes().chunks(CHUNK) {
            self.stream.get_ref().set_write_timeout(Some(self.left()?))?;
            self.stream.get_mut().write_all(chunk)?;
        }
        Ok(())
    }

    /// The next line, its end included, of at most `most` bytes.
    pub fn read(&mut self, most: usize) -> Result<String, Broken> {
        let mut line = Vec::new();
        loop {
            self.stream.get_ref().set_read_timeout(Some(self.left()?))?;
            let there = self.stream.fill_buf()?;
            let end = there.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let taken = end.unwrap_or(there.len());
            if taken == 0 {
                return Err(Broken::Closed);
            }
            line.extend_from_slice(&there[..taken]);
            self.stream.consume(taken);
            if line.len() > most {
                return Err(Broken::TooLarge);
            }
            if end.is_some() {
                // Lines are ASCII, unless the code of others wrote them.
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }

    fn left(&self) -> Result<Duration, Broken> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Broken::Late) } else { Ok(left) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
