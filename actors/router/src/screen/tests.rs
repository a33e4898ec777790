use proptest::prelude::*;
use understudy_engine::verbs::{StepResult, TokenId};

use super::*;
use crate::{FinishReason, TokenLogprob};

/// A token of these bytes, told of, by a hand: author, reason and origin.
fn write(candidate: &mut Candidate, bytes: &[u8], (author, why, origin): (&str, &str, Origin)) {
    let author = Author { model: author.into(), vocabulary: "bytes".into() };
    candidate.because(why);
    let id = candidate.tokens().len() as TokenId;
    candidate.push(&author, StepResult::forced(id), origin, bytes);
    candidate.tell(TokenLogprob { id, bytes: bytes.to_vec(), logprob: 0.0, top: Vec::new() });
}

/// What a reader keeps of everything that it is sent.
#[derive(Default)]
struct Reader {
    text: String,
    tokens: Vec<TokenLogprob>,
    /// Author, first byte and reason.
    segments: Vec<(String, usize, String)>,
    /// Origin of the last piece.
    origin: Origin,
    pieces: usize,
}

impl Reader {
    fn read(&mut self, events: &mut mpsc::Receiver<AnswerItem>) {
        while let Ok(Ok(event)) = events.try_recv() {
            match event {
                AnswerEvent::Segment { author, start, why } => {
                    assert_eq!(start, self.text.len());
                    self.segments.push((author, start, why));
                }
                AnswerEvent::Delta { text, logprobs, model, origin, .. } => {
                    assert_eq!(self.segments.last().map(|last| &last.0), Some(&model));
                    self.origin = origin;
                    self.pieces += 1;
                    self.text.push_str(&text);
                    self.tokens.extend(logprobs);
                }
                AnswerEvent::Retracted { bytes, tokens, .. } => {
                    self.text.truncate(self.text.len() - bytes);
                    self.segments.retain(|segment| segment.1 < self.text.len());
                    self.tokens.truncate(self.tokens.len() - tokens as usize);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

proptest! {
    /// Whatever is written, taken back and written again: the tokens told are those of the text shown, from the
    /// first to the one that its last byte belongs to; segments are its spans; and a piece has its token's origin.
    #[test]
    fn tokens_and_segments_come_and_go_with_their_text(
        text in "[ab#é🚀]{1,12}",
        cuts in prop::collection::vec(1_usize..4, 1..20),
        hands in prop::collection::vec((0_usize..2, 0_usize..2, 0_usize..3), 1..8),
        takes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..6),
    ) {
        let (sender, mut events) = mpsc::channel(1024);
        let mut screen = Screen::new(RequestCtx::new("r"), sender, Instant::now());
        let mut candidate = Candidate::new(&["#é".to_owned()]);
        let mut pieces = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        let mut reader = Reader::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut show = |candidate: &Candidate, written: Option<Origin>| {
            let pieces = reader.pieces;
            runtime.block_on(screen.show(candidate)).expect("a reader");
            reader.read(&mut events);
            assert!(reader.pieces <= pieces + 1, "one piece for a token");
            if let Some(origin) = written.filter(|_| reader.pieces > pieces) {
                assert_eq!(reader.origin, origin);
            }
            let spans = screen.spans("").into_iter().map(|span| (span.author, span.start, span.why));
            assert_eq!(reader.segments, spans.collect::<Vec<_>>());
            assert_eq!(reader.text, candidate.text());
            let told = reader.tokens.iter().map(|token| token.id).collect::<Vec<_>>();
            assert_eq!(told, (0..told.len() as TokenId).collect::<Vec<_>>());
            let end_of = |count: usize| candidate.tokens()[..count].last().map_or(0, |last| last.end);
            assert!(end_of(told.len()) >= reader.text.len(), "all tokens of the text are told");
            assert!(told.is_empty() || end_of(told.len() - 1) < reader.text.len(), "and no others");
        };
        for take in takes.iter().map(Some).chain([None]) {
            let until = take.map_or(pieces.len(), |(until, ..)| until.index(pieces.len() + 1));
            for piece in pieces.iter().take(until).skip(candidate.tokens().len()) {
                if candidate.is_stopped() {
                    break;
                }
                let (author, why, origin) = hands[candidate.tokens().len() % hands.len()];
                let origin = [Origin::Written, Origin::Forced, Origin::Accepted][origin];
                write(&mut candidate, piece, (["m", "n"][author], ["", "because"][why], origin));
                show(&candidate, Some(origin));
            }
            if let Some((_, keep, ends)) = take {
                if *ends {
                    candidate.finish(FinishReason::Length);
                    show(&candidate, None);
                    candidate.reopen();
                    show(&candidate, None);
                }
                candidate.truncate(keep.index(candidate.tokens().len() + 1));
                show(&candidate, None);
            }
        }
        candidate.finish(FinishReason::Stop);
        show(&candidate, None);
        candidate.reopen();
        show(&candidate, None);
    }
}
