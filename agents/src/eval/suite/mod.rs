//! Suites: where items come from, what is asked, and who judges. One file per suite.

mod bfcl;
mod data;
mod defog_sql;
mod frames;
mod geoquery;
mod gsm8k;
mod ha_intents;
mod humaneval;
mod jsonl;
mod mbpp;
mod perplexity;
mod schema;
mod snips;
mod sql;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use understudy_proto::v1::{Constraint, Message, PythonTests, SqlRun, Validator, constraint, validator};

use crate::Client;
use crate::eval::{EvalError, judge::Judge};

/// A suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Questions on the geography of the United States, in SQL.
    Geoquery,
    /// Questions on several databases, in SQL.
    DefogSql,
    /// Function calls.
    Bfcl,
    /// Word problems.
    Gsm8k,
    /// Python functions to complete.
    Humaneval,
    /// Python functions by description.
    Mbpp,
    /// Intents and slots of seven kinds.
    Snips,
    /// Intents and slots of a home.
    HaIntents,
    /// How likely a text is.
    Perplexity,
    /// Own prompts with the text expected.
    Jsonl,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 10] = [
        Self::Geoquery,
        Self::DefogSql,
        Self::Bfcl,
        Self::Gsm8k,
        Self::Humaneval,
        Self::Mbpp,
        Self::Snips,
        Self::HaIntents,
        Self::Perplexity,
        Self::Jsonl,
    ];

    /// Its name on the command line and in rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Geoquery => "geoquery",
            Self::DefogSql => "defog-sql",
            Self::Bfcl => "bfcl",
            Self::Gsm8k => "gsm8k",
            Self::Humaneval => "humaneval",
            Self::Mbpp => "mbpp",
            Self::Snips => "snips",
            Self::HaIntents => "ha-intents",
            Self::Perplexity => "perplexity",
            Self::Jsonl => "jsonl",
        }
    }

    /// The suite of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Most tokens of an answer, when the user names no number: enough for a right answer
    /// that is not terse, little enough that a model without end costs no minutes.
    pub fn max_tokens(self) -> u32 {
        match self {
            Self::Snips | Self::HaIntents => 128,
            Self::Geoquery | Self::DefogSql | Self::Bfcl | Self::Jsonl => 256,
            Self::Gsm8k => 400,
            Self::Humaneval | Self::Mbpp => 512,
            Self::Perplexity => 0,
        }
    }

    /// Whether it can say what right answers look like.
    fn has_constraints(self) -> bool {
        !matches!(self, Self::Humaneval | Self::Mbpp | Self::Perplexity | Self::Jsonl)
    }

    /// Whether it has checks that do not know the right answer.
    fn has_validators(self) -> bool {
        !matches!(self, Self::Gsm8k | Self::Perplexity | Self::Jsonl)
    }

    /// Reads its items from `folder`. May ask the node for tokens.
    pub(crate) async fn load(
        self,
        folder: &Path,
        manner: Manner,
        client: &Client,
        model: &str,
    ) -> Result<Loaded, EvalError> {
        let refused = |flag: &str, what: &str| {
            Err(EvalError::input(format!("{} has no {what}: leave {flag} out", self.name())))
        };
        if manner.constrain && !self.has_constraints() {
            return refused("--constrain", "constraint");
        }
        if manner.validators && !self.has_validators() {
            return refused("--validators", "validators");
        }
        let mut loaded = match self {
            Self::Geoquery => geoquery::load(folder, manner),
            Self::DefogSql => defog_sql::load(folder, manner),
            Self::Bfcl => bfcl::load(folder),
            Self::Gsm8k => gsm8k::load(folder),
            Self::Humaneval => humaneval::load(folder),
            Self::Mbpp => mbpp::load(folder),
            Self::Snips => snips::load(folder),
            Self::HaIntents => ha_intents::load(folder),
            Self::Perplexity => perplexity::load(folder, client, model).await,
            Self::Jsonl => jsonl::load(folder),
        }?;
        for item in &mut loaded.items {
            if let Work::Ask(question) = &mut item.work {
                question.constraint.take_if(|_| !manner.constrain);
                question.validators.retain(|_| manner.validators);
            }
        }
        data::check_unique(&loaded.items)?;
        Ok(loaded)
    }
}

/// How items are asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// Held to a constraint, with a prompt that fits it.
    pub constrain: bool,
    /// With validators.
    pub validators: bool,
}

/// What a data folder has.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// In the order of the file.
    pub items: Vec<Item>,
    /// Items left out, by reason.
    pub skipped: BTreeMap<String, usize>,
}

impl Loaded {
    /// Of everything that is asked and expected, so that rows of other data, of other prompts
    /// or of another tokenizer are told apart.
    pub(crate) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        for item in &self.items {
            add(&item.id);
            add(&item.expected.to_string());
            match &item.work {
                Work::Ask(question) => {
                    for message in &question.messages {
                        add(&message.role);
                        add(&message.content);
                    }
                    question.constraint.iter().for_each(|constraint| add(&format!("{constraint:?}")));
                }
                Work::Score { ids } => add(&format!("{ids:?}")),
            }
        }
        let hex: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// Unique in its suite.
    pub id: String,
    pub work: Work,
    /// For the row: what would be right.
    pub expected: Value,
}

impl Item {
    /// The last thing that the user says; `None` where nothing is asked.
    pub fn question(&self) -> Option<String> {
        match &self.work {
            Work::Ask(question) => question.messages.last().map(|message| message.content.clone()),
            Work::Score { .. } => None,
        }
    }
}

/// What is asked of the node.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// An answer.
    Ask(Box<Question>),
    /// How likely these tokens are.
    Score { ids: Vec<u32> },
}

/// A question whose answer is judged.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub messages: Vec<Message>,
    pub judge: Judge,
    /// What the answer is held to, if the run wants that.
    pub constraint: Option<Constraint>,
    /// What the node may check answers with, if the run wants that. They do not know the right answer.
    pub validators: Vec<Validator>,
}

impl Question {
    /// Work with neither constraint nor validators.
    fn work(messages: Vec<Message>, judge: Judge) -> Work {
        Self { messages, judge, constraint: None, validators: Vec::new() }.into_work()
    }

    /// The work of asking it.
    fn into_work(self) -> Work {
        Work::Ask(Box::new(self))
    }
}

fn constraint(kind: constraint::Kind) -> Constraint {
    Constraint { kind: Some(kind) }
}

fn validator(kind: validator::Kind) -> Validator {
    Validator { kind: Some(kind) }
}

/// The answer's statement runs on the node's copy of the file.
fn runs_on(database: &Path) -> Validator {
    let path = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
    validator(validator::Kind::Sql(SqlRun { database: path.to_string_lossy().into_owned() }))
}

/// The answer's code passes tests.
fn passes(before: &str, after: &str) -> Validator {
    validator(validator::Kind::Python(PythonTests { before: before.to_owned(), after: after.to_owned() }))
}

fn message(role: &str, content: impl Into<String>) -> Message {
    Message { role: role.to_owned(), content: content.into(), ..Message::default() }
}
