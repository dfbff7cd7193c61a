#![doc = include_str!("ARCHITECTURE.md")]

pub mod avro;
pub mod cli;
pub mod config;
pub mod processors;
pub mod streams;
