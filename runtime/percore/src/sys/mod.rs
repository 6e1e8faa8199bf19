//! What the safe wrappers (`rustix`, `socket2`) do not offer, one concern per file.

pub(crate) mod ktls;
pub(crate) mod mapping;
pub(crate) mod msg_ring;
pub(crate) mod tcp_info;
