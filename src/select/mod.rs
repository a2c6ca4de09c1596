//! What stays: budgets in tokens, and the choice that makes the most of them.

pub mod budget;
pub mod knapsack;
