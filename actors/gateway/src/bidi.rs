//! A conversation that its caller steers: `GenerateBidi`.
//!
//! One answer is written at a time. There is no queue: a command is read when an answer is being written or waited
//! for, and flow control of the connection holds back a caller that sends faster. While an answer waits for its place, only
//! the end of the call is heard.

use std::collections::HashMap;

use futures::stream::{self, Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use understudy_backend::{RequestCtx, RequestId};
use understudy_proto::v1::{
    Finished, GenerateCommand, GenerateEvent, GenerateRequest, Message, ToolCall, ToolChoice,
    generate_command::Command, generate_event::Event,
};
use understudy_router::CallReader;

use crate::{Answer, Failure, Inference, codes, wire::invalid};

/// Answers of one call: each but the first follows tools.
const MOST_ANSWERS: u32 = 64;

/// The state of a steered conversation. Dropping it cancels the answer that is being written.
struct Dialogue<C> {
    inference: Inference,
    ctx: RequestCtx,
    commands: C,
    /// The caller has closed its side, or said something wrong.
    closed: bool,
    /// What the next answer will be asked for.
    request: GenerateRequest,
    answers: u32,
    state: State,
}

enum State {
    /// Nothing was asked yet.
    Begin,
    /// An answer is being written; the token cancels it alone.
    Answering(Box<Answer>, CancellationToken),
    /// Calls without a result, and the results that are there.
    Waiting(Vec<ToolCall>, HashMap<String, String>),
    Over,
}

/// Answers `commands` within `ctx`, whose cancellation ends everything.
pub(crate) fn answers<C>(
    inference: Inference,
    ctx: RequestCtx,
    commands: C,
) -> impl Stream<Item = Result<GenerateEvent, Status>> + Send + 'static
where
    C: Stream<Item = Result<GenerateCommand, Status>> + Unpin + Send + 'static,
{
    let dialogue = Dialogue {
        inference,
        ctx,
        commands,
        closed: false,
        request: GenerateRequest::default(),
        answers: 0,
        state: State::Begin,
    };
    stream::unfold(dialogue, async |mut dialogue| {
        let event = dialogue.next().await?;
        if event.is_err() {
            dialogue.state = State::Over;
        }
        Some((event.map_err(Status::from), dialogue))
    })
}

impl<C: Stream<Item = Result<GenerateCommand, Status>> + Unpin> Dialogue<C> {
    async fn next(&mut self) -> Option<Result<GenerateEvent, Failure>> {
        loop {
            let step = match &mut self.state {
                State::Over => return None,
                State::Answering(answer, _) => {
                    tokio::select! {
                        biased;
                        command = self.commands.next(), if !self.closed => self.command(command).await,
                        event = answer.next() => return event.map(|event| self.event(event)),
                    }
                }
                State::Begin | State::Waiting(..) if self.closed => {
                    self.state = State::Over;
                    Ok(())
                }
                State::Begin | State::Waiting(..) => match self.in_time().await {
                    Ok(command) => self.command(command).await,
                    Err(failure) => Err(failure),
                },
            };
            if let Err(failure) = step {
                return Some(Err(failure));
            }
        }
    }

    /// The caller's next command, before the deadline.
    async fn in_time(&mut self) -> Result<Option<Result<GenerateCommand, Status>>, Failure> {
        let commands = &mut self.commands;
        Ok(self.ctx.bound(async { Ok(commands.next().await) }).await?)
    }

    async fn command(&mut self, command: Option<Result<GenerateCommand, Status>>) -> Result<(), Failure> {
        let Some(command) = command else {
            self.closed = true;
            return Ok(());
        };
        let command = command.map_err(|status| {
            Failure::new(codes::CANCELLED, format!("the caller's side broke: {}", status.message()))
        })?;
        match (command.command, &mut self.state) {
            (Some(Command::Start(request)), State::Begin) => {
                self.request = request;
                self.ask().await
            }
            (Some(Command::Start(_)), _) => Err(invalid("start", "is for the first command")),
            (Some(Command::Cancel(_)), State::Answering(_, cancel)) => {
                cancel.cancel();
                Ok(())
            }
            (Some(Command::Cancel(_)), State::Waiting(..)) => {
                self.state = State::Over;
                Ok(())
            }
            (Some(Command::ToolResult(result)), State::Waiting(calls, results)) => {
                if !calls.iter().any(|call| call.id == result.tool_call_id) {
                    return Err(invalid("tool_call_id", "names no call of the answer"));
                }
                results.insert(result.tool_call_id, result.content);
                if results.len() < calls.len() {
                    return Ok(());
                }
                let results = std::mem::take(results);
                for call in std::mem::take(calls) {
                    let content = results.get(&call.id).cloned().unwrap_or_default();
                    let role = "tool".to_owned();
                    self.request.messages.push(Message {
                        role,
                        content,
                        tool_call_id: call.id,
                        ..Message::default()
                    });
                }
                self.ask().await
            }
            (Some(Command::ToolResult(_)), State::Answering(..)) => {
                Err(invalid("tool_result", "came before the answer that calls the tool has ended"))
            }
            (Some(_), State::Begin) => Err(invalid("command", "must be start at first")),
            (None, _) => Err(invalid("command", "is of no kind that this node knows")),
            (Some(_), State::Over) => Ok(()),
        }
    }

    /// Asks for the next answer.
    async fn ask(&mut self) -> Result<(), Failure> {
        self.answers += 1;
        if self.answers > MOST_ANSWERS {
            return Err(invalid("tool_result", &format!("would lead to more than {MOST_ANSWERS} answers")));
        }
        let mut ctx = self.ctx.clone();
        // An answer that is cancelled does not take the next one with it.
        ctx.cancel = self.ctx.cancel.child_token();
        if self.answers > 1 {
            ctx.request_id = RequestId(format!("{}.{}", self.ctx.request_id.0, self.answers));
        }
        let cancel = ctx.cancel.clone();
        let answer = self.inference.generate(ctx, self.request.clone()).await?;
        self.state = State::Answering(Box::new(answer), cancel);
        Ok(())
    }

    fn event(&mut self, event: Result<GenerateEvent, Failure>) -> Result<GenerateEvent, Failure> {
        if let Ok(GenerateEvent { event: Some(Event::Finished(finished)), .. }) = &event {
            self.state = match finished.tool_calls.as_slice() {
                [] => State::Over,
                calls => {
                    self.note_turn(finished);
                    State::Waiting(calls.to_vec(), HashMap::new())
                }
            };
        }
        event
    }

    /// Adds an answer that calls tools to the conversation.
    fn note_turn(&mut self, finished: &Finished) {
        let request = &mut self.request;
        if !request.prompt.is_empty() {
            let content = std::mem::take(&mut request.prompt);
            request.messages.push(Message { role: "user".into(), content, ..Message::default() });
        }
        let tools = request.tools.iter().map(|tool| tool.name.clone());
        let (text, _) = CallReader::of_tools(tools).read(&finished.text);
        request.messages.push(Message {
            role: "assistant".into(),
            content: text.trim_end().to_owned(),
            tool_calls: finished.tool_calls.clone(),
            ..Message::default()
        });
        // A call that had to come has come: with its result there may be an answer.
        if request.tool_choice() == ToolChoice::Required {
            request.set_tool_choice(ToolChoice::Auto);
            request.tool.clear();
        }
    }
}
