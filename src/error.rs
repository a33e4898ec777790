//! The error that ends the process.

use std::process::ExitCode;

use understudy_agents::{ClientError, eval::EvalError};
use understudy_cluster::{JoinError, identity::IdentityError};
use understudy_gateway::{Failure, codes};
use understudy_hub::PullError;
use understudy_ledger::LedgerError;

/// What went wrong, under a code of `docs/errors/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: String,
    message: String,
    help: String,
    exit: u8,
}

impl Error {
    /// An error under a code of the table; an unknown code counts as internal.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let known = codes::find(code).unwrap_or(codes::INTERNAL);
        Self { code: code.to_owned(), message: message.into(), help: known.help.to_owned(), exit: known.exit }
    }

    /// A defect of ours or of the machine.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("INTERNAL", message)
    }

    /// The request was wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("REQUEST_INVALID", message)
    }

    /// Prints `error[CODE]: what; help: what to do` and gives the exit code.
    #[allow(clippy::print_stderr, reason = "the one place where an error reaches the user")]
    pub fn report(&self) -> ExitCode {
        eprintln!("error[{}]: {}; help: {}", self.code, self.message, self.help);
        ExitCode::from(self.exit)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]: {}", self.message, self.code, self.help)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code.name, with_fields(failure.message, &failure.fields))
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        Self::new(&error.code, with_fields(error.message, &error.fields))
    }
}

impl From<IdentityError> for Error {
    fn from(error: IdentityError) -> Self {
        Failure::from(error).into()
    }
}

impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        Failure::from(error).into()
    }
}

impl From<EvalError> for Error {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Input(message) => Self::invalid(message),
            EvalError::Node(error) => (*error).into(),
            EvalError::Output(message) => Self::internal(message),
        }
    }
}

impl From<PullError> for Error {
    fn from(error: PullError) -> Self {
        Self { help: error.help().to_owned(), ..Self::new(error.code(), error.to_string()) }
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        Failure::from(error).into()
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

/// Names the wrong fields unless the message does already.
fn with_fields(message: String, fields: &[(String, String)]) -> String {
    let mut whole = message.clone();
    for (path, why) in fields.iter().filter(|(_, why)| !message.contains(why.as_str())) {
        whole.push_str(&format!(" ({path}: {why})"));
    }
    whole
}
