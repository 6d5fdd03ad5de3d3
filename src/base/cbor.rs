//! What every reader of CBOR needs beside the decoder.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;

/// How many elements of a list or a map are left; of one without a length, a break comes behind the last.
pub(crate) struct Left(Option<u64>);

impl Left {
    /// As the head of the list or the map says.
    pub(crate) fn of(length: Option<u64>) -> Self {
        Self(length)
    }

    /// Whether another element follows; the break is passed over.
    pub(crate) fn has_next(&mut self, decoder: &mut Decoder<'_>) -> Result<bool, Error> {
        match &mut self.0 {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if decoder.datatype()? == Type::Break => {
                decoder.skip()?;
                Ok(false)
            }
            None => Ok(true),
        }
    }
}
