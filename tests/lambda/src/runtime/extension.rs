//! Extensions, as far as a runtime registers one for itself: it is then told when its instance ends.

use crate::world;

/// The extension of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Extension {
    /// There is none.
    #[default]
    None,
    /// It has registered and not asked for an event yet: the instance is not ready before it does.
    Registered(String),
    /// It waits for an event.
    Waiting(String),
}

impl Extension {
    /// Registers one and gives its id.
    pub(super) fn register(&mut self) -> String {
        let id = world::fresh_id();
        *self = Self::Registered(id.clone());
        id
    }

    /// Notes that the one of this id waits. There may be no such.
    pub(super) fn wait(&mut self, id: &str) -> bool {
        match self {
            Self::Registered(own) | Self::Waiting(own) if own == id => {
                *self = Self::Waiting(id.to_owned());
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        *self != Self::None
    }

    pub(super) fn is_at_rest(&self) -> bool {
        !matches!(self, Self::Registered(_))
    }
}
