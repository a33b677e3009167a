//! Both machines between models of their peers: in whatever order things happen, every call is executed once,
//! every question answered once, and every answer arrives.

mod choices;
pub mod lane;
pub mod session;

use bytes::Bytes;
use serde_json::Value;

pub use choices::Choices;

use crate::bridge::message::Owned;

/// # Panics
/// It is no message: a defect of the model.
pub fn scan(message: &Value) -> Owned {
    Owned::scan(message.to_string()).expect("a message")
}

/// # Panics
/// It is no JSON: a defect of the machine.
pub fn parse(message: &Bytes) -> Value {
    serde_json::from_slice(message).expect("JSON")
}
