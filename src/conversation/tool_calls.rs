//! What a conversation holds before anything of it is cut: its tool calls, its pieces of code, its orders.

use std::collections::HashMap;

use crate::base::reason::Reason;
use crate::detect::tools::{Effect, call};
use crate::detect::veto;
use crate::wire::{Call, Chat, Message, Origin, Role, Slot};

/// The tool calls of a conversation by their ids.
pub struct Calls<'a>(HashMap<&'a str, Vec<Made<'a>>>);

/// A tool call, and what it does.
pub struct Made<'a> {
    message: usize,
    /// The call.
    pub call: &'a Call,
    /// What it does.
    pub does: Effect,
}

impl<'a> Calls<'a> {
    /// Those of `chat`.
    pub fn new(chat: &'a Chat) -> Self {
        let mut calls: HashMap<&str, Vec<Made>> = HashMap::new();
        for (message, said) in chat.messages.iter().enumerate() {
            for call in &said.calls {
                let does = call::read(&call.name, &call.fields, &call.arguments);
                calls.entry(&call.id).or_default().push(Made { message, call, does });
            }
        }
        Self(calls)
    }

    /// The call that a text is the result of: of those with its id the last one before it, for some clients count anew
    /// at every turn.
    pub fn of(&self, slot: &Slot) -> Option<&Made<'a>> {
        let Origin::Result { call, .. } = &slot.origin else { return None };
        self.0.get(call.as_str())?.iter().rev().find(|made| made.message < slot.message)
    }

    /// What a call does.
    pub fn does(&self, call: &Call) -> Option<&Effect> {
        let made = self.0.get(call.id.as_str())?.iter().find(|made| std::ptr::eq(made.call, call))?;
        Some(&made.does)
    }
}

/// Why the orders of a conversation forbid to touch its code (rule R2), from which message on.
pub struct Orders(Vec<(usize, Reason)>);

impl Orders {
    /// Those of `chat`.
    pub fn new(chat: &Chat) -> Self {
        let speaks = |message: &Message| match message.role {
            // What an agent is told about its tools is not an order for this file.
            Role::System | Role::Developer => chat.tools.is_empty(),
            role => role == Role::User,
        };
        let vetoes = |message: &Message| {
            let said = message.slots.iter().filter(|slot| !matches!(slot.origin, Origin::Result { .. }));
            veto::whole_request(said.map(|slot| slot.text.as_str()))
        };
        let spoken = chat.messages.iter().enumerate().filter(|(_, message)| speaks(message));
        Self(spoken.filter_map(|(index, message)| Some((index, vetoes(message)?))).take(1).collect())
    }

    /// The veto for code whose question is asked in message `asked_in`. What comes later does not count: it must not
    /// change how the code was sent before.
    pub fn veto(&self, asked_in: usize) -> Option<Reason> {
        self.0.first().filter(|(index, _)| *index <= asked_in).map(|&(_, reason)| reason)
    }
}
