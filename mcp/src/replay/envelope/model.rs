//! What a message says, as something to compare.

use std::ops::Range;

use crate::envelope::{Envelope, Kind};

pub(super) type Place = Option<Range<usize>>;

#[derive(Debug, PartialEq)]
pub(super) struct Facts {
    pub kind: Kind,
    pub raw_newline: bool,
    pub error_code: Option<i64>,
    /// Members that are read as text: method, target, result type, revision, log level.
    pub texts: [Option<String>; 5],
    /// Where everything else stands, in the order of [`Facts::of`].
    pub places: [Place; 16],
}

#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub code: i32,
    pub id: Place,
}

impl Facts {
    pub fn of(text: &str, envelope: &Envelope) -> Self {
        let bytes = text.as_bytes();
        Self {
            kind: envelope.kind(),
            raw_newline: envelope.has_raw_newline(),
            error_code: envelope.error_code(),
            texts: [
                envelope.method(bytes).map(str::to_owned),
                envelope.target(bytes).map(Into::into),
                envelope.result_type(bytes).map(Into::into),
                envelope.protocol_version(bytes).map(Into::into),
                envelope.log_level(bytes).map(Into::into),
            ],
            places: [
                envelope.method_range(),
                envelope.id_range(),
                envelope.params_range(),
                envelope.result_range(),
                envelope.error_range(),
                envelope.meta_range(),
                envelope.progress_token_range(),
                envelope.target_range(),
                envelope.arguments_range(),
                envelope.protocol_version_range(),
                envelope.client_capabilities_range(),
                envelope.client_info_range(),
                envelope.log_level_range(),
                envelope.request_id_param_range(),
                envelope.subscription_id_range(),
                envelope.result_meta_range(),
            ],
        }
    }

    /// What stands at the places, without whitespace.
    pub fn values(&self, text: &str) -> Vec<Option<Vec<u8>>> {
        let places = self.places.iter();
        places.map(|place| Some(crate::splice::compact(text[place.clone()?].as_bytes()))).collect()
    }
}
