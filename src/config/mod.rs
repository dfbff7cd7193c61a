//! `topology.toml`: parse, check, diagnostics, secrets, and the build of the topology that it declares.
