//! The targets, one module for each room.

pub mod amf0;
pub mod flv;
pub mod http;
pub mod lobby;
pub mod proxies;
pub mod rtmp;
pub mod twins;
pub mod viewers;
