//! `ask` and `chat`: how an answer is made, and what it is held to.

use std::path::PathBuf;

use clap::Args;
use understudy_router::policies::REGISTRY;

use super::Server;

/// How an answer is made: shared by `ask` and `chat`.
#[derive(Debug, Args, Clone)]
pub struct Answering {
    /// How models work together, such as cascade:threshold=0.6. [default: cascade, or direct when
    /// --model is given]
    #[arg(long, value_name = "NAME[:param=value,...]", long_help = policy_help())]
    pub policy: Option<String>,
    /// The model of `direct`: a catalogue name or the path of a GGUF file.
    #[arg(long, value_name = "NAME|PATH")]
    pub model: Option<String>,
    /// Models of the cascade, cheapest first.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub ladder: Vec<String>,
    /// System message.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of the answer.
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// 0 picks the most likely token.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Keep the smallest set of tokens whose probability reaches this.
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Same seed, same text.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Colour each span by its author and show every decision with its reason and cost.
    #[arg(long)]
    pub explain: bool,
    /// Which node to ask.
    #[command(flatten)]
    pub server: Server,
    /// Give up after this many seconds; the text so far is kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

/// `ask`.
#[derive(Debug, Args)]
pub struct Ask {
    /// The question.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub prompt: Option<String>,
    /// Read the question from a file, or from stdin with `-`.
    #[arg(long, value_name = "F")]
    pub file: Option<PathBuf>,
    /// How to answer.
    #[command(flatten)]
    pub answering: Answering,
    /// A text that ends the answer; may be repeated.
    #[arg(long, value_name = "S")]
    pub stop: Vec<String>,
    /// What the answer is held to.
    #[command(flatten)]
    pub constrained: Constrained,
    /// Show the JSON value that there is so far, whenever it changes: on a terminal in its place, elsewhere on a
    /// line of its own.
    #[arg(long, requires = "constraint")]
    pub partial: bool,
    /// One JSON object on stdout, with usage, timing and ledger; with --partial a line before it for each
    /// value.
    #[arg(long)]
    pub json: bool,
}

/// What an answer is held to: one of these at most. It is then valid and complete.
#[derive(Debug, Default, Args)]
pub struct Constrained {
    /// The whole answer matches this regular expression.
    #[arg(long, value_name = "RE", group = "constraint")]
    pub regex: Option<String>,
    /// The answer is one of these.
    #[arg(long, value_name = "A,B", value_delimiter = ',', group = "constraint")]
    pub choice: Vec<String>,
    /// The answer is JSON that the JSON Schema in this file accepts.
    #[arg(long, value_name = "FILE", groups = ["constraint", "spaced"])]
    pub json_schema: Option<PathBuf>,
    /// That JSON, or the message of --proto, without whitespace: fewer tokens, and more of them known
    /// beforehand.
    #[arg(long, requires = "spaced")]
    pub compact: bool,
    /// The answer is a SQL query about the tables that this file creates.
    #[arg(long, visible_alias = "sql-schema", value_name = "FILE", group = "constraint")]
    pub sql: Option<PathBuf>,
    /// Whose SQL that is.
    #[arg(long, value_name = "NAME", requires = "sql", value_enum, default_value_t)]
    pub dialect: DialectName,
    /// INSERT, UPDATE and DELETE besides SELECT.
    #[arg(long, requires = "sql")]
    pub sql_writes: bool,
    /// The answer is a GraphQL document that is valid under the schema in this file.
    #[arg(long, visible_alias = "graphql-schema", value_name = "FILE", group = "constraint")]
    pub graphql: Option<PathBuf>,
    /// The answer is a text of the grammar in this file, in Lark's syntax.
    #[arg(long, value_name = "FILE", group = "constraint")]
    pub lark: Option<PathBuf>,
    /// The answer is a message that this .proto file defines, in the text format; may be repeated for files
    /// that it imports, by the paths that imports name.
    #[arg(long, value_name = "FILE", groups = ["constraint", "spaced"], requires = "message")]
    pub proto: Vec<PathBuf>,
    /// The message's full name.
    #[arg(long, value_name = "NAME", requires = "proto")]
    pub message: Option<String>,
    /// The message as JSON in place of the text format.
    #[arg(long, requires = "proto")]
    pub proto_json: bool,
}

/// Dialects of SQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DialectName {
    /// SQLite.
    #[default]
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    Mysql,
}

/// `chat`.
#[derive(Debug, Args)]
pub struct Chat {
    /// How to answer.
    #[command(flatten)]
    pub answering: Answering,
}

/// Every policy and what it does, each on a line of its own, from the simplest.
pub fn policies() -> String {
    REGISTRY.each_ref().map(|policy| format!("- {}: {}", policy.name, policy.about)).join("\n")
}

fn policy_help() -> String {
    format!(
        "How models work together. [default: cascade, or direct when --model is given]\n\n{}\n\nSeveral stand over one \
         another, the outermost first: cascade:threshold=0.6+friend+speculate.",
        policies()
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// In a line, however it was wrapped.
    fn unwrapped(help: &dyn std::fmt::Display) -> String {
        help.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn long_help_has_every_policy_and_short_help_stays_short() {
        let mut cli = Cli::command();
        for name in ["ask", "chat"] {
            let command = cli.find_subcommand_mut(name).unwrap();
            let (long, short) = (command.render_long_help(), command.render_help());
            for policy in &REGISTRY {
                let line = format!("- {}: {}", policy.name, policy.about);
                assert!(unwrapped(&long).contains(&line), "{name}: {line}\n{long}");
                assert!(!unwrapped(&short).contains(policy.about), "{name}: {line}\n{short}");
            }
        }
    }
}
