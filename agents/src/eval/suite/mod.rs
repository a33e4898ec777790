//! Suites: where items come from, what is asked, and who judges. One file per suite.

mod bfcl;
mod data;
mod defog_sql;
mod geoquery;
mod gsm8k;
mod jsonl;
mod perplexity;
mod sql;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use understudy_proto::v1::Message;

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
    /// How likely a text is.
    Perplexity,
    /// Own prompts with the text expected.
    Jsonl,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 6] =
        [Self::Geoquery, Self::DefogSql, Self::Bfcl, Self::Gsm8k, Self::Perplexity, Self::Jsonl];

    /// Its name on the command line and in rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Geoquery => "geoquery",
            Self::DefogSql => "defog-sql",
            Self::Bfcl => "bfcl",
            Self::Gsm8k => "gsm8k",
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
            Self::Geoquery | Self::DefogSql | Self::Bfcl | Self::Jsonl => 256,
            Self::Gsm8k => 400,
            Self::Perplexity => 0,
        }
    }

    /// Reads its items from `folder`. May ask the node for tokens.
    pub(crate) async fn load(self, folder: &Path, client: &Client, model: &str) -> Result<Loaded, EvalError> {
        match self {
            Self::Geoquery => geoquery::load(folder),
            Self::DefogSql => defog_sql::load(folder),
            Self::Bfcl => bfcl::load(folder),
            Self::Gsm8k => gsm8k::load(folder),
            Self::Perplexity => perplexity::load(folder, client, model).await,
            Self::Jsonl => jsonl::load(folder),
        }
    }
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
                Work::Ask { messages, .. } => messages.iter().for_each(|message| {
                    add(&message.role);
                    add(&message.content);
                }),
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
            Work::Ask { messages, .. } => messages.last().map(|message| message.content.clone()),
            Work::Score { .. } => None,
        }
    }
}

/// What is asked of the node.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// An answer.
    Ask { messages: Vec<Message>, judge: Judge },
    /// How likely these tokens are.
    Score { ids: Vec<u32> },
}

fn message(role: &str, content: impl Into<String>) -> Message {
    Message { role: role.to_owned(), content: content.into() }
}
