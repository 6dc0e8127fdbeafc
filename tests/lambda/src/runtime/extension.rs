//! Extensions, as far as runtimes register one to receive SIGTERM.

use crate::world;

/// The state of an instance's extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ExtensionState {
    /// No extension is registered.
    #[default]
    None,
    /// It is registered and has not requested an event yet. The instance is not ready before it does.
    Registered(String),
    /// It waits for an event.
    Waiting(String),
}

impl ExtensionState {
    /// Registers an extension and returns its id.
    pub(super) fn register(&mut self) -> String {
        let id = world::fresh_id();
        *self = Self::Registered(id.clone());
        id
    }

    /// Records that the extension of this id waits for an event. Returns whether the id is known.
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

    pub(super) fn is_idle(&self) -> bool {
        !matches!(self, Self::Registered(_))
    }
}
