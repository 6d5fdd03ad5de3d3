//! The way in for the fuzz targets `aws_json` and `aws_cbor`: any bytes as the body of any call.

use bytes::Bytes;

use super::ask::{Ask, ENTRIES_MAX};
use super::call::{Call, Form, Operation, Service};
use super::check::Put;
use super::pen::Pen;

/// A body in JSON.
pub fn aws_json(bytes: &[u8]) {
    call(Form::Json, bytes);
}

/// A body in CBOR.
pub fn aws_cbor(bytes: &[u8]) {
    call(Form::Cbor, bytes);
}

fn call(form: Form, bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    for service in [Service::Kinesis, Service::Firehose] {
        for operation in [Operation::PutRecord, Operation::PutMany] {
            let Ok(ask) = Ask::read(form, &body) else { return };
            let call = Call { service, operation, form };
            match Put::of(ask, call) {
                Ok(put) => {
                    assert!((1..=ENTRIES_MAX).contains(&put.records.len()));
                    let bytes: usize = put.records.iter().map(|one| one.payload.len()).sum();
                    assert!(bytes as u64 <= Ask::copied_bytes(form, &body), "none is made up");
                }
                Err(fault) => {
                    let told = fault.told(service);
                    let answer = Pen::write(form, 0, |pen| pen.text("message", &told.message));
                    assert!(answer.len() > told.message.len());
                }
            }
        }
    }
}
