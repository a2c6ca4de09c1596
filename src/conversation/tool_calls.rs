//! Reads tool calls, and orders that concern the whole request.

use std::collections::HashMap;

use crate::base::reason::Reason;
use crate::detect::tools::{Effect, call};
use crate::detect::veto;
use crate::wire::{Call, Chat, Message, Origin, Role, Slot};

/// The tool calls of a conversation by their ids.
pub struct Calls<'a>(HashMap<&'a str, Vec<ToolCall<'a>>>);

/// A tool call with its effect.
struct ToolCall<'a> {
    message: usize,
    call: &'a Call,
    effect: Effect,
}

impl<'a> Calls<'a> {
    /// Calls in `chat`.
    pub fn new(chat: &'a Chat) -> Self {
        let mut calls: HashMap<&str, Vec<ToolCall>> = HashMap::new();
        for (message, said) in chat.messages.iter().enumerate() {
            for call in &said.calls {
                let effect = call::read(&call.name, &call.fields, &call.arguments);
                calls.entry(&call.id).or_default().push(ToolCall { message, call, effect });
            }
        }
        Self(calls)
    }

    /// The call that a text is the result of: the last one before it with its id, as some clients count from 1 again at
    /// every turn.
    pub fn call_of(&self, slot: &Slot) -> Option<&'a Call> {
        Some(self.of(slot)?.call)
    }

    /// The effect of that call on files.
    pub fn effect_of(&self, slot: &Slot) -> Option<&Effect> {
        Some(&self.of(slot)?.effect)
    }

    /// The effect of a call on files.
    pub fn effect(&self, call: &Call) -> Option<&Effect> {
        let made = self.0.get(call.id.as_str())?.iter().find(|made| std::ptr::eq(made.call, call))?;
        Some(&made.effect)
    }

    fn of(&self, slot: &Slot) -> Option<&ToolCall<'a>> {
        let Origin::Result { call, .. } = &slot.origin else { return None };
        self.0.get(call.as_str())?.iter().rev().find(|made| made.message < slot.message)
    }
}

/// Orders that forbid touching any code ("whole-request orders"), with the message from which they hold.
pub struct Orders(Vec<(usize, Reason)>);

impl Orders {
    /// Orders in `chat`.
    pub fn new(chat: &Chat) -> Self {
        let speaks = |message: &Message| match message.role {
            // An agent's system prompt is about its tools, not about this file.
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

    /// The veto for code whose question is asked in message `asked_in`. Later orders don't count: they must not change how
    /// the code was sent before.
    pub fn veto(&self, asked_in: usize) -> Option<Reason> {
        self.0.first().filter(|(index, _)| *index <= asked_in).map(|&(_, reason)| reason)
    }
}
