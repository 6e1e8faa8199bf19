//! Edges that come and go: every command of that chapter of docs/OPERATING.md, from the page itself, on real processes
//! with viewers on them; and what the commands say when they cannot.

mod alone;
mod balancer;
mod chapter;
mod crowd;
mod directory;
mod stage;

#[path = "../stage/page.rs"]
mod page;
#[path = "../stage/processes.rs"]
#[allow(dead_code, reason = "other stories strike in more ways")]
mod processes;
