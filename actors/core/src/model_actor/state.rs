//! A slot's states and the only ways between them.

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Nothing; no memory is held.
    Unloaded,
    /// Its file is being found or fetched.
    Fetching,
    /// The file is being read and an engine made.
    Loading,
    /// A first pass runs, so that the first request does not pay for it.
    Warming,
    /// Serving.
    Ready,
    /// Finishing what runs; admitting nothing.
    Draining,
    /// Not serving; the status says why and whether a restart is under way.
    Failed,
}

impl SlotState {
    /// The word in JSON and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Fetching => "fetching",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Failed => "failed",
        }
    }

    /// On its way to ready.
    pub fn is_underway(self) -> bool {
        matches!(self, Self::Fetching | Self::Loading | Self::Warming)
    }
}

/// What moves a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotEvent {
    /// Somebody wants the model.
    Load,
    /// Its file is here.
    Fetched,
    /// Its engine runs.
    EngineUp,
    /// The first pass is done.
    Warmed,
    /// Something failed.
    Broke,
    /// Nobody should use it any more.
    Drain,
    /// The last request is over.
    Drained,
}

use SlotEvent::*;
use SlotState::*;

/// Every transition. Whatever is not here does not happen.
const TRANSITIONS: &[(SlotState, SlotEvent, SlotState)] = &[
    (Unloaded, Load, Fetching),
    (Failed, Load, Fetching),
    (Fetching, Fetched, Loading),
    (Loading, EngineUp, Warming),
    (Warming, Warmed, Ready),
    (Fetching, Broke, Failed),
    (Loading, Broke, Failed),
    (Warming, Broke, Failed),
    (Ready, Broke, Failed),
    // It was to go anyway.
    (Draining, Broke, Unloaded),
    (Fetching, Drain, Unloaded),
    (Loading, Drain, Unloaded),
    (Warming, Drain, Unloaded),
    (Failed, Drain, Unloaded),
    (Ready, Drain, Draining),
    (Draining, Drained, Unloaded),
];

impl SlotState {
    /// Where the event leads, if anywhere.
    pub fn after(self, event: SlotEvent) -> Option<SlotState> {
        TRANSITIONS.iter().find(|(from, with, _)| (*from, *with) == (self, event)).map(|(_, _, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_are_a_function_and_only_a_load_leaves_rest() {
        for (i, (from, event, _)) in TRANSITIONS.iter().enumerate() {
            let same = TRANSITIONS.iter().filter(|(f, e, _)| (f, e) == (from, event)).count();
            assert_eq!(same, 1, "transition {i} is there twice");
        }
        for event in [Fetched, EngineUp, Warmed, Broke, Drained] {
            assert_eq!(Unloaded.after(event), None);
            assert_eq!(Failed.after(event), None);
        }
        let path = [Load, Fetched, EngineUp, Warmed, Drain, Drained];
        let end = path.iter().try_fold(Unloaded, |state, event| state.after(*event));
        assert_eq!(end, Some(Unloaded));
    }

    #[test]
    fn every_state_on_the_way_can_break_and_be_called_off() {
        for state in [Fetching, Loading, Warming] {
            assert_eq!(state.after(Broke), Some(Failed));
            assert_eq!(state.after(Drain), Some(Unloaded));
            assert_eq!(state.after(Load), None, "one load at a time");
        }
    }
}
