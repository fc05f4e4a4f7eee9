//! The program of docs/start/quick-start.md, on a port that the system chooses.

include!(concat!(env!("OUT_DIR"), "/quick_start.rs"));
