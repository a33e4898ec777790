//! Responses that nobody waits for.

use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use understudy_gateway::Failure;

use super::{
    object::Frame,
    output::Output,
    store::{Store, Stored},
    stream::failed,
};
use crate::telling::{Said, Telling};

/// Goes on by itself, in the place of the node that its request has; what is answered now is the response as it
/// begins. Whoever asks for it later sees how it stands.
pub(super) fn begin(store: Arc<Store>, telling: Telling, frame: Frame) -> Value {
    let begun = frame.object("in_progress", &[]);
    let cancel = CancellationToken::new();
    store.insert(&frame.tenant, &frame.id, Stored::in_the_making(begun.clone(), cancel.clone()));
    tokio::spawn(async move {
        let mut output = Output::new(&frame);
        let ended = tokio::select! {
            () = cancel.cancelled() => return,
            ended = write(telling, &mut output) => ended,
        };
        let stored = match ended {
            Ok(()) => {
                let (object, answer) = output.completed(&frame);
                Stored::new(object, frame.conversation.iter().cloned().chain([answer]).collect())
            }
            Err(failure) => Stored::new(failed(&frame, &failure, &output), Vec::new()),
        };
        store.replace(&frame.tenant, &frame.id, stored);
    });
    begun
}

async fn write(mut telling: Telling, output: &mut Output) -> Result<(), Failure> {
    while let Some(said) = telling.next().await {
        let said = said?;
        let is_end = matches!(said, Said::End(_));
        output.hear(said);
        if is_end {
            break;
        }
    }
    Ok(())
}
