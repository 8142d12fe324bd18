//! What goes wrong with a call, as a test asks for it.

use std::fmt;

use super::gate::Gate;
use crate::fault::Fault;

/// What becomes of a call.
#[derive(Clone, Debug)]
pub(super) enum Ill<F> {
    Fails(F),
    Waits(Gate),
    Panics,
}

/// Trouble for calls of kind `C`: by default for the next one, whatever its target.
#[derive(Clone, Debug)]
pub struct Trouble<C, F = Fault> {
    call: C,
    target: Option<String>,
    spared: u32,
    times: u32,
    after_effect: bool,
    ill: Ill<F>,
}

impl<C, F> Trouble<C, F> {
    fn new(call: C, ill: Ill<F>, after_effect: bool) -> Self {
        Self {
            call,
            target: None,
            spared: 0,
            times: 1,
            after_effect,
            ill,
        }
    }

    /// The call fails and has no effect.
    pub fn fails(call: C, fault: F) -> Self {
        Self::new(call, Ill::Fails(fault), false)
    }

    /// The call has its effect, and fails all the same: a lost acknowledgement.
    pub fn loses_the_answer(call: C, fault: F) -> Self {
        Self::new(call, Ill::Fails(fault), true)
    }

    /// The call waits at `gate` before its effect.
    pub fn hangs(call: C, gate: &Gate) -> Self {
        Self::new(call, Ill::Waits(gate.clone()), false)
    }

    /// The call has its effect, and waits at `gate` before it returns.
    pub fn hangs_after(call: C, gate: &Gate) -> Self {
        Self::new(call, Ill::Waits(gate.clone()), true)
    }

    /// The call panics and has no effect.
    pub fn panics(call: C) -> Self {
        Self::new(call, Ill::Panics, false)
    }

    /// The call has its effect, and panics.
    pub fn panics_after(call: C) -> Self {
        Self::new(call, Ill::Panics, true)
    }

    /// Only calls on `target` (a key, a feed, a stream; as printed).
    #[must_use]
    pub fn on(mut self, target: impl fmt::Display) -> Self {
        self.target = Some(target.to_string());
        self
    }

    /// Lets `count` calls through unharmed first.
    #[must_use]
    pub fn sparing(mut self, count: u32) -> Self {
        self.spared = count;
        self
    }

    /// Befalls `count` calls.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = count;
        self
    }

    /// Befalls every call.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Whether it will befall any further call.
    pub(super) fn is_over(&self) -> bool {
        self.times == 0
    }
}

impl<C: PartialEq, F: Clone> Trouble<C, F> {
    /// What this does to a call that begins now, and whether after its effect.
    pub(super) fn befall(&mut self, call: &C, target: &str) -> Option<(bool, Ill<F>)> {
        let concerned = self.call == *call && self.target.as_deref().is_none_or(|wanted| wanted == target);
        if !concerned || self.is_over() {
            return None;
        }
        if self.spared > 0 {
            self.spared -= 1;
            return None;
        }
        if self.times != u32::MAX {
            self.times -= 1;
        }
        Some((self.after_effect, self.ill.clone()))
    }
}
