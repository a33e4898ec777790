//! Code of a model under tests, in Python.
//!
//! Two processes: one has the answer, the other the tests, which call the answer through this one and get plain
//! data back. Whatever the answer does to its own process (it exits, replaces builtins, reads its memory), it can make
//! tests pass only by returning what they ask for.
//!
//! | module | what it holds |
//! |---|---|
//! | `confinement` | what a process may do on this system, set before it starts |
//! | `process` | one confined process and its lines |
//! | `child.py` | what runs inside, before the code of others |
//!
//! A confined process has no network, starts no process or thread, writes no file, and reads those of the Python
//! installation and of the system's libraries only. It has an empty environment and nothing on stdin; what it prints is
//! dropped. Memory, processor time and the time of the whole are limited.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod confinement;
mod process;

use process::{Broken, Process};

/// Most bytes of what the two processes say to each other, in all: an answer that returns more has failed.
const TALK_BYTES: usize = 16 << 20;

/// A Python installation that works inside the sandbox.
#[derive(Debug, Clone)]
pub struct Python {
    executable: PathBuf,
    /// Folders with its libraries.
    libraries: Vec<PathBuf>,
}

/// Three texts that make one program. What `before` defines is the tests' own and cannot be replaced by the answer,
/// except for functions and classes without a body, which are there to be completed. The tests see the names that the
/// answer defines, but for those of builtins.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Goes before the answer, and before the tests too.
    pub before: &'a str,
    /// The answer.
    pub code: &'a str,
    /// The tests: statements that raise where the answer is wrong.
    pub after: &'a str,
}

/// How much a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the whole, on the clock; processor time too, rounded up to seconds.
    pub time: Duration,
    /// Address space of each of the two processes, in bytes. Not enforced on macOS.
    pub memory: u64,
}

impl Default for Limits {
    /// 10 s, 512 MiB.
    fn default() -> Self {
        Self { time: Duration::from_secs(10), memory: 512 << 20 }
    }
}

/// How tests ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The last test has passed.
    Passed,
    /// Why not, for people.
    Failed(String),
    /// Nothing ended in this time.
    TooLong(Duration),
}

/// Why nothing ran. None of these is the answer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no Python.
    #[error("no python3 works here ({0}): install Python 3.10 or newer")]
    NoPython(String),
    /// This system cannot confine a process.
    #[error(
        "code of models runs only where it can be confined, and this system cannot ({0}): Linux needs Landlock \
         (5.13) and seccomp, macOS its sandbox-exec"
    )]
    NoConfinement(String),
    /// A process could not be started.
    #[error("no process could be started: {0}")]
    NoProcess(String),
}

impl Python {
    /// The `python3` of the search path. Asks it where its libraries are, and tries the sandbox once.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn find() -> Result<Self, Unavailable> {
        const WHERE: &str = "import sys, json; assert sys.version_info >= (3, 10), 'too old'; \
            print(json.dumps([sys.executable, sys.base_prefix, sys.base_exec_prefix]))";
        let mut command = Command::new("python3");
        command.args(["-I", "-S", "-c", WHERE]).stdin(Stdio::null());
        let said = command.output().map_err(|error| Unavailable::NoPython(error.to_string()))?;
        let Ok([executable, prefix, exec_prefix]) = serde_json::from_slice::<[PathBuf; 3]>(&said.stdout)
        else {
            let complaint = String::from_utf8_lossy(&said.stderr);
            let last = complaint.lines().last().unwrap_or("it says nothing").to_owned();
            return Err(Unavailable::NoPython(last));
        };
        let python = Self { executable, libraries: vec![prefix, exec_prefix] };
        let nothing = Program { before: "", code: "", after: "" };
        match python.test(&nothing, Limits::default())? {
            Outcome::Passed => Ok(python),
            other => Err(Unavailable::NoConfinement(format!("an empty test ended with {other:?}"))),
        }
    }

    /// Runs an answer's code under tests.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn test(&self, program: &Program<'_>, limits: Limits) -> Result<Outcome, Unavailable> {
        let until = Instant::now() + limits.time;
        let ended = self.run(program, limits, until);
        match ended {
            Ok(outcome) => Ok(outcome),
            Err(Broken::Late) => Ok(Outcome::TooLong(limits.time)),
            Err(Broken::Closed) => Ok(Outcome::Failed("its process ended early".into())),
            Err(Broken::TooLarge) => Ok(Outcome::Failed("its values are too large".into())),
            Err(Broken::Unavailable(why)) => Err(why),
        }
    }

    fn run(&self, program: &Program<'_>, limits: Limits, until: Instant) -> Result<Outcome, Broken> {
        let mut answer = Process::start(self, until)?;
        let mut tests = Process::start(self, until)?;
        let seconds = limits.time.as_secs() + 1;
        let common = json!({"memory": limits.memory, "seconds": seconds, "filter": confinement::filter()?});
        let hello = |with: Value| {
            let mut hello = common.clone();
            if let (Value::Object(hello), Value::Object(with)) = (&mut hello, with) {
                hello.extend(with);
            }
            hello
        };
        answer.write_hello(&hello(json!({
            "role": "answer", "program": format!("{}{}", program.before, program.code)
        })))?;
        tests.write_hello(&hello(json!({
            "role": "tests", "before": program.before, "after": program.after
        })))?;
        answer.is_confined()?;
        tests.is_confined()?;

        let names = answer.read(TALK_BYTES)?;
        if let Some(raised) = names.strip_prefix('e') {
            return Ok(Outcome::Failed(described(raised)));
        }
        tests.write(&names)?;
        let mut left = TALK_BYTES;
        loop {
            let line = tests.read(TALK_BYTES)?;
            if let Some(verdict) = line.strip_prefix('v') {
                let is_passed = verdict.trim_end() == "null";
                return Ok(if is_passed { Outcome::Passed } else { Outcome::Failed(described(verdict)) });
            }
            answer.write(&line)?;
            let reply = answer.read(left)?;
            left = left.saturating_sub(reply.len());
            tests.write(&reply)?;
        }
    }
}

/// An exception, as `child.py` describes it: the line of the test, then what was raised.
fn described(raised: &str) -> String {
    let raised: Value = serde_json::from_str(raised).unwrap_or_default();
    let part = |name: &str| raised[name].as_str().unwrap_or_default();
    let (line, kind, text) = (part("line"), part("type"), part("text"));
    let error = if text.is_empty() { kind.to_owned() } else { format!("{kind}: {text}") };
    if line.is_empty() { error } else { format!("{error} in `{line}`") }
}
