//! The client against a YouTube on loopback that answers as a test says.
