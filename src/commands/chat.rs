//! `understudy chat`: a conversation in the terminal.

use std::time::Duration;

use rustyline::error::ReadlineError;
use understudy_hub::Home;
use understudy_proto::v1::Message;

use crate::cli::answering::policies;
use crate::cli::{Answering, Chat};
use crate::commands::ask;
use crate::error::Error;
use crate::render::answer::AnswerView;
use crate::render::line;
use crate::source::Source;

const COMMANDS: &str = "/model NAME    answer with one model (none: back to the cascade)
/policy NAME   how models work together, such as cascade:threshold=0.6 (none: the default)
/explain       show or hide who wrote what and why
/clear         forget the conversation
/quit          leave (or Ctrl-D)";

/// What `/help` says.
fn help() -> String {
    format!("{COMMANDS}\n\nPolicies:\n{}", policies())
}

pub async fn run(args: Chat) -> Result<(), Error> {
    let source = Source::find(&args.answering).await?;
    let mut talk = Talk { answering: args.answering, messages: Vec::new() };
    talk.clear();
    let mut editor =
        rustyline::DefaultEditor::new().map_err(|error| Error::internal(format!("the terminal: {error}")))?;
    let history = Home::from_env().ok().map(|home| home.root().join("chat_history"));
    if let Some(history) = &history {
        // A first chat has no history yet.
        let _ = editor.load_history(history);
    }
    line("Understudy. /help lists the commands, Ctrl-D leaves.")?;
    loop {
        // Reading a line blocks; nothing else runs in this process meanwhile.
        let typed = match tokio::task::block_in_place(|| editor.readline("> ")) {
            Ok(typed) => typed,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Error::internal(format!("the terminal: {error}"))),
        };
        if typed.trim().is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(&typed);
        match typed.trim().strip_prefix('/') {
            Some("quit" | "exit") => break,
            Some(command) => line(&talk.obey(command))?,
            None => talk.turn(&source, &typed).await?,
        }
    }
    if let Some(Err(error)) = history.map(|history| editor.save_history(&history)) {
        tracing::warn!(%error, "the history was not saved");
    }
    Ok(())
}

struct Talk {
    answering: Answering,
    messages: Vec<Message>,
}

impl Talk {
    fn clear(&mut self) {
        let system = self.answering.system.iter().map(|text| ask::message("system", text));
        self.messages = system.collect();
    }

    fn obey(&mut self, command: &str) -> String {
        let (name, value) = command.split_once(' ').unwrap_or((command, ""));
        let value = value.trim();
        match name {
            "model" => {
                self.answering.model = (!value.is_empty()).then(|| value.to_owned());
                self.answering.policy = None;
                format!("model: {}", if value.is_empty() { "the cascade" } else { value })
            }
            "policy" => {
                self.answering.policy = (!value.is_empty()).then(|| value.to_owned());
                format!("policy: {}", if value.is_empty() { "the default" } else { value })
            }
            "explain" => {
                self.answering.explain = !self.answering.explain;
                format!("explain: {}", if self.answering.explain { "on" } else { "off" })
            }
            "clear" => {
                self.clear();
                "forgotten".to_owned()
            }
            "help" => help(),
            other => format!("unknown command /{other}\n{COMMANDS}"),
        }
    }

    /// One question and its answer. A refused question is taken back, so the talk goes on.
    async fn turn(&mut self, source: &Source, question: &str) -> Result<(), Error> {
        self.messages.push(ask::message("user", question));
        let request = ask::request(&self.answering, self.messages.clone());
        let timeout = Duration::from_secs(self.answering.timeout);
        let view = AnswerView::new(self.answering.explain);
        let answered = async {
            let mut stream = source.ask(request, timeout).await?;
            tokio::select! {
                finished = view.follow(&mut stream) => finished.map(Some),
                // Dropping the stream cancels the request.
                _ = tokio::signal::ctrl_c() => Ok(None),
            }
        };
        match answered.await {
            Ok(Some(finished)) => self.messages.push(ask::message("assistant", &finished.text)),
            Ok(None) => {
                self.messages.pop();
                line("\n[stopped]")?;
            }
            Err(error) => {
                self.messages.pop();
                error.report();
            }
        }
        Ok(())
    }
}
