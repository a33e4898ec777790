# Runs inside the sandbox, as one of two processes. One has the answer and never sees a test; the other has the tests,
# never runs the answer's code, and calls it through lines of JSON. So whatever the answer does to its own process, a
# test passes only if the values that come out of it are right.
import ast, builtins, importlib, json, os, sys


class Channel:
    """Lines of a tag and JSON, over the socket that stdin was."""

    def __init__(self):
        self.fd = os.dup(0)
        self.lines = os.fdopen(self.fd, "rb", closefd=False)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)

    def read(self):
        line = self.lines.readline()
        if not line:
            os._exit(0)
        return json.loads(line[1:])

    def write(self, tag, value):
        data = (tag + json.dumps(value) + "\n").encode()
        while data:
            data = data[os.write(self.fd, data):]


def confine(hello):
    """From here on: so much memory and time, and no system call that the filter does not name."""
    import resource

    def limit(kind, value):
        # Some systems lack some limits, and a hard limit may be lower already.
        try:
            resource.setrlimit(getattr(resource, kind), (value, value))
        except (AttributeError, ValueError, OSError):
            pass

    limit("RLIMIT_AS", hello["memory"])
    limit("RLIMIT_CPU", hello["seconds"])
    limit("RLIMIT_FSIZE", 0)
    limit("RLIMIT_NPROC", 0)
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_NOFILE", 64)
    if hello["filter"]:
        filter_calls(bytes.fromhex(hello["filter"]))


def filter_calls(program):
    import ctypes

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS, and PR_SET_SECCOMP with SECCOMP_MODE_FILTER; eight bytes an instruction.
    loaded = Filter(len(program) // 8, program)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(loaded), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def described(error):
    return {"type": type(error).__name__, "text": str(error)[:300]}


# Values that cross: plain data by value, anything else as a number that stands for it.


def encode(value, kept):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {"dict": [[encode(key, kept), encode(item, kept)] for key, item in value.items()]}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [encode(item, kept) for item in value]}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": value.hex()}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return {"kept": kept(value)}


def decode(value, kept):
    if not isinstance(value, dict):
        return value
    (kind, inner), = value.items()
    if kind == "dict":
        return {decode(key, kept): decode(item, kept) for key, item in inner}
    if kind in ("list", "tuple", "set", "frozenset"):
        return getattr(builtins, kind)([decode(item, kept) for item in inner])
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "complex":
        return complex(*inner)
    return kept(inner)


def serve_answer(channel, hello):
    space = {"__name__": "answer"}
    kept = []

    def keep(value):
        kept.append(value)
        return len(kept) - 1

    try:
        exec(compile(hello["program"], "<answer>", "exec"), space)
    except BaseException as error:
        channel.write("e", described(error))
        return
    names = {}
    for name, value in space.items():
        if not name.startswith("__"):
            is_module = isinstance(value, type(sys))
            names[name] = {"module": value.__name__} if is_module else {"kept": keep(value)}
    channel.write("n", names)
    does = {
        "value": lambda of: of,
        "call": lambda of, args, named: of(*args, **dict(named)),
        "attribute": getattr,
        "item": lambda of, key: of[key],
        "items": list,
        "bool": bool,
        "len": len,
        "str": str,
    }
    while True:
        asked = channel.read()
        try:
            of = kept[asked["of"]]
            result = does[asked["do"]](of, *(decode(value, kept.__getitem__) for value in asked["with"]))
            channel.write("=", {"value": encode(result, keep)})
        except BaseException as error:
            channel.write("=", {"raises": described(error)})


class AnswerEnded(Exception):
    pass


class Remote:
    """A thing of the other process that is no plain data."""

    def __init__(self, channel, index):
        object.__setattr__(self, "_channel", channel)
        object.__setattr__(self, "_index", index)

    def _ask(self, do, *values):
        def index(value):
            if isinstance(value, Remote):
                return value._index
            raise TypeError(f"a {type(value).__name__} cannot be given to the answer")

        channel = self._channel
        channel.write("?", {"of": self._index, "do": do, "with": [encode(value, index) for value in values]})
        reply = channel.read()
        if "raises" in reply:
            kind = getattr(builtins, reply["raises"]["type"], None)
            is_usual = isinstance(kind, type) and issubclass(kind, Exception)
            raise (kind if is_usual else AnswerEnded)(reply["raises"]["text"])
        return decode(reply["value"], lambda kept: Remote(channel, kept))

    def __call__(self, *args, **named):
        return self._ask("call", list(args), list(named.items()))

    def __getattr__(self, name):
        return self._ask("attribute", name)

    def __getitem__(self, key):
        return self._ask("item", key)

    def __iter__(self):
        return iter(self._ask("items"))

    def __bool__(self):
        return self._ask("bool")

    def __len__(self):
        return self._ask("len")

    def __str__(self):
        return self._ask("str")

    def __eq__(self, other):
        # The other process would have to be asked, and would say yes.
        raise TypeError("the answer's value is no plain data")

    __hash__ = object.__hash__


def own_part(before):
    """What tests have of their own in the text before the answer: not the beginning of what is to be written."""

    def is_begun(node):
        def says_nothing(inner):
            return isinstance(inner, ast.Pass) or isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant)

        return isinstance(node, (ast.FunctionDef, ast.ClassDef)) and all(map(says_nothing, node.body))

    try:
        tree = ast.parse(before)
    except SyntaxError:
        return ast.Module([], [])
    tree.body = [node for node in tree.body if not is_begun(node)]
    return tree


def failing_line(error, source):
    at, line = error.__traceback__, ""
    while at is not None:
        if at.tb_frame.f_code.co_filename == "<tests>":
            line = source.splitlines()[at.tb_lineno - 1].strip()
        at = at.tb_next
    return line[:300]


def run_tests(channel, hello):
    names = channel.read()
    space = {"__name__": "tests"}
    exec(compile(own_part(hello["before"]), "<before>", "exec"), space)
    for name, what in names.items():
        # The answer cannot replace what the tests are made of.
        if name in space or hasattr(builtins, name):
            continue
        if "module" not in what:
            space[name] = Remote(channel, what["kept"])._ask("value")
        elif what["module"].split(".")[0] in sys.stdlib_module_names:
            space[name] = importlib.import_module(what["module"])
    try:
        exec(compile(hello["after"], "<tests>", "exec"), space)
    except BaseException as error:
        said = described(error)
        channel.write("v", {"line": failing_line(error, hello["after"]), **said})
    else:
        channel.write("v", None)


def main():
    sys.set_int_max_str_digits(0)
    channel = Channel()
    hello = channel.read()
    try:
        confine(hello)
    except BaseException as error:
        channel.write("u", described(error))
        return
    channel.write("r", None)
    {"answer": serve_answer, "tests": run_tests}[hello["role"]](channel, hello)


main()
