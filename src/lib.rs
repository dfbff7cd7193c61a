#![doc = include_str!("ARCHITECTURE.md")]

pub mod avro;
pub mod cli;
pub mod config;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod loopback;
pub mod operate;
pub mod processors;
pub mod streams;
pub mod telegram;
pub mod youtube;
