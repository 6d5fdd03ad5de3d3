//! The way in for the fuzz targets `aws_json` and `aws_cbor`: any bytes as the body of any call.

use bytes::Bytes;

use super::ask::{Ask, ENTRIES_MAX};
use super::call::{Call, Form, Operation, Service};
use super::check::Put;
use super::fault::{CallFault, MESSAGE_CHARS_MAX};
use super::page;
use super::pen::Pen;

/// Most bytes of a refusal: each character of its message may be written as an escape or in several
/// bytes.
const REFUSAL_BYTES_MAX: usize = 256 + 6 * (MESSAGE_CHARS_MAX + 1);

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
            let ask = match Ask::read(form, service, &body) {
                Ok(ask) => ask,
                Err(fault) => {
                    refused(fault, service, form);
                    continue;
                }
            };
            if let Err(fault) = page::Asked::of(&ask) {
                refused(fault, service, form);
            }
            let call = Call { service, operation, form };
            match Put::of(ask, call) {
                Ok(put) => {
                    assert!((1..=ENTRIES_MAX).contains(&put.records.len()));
                    let bytes: usize = put.records.iter().map(|one| one.payload.len()).sum();
                    assert!(bytes as u64 <= Ask::copied_bytes(form, &body), "none is made up");
                }
                Err(fault) => refused(fault, service, form),
            }
        }
    }
}

fn refused(fault: CallFault, service: Service, form: Form) {
    let told = fault.told(service);
    let answer = Pen::write(form, 0, |pen| pen.text("message", &told.message));
    assert!(answer.len() > told.message.len());
    assert!(answer.len() <= REFUSAL_BYTES_MAX, "{} bytes", answer.len());
}
