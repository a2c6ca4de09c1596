//! The engine itself, on llama.cpp: the handle sends jobs to a thread, a scheduler there gives each its turn, and a worker
//! computes.

mod backend;
mod batch;
mod cache;
mod chat_model;
mod handle;
mod likelihood;
mod quantize;
mod scheduler;
mod speed;
mod worker;

pub use chat_model::ChatModel;
pub use handle::Engine;
pub use quantize::convert;
