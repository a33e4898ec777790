//! Hostile Python, each within a bound of time.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics, or says why it did not run")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use understudy_sandbox::python::{Limits, Outcome, Program, Python, Unavailable};

/// Of a run that ends by itself.
const TIME: Duration = Duration::from_secs(10);
/// Of a run that would never end.
const SHORT: Duration = Duration::from_millis(1500);
/// For the processes to start and to be killed, on a machine with other work.
const SLACK: Duration = Duration::from_secs(4);

fn limits() -> Limits {
    Limits { time: TIME, memory: 192 << 20 }
}

/// `None` where there is no Python, or a system that cannot confine it: then nothing of a model's runs either.
fn python() -> Option<&'static Python> {
    static PYTHON: LazyLock<Result<Python, Unavailable>> = LazyLock::new(Python::find);
    match &*PYTHON {
        Ok(python) => Some(python),
        Err(why @ (Unavailable::NoPython(_) | Unavailable::NoConfinement(_))) => {
            eprintln!("skipped: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

#[track_caller]
fn ends(python: &Python, code: &str, after: &str) -> Outcome {
    let begun = Instant::now();
    let outcome = python.test(&Program { before: "", code, after }, limits()).unwrap();
    let took = begun.elapsed();
    assert!(took < TIME + SLACK, "{code} took {took:?}");
    outcome
}

#[track_caller]
fn fails(python: &Python, code: &str, after: &str, why: &str) {
    let outcome = ends(python, code, after);
    assert!(
        matches!(&outcome, Outcome::Failed(said) if said.contains(why)),
        "{code}: {outcome:?}, not {why:?}"
    );
}

#[test]
fn right_code_passes_and_wrong_code_says_which_test_failed() {
    let Some(python) = python() else { return };
    let double = "def double(x):\n    return 2 * x\n";
    assert_eq!(ends(python, double, "assert double(2) == 4\nassert double('a') == 'aa'"), Outcome::Passed);
    fails(python, double, "assert double(2) == 4\nassert double(3) == 7", "in `assert double(3) == 7`");
    fails(python, "def double(x)", "assert double(2) == 4", "SyntaxError");
    fails(python, "", "assert double(2) == 4", "NameError");
    fails(python, "def double(x):\n    return 1 / 0", "assert double(2) == 4", "ZeroDivisionError");
}

#[test]
fn values_of_every_plain_kind_cross_and_others_can_be_used() {
    let Some(python) = python() else { return };
    let code = "import collections, math\n\
        same = lambda x: x\n\
        class Pair:\n    def __init__(self, a, b=0):\n        self.a, self.b = a, b\n\
        def total(pairs): return sum(p.a + p.b for p in pairs)\n\
        def count(text): return collections.Counter(text)\n\
        def numbers():\n    yield from (1, 2, 3)\n\
        LIMIT = 7\n\
        def picky(x):\n    raise ValueError('no')\n";
    let after = "for x in (None, True, 1, -1.5, 10 ** 5000, 'é\\ud800', b'\\x00', (1, [2, {3: (4,)}]), {1, 2}, \
        frozenset((1,)), {'a': {'b': []}}, 1j, float('inf')):\n    assert same(x) == x and type(same(x)) is type(x)\n\
        assert total([Pair(1, 2), Pair(3, b=4)]) == 10\n\
        assert Pair(5).a == 5\n\
        assert count('aab') == {'a': 2, 'b': 1}\n\
        assert list(numbers()) == [1, 2, 3] and tuple(numbers()) == (1, 2, 3)\n\
        assert math.isclose(LIMIT, 7)\n\
        assert same(same)(3) == 3\n\
        try:\n    picky(1)\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'no'\n";
    assert_eq!(ends(python, code, after), Outcome::Passed);
}

#[test]
fn what_stands_before_belongs_to_the_tests_but_for_what_is_to_be_completed() {
    let Some(python) = python() else { return };
    let test = |before: &str, code: &str, after: &str| {
        python.test(&Program { before, code, after }, limits()).unwrap()
    };
    let helper = "import math\ndef poly(x):\n    return x - 2\n\n";
    let root = "def root():\n    return 2\n";
    assert_eq!(test(helper, root, "assert abs(poly(root())) < 1e-4 and math.pi > 3"), Outcome::Passed);
    let cheats = "def root():\n    return 9\ndef poly(x):\n    return 0\ndef abs(x):\n    return 0\n";
    assert!(matches!(test(helper, cheats, "assert abs(poly(root())) < 1e-4"), Outcome::Failed(_)));
    let stub = "def root():\n    \"\"\"The root.\"\"\"\n";
    assert_eq!(test(stub, "    return 2\n", "assert root() == 2"), Outcome::Passed);
    assert_eq!(test("def root():\n", "    return 2\n", "assert root() == 2"), Outcome::Passed);
}

#[test]
fn no_answer_can_say_itself_that_it_passed() {
    let Some(python) = python() else { return };
    let test = "assert f(1) == 42";
    for (code, why) in [
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("import os\nos._exit(0)", "ended early"),
        ("import os\ndef f(x):\n    os._exit(0)", "ended early"),
        ("def f(x):\n    raise SystemExit(0)", ""),
        ("raise BaseException", "BaseException"),
        ("class Any:\n    def __eq__(self, other): return True\ndef f(x): return Any()", "no plain data"),
        ("class Any(int):\n    def __eq__(self, other): return True\ndef f(x): return Any()", "assert f(1)"),
        ("import builtins\nbuiltins.AssertionError = Exception\ndef f(x): return 0", "assert f(1)"),
        // The channel itself: replies, verdicts and nonsense in the name of the other process.
        (
            "import os\nfor fd in range(3, 9):\n    try: os.write(fd, b'vnull\\n' * 9)\n    except OSError: pass",
            "",
        ),
        (
            "import os\ndef f(x):\n    for fd in range(3, 9):\n        try: os.write(fd, b'vnull\\nr\\n={}\\n')\n        except OSError: pass",
            "",
        ),
        (
            "import sys\ndef f(x):\n    g = sys._getframe(1).f_globals\n    g['main'] = g['run_tests'] = None\n    return 0",
            "assert f(1)",
        ),
    ] {
        fails(python, code, test, why);
    }
}

#[test]
fn what_takes_too_much_is_stopped() {
    let Some(python) = python() else { return };
    let call = "assert f() == 1";
    let endless = [
        ("while True: pass", call),
        ("def f():\n    while True: pass", call),
        ("import time\ntime.sleep(3600)", call),
        ("", "while True: pass"),
    ];
    for (code, after) in endless {
        let begun = Instant::now();
        let limits = Limits { time: SHORT, ..limits() };
        let outcome = python.test(&Program { before: "", code, after }, limits).unwrap();
        assert_eq!(outcome, Outcome::TooLong(SHORT), "{code}");
        assert!(begun.elapsed() < SHORT + SLACK, "{code} took {:?}", begun.elapsed());
    }
    fails(python, "x = [0] * 10 ** 9", call, "MemoryError");
    fails(python, "x = []\nwhile True: x.append('x' * 10 ** 6)", call, "MemoryError");
    fails(python, "def f(): return 'x' * 3 * 10 ** 7", call, "too large");
    fails(python, "def f(): return f()", call, "RecursionError");
    // What is printed goes nowhere, however much.
    let loud = "print('x' * 10 ** 7)\nfor i in range(10000): print('line', i)\ndef f():\n    print('x' * 10 ** 7)\n    return 1";
    assert_eq!(ends(python, loud, call), Outcome::Passed);
}

#[test]
fn nothing_is_started_reached_or_changed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.txt");
    std::fs::write(&file, "kept").unwrap();
    let path = file.display();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = port.local_addr().unwrap();
    for code in [
        "import os\nos.fork()".to_owned(),
        "import os\nwhile True: os.fork()".into(),
        "import subprocess\nsubprocess.Popen(['sleep', '60'])".into(),
        "import os\nos.execv('/bin/sh', ['sh', '-c', 'true'])".into(),
        "import os\nos.posix_spawn('/bin/sh', ['sh'], {})".into(),
        "import threading\nthreading.Thread(target=print).start()".into(),
        "import multiprocessing\nmultiprocessing.Process(target=print).start()".into(),
        format!("import socket\nsocket.create_connection(('127.0.0.1', {}))", addr.port()),
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)".into(),
        "import socket\nsocket.socketpair()".into(),
        format!("open({path:?}, 'w')", path = path.to_string()),
        format!("open({path:?}).read()", path = path.to_string()),
        format!("import os\nos.remove({path:?})", path = path.to_string()),
        format!("import os\nos.mkdir({:?})", folder.path().join("new").display().to_string()),
        format!("import os\nos.truncate({path:?}, 0)", path = path.to_string()),
        format!("import os\nos.chmod({path:?}, 0)", path = path.to_string()),
        format!("import os\nos.listdir({:?})", folder.path().display().to_string()),
        "open('here.txt', 'w')".into(),
        "open('/etc/passwd')".into(),
        "open('/proc/self/mem', 'r+b')".into(),
        "import tempfile\ntempfile.TemporaryFile()".into(),
        "import os\nos.kill(os.getppid(), 9)".into(),
        "import os\nos.setuid(0)\nos.chroot('/')".into(),
        "import fcntl, os\nfcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())".into(),
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))".into(),
        "import os\nassert 'PATH' in os.environ or 'HOME' in os.environ".into(),
        "input()".into(),
    ] {
        let outcome = ends(python, &code, "");
        assert!(matches!(outcome, Outcome::Failed(_)), "{code}: {outcome:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    port.set_nonblocking(true).unwrap();
    assert!(port.accept().is_err(), "nobody came");
}

/// The canonical solutions of the data at hand, where it is: what is right must pass.
#[test]
fn right_answers_of_others_pass() {
    let (Some(python), Some(data)) = (python(), std::env::var_os("UNDERSTUDY_DATA")) else { return };
    let text = std::fs::read_to_string(std::path::Path::new(&data).join("humaneval/dev.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    for item in lines {
        let part = |name: &str| item[name].as_str().unwrap().to_owned();
        let after = format!("{}\ncheck({})", part("test"), part("entry_point"));
        let program = Program { before: &part("prompt"), code: &part("canonical_solution"), after: &after };
        let outcome = python.test(&program, Limits::default()).unwrap();
        assert_eq!(outcome, Outcome::Passed, "{}", part("task_id"));
    }
}
