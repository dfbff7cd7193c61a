//! The node types of `topology.toml`, their conditions and templates.
