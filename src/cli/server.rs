//! Which node a command asks.

use clap::Args;

/// Where a node listens unless told otherwise.
pub const HERE: &str = "127.0.0.1:7861";

/// The node that a command asks.
#[derive(Debug, Clone, Args)]
pub struct Server {
    /// Ask this node, `HOST:PORT` or `https://HOST:PORT`. Without it: the node on 127.0.0.1:7861; where none runs,
    /// `ask`, `chat` and `eval` run one in this process.
    #[arg(long, value_name = "ADDR", env = "UNDERSTUDY_SERVER")]
    server: Option<String>,
}

impl Server {
    /// The node that the user named; a variable that is set to nothing names none.
    pub fn named(&self) -> Option<&str> {
        self.server.as_deref().filter(|server| !server.is_empty())
    }

    /// That one, or the node of this machine.
    pub fn named_or_here(&self) -> &str {
        self.named().unwrap_or(HERE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_set_to_nothing_names_nobody() {
        for (server, named) in [(None, None), (Some(""), None), (Some("studio:7861"), Some("studio:7861"))] {
            let server = Server { server: server.map(str::to_owned) };
            assert_eq!((server.named(), server.named_or_here()), (named, named.unwrap_or(HERE)));
        }
    }
}
